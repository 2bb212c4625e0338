// polyattn order: up to which order the queries and keys at hand stay within reach of polynomials, and what each order
// would cost. [AS24] says how entries and order trade: almost linear time needs B < (log n)^(1/k), about, and below it
// nothing else is needed.

#include "calibration.hpp"
#include "command.hpp"
#include "exit_codes.hpp"
#include "lab/best_polynomial.hpp"
#include "problem.hpp"
#include "results.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::cli {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double usual_tolerance = 1e-3;
constexpr std::int64_t usual_highest = 5;
constexpr std::int64_t highest_order = 16;

struct OrderFlags {
  std::vector<std::string> files;
  std::optional<std::string> scale, scale_rule, tolerance, causal, highest, threads, calibration, json;
};

void declare(CLI::App& app, OrderFlags& flags) {
  app.add_option("files", flags.files, "Q and at least one K; an order that needs more keys takes the last again")
      ->type_name("FILE ...");
  text_flag(app, "--scale", flags.scale, "X", "Scores are X sum_l q_l k1_l k2_l ..., at every order");
  text_flag(app, "--scale-rule", flags.scale_rule, "RULE", "inverse-sqrt-dim: 1/sqrt(d); inverse-dim: 1/d");
  text_flag(app, "--tolerance", flags.tolerance, "EPS",
            "Error allowed, as a share of the value range (default 1e-3); the keys stand in for the values");
  text_flag(app, "--causal", flags.causal, "ALIGN", "upper_left or lower_right, as for attend");
  text_flag(app, "--highest", flags.highest, "K",
            "The highest order looked at (default 5, or as many as there are keys)");
  text_flag(app, "--threads", flags.threads, "N", "Threads (default 0: all there are)");
  text_flag(app, "--calibration", flags.calibration, "WHAT", "Speeds that predictions use, as for attend");
  text_flag(app, "--json", flags.json, "FILE", "The same as JSON; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn order q.npy k.npy --scale-rule inverse-dim\n"
      "  polyattn order q.npy k1.npy k2.npy --scale 0.0625 --tolerance 1e-4 --json -\n");
}

/// One order, all heads together.
struct OrderRow {
  int order = 2;
  double entries = 0.0;        ///< B: largest |entry| of Q and of the keys of this order
  double threshold = 0.0;      ///< (log n)^(1/k)
  double papers_radius = 0.0;  ///< B^k d |scale|, that the papers bound scores by
  double radius_before = 0.0;  ///< measured
  double radius = 0.0;         ///< after scaling the axes (order 2: after centring)
  bool known = false;          ///< some polynomial serves every head
  int degree = -1;
  std::int64_t rank = 0;
  double bound = 0.0;
  double polynomial_seconds = 0.0;
  double exact_seconds = 0.0;
  double fallback_share = 0.0;

  /// Polynomials cost less, rows left to exact included.
  [[nodiscard]] bool fast() const noexcept { return known && polynomial_seconds < exact_seconds; }
};

void add_head(const HeadPlan& head, OrderRow& row) {
  const InputStatistics& statistics = head.statistics;
  row.entries = std::max({row.entries, statistics.max_abs_query, statistics.max_abs_key});
  row.radius_before = std::max(row.radius_before, statistics.radius_before);
  row.radius = std::max(row.radius, statistics.radius_after);
  row.exact_seconds += head.exact_seconds;
  const Candidate* best = lab::best_polynomial(head);
  if (best == nullptr) {
    row.known = false;
    return;
  }
  row.degree = std::max(row.degree, best->degree);
  row.rank = std::max(row.rank, best->rank);
  row.bound = std::max(row.bound, best->predicted_bound);
  row.polynomial_seconds += best->seconds;
  row.fallback_share = std::max(row.fallback_share, best->fallback_share);
}

/// Keys of an order, the last one again where there are too few.
std::vector<ConstView> keys_of(const Problem& problem, std::size_t sets) {
  std::vector<ConstView> keys = problem.key_views;
  keys.resize(sets, keys.back());
  return keys;
}

OrderRow look(const Problem& problem, int order) {
  const std::vector<ConstView> keys = keys_of(problem, static_cast<std::size_t>(order) - 1);
  const PlanReport report =
      naming_files(problem, [&] { return plan(problem.q_view, keys, keys, problem.options); }).report();
  OrderRow row;
  row.order = order;
  row.known = !report.heads.empty();
  std::int64_t longest = problem.q_view.shape[2];
  for (const ConstView& view : keys) longest = std::max(longest, view.shape[2]);
  row.threshold = longest > 1 ? std::pow(std::log(static_cast<double>(longest)), 1.0 / order) : 0.0;
  for (const HeadPlan& head : report.heads) add_head(head, row);
  if (!row.known) row.polynomial_seconds = row.bound = infinity;
  const double scale = std::abs(std::get<Dot>(problem.options.score).scale.value());
  row.papers_radius = std::pow(row.entries, order) * static_cast<double>(problem.q_view.shape[3]) * scale;
  return row;
}

Json row_json(const OrderRow& row) {
  return {{"order", row.order},
          {"entries", row.entries},
          {"threshold", row.threshold},
          {"within_threshold", row.entries < row.threshold},
          {"papers_radius", row.papers_radius},
          {"radius_before", row.radius_before},
          {"radius", row.radius},
          {"degree", row.known ? Json(row.degree) : Json(nullptr)},
          {"rank", row.known ? Json(row.rank) : Json(nullptr)},
          {"predicted_bound", row.bound},
          {"fallback_share", row.known ? Json(row.fallback_share) : Json(nullptr)},
          {"polynomial_seconds", row.polynomial_seconds},
          {"exact_seconds", row.exact_seconds},
          {"fast", row.fast()}};
}

std::string seconds_text(double seconds) { return std::isfinite(seconds) ? fmt::format("{:.3g} s", seconds) : "-"; }

std::string row_text(const OrderRow& row) {
  return fmt::format("{:>5}  {:>9.4g}  {:>13.4g}{}  {:>11.4g}  {:>9.4g}  {:>9.4g}  {:>6}  {:>9}  {:>10}  {:>10}  {}\n",
                     row.order, row.entries, row.threshold, row.entries < row.threshold ? " " : "!", row.papers_radius,
                     row.radius_before, row.radius, row.known ? std::to_string(row.degree) : "none",
                     row.known ? std::to_string(row.rank) : "-", seconds_text(row.polynomial_seconds),
                     seconds_text(row.exact_seconds), row.fast() ? "fast" : "");
}

Request request_of(const OrderFlags& flags) {
  if (flags.files.size() < 2) throw UsageError("order needs the files Q and K, or more keys");
  if (flags.scale.has_value() == flags.scale_rule.has_value()) {
    throw UsageError("order needs either --scale or --scale-rule: orders above 2 have no usual scale");
  }
  ProblemFlags problem;
  problem.files = flags.files;
  problem.files.insert(problem.files.end(), flags.files.begin() + 1, flags.files.end());  // keys stand in for values
  problem.scale = flags.scale;
  problem.scale_rule = flags.scale_rule;
  problem.tolerance = flags.tolerance.value_or(fmt::format("{}", usual_tolerance));
  problem.tolerance_kind = "of_value_range";
  problem.causal = flags.causal;
  problem.threads = flags.threads;
  Request request = make_request(problem, 0);
  if (request.options.tolerance.value == 0.0) {
    refuse_flag("--tolerance", *problem.tolerance, "a positive number: polynomials answer to a tolerance");
  }
  request.options.calibration = calibration_of(flags.calibration);
  request.options.engine = Engine::polynomial;  // looked for however little exact would take
  return request;
}

int run(int argc, char** argv) {
  OrderFlags flags;
  CLI::App app("Up to which order these queries and keys stay within reach of polynomials, and at what cost.",
               "polyattn order");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  const Request request = request_of(flags);
  const std::int64_t highest = flags.highest
                                   ? parse_integer("--highest", *flags.highest, 2, highest_order)
                                   : std::max(usual_highest, static_cast<std::int64_t>(request.keys.size()) + 1);
  io::check_outputs(file_outputs({flags.json}), request.input_paths());
  const Problem problem = load(request);

  const double scale = std::get<Dot>(problem.options.score).scale.value();
  std::string text = fmt::format(
      "{} queries, {} keys, d = {}; scale {:.6g}; tolerance {:g} of the value range, the keys as values\n"
      "order          B  (log n)^(1/k)   B^k d scale     radius     scaled  degree       rank  polynomial       "
      "exact\n",
      problem.q_view.shape[2], problem.key_views.front().shape[2], problem.q_view.shape[3], scale,
      problem.options.tolerance.value);
  Json json{{"schema", json_schema}, {"queries", problem.q_view.shape[2]},           {"dim", problem.q_view.shape[3]},
            {"scale", scale},        {"tolerance", problem.options.tolerance.value}, {"orders", Json::array()}};
  int fastest = 0;
  for (int order = 2; order <= highest; ++order) {
    const OrderRow row = look(problem, order);
    text += row_text(row);
    json["orders"].push_back(row_json(row));
    if (row.fast()) fastest = order;
  }
  json["largest_fast_order"] = fastest == 0 ? Json(nullptr) : Json(fastest);
  text += fastest == 0 ? "no order looked at is fast: at none do polynomials cost less than exact\n"
                       : fmt::format("the largest order looked at that stays fast: {}\n", fastest);
  publish(flags.json, json, text);
  return exit_done;
}

}  // namespace

constinit const Command order_command{"order", "say up to which order polynomials are fast", run};

}  // namespace polyattn::cli
