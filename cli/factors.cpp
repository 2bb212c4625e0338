// polyattn factors: thin matrices whose product is close to the matrix of exponentials, entry by entry; with more than
// one file of keys, to the tensor of the exponentials of all tuples.

#include "polyattn/factors.hpp"
#include "command.hpp"
#include "exit_codes.hpp"
#include "problem.hpp"
#include "progress_bar.hpp"
#include "results.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace polyattn::cli {

namespace {

struct FactorFlags {
  ProblemFlags problem;
  std::optional<std::string> output, degree, dtype, range, json;
};

void declare(CLI::App& app, FactorFlags& flags) {
  app.add_option("files", flags.problem.files, "Q K, or Q K1 K2 ... for attention of order 3 and above")
      ->type_name("FILE ...");
  text_flag(app, "-o,--output", flags.output, "PREFIX",
            "Writes PREFIX-u1.npy [n, r], PREFIX-u2.npy [m, r], and one more for each further file of keys");
  text_flag(app, "--tolerance", flags.problem.tolerance, "EPS",
            "Largest relative error of an entry, between 0 and 1: the lowest degree proved to meet it");
  text_flag(app, "--degree", flags.degree, "G", "This degree, 0 to 64, with or without --tolerance");
  text_flag(
      app, "--scale", flags.problem.scale, "X",
      "Scores are X <q, k> (default 1/sqrt(d)), X sum_l q_l k1_l k2_l ... with more keys, where it has to be given");
  text_flag(app, "--scale-rule", flags.problem.scale_rule, "RULE", "inverse-sqrt-dim: 1/sqrt(d); inverse-dim: 1/d");
  text_flag(app, "--score", flags.problem.score, "SCORE",
            "dot (default) or, with one file of keys, gaussian: -sum (q_l - k_l)^2 / (2 H_l^2)");
  text_flag(app, "--bandwidth", flags.problem.bandwidth, "H[,H2...]",
            "For --score gaussian: one H, or one for each axis");
  text_flag(app, "--score-range", flags.range, "HOW",
            "bounded: from norms; scanned: look at every score, which may lower the degree; auto (default): the latter "
            "where it is cheap");
  text_flag(app, "--dtype", flags.dtype, "TYPE", "Type of the factors: float64 (default) or float32");
  text_flag(app, "--max-memory", flags.problem.max_memory, "BYTES",
            "Refuse to use more, factors included; K, M, G, T are powers of 1024");
  text_flag(app, "--threads", flags.problem.threads, "N", "Threads (default 0: all there are)");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn factors q.npy k.npy --tolerance 1e-2 -o ab\n"
      "  polyattn factors q.npy k.npy --tolerance 1e-3 --scale-rule inverse-dim -o ab --json -\n"
      "  polyattn factors q.npy k1.npy k2.npy --tolerance 1e-2 --scale 0.0625 -o abc\n"
      "  polyattn factors x.npy x.npy --degree 4 --score gaussian --bandwidth 2 -o kernel --max-memory 2G\n");
}

FactorOptions factor_options(const FactorFlags& flags, const Options& options) {
  FactorOptions factor;
  factor.threads = options.threads;
  factor.max_memory = options.max_memory;
  if (!flags.problem.tolerance && !flags.degree) throw UsageError("factors needs --tolerance EPS or --degree G");
  if (flags.problem.tolerance) {
    factor.tolerance = options.tolerance.value;
    if (!(*factor.tolerance > 0.0 && *factor.tolerance < 1.0)) {
      refuse_flag("--tolerance", *flags.problem.tolerance, "a number between 0 and 1, both excluded");
    }
  }
  if (flags.degree) factor.degree = static_cast<int>(parse_integer("--degree", *flags.degree, 0, 64));
  if (flags.dtype) {
    factor.dtype =
        parse_choice<DType>("--dtype", *flags.dtype, {{"float64", DType::float64}, {"float32", DType::float32}});
  }
  if (flags.range) {
    factor.range = parse_choice<ScoreRange>(
        "--score-range", *flags.range,
        {{"auto", ScoreRange::automatic}, {"bounded", ScoreRange::bounded}, {"scanned", ScoreRange::scanned}});
  }
  return factor;
}

Factors compute(const Problem& problem, FactorOptions options) {
  ProgressBar bar("factors");
  options.score = problem.options.score;
  options.progress = bar.callback();
  return naming_files(problem, [&] { return factors(problem.q_view, problem.key_views, options); });
}

std::string number(std::int64_t count) { return count < 0 ? "more than 2^63" : std::to_string(count); }

std::string words(const FactorHead& head, std::size_t order) {
  const char* const entry =
      order == 2 ? "|(U1 U2^T)_ij - exp(s_ij)| <= {:.6g} exp(s_ij)" : "|sum_a U1 U2 ... - exp(s)| <= {:.6g} exp(s)";
  return fmt::format("batch {}, head {}: scores in [{:.4g}, {:.4g}]{} ({}; magnitude as stated: at most {:.4g})\n",
                     head.batch, head.head, head.low, head.high, order == 2 ? " after centring" : "",
                     head.scanned ? "all looked at" : "from norms", head.radius_before) +
         "  " + fmt::format(fmt::runtime(entry), head.bound()) +
         fmt::format(": polynomial {:.6g}, rounding {:.3g}; if the products are computed in float64, {:.3g} more\n",
                     head.approximation, head.rounding, head.dot_product);
}

/// The smallest side: n_q, or the length of a key set.
std::int64_t smallest_side(const Problem& problem) {
  std::int64_t smallest = problem.q_view.shape[2];
  for (const ConstView& keys : problem.key_views) smallest = std::min(smallest, keys.shape[2]);
  return smallest;
}

std::string words(const Factors& result, const Problem& problem) {
  const std::size_t order = result.u.size();
  std::string text = fmt::format(
      "rank r = {}: degree {} in {} coordinates ({}: {})\n", result.rank, result.degree, result.axes,
      order == 2 ? "Alman and Song 2023, Lemma 3.2" : "Alman and Song 2024, Lemma E.1", number(result.papers_rank));
  const std::int64_t smallest = smallest_side(problem);
  if (order == 2 && result.rank > smallest) {
    text += fmt::format("r is more than min(n, m) = {}: exp(QK^T) itself has no larger rank\n", smallest);
  }
  constexpr std::size_t most_heads_in_full = 8;
  if (result.heads.size() <= most_heads_in_full) {
    for (const FactorHead& head : result.heads) text += words(head, order);
    return text;
  }
  const auto worst = std::ranges::max_element(
      result.heads, [](const FactorHead& one, const FactorHead& other) { return one.bound() < other.bound(); });
  return text + fmt::format("{} heads, of which the farthest off is\n", result.heads.size()) + words(*worst, order);
}

/// Whether r is more than what the rank of the exponentials themselves can be: the smallest product of all sides but
/// one.
bool exceeds_matrix(const Factors& result, const Problem& problem) {
  double product = static_cast<double>(problem.q_view.shape[2]);
  double largest = product;
  for (const ConstView& keys : problem.key_views) {
    product *= static_cast<double>(keys.shape[2]);
    largest = std::max(largest, static_cast<double>(keys.shape[2]));
  }
  return largest == 0.0 ? result.rank > 0 : static_cast<double>(result.rank) > product / largest;
}

Json to_json(const Factors& result, const Problem& problem, const FactorOptions& options,
             const std::vector<std::string>& files) {
  Json heads = Json::array();
  for (const FactorHead& head : result.heads) {
    heads.push_back({{"batch", head.batch},
                     {"head", head.head},
                     {"degree", result.degree},
                     {"rank", result.rank},
                     {"radius_before", head.radius_before},
                     {"radius", head.radius},
                     {"low", head.low},
                     {"high", head.high},
                     {"scanned", head.scanned},
                     {"bound", head.bound()},
                     {"approximation", head.approximation},
                     {"rounding", head.rounding},
                     {"majorant", head.majorant},
                     {"dot_product", head.dot_product}});
  }
  std::uint64_t bytes = 0;
  for (const Tensor& factor : result.u) bytes += factor.bytes();
  return {{"schema", json_schema},
          {"order", result.u.size()},
          {"heads", heads},
          {"tolerance", options.tolerance ? Json(*options.tolerance) : Json(nullptr)},
          {"bound", result.bound()},
          {"degree", result.degree},
          {"rank", result.rank},
          {"dim", problem.q_view.shape[3]},
          {"axes", result.axes},
          {"papers_rank", result.papers_rank < 0 ? Json(nullptr) : Json(result.papers_rank)},
          {"rank_exceeds_matrix", exceeds_matrix(result, problem)},
          {"dtype", name_of(result.u.front().dtype())},
          {"files", files},
          {"bytes", bytes},
          {"peak_bytes", result.peak_bytes},
          {"version", version()}};
}

int run(int argc, char** argv) {
  FactorFlags flags;
  CLI::App app(
      "Matrices U1, U2 with |(U1 U2^T)_ij - exp(s_ij)| <= EPS exp(s_ij) for every entry, proved; of order k, "
      "U1 to Uk with |sum_a U1(i,a) U2(j1,a) ... - exp(s)| <= EPS exp(s) for all tuples.",
      "polyattn factors");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  if (!flags.output) throw UsageError("factors needs -o PREFIX, what the names of its two files begin with");
  const std::size_t count = flags.problem.files.size();
  if (count < 2) throw UsageError(fmt::format("expected the files Q and K, or more keys, got {} files", count));
  // A request has values; the keys stand in for them.
  for (std::size_t f = 1; f < count; ++f) flags.problem.files.push_back(flags.problem.files[f]);
  const Request request = make_request(flags.problem, 0);
  const FactorOptions options = factor_options(flags, request.options);
  std::vector<std::string> files;
  for (std::size_t f = 1; f <= count; ++f) files.push_back(fmt::format("{}-u{}.npy", *flags.output, f));
  std::vector<std::string> outputs = file_outputs({flags.json});
  outputs.insert(outputs.end(), files.begin(), files.end());
  io::check_outputs(outputs, request.input_paths());

  const Problem problem = load(request);
  const Factors result = compute(problem, options);
  const Json json = to_json(result, problem, options, files);
  Outputs written;
  for (std::size_t k = 0; k < files.size(); ++k) written.add_tensor(files[k], result.u[k], problem.rank(), false);
  publish(flags.json, json, words(result, problem), std::move(written));
  return exit_done;
}

}  // namespace

constinit const Command factors_command{"factors", "write matrices whose product is close to exp(QK^T)", run};

}  // namespace polyattn::cli
