// Inputs made to break the bounds of exact attention of order k, all judged by brute force; NaN and infinity.

#include "engines/tuple_heads.hpp"
#include "polyattn/error.hpp"

#include <functional>

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactTuplesHostile : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactTuplesHostile, Arithmetics);

template <class T>
void run(const TupleHead& head, Clearance& clearance, const std::string& what) {
  judge_tuples(head, exact_tuples_of<T>(head), clearance, what);
  if (testing::Test::HasFatalFailure()) {
    return;
  }
  TupleHead masked = head;
  for (TupleSetData& set : masked.sets) {
    set.mask = {true, set.n - head.n_q};
  }
  masked.sets.front().mask.window = 2;
  judge_tuples(masked, exact_tuples_of<T>(masked), clearance, what + ", masked");
}

TYPED_TEST(ExactTuplesHostile, Ties) {
  Clearance clearance;
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{2, 2}, {50, 129}, {3, 4, 50}}) {
    TupleHead head = random_tuples(1, 4, sizes, 4, 3);
    for (TupleSetData& set : head.sets) {
      for (std::size_t j = 0; j < set.k.size(); ++j) {
        set.k[j] = set.k[j % 4];
      }
    }
    run<TypeParam>(head, clearance, "equal keys");
    for (std::size_t j = 0; j < head.sets[0].k.size() / 4; ++j) {  // two sorts of keys that tie at the top
      head.sets[0].k[4 * j] = j % 2 == 0 ? 5.0 : -5.0;
      head.q[0] = 0.0;
    }
    run<TypeParam>(head, clearance, "two sorts");
  }
  clearance.print("ties");
}

TYPED_TEST(ExactTuplesHostile, LargeScores) {
  Clearance clearance;
  std::uint64_t seed = 10;
  for (const double spread : {3.0, 10.0, 100.0, 300.0, 1e3, 1e6, 1e15}) {
    for (const std::int64_t d : {1, 4, 40}) {
      run<TypeParam>(random_tuples(seed++, 3, {20, 30}, d, 3, spread), clearance,
                     "scores of " + std::to_string(spread));
      run<TypeParam>(random_tuples(seed++, 3, {4, 5, 7}, d, 3, spread), clearance,
                     "scores of " + std::to_string(spread));
    }
  }
  clearance.print("large scores");
}

TYPED_TEST(ExactTuplesHostile, LargeBiases) {
  Clearance clearance;
  std::uint64_t seed = 40;
  for (const double size : {1.0, 300.0, 1e4, 1e9, 1e18, 1e30}) {
    for (const int which : {1, 2, 3}) {  // the first set, the second, both
      TupleHead head = random_tuples(seed++, 3, {20, 30}, 3, 3);
      std::mt19937_64 random(seed++);
      for (std::size_t s = 0; s < 2; ++s) {
        if ((which >> s) % 2 == 1) {
          head.sets[s].bias = normal(random, head.sets[s].n, size);
        }
      }
      run<TypeParam>(head, clearance, "biases of " + std::to_string(size));
      for (TupleSetData& set : head.sets) {  // masks by a large number, beside small ones
        for (double& b : set.bias) {
          b = b > 0 ? b / size : -size;
        }
      }
      run<TypeParam>(head, clearance, "hidden by " + std::to_string(size));
      // Of opposite signs, so that they cancel.
      for (std::size_t s = 0; s < 2; ++s) {
        head.sets[s].bias = normal(random, head.sets[s].n, 1.0, s == 0 ? size : -size);
      }
      run<TypeParam>(head, clearance, "cancelling " + std::to_string(size));
    }
  }
  clearance.print("large biases");
}

TYPED_TEST(ExactTuplesHostile, OneDominantTuple) {
  Clearance clearance;
  for (const std::size_t at : {0U, 47U, 48U, 59U}) {
    for (const double lead : {5.0, 30.0, 86.0, 88.0, 120.0, 700.0, 750.0, 1e5}) {
      TupleHead head = random_tuples(20, 3, {60, 70}, 3, 3);
      for (TupleSetData& set : head.sets) {
        set.bias.assign(static_cast<std::size_t>(set.n), 0.0);
        set.bias[at] = 0.5 * lead;
        set.v[3 * at] = 0.0;
      }
      run<TypeParam>(head, clearance, "lead " + std::to_string(lead));
    }
  }
  clearance.print("one dominant tuple");
}

// The maximum grows from row to row, so that every one rescales what came before; and falls.
TYPED_TEST(ExactTuplesHostile, GrowingMaximum) {
  Clearance clearance;
  for (const double step : {-700.0, -30.0, -0.1, 1e-3, 0.1, 1.0, 30.0, 700.0}) {
    TupleHead head = random_tuples(30, 2, {100, 20}, 2, 5);
    head.sets[0].bias.resize(100);
    head.sets[1].bias.resize(20);
    for (TupleSetData& set : head.sets) {
      for (std::size_t j = 0; j < set.bias.size(); ++j) {
        set.bias[j] = step * static_cast<double>(j);
      }
    }
    run<TypeParam>(head, clearance, "step " + std::to_string(step));
  }
  clearance.print("growing maximum");
}

TYPED_TEST(ExactTuplesHostile, ExtremeValues) {
  Clearance clearance;
  std::uint64_t seed = 60;
  for (const double first : {1e-45, 1e-38, 1e-30, 1.0, 1e30, 3e38, 1e200}) {
    for (const double second : {1e-300, 1e-38, 1.0, 1e30, 1e100}) {
      if (sizeof(TypeParam) == 4 && second > 1e38) {
        continue;
      }
      TupleHead head = random_tuples(seed++, 2, {7, 20}, 2, 3, 2.0);
      const bool outer_only = first > 1e38;  // the first set is outer: float64
      for (double& v : head.sets[0].v) {
        v *= sizeof(TypeParam) == 4 && outer_only ? 1e30 : first;
      }
      for (double& v : head.sets[1].v) {
        v *= second;
      }
      run<TypeParam>(head, clearance, "values of " + std::to_string(first) + " and " + std::to_string(second));
      // Columns of very different sizes, crosswise.
      for (std::size_t j = 0; j < head.sets[0].v.size(); j += 3) {
        head.sets[0].v[j] = 1e-30;
      }
      for (std::size_t j = 1; j < head.sets[1].v.size(); j += 3) {
        head.sets[1].v[j] = 0.0;
      }
      run<TypeParam>(head, clearance, "columns");
    }
  }
  clearance.print("extreme values");
}

TYPED_TEST(ExactTuplesHostile, ExtremeCoordinates) {
  Clearance clearance;
  std::uint64_t seed = 80;
  for (const double size : {1e-300, 1e-100, 1e-30, 1e-20, 1e20, 1e30, 1e100}) {
    TupleHead head = random_tuples(seed++, 3, {9, 20}, 3, 2);
    for (double& k : head.sets[0].k) {
      k *= size;
    }
    const double inner = std::max(1e-37, std::min(1e37, 1.0 / size));
    for (double& k : head.sets[1].k) {
      k *= inner;
    }
    head.scale /= size * inner;
    run<TypeParam>(head, clearance, "coordinates of " + std::to_string(size));
    head.scale = 1e3;
    for (double& q : head.q) {
      q *= 1e-3 / (size * inner);
    }
    run<TypeParam>(head, clearance, "queries against " + std::to_string(size));
  }
  clearance.print("extreme coordinates");
}

// Products over the first sets underflow, a later one brings them back: bounds must not be lost on the way.
TYPED_TEST(ExactTuplesHostile, SizesThatMakeUpForEachOther) {
  Clearance clearance;
  const double sizes[][5] = {
      {1e170, 1e-170, 1e-170, 1e170, 1.0}, {1e-170, 1e-170, 1e170, 1e170, 1.0}, {1e170, 1e-170, 1e170, 1e-170, 1.0}};
  std::uint64_t seed = 500;
  for (const auto& size : sizes) {
    TupleHead head = random_tuples(seed++, 3, {2, 3, 2, 20}, 3, 2);
    head.scale = 20.0;
    for (double& q : head.q) {
      q *= size[0];
    }
    for (std::size_t s = 0; s < 4; ++s) {
      for (double& k : head.sets[s].k) {
        k *= size[s + 1];
      }
    }
    run<TypeParam>(head, clearance, "sizes from " + std::to_string(std::log10(size[1])));
    const PreparedTuples prepared(head);
    const ExactBound known = bound_of<TypeParam>(exact_tuple_bounds(prepared.problem, DType::float64));
    const Answer answer = exact_tuples_of<TypeParam>(head);
    for (const double rounding : answer.rounding) {
      EXPECT_LE(rounding, known.rounding);
    }
  }
  clearance.print("sizes that make up for each other");
}

TYPED_TEST(ExactTuplesHostile, TinyShapes) {
  Clearance clearance;
  std::uint64_t seed = 900;
  for (const std::int64_t d : {1, 2, 31, 32, 33, 64, 70}) {
    for (const std::int64_t d_v : {0, 1, 7, 8, 9, 64, 70}) {
      run<TypeParam>(random_tuples(seed++, 2, {1, 1}, d, d_v, 3.0), clearance, "one tuple");
      run<TypeParam>(random_tuples(seed++, 2, {1, 9, 1}, d, d_v, 3.0), clearance, "nine");
      TupleHead windows = random_tuples(seed++, 12, {12, 12}, d, d_v, 3.0);
      for (TupleSetData& set : windows.sets) {
        set.mask = {true, 0};
        set.mask.window = 1 + static_cast<std::int64_t>(seed % 3);
      }
      judge_tuples(windows, exact_tuples_of<TypeParam>(windows), clearance, "tiny windows");
      windows.sets[0].mask.causal = false;
      judge_tuples(windows, exact_tuples_of<TypeParam>(windows), clearance, "symmetric window");
    }
  }
  clearance.print("tiny shapes");
}

/// Climbs measured / certified over inputs, from random beginnings.
TYPED_TEST(ExactTuplesHostile, Search) {
  Clearance worst;
  std::uint64_t seed = 3000;
  for (int start = 0; start < 40; ++start) {
    std::mt19937_64 random(seed++);
    const auto draw = [&](std::int64_t low, std::int64_t high) {
      return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
    };
    std::vector<std::int64_t> sizes;
    for (std::int64_t s = draw(1, 4); s > 0; --s) {
      sizes.push_back(draw(1, 6));
    }
    const double spreads[] = {0.01, 1.0, 20.0, 300.0};
    TupleHead head = random_tuples(seed++, 1, sizes, draw(1, 6), draw(1, 2), spreads[start % 4]);
    const auto measured = [&](const TupleHead& candidate) {
      Clearance clearance;
      judge_tuples(candidate, exact_tuples_of<TypeParam>(candidate), clearance, "start " + std::to_string(start));
      worst.output = std::max(worst.output, clearance.output);
      worst.lse = std::max(worst.lse, clearance.lse);
      worst.relative = std::max(worst.relative, clearance.relative);
      ++worst.rows;
      worst.known += clearance.known;
      return std::max(clearance.output, clearance.lse);
    };
    double best = measured(head);
    for (int step = 0; step < 60; ++step) {
      TupleHead next = head;
      TupleSetData& set = next.sets[random() % next.sets.size()];
      std::normal_distribution<double> normal;
      switch (random() % 4) {
        case 0:
          next.q[random() % next.q.size()] *= 1 + normal(random);
          break;
        case 1:
          set.k[random() % set.k.size()] += normal(random);
          break;
        case 2:
          set.v[random() % set.v.size()] += normal(random);
          break;
        default:
          set.bias.resize(static_cast<std::size_t>(set.n), 0.0);
          set.bias[random() % set.bias.size()] += normal(random) * spreads[start % 4];
      }
      const double reached = measured(next);
      ASSERT_FALSE(this->HasFatalFailure());
      if (reached >= best) {
        best = reached;
        head = next;
      }
    }
  }
  worst.print("search");
}

void expect_non_finite(const std::function<void()>& run, const std::vector<std::string>& words) {
  try {
    run();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::non_finite);
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << word << " in: " << error.what();
    }
  }
}

TYPED_TEST(ExactTuplesHostile, NonFiniteInputIsNamed) {
  const TupleHead good = random_tuples(13, 100, {50, 60}, 5, 3);
  for (const int threads : {1, 3}) {
    const auto run = [&](const TupleHead& head) { return exact_tuples_of<TypeParam>(head, threads); };
    TupleHead head = good;
    head.sets[1].v[40 * 3 + 1] = kNan;
    expect_non_finite([&] { run(head); }, {"values[1]", "NaN", "row 40", "column 1"});
    head.sets[0].k[30 * 5 + 4] = kInfinity;
    expect_non_finite([&] { run(head); }, {"keys[0]", "infinity", "row 30", "column 4"});
    head = good;
    head.q[99 * 5] = kNan;
    head.q[3 * 5 + 2] = kInfinity;
    expect_non_finite([&] { run(head); }, {"q:", "infinity", "row 3", "column 2"});
    head = good;
    head.sets[1].bias.assign(60, 0.0);
    head.sets[1].bias[5] = kInfinity;
    expect_non_finite([&] { run(head); }, {"key_bias[1]", "infinity", "key 5"});
  }
}

TYPED_TEST(ExactTuplesHostile, HiddenAndUnseenKeysAreNeverRead) {
  TupleHead head = random_tuples(14, 20, {60, 200}, 3, 9);
  for (TupleSetData& set : head.sets) {
    set.bias.assign(static_cast<std::size_t>(set.n), 0.0);
    for (std::size_t j = 0; j < set.bias.size(); ++j) {
      if (j % 5 == 2 || (j >= 32 && j < 50)) {
        set.bias[j] = -kInfinity;
        std::fill_n(set.k.begin() + static_cast<std::ptrdiff_t>(3 * j), 3, j % 2 == 0 ? kNan : kInfinity);
        std::fill_n(set.v.begin() + static_cast<std::ptrdiff_t>(9 * j), 9, kNan);
      }
    }
  }
  Clearance clearance;
  judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "hidden");
  // Out of every window.
  for (TupleSetData& set : head.sets) {
    set.mask = {true, 25};
    set.mask.window = 4;
    for (const std::size_t j : {0U, 3U, 55U}) {
      std::fill_n(set.k.begin() + static_cast<std::ptrdiff_t>(3 * j), 3, kNan);
    }
  }
  judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "unseen");
  EXPECT_EQ(clearance.known, clearance.rows);
}

TYPED_TEST(ExactTuplesHostile, PropagatesWhatIsNotFinite) {
  for (const std::size_t s : {0U, 1U}) {  // outer and inner
    TupleHead head = random_tuples(15, 4, {10, 60}, 3, 2);
    head.non_finite = NonFinite::propagate;
    head.sets[s].mask = {true, 6};
    head.sets[s].v[7 * 2 + 1] = kNan;   // seen by rows 1, 2, 3
    head.sets[s].v[8 * 2] = kInfinity;  // seen by rows 2, 3
    const Answer answer = exact_tuples_of<TypeParam>(head);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(std::isnan(answer.output[2 * i + 1]), i >= 1) << s;
      EXPECT_EQ(std::isfinite(answer.output[2 * i]), i < 2) << s;
      EXPECT_EQ(answer.rounding[i], kInfinity);  // the ranges of all keys are known, not of those seen
      EXPECT_TRUE(std::isfinite(answer.lse[i]));
    }
    head.q[0] = kInfinity;
    EXPECT_TRUE(std::isnan(exact_tuples_of<TypeParam>(head).output[0]));
    EXPECT_TRUE(std::isfinite(exact_tuples_of<TypeParam>(head).output[2]));
    head.sets[s].k[9 * 3] = kNan;  // seen by row 3
    EXPECT_TRUE(std::isnan(exact_tuples_of<TypeParam>(head).output[6]));
    EXPECT_TRUE(std::isnan(exact_tuples_of<TypeParam>(head).lse[3]));
    EXPECT_TRUE(std::isfinite(exact_tuples_of<TypeParam>(head).lse[2]));
  }
}

TYPED_TEST(ExactTuplesHostile, ScoresBeyondTheRange) {
  TupleHead head = random_tuples(16, 2, {5, 6}, 3, 2);
  for (double& q : head.q) {
    q *= 1e200;
  }
  for (double& k : head.sets[0].k) {
    k *= 1e200;
  }
  if (sizeof(TypeParam) == 8) {
    expect_non_finite([&] { exact_tuples_of<TypeParam>(head); }, {"scores of row", "float64"});
  } else {
    EXPECT_EQ(exact_tuples_of<TypeParam>(head).rounding[0], kInfinity);
    const PreparedTuples prepared(head);
    EXPECT_EQ(bound_of<TypeParam>(exact_tuple_bounds(prepared.problem, DType::float64)).rounding, kInfinity);
  }
  // Products of values beyond float64 have no bound, and no error.
  head = random_tuples(17, 2, {5, 6, 7}, 3, 2);
  for (double& v : head.sets[0].v) {
    v = 1e200;
  }
  for (double& v : head.sets[1].v) {
    v = 1e200;
  }
  EXPECT_EQ(exact_tuples_of<TypeParam>(head).rounding[0], kInfinity);
}

}  // namespace
}  // namespace polyattn::engines::test
