// Calls of order k as calls: destinations, strides, threads, progress, memory, empty inputs.

#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/forced_isa.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <vector>

namespace polyattn::test {
namespace {

class TupleRuns : public testing::TestWithParam<Choice> {
 protected:
  static Options options(int degree = 6) { return forced(GetParam(), degree); }
};

TupleCall big() {
  return random_tuples({.n = {90, 70}, .n_q = 40, .dim = 3, .value_dim = 3, .heads = 3}, 1.0, DType::float32, 1);
}

TEST_P(TupleRuns, SameBitsForAnyThreadsAndInstructionSet) {
  const TupleCall tuples = big();
  Options one = options();
  one.want_lse = one.want_row_bounds = true;
  one.threads = 1;
  const Result first = attend(tuples, one);
  const auto same = [&](const Result& other, const char* what) {
    EXPECT_EQ(bits_of(other.output), bits_of(first.output)) << what;
    EXPECT_EQ(bits_of(other.lse.value()), bits_of(first.lse.value())) << what;
    EXPECT_EQ(bits_of(other.row_bounds.value()), bits_of(first.row_bounds.value())) << what;
  };
  for (const int threads : {2, 3, 7}) {
    Options many = one;
    many.threads = threads;
    same(attend(tuples, many), "threads");
  }
  for (const char* isa : instruction_sets()) {
    const ForcedIsa forced_isa(isa);
    same(attend(tuples, one), isa);
  }
}

TEST_P(TupleRuns, SameBitsWhateverElseIsInTheBatch) {
  const TupleCall tuples = random_tuples({.n = {20, 11}, .n_q = 9, .batch = 2, .heads = 2}, 1.0, DType::float32, 2);
  const std::vector<std::byte> all = bits_of(attend(tuples, options()).output);
  const auto part = [](const Stored& from) {  // batch 1, head 1
    const std::int64_t n = from.shape[2] * from.shape[3];
    return store(from.dtype, {1, 1, from.shape[2], from.shape[3]}, {from.values.end() - n, from.values.end()});
  };
  TupleCall own = tuples;
  own.q = part(tuples.q);
  for (std::size_t s = 0; s < 2; ++s) {
    own.k[s] = part(tuples.k[s]);
    own.v[s] = part(tuples.v[s]);
  }
  const std::vector<std::byte> last = bits_of(attend(own, options()).output);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - static_cast<std::ptrdiff_t>(last.size())));
}

TEST_P(TupleRuns, ViewsOfAnyStrides) {
  const TupleCall tuples = random_tuples({.n = {8, 6}, .n_q = 5, .heads = 2}, 1.0, DType::float64, 3);
  // Every tensor laid out as [n][dim][heads], backwards in n.
  std::vector<std::vector<double>> storage;
  const auto turned = [&](const Stored& from) {
    const auto [batch, heads, n, columns] = from.shape;
    std::vector<double>& data = storage.emplace_back(static_cast<std::size_t>(heads * n * columns));
    View view{data.data() + (n - 1) * columns * heads, DType::float64, from.shape, {0, 1, -columns * heads, heads}};
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t c = 0; c < columns; ++c) {
          write_element(view, {0, h, i, c}, from.row(0, h, i)[c]);
        }
      }
    }
    return ConstView{view.data, view.dtype, view.shape, view.strides};
  };
  storage.reserve(5);
  const ConstView q = turned(tuples.q);
  const std::vector<ConstView> keys{turned(tuples.k[0]), turned(tuples.k[1])};
  const std::vector<ConstView> values{turned(tuples.v[0]), turned(tuples.v[1])};
  const Options o = tuples.options(options());
  EXPECT_EQ(bits_of(polyattn::attend(q, keys, values, o).output), bits_of(attend(tuples, options()).output));

  // And into destinations with gaps.
  Options all = o;
  all.want_lse = all.want_row_bounds = true;
  const Result owned = polyattn::attend(q, keys, values, all);
  std::vector<double> out(2 * 5 * 2 * 3, -1.0);
  std::vector<double> lse(2 * 5 * 2, -1.0);
  Destinations to;
  to.output = View{out.data(), DType::float64, {1, 2, 5, 2}, {60, 30, 6, 3}};
  to.lse = View{lse.data(), DType::float64, {1, 2, 5, 1}, {20, 10, 2, 1}};
  const Report report = attend_into(to, q, keys, values, o);
  EXPECT_EQ(report.heads.size(), 2U);
  EXPECT_EQ(values_of(ConstView{out.data(), DType::float64, {1, 2, 5, 2}, {60, 30, 6, 3}}), values_of(owned.output));
  EXPECT_EQ(values_of(ConstView{lse.data(), DType::float64, {1, 2, 5, 1}, {20, 10, 2, 1}}),
            values_of(owned.lse.value()));
  EXPECT_EQ(out[1], -1.0) << "a gap was written to";
  Destinations over;
  over.output = View{storage[2].data(), DType::float64, {1, 2, 5, 2}, {20, 10, 2, 1}};
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"output", "overlap"}, [&] { attend_into(over, q, keys, values, o); }));
}

TEST_P(TupleRuns, ProgressIsReportedAndMayCancel) {
  const TupleCall tuples = big();
  std::mutex guard;
  std::vector<double> seen;
  Options watched = options(3);
  watched.progress = [&](double done) {
    const std::lock_guard lock(guard);
    seen.push_back(done);
    return true;
  };
  const std::vector<std::byte> bits = bits_of(attend(tuples, watched).output);
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_LE(seen.back(), 1.0);
  EXPECT_EQ(bits_of(attend(tuples, options(3)).output), bits) << "watching changed the answer";
  for (const int after : {0, 1}) {
    int calls = 0;
    watched.progress = [&](double) {
      const std::lock_guard lock(guard);
      return calls++ < after;
    };
    EXPECT_TRUE(fails_with(ErrorCode::cancelled, {}, [&] { attend(tuples, watched); }));
    EXPECT_GT(calls, after);
  }
}

TEST_P(TupleRuns, MemoryLimitRefusesAhead) {
  Options limited = options(6);
  limited.max_memory = 64;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory", "64"}, [&] { attend(big(), limited); }));
  const Result free = attend(big(), options(6));
  EXPECT_GT(free.report.peak_bytes, 0U);
  limited.max_memory = 4 * free.report.peak_bytes + (1U << 25U);  // predictions are generous
  const Result again = attend(big(), limited);
  EXPECT_LE(again.report.peak_bytes, limited.max_memory);
  EXPECT_EQ(bits_of(again.output), bits_of(free.output));
}

TEST_P(TupleRuns, EmptyInputs) {
  Options all = options(4);
  all.want_lse = all.want_row_bounds = true;
  EXPECT_EQ(attend(random_tuples({.n = {5, 4}, .n_q = 0}, 1.0, DType::float32, 4), all).output.elements(), 0);
  EXPECT_EQ(attend(random_tuples({.n = {5, 4}, .batch = 0}, 1.0, DType::float32, 4), all).output.elements(), 0);
  EXPECT_EQ(attend(random_tuples({.n = {5, 4}, .heads = 0}, 1.0, DType::float32, 4), all).output.elements(), 0);
  EXPECT_TRUE(within_bounds(random_tuples({.n = {5, 4}, .value_dim = 0}, 1.0, DType::float32, 4), all));
  for (const std::vector<std::int64_t>& n : {std::vector<std::int64_t>{0, 4}, {5, 0}, {0, 0}, {3, 0, 2}}) {
    const Result result = attend(random_tuples({.n = n}, 1.0, DType::float32, 4), all);
    for (const double x : values_of(result.output)) {
      EXPECT_EQ(x, 0.0);
    }
    for (const double x : values_of(result.lse.value())) {
      EXPECT_EQ(x, -kInfinity);
    }
    for (const double x : values_of(result.row_bounds.value())) {
      EXPECT_EQ(x, 0.0);
    }
    EXPECT_EQ(result.report.heads.front().mean_answer_error, 0.0);
  }
}

TEST_P(TupleRuns, ASetThatIsHiddenAltogether) {
  TupleCall tuples = random_tuples({.n = {5, 4}}, 1.0, DType::float32, 5);
  tuples.bias = {store(DType::float64, {1, 1, 5, 1}, std::vector<double>(5, 0.5)),
                 store(DType::float64, {1, 1, 4, 1}, std::vector<double>(4, -kInfinity))};
  EXPECT_TRUE(within_bounds(tuples, options(4)));
}

INSTANTIATE_TEST_SUITE_P(Engines, TupleRuns, testing::ValuesIn(choices()),
                         [](const auto& of) { return of.param.name(); });

}  // namespace
}  // namespace polyattn::test
