// From the flags of attend, plan and verify to polyattn::Options.

#include "calibration.hpp"
#include "io/tensor_file.hpp"
#include "problem.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace polyattn::cli {

namespace {

constexpr std::int64_t most_threads = 1024;
constexpr std::int64_t most_order = 16;
constexpr std::int64_t most_degree = 400;

void parse_score(const ProblemFlags& flags, Request& request) {
  const bool gaussian =
      flags.score && parse_choice<bool>("--score", *flags.score, {{"dot", false}, {"gaussian", true}});
  if (flags.scale && flags.scale_rule) throw UsageError("--scale and --scale-rule exclude each other");
  if (gaussian) {
    if (flags.scale || flags.scale_rule) {
      throw UsageError(std::string(flags.scale ? "--scale" : "--scale-rule") +
                       " does not go with --score gaussian, whose temperature is --bandwidth");
    }
    if (!flags.bandwidth) throw UsageError("--score gaussian needs --bandwidth");
    request.options.score = Gaussian{parse_bandwidths(*flags.bandwidth)};
    return;
  }
  if (flags.bandwidth) throw UsageError("--bandwidth needs --score gaussian");
  Dot score;
  if (flags.scale) score.scale = parse_real("--scale", *flags.scale);
  request.options.score = score;
  if (request.keys.size() > 1 && !flags.scale && !flags.scale_rule) {
    throw UsageError("order " + std::to_string(request.keys.size() + 1) +
                     " has no usual scale: --scale or --scale-rule is needed");
  }
  if (flags.scale_rule) {
    parse_choice<int>("--scale-rule", *flags.scale_rule, {{"inverse-sqrt-dim", 0}, {"inverse-dim", 1}});
    request.scale_rule = flags.scale_rule;
  }
}

void parse_tolerance(const ProblemFlags& flags, Options& options) {
  if (flags.tolerance) {
    options.tolerance.value = parse_real("--tolerance", *flags.tolerance);
    if (options.tolerance.value < 0.0) refuse_flag("--tolerance", *flags.tolerance, "a number that is not negative");
  }
  if (flags.tolerance_kind) {
    if (!flags.tolerance) throw UsageError("--tolerance-kind needs --tolerance");
    options.tolerance.kind = parse_choice<ToleranceKind>(
        "--tolerance-kind", *flags.tolerance_kind,
        {{"absolute", ToleranceKind::absolute}, {"of_value_range", ToleranceKind::of_value_range}});
  }
}

/// Parts between commas, empty ones too.
std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// One file, whatever its name, for one key set; else one for each, separated by commas.
std::vector<std::string> split_biases(const std::string& text, std::size_t sets) {
  if (sets == 1) return {text};
  std::vector<std::string> names = split_commas(text);
  if (names.size() != sets) {
    throw UsageError("--key-bias takes a file for each of the " + std::to_string(sets) +
                     " key sets, separated by commas (nothing between them: no bias), got " +
                     std::to_string(names.size()));
  }
  return names;
}

/// One width for every key set, or one for each.
std::vector<std::int64_t> parse_windows(const std::string& text, std::size_t sets) {
  std::vector<std::int64_t> widths;
  for (const std::string& part : split_commas(text)) widths.push_back(parse_integer("--window", part, 1, INT64_MAX));
  if (widths.size() == 1) widths.resize(sets, widths.front());
  if (widths.size() != sets) {
    refuse_flag("--window", text,
                sets == 1 ? "one width" : "one width, or one for each of the " + std::to_string(sets) + " key sets");
  }
  return widths;
}

void parse_masks(const ProblemFlags& flags, Request& request) {
  Options& options = request.options;
  if (flags.key_bias) request.key_bias = split_biases(*flags.key_bias, request.keys.size());
  request.boolean = flags.boolean;
  request.additive = flags.additive;
  if (flags.causal) {
    options.mask.visibility.causal = parse_choice<Causal>(
        "--causal", *flags.causal, {{"upper_left", Causal::upper_left}, {"lower_right", Causal::lower_right}});
  }
  if (flags.window) {
    options.mask.visibility.window = parse_windows(*flags.window, request.keys.size());
  }
  if (flags.key_segments && !flags.segments) throw UsageError("--key-segments needs --segments, those of the rows");
  request.segments = flags.segments;
  request.key_segments = flags.key_segments;
  options.mask.exclude_self = flags.exclude_self;
  if (flags.soft_cap) {
    options.soft_cap = parse_real("--soft-cap", *flags.soft_cap);
    if (*options.soft_cap <= 0.0) refuse_flag("--soft-cap", *flags.soft_cap, "a positive number");
  }
}

double parse_fraction(const std::string& flag, const std::string& text) {
  const double value = parse_real(flag, text);
  if (!(value > 0.0 && value < 1.0)) refuse_flag(flag, text, "a number between 0 and 1, neither of them");
  return value;
}

void apply_guarantee(const EngineFlags& flags, Options& options) {
  if (flags.guarantee) {
    options.guarantee = parse_choice<Guarantee>("--guarantee", *flags.guarantee,
                                                {{"certified", Guarantee::certified}, {"sampled", Guarantee::sampled}});
  }
  const bool sampled = options.guarantee == Guarantee::sampled;
  if (flags.unseen_share) {
    if (!sampled) throw UsageError("--unseen-share needs --guarantee sampled");
    options.sampling.share = parse_fraction("--unseen-share", *flags.unseen_share);
  }
  if (flags.confidence) {
    if (!sampled) throw UsageError("--confidence needs --guarantee sampled");
    options.sampling.confidence = parse_fraction("--confidence", *flags.confidence);
  }
}

/// Q, k-1 keys, k-1 values and `extra` further files.
void split_files(const ProblemFlags& flags, std::size_t extra, Request& request) {
  const std::vector<std::string>& files = flags.files;
  const std::string wanted = extra == 0 ? "Q, K and V" : "Q, K, V and the output to check";
  std::size_t sets = files.size() > 1 + extra ? (files.size() - 1 - extra) / 2 : 0;
  if (flags.order) {
    sets = static_cast<std::size_t>(parse_integer("--order", *flags.order, 2, most_order)) - 1;
    if (files.size() != 1 + 2 * sets + extra) {
      throw UsageError("--order " + *flags.order + " takes " + std::to_string(1 + 2 * sets + extra) + " files (Q, " +
                       std::to_string(sets) + " keys, " + std::to_string(sets) + " values" +
                       (extra == 0 ? "" : ", the output to check") + "), got " + std::to_string(files.size()));
    }
  }
  if (sets == 0 || files.size() != 1 + 2 * sets + extra) {
    throw UsageError("expected the files " + wanted + " (or as many keys as values for a higher order), got " +
                     std::to_string(files.size()) + " files");
  }
  const auto first = files.begin() + 1;
  const auto count = static_cast<std::ptrdiff_t>(sets);
  request.q = files.front();
  request.keys.assign(first, first + count);
  request.values.assign(first + count, first + 2 * count);
  if (extra != 0) request.extra = files.back();
}

}  // namespace

Engine parse_engine(const std::string& text) {
  return parse_choice<Engine>("--engine", text,
                              {{"auto", Engine::automatic},
                               {"reference", Engine::reference},
                               {"exact", Engine::exact},
                               {"polynomial", Engine::polynomial},
                               {"grid", Engine::grid},
                               {"clustered", Engine::clustered}});
}

Arithmetic parse_arithmetic(const std::string& text) {
  return parse_choice<Arithmetic>("--arithmetic", text,
                                  {{"float32", Arithmetic::float32}, {"float64", Arithmetic::float64}});
}

DType parse_output_dtype(const std::string& text) {
  if (text == "bfloat16") throw UsageError("--dtype bfloat16: .npy has no such type; use float16 or float32");
  return parse_choice<DType>("--dtype", text,
                             {{"float16", DType::float16}, {"float32", DType::float32}, {"float64", DType::float64}});
}

int parse_threads(const std::string& text) {
  return static_cast<int>(parse_integer("--threads", text, 0, most_threads));
}

std::vector<double> parse_bandwidths(const std::string& text) {
  std::vector<double> bandwidths = parse_reals("--bandwidth", text);
  for (const double h : bandwidths) {
    // Scores divide by the square.
    if (!(h > 0.0) || !std::isfinite(1.0 / (h * h)) || 1.0 / (h * h) == 0.0) {
      refuse_flag("--bandwidth", text, "positive numbers whose squares neither vanish nor overflow");
    }
  }
  return bandwidths;
}

void add_problem_flags(CLI::App& app, ProblemFlags& flags, const std::string& positionals) {
  app.add_option("files", flags.files, positionals)->type_name("FILE ...");
  text_flag(app, "--order", flags.order, "K",
            "Order k of attention: k-1 keys and k-1 values (default: from their number)");
  text_flag(app, "--tolerance", flags.tolerance, "EPS",
            "Largest error allowed (default 0: exact, in the input's type)");
  text_flag(app, "--tolerance-kind", flags.tolerance_kind, "KIND",
            "absolute (default) or of_value_range: times the largest max-min of a value column");
  text_flag(app, "--scale", flags.scale, "X", "Scores are X <q, k> (default 1/sqrt(d)); needed at order 3 and above");
  text_flag(app, "--scale-rule", flags.scale_rule, "RULE", "inverse-sqrt-dim: 1/sqrt(d); inverse-dim: 1/d");
  text_flag(app, "--score", flags.score, "SCORE", "dot (default) or gaussian: -sum (q_l - k_l)^2 / (2 H_l^2)");
  text_flag(app, "--bandwidth", flags.bandwidth, "H[,H2...]", "For --score gaussian: one H, or one for each axis");
  text_flag(app, "--causal", flags.causal, "ALIGN",
            "upper_left: row i sees keys j <= i; lower_right: the last row sees all keys");
  text_flag(app, "--key-bias", flags.key_bias, "FILE[,FILE...]",
            "Added to every score of a key, -inf hides it; [n_kv], [heads, n_kv] or [batch, heads, n_kv]; "
            "order k: a file for each of the k-1 key sets, an empty name for none");
  text_flag(app, "--window", flags.window, "W[,W...]",
            "Keys less than W from the row's own, and with --causal not after it: the last W; order k: a width for "
            "every key set, or one for each");
  text_flag(app, "--segments", flags.segments, "FILE",
            "Packed sequences: where each begins, and n last; int64 [sequences + 1], for rows and keys");
  text_flag(app, "--key-segments", flags.key_segments, "FILE", "The same for keys, where it differs");
  text_flag(app, "--boolean", flags.boolean, "FILE",
            "bool or uint8, true where the row sees the key; [n_kv], [n_q, n_kv], [heads, n_q, n_kv] or "
            "[batch, heads, n_q, n_kv], where all but n_kv may be 1");
  text_flag(app, "--additive", flags.additive, "FILE", "Added to the scores, -inf hides the pair; shapes of --boolean");
  app.add_flag("--exclude-self", flags.exclude_self, "Row i does not see key i (leave one out)");
  text_flag(app, "--soft-cap", flags.soft_cap, "C", "Scores s become C tanh(s / C), before biases and masks");
  text_flag(app, "--non-finite", flags.non_finite, "WHAT",
            "NaN or infinity in the input: error (default) or propagate");
  text_flag(app, "--max-memory", flags.max_memory, "BYTES", "Refuse to use more; K, M, G, T are powers of 1024");
  text_flag(app, "--threads", flags.threads, "N", "Threads (default 0: all there are)");
}

void add_engine_flags(CLI::App& app, EngineFlags& flags) {
  text_flag(app, "--guarantee", flags.guarantee, "WHAT",
            "certified (default): every row is proved to meet EPS; sampled: random exact rows say that almost all do");
  text_flag(app, "--unseen-share", flags.unseen_share, "P",
            "For sampled: share of the rows that may err by more (default 0.01)");
  text_flag(app, "--confidence", flags.confidence, "C", "For sampled: with which this holds (default 0.95)");
  text_flag(app, "--engine", flags.engine, "ENGINE", "auto (default), reference, exact, polynomial, grid or clustered");
  text_flag(app, "--arithmetic", flags.arithmetic, "TYPE", "float32 or float64 (default: the cheaper that suffices)");
  text_flag(app, "--degree", flags.degree, "G",
            "Degree of the polynomial engine (default: the cheapest that suffices)");
  app.add_flag("--strict", flags.strict, "A forced engine fails instead of handing rows it cannot certify to exact");
  text_flag(app, "--calibration", flags.calibration, "WHAT",
            "Speeds that predictions use: none (default), the same choices on every machine; auto: this machine's, "
            "measured once and kept; or a file of info --calibrate");
  text_flag(app, "--dtype", flags.dtype, "TYPE",
            "Type of the output: float16, float32 or float64 (default: Q's; float32 for 16-bit Q)");
}

std::vector<std::string> Request::input_paths() const {
  std::vector<std::string> names{q};
  names.insert(names.end(), keys.begin(), keys.end());
  names.insert(names.end(), values.begin(), values.end());
  if (!extra.empty()) names.push_back(extra);
  std::ranges::copy_if(key_bias, std::back_inserter(names), [](const std::string& name) { return !name.empty(); });
  for (const auto& mask : {boolean, additive, segments, key_segments}) {
    if (mask) names.push_back(*mask);
  }
  std::ranges::transform(names, names.begin(), [](const std::string& name) { return io::split_name(name).path; });
  return names;
}

Request make_request(const ProblemFlags& flags, std::size_t extra_files) {
  Request request;
  split_files(flags, extra_files, request);
  Options& options = request.options;
  parse_score(flags, request);
  parse_tolerance(flags, options);
  parse_masks(flags, request);
  if (flags.non_finite) {
    options.non_finite = parse_choice<NonFinite>("--non-finite", *flags.non_finite,
                                                 {{"error", NonFinite::error}, {"propagate", NonFinite::propagate}});
  }
  if (flags.max_memory) options.max_memory = parse_bytes("--max-memory", *flags.max_memory);
  if (flags.threads) options.threads = parse_threads(*flags.threads);
  return request;
}

void apply_engine_flags(const EngineFlags& flags, Options& options) {
  apply_guarantee(flags, options);
  if (flags.engine) options.engine = parse_engine(*flags.engine);
  if (flags.arithmetic) options.arithmetic = parse_arithmetic(*flags.arithmetic);
  if (flags.degree) {
    if (options.engine != Engine::automatic && options.engine != Engine::polynomial) {
      throw UsageError("--degree is the polynomial engine's; it does not go with --engine " + *flags.engine);
    }
    options.degree = static_cast<int>(parse_integer("--degree", *flags.degree, 0, most_degree));
  }
  if (flags.strict && options.engine == Engine::automatic) throw UsageError("--strict needs a forced --engine");
  options.strict = flags.strict;
  options.calibration = calibration_of(flags.calibration);
  if (flags.dtype) options.output_dtype = parse_output_dtype(*flags.dtype);
}

}  // namespace polyattn::cli
