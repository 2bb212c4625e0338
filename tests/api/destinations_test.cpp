// attend_into: results in memory the caller owns.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class Into : public testing::TestWithParam<Choice> {
 protected:
  Problem problem_ = random_problem({.batch = 2, .heads = 3, .n_q = 11, .n_kv = 20, .dim = 3, .value_dim = 4}, 1.0,
                                    DType::float64, 91);
  std::array<ConstView, 1> keys_{problem_.k.view()};
  std::array<ConstView, 1> values_{problem_.v.view()};

  Report run(const Destinations& out, const Options& base = forced(GetParam())) {
    return attend_into(out, problem_.q.view(), keys_, values_, problem_.options(base));
  }
};

TEST_P(Into, EverythingAttendReturns) {
  Options options = with_certificates(forced(GetParam()));
  options.want_row_engine = true;
  options.want_row_max = GetParam().engine != Engine::polynomial;
  const Result result = attend(problem_, options);
  Tensor output(DType::float64, {2, 3, 11, 4});
  const Shape per_row{2, 3, 11, 1};
  Tensor lse(DType::float64, per_row);
  Tensor lse_bound(DType::float64, per_row);
  Tensor row_max(DType::float64, per_row);
  Tensor row_bounds(DType::float64, per_row);
  std::vector<Engine> engines(66, Engine::automatic);
  Destinations out{output.view(), lse.view(), lse_bound.view(), std::nullopt, row_bounds.view(), engines};
  if (options.want_row_max) {
    out.row_max = row_max.view();
    EXPECT_EQ(result.row_max.value().shape(), per_row);
  }
  run(out, options);
  EXPECT_EQ(bits_of(output), bits_of(result.output));
  EXPECT_EQ(bits_of(lse), bits_of(result.lse.value()));
  EXPECT_EQ(bits_of(lse_bound), bits_of(result.lse_bound.value()));
  EXPECT_EQ(bits_of(row_bounds), bits_of(result.row_bounds.value()));
  EXPECT_EQ(engines, result.row_engine);
  if (options.want_row_max) {
    EXPECT_EQ(bits_of(row_max), bits_of(result.row_max.value()));
  }
}

TEST_P(Into, StridedDestinations) {
  // [batch, sequence, heads, dim] with gaps, backwards in the sequence; what lies between stays untouched.
  const Shape shape{2, 3, 11, 4};
  const std::vector<double> expected = values_of(attend(problem_, forced(GetParam())).output);
  for (const DType dtype : {DType::float64, DType::float32}) {
    const std::int64_t row = 3 * 10;
    std::vector<double> memory(2 * 11 * 30, kNan);
    Shape strides{11 * row, 10, -row, 2};
    const std::size_t element = size_of(dtype) / 4;  // in units of float
    View view{reinterpret_cast<float*>(memory.data()) + static_cast<std::size_t>(10 * row) * element, dtype, shape,
              strides};
    Options options = forced(GetParam());
    options.output_dtype = dtype;
    Destinations out;
    out.output = view;
    run(out, options);
    const std::vector<double> written = values_of(static_cast<ConstView>(view));
    for (std::size_t e = 0; e < expected.size(); ++e) {
      EXPECT_EQ(written[e], round_to(dtype, expected[e]));
    }
    if (dtype == DType::float64) {
      EXPECT_EQ(std::count_if(memory.begin(), memory.end(), [](double x) { return std::isnan(x); }),
                static_cast<std::ptrdiff_t>(memory.size() - expected.size()));
    }
  }
}

TEST_P(Into, OverlapWithAnInputIsRefused) {
  Tensor output(DType::float64, {2, 3, 11, 4});
  const Shape shape{2, 3, 11, 4};
  for (Stored* input : {&problem_.q, &problem_.k, &problem_.v}) {
    const ConstView view = input->view();
    // The last byte of the output on the first of the input would do; here they share the first element.
    std::vector<double> joined(264 + 480, 0.5);
    ConstView inside = view;
    inside.data = joined.data() + 263;
    const ConstView q = input == &problem_.q ? inside : problem_.q.view();
    const std::array keys{input == &problem_.k ? inside : problem_.k.view()};
    const std::array values{input == &problem_.v ? inside : problem_.v.view()};
    Destinations out;
    out.output = tensor(joined.data(), shape);
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"output", "overlap"},
                           [&] { attend_into(out, q, keys, values, problem_.options(forced(GetParam()))); }));
    inside.data = joined.data() + 264;  // next to each other is fine
    const ConstView q_beside = input == &problem_.q ? inside : problem_.q.view();
    const std::array keys_beside{input == &problem_.k ? inside : problem_.k.view()};
    const std::array values_beside{input == &problem_.v ? inside : problem_.v.view()};
    EXPECT_NO_THROW(attend_into(out, q_beside, keys_beside, values_beside, problem_.options(forced(GetParam()))));
  }
}

TEST_P(Into, OverlapWithTheBiasIsRefused) {
  std::vector<double> memory(264, 0.0);
  Destinations out;
  out.output = tensor(memory.data(), {2, 3, 11, 4});
  Options options = problem_.options(forced(GetParam()));
  options.mask.key_bias = {bias(memory.data() + 7, 20)};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"output", "overlap"},
                         [&] { attend_into(out, problem_.q.view(), keys_, values_, options); }));
}

TEST_P(Into, ShapesAndTypesOfDestinations) {
  Tensor output(DType::float64, {2, 3, 11, 4});
  Tensor wrong(DType::float64, {2, 3, 12, 4});
  Tensor narrow(DType::float32, {2, 3, 11, 1});
  Tensor per_row(DType::float64, {2, 3, 12, 1});
  Destinations out;
  out.output = wrong.view();
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"output", "11", "12"}, [&] { run(out); }));
  out.output = output.view();
  out.output.data = nullptr;
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"output", "null"}, [&] { run(out); }));
  out.output = output.view();
  out.lse = narrow.view();
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"lse", "float64"}, [&] { run(out); }));
  out.lse = per_row.view();
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"lse", "11", "12"}, [&] { run(out); }));
  out.lse = std::nullopt;
  std::vector<Engine> engines(65);
  out.row_engine = engines;
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"row_engine", "66", "65"}, [&] { run(out); }));
}

INSTANTIATE_TEST_SUITE_P(Engines, Into, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

}  // namespace
}  // namespace polyattn::test
