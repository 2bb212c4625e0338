// Shapes that do not fit are refused with a message that names the two and how they differ.

#include "polyattn/attention.hpp"
#include "support/expect_error.hpp"
#include "support/problem.hpp"

#include <array>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr std::int64_t kHuge = std::int64_t{1} << 40;

struct Views {
  ConstView q;
  ConstView k;
  ConstView v;
};

class Shapes : public testing::Test {
 protected:
  /// Room for every shape below.
  std::vector<double> memory_ = std::vector<double>(1 << 18, 0.25);

  [[nodiscard]] ConstView view(const Shape& shape) const { return tensor(memory_.data(), shape); }
  [[nodiscard]] Views fitting() const { return {view({2, 6, 11, 4}), view({2, 3, 13, 4}), view({2, 3, 13, 5})}; }
  static Result run(const Views& views, const Options& options = {}) {
    const std::array keys{views.k};
    const std::array values{views.v};
    return attend(views.q, keys, values, options);
  }
  testing::AssertionResult refused(const Views& views, std::initializer_list<std::string> parts,
                                   const Options& options = {}) {
    return fails_with(ErrorCode::invalid_argument, parts, [&] { run(views, options); });
  }
};

TEST_F(Shapes, FittingShapesPass) {
  const Result result = run(fitting());
  EXPECT_EQ(result.output.shape(), (Shape{2, 6, 11, 5}));
  EXPECT_EQ(result.report.heads.size(), 12U);
}

TEST_F(Shapes, DimensionOfQueriesAndKeys) {
  Views views = fitting();
  views.k = view({2, 3, 13, 9});
  EXPECT_TRUE(refused(views, {"q and keys", "dim", "4", "9"}));
}

TEST_F(Shapes, LengthOfKeysAndValues) {
  Views views = fitting();
  views.v = view({2, 3, 17, 5});
  EXPECT_TRUE(refused(views, {"keys and values", "length", "13", "17"}));
}

TEST_F(Shapes, HeadsOfKeysAndValues) {
  Views views = fitting();
  views.v = view({2, 6, 13, 5});
  EXPECT_TRUE(refused(views, {"keys and values", "head", "3", "6"}));
}

TEST_F(Shapes, QueryHeadsNotAMultipleOfKeyHeads) {
  Views views = fitting();
  views.k = view({2, 4, 13, 4});
  views.v = view({2, 4, 13, 5});
  EXPECT_TRUE(refused(views, {"q", "k", "head", "multiple", "6", "4"}));
}

TEST_F(Shapes, MoreKeyHeadsThanQueryHeads) {
  Views views = fitting();
  views.k = view({2, 12, 13, 4});
  views.v = view({2, 12, 13, 5});
  EXPECT_TRUE(refused(views, {"q", "k", "head", "6", "12"}));
}

TEST_F(Shapes, BatchOfKeysAndOfValues) {
  Views views = fitting();
  views.k = view({7, 3, 13, 4});
  EXPECT_TRUE(refused(views, {"q and keys", "batch", "2", "7"}));
  views = fitting();
  views.v = view({7, 3, 13, 5});
  EXPECT_TRUE(refused(views, {"keys and values", "batch", "2", "7"}));
}

TEST_F(Shapes, BatchOfOneIsNotBroadcast) {
  Views views = fitting();
  views.k = view({1, 3, 13, 4});
  views.v = view({1, 3, 13, 5});
  EXPECT_TRUE(refused(views, {"batch", "2", "1"}));
}

TEST_F(Shapes, KeyBias) {
  Options options;
  options.mask.key_bias = {bias(memory_.data(), 19)};
  EXPECT_TRUE(refused(fitting(), {"bias", "13", "19"}, options));
  options.mask.key_bias = {bias(memory_.data(), 3, 13)};  // one per key head; query heads are meant
  EXPECT_TRUE(refused(fitting(), {"bias", "head", "6", "3"}, options));
  options.mask.key_bias = {bias(memory_.data(), 5, 6, 13)};
  EXPECT_TRUE(refused(fitting(), {"bias", "batch", "2", "5"}, options));
  options.mask.key_bias = {bias(memory_.data(), 13), bias(memory_.data(), 13)};
  EXPECT_TRUE(refused(fitting(), {"bias", "1", "2"}, options));
  for (const ConstView& legal :
       {bias(memory_.data(), 13), bias(memory_.data(), 6, 13), bias(memory_.data(), 2, 6, 13)}) {
    options.mask.key_bias = {legal};
    EXPECT_NO_THROW(run(fitting(), options));
  }
}

TEST_F(Shapes, NegativeSizes) {
  Views views = fitting();
  views.q.shape[2] = -11;
  EXPECT_TRUE(refused(views, {"q:", "-11"}));
  views = fitting();
  views.k.shape[2] = -13;
  views.v.shape[2] = -13;
  EXPECT_TRUE(refused(views, {"keys:", "-13"}));
}

TEST_F(Shapes, NoData) {
  Views views = fitting();
  views.q.data = nullptr;
  EXPECT_TRUE(refused(views, {"q:", "null"}));
  views = fitting();
  views.k.data = nullptr;
  EXPECT_TRUE(refused(views, {"keys:", "null"}));
  views = fitting();
  views.v.data = nullptr;
  EXPECT_TRUE(refused(views, {"values:", "null"}));
  Options options;
  options.mask.key_bias = {bias(static_cast<const double*>(nullptr), 13)};
  EXPECT_TRUE(refused(fitting(), {"bias", "null"}, options));
}

TEST_F(Shapes, ProductsThatOverflow) {
  // Strides of zero are legal, so these views are of one number: only the arithmetic on sizes can go wrong.
  const Shape none{};
  const auto wide = [&](const Shape& shape) { return ConstView{memory_.data(), DType::float64, shape, none}; };
  EXPECT_TRUE(
      refused({wide({kHuge, kHuge, 1, 1}), wide({kHuge, kHuge, 1, 1}), wide({kHuge, kHuge, 1, 1})}, {"q:", "63 bits"}));
  EXPECT_TRUE(refused({wide({1, 1, kHuge, 1}), wide({1, 1, 1, 1}), wide({1, 1, 1, kHuge})}, {"output", "63 bits"}));
  EXPECT_TRUE(
      refused({wide({1, 1, 1, kHuge}), wide({1, 1, kHuge, kHuge}), wide({1, 1, kHuge, 1})}, {"keys:", "63 bits"}));
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_TRUE(refused({wide({1, 1, kMost, 2}), wide({1, 1, 1, 2}), wide({1, 1, 1, 2})}, {"q:", "63 bits"}));
}

TEST_F(Shapes, StridesThatOverflow) {
  Views views = fitting();
  views.k.strides[2] = std::numeric_limits<std::int64_t>::max() / 4;
  EXPECT_TRUE(refused(views, {"keys:", "stride"}));
  views.k.strides[2] = std::numeric_limits<std::int64_t>::min() / 4;
  EXPECT_TRUE(refused(views, {"keys:", "stride"}));
}

TEST_F(Shapes, ListsOfKeysAndValues) {
  const Views views = fitting();
  const std::array one{views.k};
  const std::array one_value{views.v};
  const std::array two{views.k, views.k};
  const std::array two_values{views.v, views.v};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"key"}, [&] { attend(views.q, {}, {}); }));
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"key", "value", "1", "2"}, [&] { attend(views.q, one, two_values); }));
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"key", "value", "2", "1"}, [&] { attend(views.q, two, one_value); }));
}

TEST_F(Shapes, OutputShapeAndDtype) {
  const Views views = fitting();
  const std::array values{views.v};
  EXPECT_EQ(output_shape(views.q, values), (Shape{2, 6, 11, 5}));
  Options options;
  EXPECT_EQ(output_dtype(views.q, options), DType::float64);
  for (const DType narrow : {DType::float16, DType::bfloat16}) {
    ConstView q = views.q;
    q.dtype = narrow;
    EXPECT_EQ(output_dtype(q, options), DType::float32);
  }
  options.output_dtype = DType::bfloat16;
  EXPECT_EQ(output_dtype(views.q, options), DType::bfloat16);
}

TEST_F(Shapes, TheSameChecksGuardPlanAndPrepare) {
  const Views views = fitting();
  const std::array keys{view({2, 3, 13, 9})};
  const std::array values{views.v};
  const std::array long_values{view({2, 3, 17, 5})};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"q and keys", "4", "9"}, [&] { plan(views.q, keys, values); }));
  QueryDomain domain;
  domain.centre = std::vector<double>(9, 0.0);
  domain.radius = 1.0;
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"keys and values", "13", "17"},
                         [&] { prepare(keys, long_values, domain); }));
  const Prepared prepared = prepare(keys, values, domain);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"dim", "4", "9"}, [&] {
    static_cast<void>(prepared.query(view({2, 3, 11, 4})));
  }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"head", "3", "6"}, [&] {
    static_cast<void>(prepared.query(view({2, 6, 11, 9})));
  }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"q", "3", "2"}, [&] {
    static_cast<void>(prepared.query(view({3, 2, 11, 9})));
  }));
}

}  // namespace
}  // namespace polyattn::test
