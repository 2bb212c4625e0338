// Key sets of order 3 and above prepared once, for query sets that come later.

#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

QueryDomain unit_box(std::size_t dim, double half = 1.0) {
  QueryDomain domain;
  domain.low.assign(dim, -half);
  domain.high.assign(dim, half);
  return domain;
}
QueryDomain unit_ball(std::size_t dim, double radius) {
  QueryDomain domain;
  domain.centre.assign(dim, 0.0);
  domain.radius = radius;
  return domain;
}
QueryDomain representative(const TupleCall& tuples) {
  QueryDomain domain;
  domain.representative = tuples.q.view();
  return domain;
}

PrepareOptions options_of(const TupleCall& tuples, const Options& base, bool borrow = false) {
  PrepareOptions options;
  options.options = tuples.options(base);
  options.options.want_row_bounds = options.options.want_lse = true;
  options.query_heads = tuples.q.shape[1];
  options.borrow = borrow;
  return options;
}

Prepared prepared_for(const TupleCall& tuples, const QueryDomain& domain, const Options& base) {
  return prepare(tuples.keys(), tuples.values(), domain, options_of(tuples, base));
}

/// Every answer within what it claims.
void expect_within(const TupleCall& tuples, const Result& result) {
  const TupleVerdict verdict = judge(truth_of(tuples), result);
  EXPECT_LE(verdict.worst, 1.0);
  EXPECT_LE(verdict.worst_lse, 1.0);
}

std::int64_t rows_by_polynomials(const Result& result) {
  std::int64_t rows = 0;
  for (const HeadReport& head : result.report.heads) {
    rows += head.rows_polynomial;
  }
  return rows;
}

/// Rows `first` to `last` of every head of a tensor.
Stored part_of(const Stored& tensor, std::int64_t first, std::int64_t last) {
  Shape shape = tensor.shape;
  shape[2] = last - first;
  std::vector<double> values;
  for (std::int64_t head = 0; head < tensor.shape[0] * tensor.shape[1]; ++head) {
    const auto begin = tensor.values.begin() + (head * tensor.shape[2] + first) * tensor.shape[3];
    values.insert(values.end(), begin, begin + shape[2] * shape[3]);
  }
  return store(tensor.dtype, shape, values);
}

class PreparedTuples : public testing::TestWithParam<Choice> {
 protected:
  static Options options(int degree = 8) { return forced(GetParam(), degree); }
};

TEST_P(PreparedTuples, AnswersAreThoseOfTheDefinition) {
  std::uint64_t seed = 500;
  for (const TupleShape& shape :
       {TupleShape{.n = {31, 17}, .n_q = 9}, TupleShape{.n = {9, 4, 7}, .n_q = 5, .dim = 2, .heads = 2},
        TupleShape{.n = {12, 10}, .n_q = 6, .batch = 2, .heads = 6, .key_heads = {3, 2}}}) {
    TupleCall tuples = random_tuples(shape, 1.0, DType::float32, seed++);
    const auto dim = static_cast<std::size_t>(shape.dim);
    for (const bool biased : {false, true}) {
      if (biased) {
        add_biases(tuples, -1.0, 1.0, seed++);
      }
      for (const QueryDomain& domain : {unit_box(dim), unit_ball(dim, 2.0), representative(tuples)}) {
        const Prepared prepared = prepared_for(tuples, domain, options());
        EXPECT_EQ(prepared.keys(0), shape.n[0]);
        EXPECT_EQ(prepared.keys(1), shape.n[1]);
        EXPECT_EQ(prepared.keys(9), 0);
        const Result result = prepared.query(tuples.q.view());
        expect_within(tuples, result);
        if (GetParam().engine == Engine::polynomial) {
          EXPECT_EQ(rows_by_polynomials(result), shape.batch * shape.heads * shape.n_q);
        }
      }
    }
  }
}

TEST_P(PreparedTuples, QueriesDoNotInfluenceEachOther) {
  const TupleCall tuples = random_tuples({.n = {30, 20}, .n_q = 11}, 1.0, DType::float64, 511);
  const Prepared prepared = prepared_for(tuples, unit_box(3), options());
  const std::vector<double> whole = values_of(prepared.query(tuples.q.view()).output);
  const Stored tail = part_of(tuples.q, 4, 11);
  const std::vector<double> part = values_of(prepared.query(tail.view()).output);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.end() - static_cast<std::ptrdiff_t>(part.size())));
}

TEST_P(PreparedTuples, KeysMayGoAwayUnlessBorrowed) {
  const TupleCall tuples = random_tuples({.n = {30, 20}, .n_q = 5}, 1.0, DType::float64, 512);
  auto source = std::make_unique<TupleCall>(tuples);
  const Prepared prepared = prepared_for(*source, unit_box(3), options());
  source.reset();
  const Prepared borrowed = prepare(tuples.keys(), tuples.values(), unit_box(3), options_of(tuples, options(), true));
  EXPECT_EQ(bits_of(prepared.query(tuples.q.view()).output), bits_of(borrowed.query(tuples.q.view()).output));
}

TEST_P(PreparedTuples, SetsGrowTogetherOrAlone) {
  TupleCall tuples = random_tuples({.n = {40, 21}, .n_q = 6, .heads = 2}, 1.0, DType::float64, 513);
  add_biases(tuples, -1.0, 1.0, 514);
  const auto slice = [&](std::int64_t first_0, std::int64_t last_0, std::int64_t first_1, std::int64_t last_1) {
    TupleCall part = tuples;
    for (std::vector<Stored>* list : {&part.k, &part.v, &part.bias}) {
      (*list)[0] = part_of((*list)[0], first_0, last_0);
      (*list)[1] = part_of((*list)[1], first_1, last_1);
    }
    return part;
  };
  const auto biases_of = [](const TupleCall& call) {
    return std::vector<ConstView>{call.bias[0].view(), call.bias[1].view()};
  };
  const TupleCall first = slice(0, 10, 0, 21);
  Prepared prepared = prepared_for(first, unit_box(3), options());
  for (const TupleCall& added : {slice(10, 25, 21, 21), slice(25, 40, 21, 21), slice(40, 40, 21, 21)}) {
    prepared = prepared.append(added.keys(), added.values(), biases_of(added));
  }
  EXPECT_EQ(prepared.keys(0), 40);
  EXPECT_EQ(prepared.keys(1), 21);
  expect_within(tuples, prepared.query(tuples.q.view()));
  const TupleCall both = slice(10, 40, 11, 21);
  const Prepared grown =
      prepared_for(slice(0, 10, 0, 11), unit_box(3), options()).append(both.keys(), both.values(), biases_of(both));
  expect_within(tuples, grown.query(tuples.q.view()));
}

INSTANTIATE_TEST_SUITE_P(Engines, PreparedTuples, testing::ValuesIn(choices()),
                         [](const auto& of) { return of.param.name(); });

TEST(PreparedTupleDomains, RowsOutsideGoToExactOrWidenIt) {
  TupleCall tuples = random_tuples({.n = {60, 50}, .n_q = 8}, 1.0, DType::float64, 521);
  for (std::size_t i = 0; i < 3; ++i) {
    tuples.q.values[i] *= 6.0;  // the first row leaves the box
  }
  tuples.q.values[0] = 5.0;
  tuples.q = store(tuples.q.dtype, tuples.q.shape, tuples.q.values);
  Options base = forced({Engine::polynomial, Arithmetic::float64}, 12);
  base.strict = false;
  const Result outside = prepared_for(tuples, unit_box(3), base).query(tuples.q.view());
  expect_within(tuples, outside);
  EXPECT_EQ(rows_by_polynomials(outside), 7);
  PrepareOptions again = options_of(tuples, base);
  again.outside = OutsideDomain::reprepare;
  const Result wider = prepare(tuples.keys(), tuples.values(), unit_box(3), again).query(tuples.q.view());
  expect_within(tuples, wider);
  EXPECT_EQ(rows_by_polynomials(wider), 8);
}

/// The farthest points of a declared domain are planned with, so its corners are served.
TEST(PreparedTupleDomains, CornersAreServed) {
  TupleCall tuples = random_tuples({.n = {60, 50}, .n_q = 2, .dim = 2}, 1.0, DType::float64, 522);
  tuples.q = store(DType::float64, {1, 1, 2, 2}, {1.0, -1.0, -1.0, -1.0});
  const Options base = forced({Engine::polynomial, Arithmetic::float64}, 12);
  for (const QueryDomain& domain : {unit_box(2), unit_ball(2, 1.4142135623730952)}) {
    const Result result = prepared_for(tuples, domain, base).query(tuples.q.view());
    expect_within(tuples, result);
    EXPECT_EQ(rows_by_polynomials(result), 2);
  }
}

TEST(PreparedTupleDomains, LongSetsAreAnsweredByPolynomialsUnasked) {
  const TupleCall tuples = random_tuples({.n = {700, 500}, .n_q = 4, .dim = 4}, 0.5, DType::float64, 523);
  Options base;
  base.tolerance = {1e-3, ToleranceKind::of_value_range};
  const Prepared prepared = prepared_for(tuples, unit_box(4), base);
  EXPECT_EQ(prepared.report().heads.at(0).engine, Engine::polynomial);
  const Result result = prepared.query(tuples.q.view());
  expect_within(tuples, result);
  EXPECT_EQ(rows_by_polynomials(result), 4);
}

TEST(PreparedTupleDomains, RowsThatSeeSomeKeysAreExacts) {
  TupleCall tuples = random_tuples({.n = {9, 9}, .n_q = 9}, 1.0, DType::float64, 524);
  tuples.causal = Causal::lower_right;
  const Prepared prepared = prepared_for(tuples, unit_box(3), {});
  expect_within(tuples, prepared.query(tuples.q.view()));
  EXPECT_EQ(prepared.report().heads.at(0).engine, Engine::exact);
}

TEST(PreparedTupleDomains, WhatDoesNotFitIsRefused) {
  TupleCall tuples = random_tuples({.n = {9, 7}, .n_q = 3}, 1.0, DType::float64, 525);
  const std::vector<ConstView> keys = tuples.keys();
  const std::vector<ConstView> values = tuples.values();
  const std::vector<ConstView> one{keys[0]};
  const PrepareOptions options = options_of(tuples, {});
  const auto refused = [&](std::initializer_list<std::string> words, auto&& call) {
    return fails_with(ErrorCode::invalid_argument, words, call);
  };
  EXPECT_TRUE(refused({"keys and values"}, [&] { prepare(keys, one, unit_box(3), options); }));
  EXPECT_TRUE(refused({"keys and values"}, [&] { prepare({}, {}, unit_box(3), options); }));
  EXPECT_TRUE(refused({"scale"}, [&] { prepare(keys, values, unit_box(3), {}); }));
  EXPECT_TRUE(refused({"domain.low", "3"}, [&] { prepare(keys, values, unit_box(2), options); }));
  const Prepared prepared = prepare(keys, values, unit_box(3), options);
  EXPECT_TRUE(refused({"keys and values", "2 views"}, [&] { static_cast<void>(prepared.append(one, one)); }));
  EXPECT_TRUE(refused({"key_bias"}, [&] { static_cast<void>(prepared.append(keys, values, keys)); }));
  const TupleCall wide = random_tuples({.n = {9, 7}, .n_q = 3, .dim = 4}, 1.0, DType::float64, 526);
  EXPECT_TRUE(refused({"dim"}, [&] { static_cast<void>(prepared.append(wide.keys(), wide.values())); }));
  EXPECT_TRUE(refused({"dim"}, [&] { static_cast<void>(prepared.query(wide.q.view())); }));
}

}  // namespace
}  // namespace polyattn::test
