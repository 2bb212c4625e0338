#include "lab/order2_oracle.hpp"

#include "polyattn/attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

namespace polyattn::lab {

namespace {

/// The larger bound; what is not a number bounds nothing.
double larger(double a, double b) noexcept {
  return a >= b ? a : (b >= a ? b : std::numeric_limits<double>::infinity());
}

bool enough(const OracleAnswer& answer, const NeededAccuracy& needed) {
  return answer.absolute <= needed.absolute || answer.relative <= needed.relative;
}

OracleAnswer attend_once(const Order2Instance& instance, const Options& options) {
  const std::array<ConstView, 1> keys{matrix(instance.keys.data(), instance.key_count(), instance.dim)};
  const std::array<ConstView, 1> values{matrix(instance.values.data(), instance.key_count(), 1)};
  const Result result = attend(matrix(instance.queries.data(), instance.rows(), instance.dim), keys, values, options);
  OracleAnswer answer;
  const double* output = result.output.as<double>();
  answer.output.assign(output, output + instance.rows());
  answer.absolute = 0.0;
  answer.relative = 0.0;
  for (const HeadReport& head : result.report.heads) {
    answer.absolute = larger(answer.absolute, head.certificate.proved_bound());
    answer.relative = larger(answer.relative, head.certificate.relative);
  }
  return answer;
}

/// Values are 0 and 1, so sum_j p_ij |v_j| is T_i itself: the certificate's relative form is relative to T.
OracleAnswer attend_relative(const Order2Instance& instance, Options options) {
  options.tolerance = {};
  if (options.arithmetic == Arithmetic::automatic) options.arithmetic = Arithmetic::float64;
  if (options.engine != Engine::automatic) return attend_once(instance, options);
  options.engine = Engine::exact;
  OracleAnswer answer = attend_once(instance, options);
  if (enough(answer, instance.needed)) return answer;
  options.engine = Engine::reference;
  return attend_once(instance, options);
}

/// One part of packed sequences as a call of its own.
Order2Instance part_of(const Order2Instance& instance, const Segments& segments, std::size_t part) {
  const auto slice = [](const std::vector<float>& all, std::int64_t first, std::int64_t last, std::int64_t columns) {
    return std::vector<float>(all.begin() + first * columns, all.begin() + last * columns);
  };
  const std::int64_t key = segments.key_offsets[part];
  const std::int64_t last_key = segments.key_offsets[part + 1];
  Order2Instance out;
  out.dim = instance.dim;
  out.queries = slice(instance.queries, segments.query_offsets[part], segments.query_offsets[part + 1], instance.dim);
  out.keys = slice(instance.keys, key, last_key, instance.dim);
  out.values = slice(instance.values, key, last_key, 1);
  out.scale = instance.scale;
  out.needed = instance.needed;
  return out;
}

template <class Answer>
OracleAnswer part_by_part(const Order2Instance& instance, const Segments& segments, const Answer& answer) {
  OracleAnswer out{{}, 0.0, 0.0};
  for (std::size_t part = 0; part + 1 < segments.key_offsets.size(); ++part) {
    const OracleAnswer one = answer(part_of(instance, segments, part));
    out.output.insert(out.output.end(), one.output.begin(), one.output.end());
    out.absolute = std::max(out.absolute, one.absolute);
    out.relative = std::max(out.relative, one.relative);
  }
  return out;
}

std::string number(double x) {
  std::ostringstream text;
  text << x;
  return text.str();
}

}  // namespace

std::int64_t Order2Instance::rows() const noexcept {
  return dim == 0 ? 0 : static_cast<std::int64_t>(queries.size()) / dim;
}

Order2Oracle engine_oracle(Options options) {
  return [options = std::move(options)](const Order2Instance& instance) {
    const auto answer = [&options](const Order2Instance& one) {
      Options call = options;
      call.score = Dot{one.scale};
      call.mask = {};
      call.mask.visibility.segments = one.segments;
      call.output_dtype = DType::float64;
      if (one.needed.relative > 0.0) return attend_relative(one, call);
      call.tolerance = {one.needed.absolute, ToleranceKind::absolute};
      return attend_once(one, call);
    };
    const bool knows_segments =
        options.engine == Engine::automatic || options.engine == Engine::exact || options.engine == Engine::reference;
    return instance.segments && !knows_segments ? part_by_part(instance, *instance.segments, answer) : answer(instance);
  };
}

std::vector<double> ask(const Order2Oracle& oracle, const Order2Instance& instance) {
  OracleAnswer answer = oracle(instance);
  if (answer.output.size() != static_cast<std::size_t>(instance.rows())) {
    throw Error(ErrorCode::invalid_argument, "oracle: expected " + std::to_string(instance.rows()) + " rows, got " +
                                                 std::to_string(answer.output.size()));
  }
  if (const auto bad = std::ranges::find_if(answer.output, [](double u) { return !std::isfinite(u); });
      bad != answer.output.end()) {
    throw Error(ErrorCode::non_finite, "oracle: row " + std::to_string(bad - answer.output.begin()) + " is " +
                                           number(*bad) + ", expected a finite average");
  }
  if (!enough(answer, instance.needed)) {
    std::string message = "oracle: the decision needs an error of at most " + number(instance.needed.absolute);
    if (instance.needed.relative > 0.0) message += ", or of " + number(instance.needed.relative) + " of the answer";
    message += "; vouched for are " + number(answer.absolute);
    if (instance.needed.relative > 0.0) message += " and " + number(answer.relative) + " of the answer";
    throw Error(ErrorCode::not_reachable, message);
  }
  return std::move(answer.output);
}

}  // namespace polyattn::lab
