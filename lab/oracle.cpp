#include "lab/oracle.hpp"

#include "polyattn/attention.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

namespace polyattn::lab {

namespace {

/// Of a margin, what an oracle may use. The rest is for the rounding of scales and entries of the problem itself, about
/// 1e-6 of them at most.
constexpr double usable_share = 0.96;

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

Options options_for(const Decision& decision, Options options, const Progress& progress) {
  options.progress = progress;
  options.output_dtype = DType::float64;
  if (decision.relative) {
    // What exact in float64 proves is the most there is; tolerance 0 takes it whatever that is.
    options.tolerance = {};
    if (options.arithmetic == Arithmetic::automatic) options.arithmetic = Arithmetic::float64;
  } else {
    options.tolerance = {usable_share * decision.margin(), ToleranceKind::absolute};
  }
  return options;
}

Answers answer(std::span<const float> queries, const TripleKeys& keys, Options options) {
  options.score = Dot{keys.scale};
  const auto rows = static_cast<std::int64_t>(queries.size()) / keys.dim;
  const auto length = [&](std::size_t set) { return static_cast<std::int64_t>(keys.values[set].size()); };
  const std::array key_views{matrix(keys.keys[0].data(), length(0), keys.dim),
                             matrix(keys.keys[1].data(), length(1), keys.dim)};
  const std::array value_views{matrix(keys.values[0].data(), length(0), 1),
                               matrix(keys.values[1].data(), length(1), 1)};
  const Result result = attend(matrix(queries.data(), rows, keys.dim), key_views, value_views, options);
  const HeadReport& head = result.report.heads.at(0);
  const auto* outputs = result.output.as<double>();
  return {{outputs, outputs + rows},
          head.certificate.proved_bound(),
          head.certificate.relative,
          head.engine,
          head.arithmetic};
}

bool accurate(const Decision& decision, const Answers& answers) {
  return answers.absolute <= usable_share * decision.margin() ||
         answers.relative <= usable_share * decision.relative_margin();
}

}  // namespace

double Decision::margin() const noexcept { return std::min(high - threshold, threshold - low); }

double Decision::relative_margin() const noexcept {
  const double above = 1.0 - threshold / high;
  return low > 0.0 ? std::min(above, threshold / low - 1.0) : above;
}

TripleKeys keys_of(const TripleAttention& problem, const std::array<KeyInterval, 2>& real) {
  TripleKeys result;
  result.dim = problem.dim;
  result.scale = problem.scale;
  const auto dim = static_cast<std::size_t>(problem.dim);
  for (std::size_t set = 0; set < 2; ++set) {
    const std::int64_t count = real[set].end - real[set].begin;
    std::vector<float>& keys = result.keys[set];
    keys.assign(static_cast<std::size_t>(count) * dim, 0.0F);
    for (std::int64_t j = 0; j < count; ++j) {
      problem.key[set](real[set].begin + j, std::span(keys).subspan(static_cast<std::size_t>(j) * dim, dim));
    }
    for (std::int64_t p = 0; p < problem.pads[set]; ++p) {
      keys.insert(keys.end(), problem.pad[set].begin(), problem.pad[set].end());
    }
    result.values[set].assign(static_cast<std::size_t>(count), 1.0F);
    result.values[set].resize(static_cast<std::size_t>(count + problem.pads[set]), 0.0F);
  }
  return result;
}

Oracle attention_oracle(const Options& given) {
  return [given](std::span<const float> queries, const TripleKeys& keys, const Decision& decision,
                 const Progress& progress) {
    Options options = options_for(decision, given, progress);
    if (!decision.relative || given.engine != Engine::automatic) return answer(queries, keys, options);
    options.engine = Engine::exact;
    Answers answers = answer(queries, keys, options);
    if (accurate(decision, answers)) return answers;
    options.engine = Engine::reference;  // slower, and relative errors down to the end of float64's range
    return answer(queries, keys, options);
  };
}

void check_accuracy(const Decision& decision, const Answers& answers) {
  const double absolute = usable_share * decision.margin();
  const double relative = usable_share * decision.relative_margin();
  if (answers.absolute <= absolute || answers.relative <= relative) return;
  throw Error(ErrorCode::not_reachable, "oracle: expected an error of at most " + number(absolute) + ", or " +
                                            number(relative) + " times the output, which decisions at the threshold " +
                                            number(decision.threshold) + " need, got the bounds " +
                                            number(answers.absolute) + " and " + number(answers.relative) +
                                            " of engine " + name_of(answers.engine));
}

}  // namespace polyattn::lab
