// The specification against closed forms and long double.

#include "engines/heads.hpp"
#include "polyattn/error.hpp"

namespace polyattn::engines::test {
namespace {

TEST(Reference, EqualKeysGiveTheMean) {
  Head head = random_head(1, 3, 8, 4, 2);
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    for (std::int64_t l = 0; l < head.d; ++l) {
      head.k[static_cast<std::size_t>(j * head.d + l)] = 0.25 * static_cast<double>(l);
    }
    head.v[static_cast<std::size_t>(2 * j)] = static_cast<double>(j);
    head.v[static_cast<std::size_t>(2 * j + 1)] = -7.0;
  }
  const Answer answer = reference(head);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(answer.output[2 * i], 3.5);
    EXPECT_EQ(answer.output[2 * i + 1], -7.0);
  }
}

TEST(Reference, OneKeyIsItsValue) {
  const Head head = random_head(2, 5, 1, 3, 4, 10.0);
  const Answer answer = reference(head);
  for (std::size_t i = 0; i < answer.output.size(); ++i) {
    EXPECT_EQ(answer.output[i], head.v[i % 4]);
  }
}

TEST(Reference, TwoKeysAreTanh) {
  Head head;
  head.n_q = 4;
  head.n_kv = 2;
  head.q = {-3.0, 0.0, 0.5, 40.0};
  head.k = {1.0, -1.0};
  head.v = {1.0, -1.0};
  const Answer answer = reference(head);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_LE(std::fabs(answer.output[i] - std::tanh(head.q[i])), answer.rounding[i] + 0x1p-53);
    EXPECT_LE(std::fabs(answer.lse[i] - std::log(2 * std::cosh(head.q[i]))), answer.lse_bound[i] + 0x1p-46);
  }
}

TEST(Reference, DominantKeyWins) {
  Head head = random_head(3, 4, 50, 6, 3);
  head.bias.assign(50, 0.0);
  head.bias[17] = 800.0;
  const Answer answer = reference(head);
  for (std::size_t i = 0; i < answer.output.size(); ++i) {
    EXPECT_EQ(answer.output[i], head.v[17 * 3 + i % 3]);
  }
}

TEST(Reference, HiddenKeysAreNeverRead) {
  Head head = random_head(4, 6, 20, 3, 2);
  head.bias.assign(20, 0.0);
  for (const std::size_t j : {0U, 7U, 19U}) {
    head.bias[j] = -kInfinity;
    std::fill_n(head.k.begin() + static_cast<std::ptrdiff_t>(3 * j), 3, kNan);
    std::fill_n(head.v.begin() + static_cast<std::ptrdiff_t>(2 * j), 2, kInfinity);
  }
  Clearance clearance;
  judge(head, reference(head), clearance, "hidden");
}

TEST(Reference, NoVisibleKeyGivesZeros) {
  Head head = random_head(5, 5, 6, 2, 2);
  head.mask = {true, -2};                             // the first two rows see nothing
  head.bias = {-kInfinity, 0.0, 1.0, 0.0, 0.0, 0.0};  // the third row sees only a hidden key
  Clearance clearance;
  judge(head, reference(head), clearance, "empty rows");
  head.n_kv = 0;
  head.k.clear();
  head.v.clear();
  head.bias.clear();
  judge(head, reference(head), clearance, "no keys");
}

TEST(Reference, BoundsHoldAgainstLongDouble) {
  Clearance clearance;
  std::uint64_t seed = 100;
  for (const std::int64_t n : {1, 2, 5, 40, 333}) {
    for (const std::int64_t d : {1, 3, 17, 64}) {
      for (const double spread : {0.01, 1.0, 30.0}) {
        Head head = random_head(seed++, 4, n, d, 3, spread);
        judge(head, reference(head), clearance, "dot");
        head.mask = {true, n - 4};
        std::mt19937_64 random(seed++);
        head.bias = normal(random, n, spread * 10);
        judge(head, reference(head), clearance, "causal, biased");
        judge(gaussian(head, {0.5, 2.0}), reference(gaussian(head, {0.5, 2.0})), clearance, "gaussian");
        head.output = DType::float32;
        judge(head, reference(head, 3), clearance, "to float32");
        head.output = DType::bfloat16;
        judge(head, reference(head), clearance, "to bfloat16");
        head.storage = DType::float16;
        head.gaps = true;
        judge(head, reference(head), clearance, "from float16");
      }
    }
  }
  clearance.print("reference");
}

// A large value does not make up for a weight that is subnormal.
TEST(Reference, RelativeFormEndsWithTheWeightsWhateverTheValues) {
  Clearance clearance;
  for (const double span : {600.0, 690.0, 700.0, 720.0, 740.0, 745.0}) {
    for (const double value : {1.0, 1e11, 1e30, 1e250}) {
      Head head = random_head(3, 1, 2, 1, 1, 1.0);
      head.score.scale = 1.0;
      head.q = {1.0};
      head.k = {0.0, -span};
      head.v = {0.0, value};
      const Answer got = reference(head);
      judge(head, got, clearance, "span " + std::to_string(span) + ", value " + std::to_string(value));
      EXPECT_EQ(got.relative[0] < 1e-9, span < 692.0) << span << ' ' << value << ' ' << got.relative[0];
    }
  }
}

// Keys far below the largest count as any other for the relative form, until their weights leave the normal range.
TEST(Reference, RelativeFormReachesAsFarAsFloat64) {
  Clearance clearance;
  std::mt19937_64 random(11);
  for (const double span : {50.0, 63.0, 70.0, 200.0, 430.0, 650.0, 680.0, 700.0, 900.0}) {
    for (const std::int64_t d : {1, 16, 130}) {
      Head head = random_head(random(), 3, 40, d, 2, 1e-3);
      head.score.scale = 1.0;
      for (std::int64_t j = 0; j < 40; ++j) {
        // Along (1, ..., 1): scores from 0 down to -span. Only light keys have a value in column 1.
        for (std::int64_t l = 0; l < d; ++l) {
          head.k[static_cast<std::size_t>(j * d + l)] -= span / static_cast<double>(d) * static_cast<double>(j) / 39.0;
        }
        head.v[static_cast<std::size_t>(2 * j + 1)] = j < 35 ? 0.0 : 1.0 + 0.1 * static_cast<double>(j);
      }
      for (double& q : head.q) {
        q = 1.0 + 1e-3 * q;
      }
      for (const bool biased : {false, true}) {
        if (biased) {
          head.bias = normal(random, 40, 0.1);
        }
        const Answer got = reference(head);
        judge(head, got, clearance, "span " + std::to_string(span));
        EXPECT_EQ(got.relative[0] < 1e-9, span < 690.0) << span << ' ' << d << ' ' << got.relative[0];
        EXPECT_LT(std::fabs(got.output[1]), std::exp(-0.8 * span)) << "the column is to be small";
      }
    }
  }
  clearance.print("relative, far keys");
  EXPECT_GT(clearance.relative, 1e-3);
}

TEST(Reference, LargeValuesDoNotOverflow) {
  Head head = random_head(6, 3, 100, 2, 1);
  const double largest = std::numeric_limits<double>::max();
  std::fill(head.v.begin(), head.v.end(), largest);
  const Answer answer = reference(head);
  for (const double t : answer.output) {
    EXPECT_EQ(t, largest);
  }
}

TEST(Reference, PropagatesWhatIsNotFinite) {
  Head head = random_head(7, 4, 10, 3, 2);
  head.non_finite = NonFinite::propagate;
  head.mask = {true, 6};
  head.v[7 * 2 + 1] = kNan;   // seen by rows 1, 2, 3
  head.v[8 * 2] = kInfinity;  // seen by rows 2, 3
  const Answer answer = reference(head);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::isnan(answer.output[2 * i + 1]), i >= 1);
    EXPECT_EQ(answer.output[2 * i] == kInfinity, i >= 2);
    EXPECT_EQ(answer.rounding[i] == kInfinity, i >= 1);  // the hull of the values seen is not finite
  }
  head.q[0] = kInfinity;
  EXPECT_TRUE(std::isnan(reference(head).output[0]));
  head.k[9 * 3] = kNan;
  EXPECT_TRUE(std::isnan(reference(head).output[6]));
  EXPECT_TRUE(std::isnan(reference(head).lse[3]));
}

TEST(Reference, ScoresBeyondFloat64AreAnError) {
  Head head = random_head(8, 2, 3, 2, 1, 1e200);
  try {
    reference(head);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::non_finite);
    EXPECT_NE(std::string(error.what()).find("row 0"), std::string::npos) << error.what();
  }
}

TEST(Reference, SameBitsForAnyThreads) {
  const Head head = random_head(9, 50, 70, 5, 3);
  const Answer one = reference(head, 1);
  const Answer five = reference(head, 5);
  EXPECT_EQ(one.output, five.output);
  EXPECT_EQ(one.rounding, five.rounding);
  EXPECT_EQ(one.lse, five.lse);
}

}  // namespace
}  // namespace polyattn::engines::test
