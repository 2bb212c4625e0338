// Few rows against many keys: the same bits as all rows together, whatever their number, their company, the threads and
// the instruction set, under every mask.

#include "engines/heads.hpp"
#include "simd/dispatch.hpp"

#include <array>
#include <cstring>

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactStream : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactStream, Arithmetics);

constexpr std::int64_t kRows = 60;

enum class Kind : std::uint8_t { none, causal, window, band, segments, boolean, additive, exclude_self, all };
constexpr std::array kKinds{Kind::none,    Kind::causal,   Kind::window,       Kind::band, Kind::segments,
                            Kind::boolean, Kind::additive, Kind::exclude_self, Kind::all};
constexpr std::array<std::int64_t, 12> kKeys{1, 15, 16, 17, 127, 128, 129, 900, 2047, 2048, 2049, 5000};

template <class List>
auto any_of(std::mt19937_64& random, const List& list) {
  return list[random() % list.size()];
}

/// Rows spread over the keys, so that windows and diagonals fall everywhere.
void mask_by(Kind kind, std::mt19937_64& random, Head& head) {
  PositionMask& mask = head.mask;
  const std::int64_t n = head.n_kv;
  const bool all = kind == Kind::all;
  const auto integer = [&](std::int64_t most) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most + 1));
  };
  mask.causal = kind == Kind::causal || kind == Kind::window || all;
  mask.offset = integer(n) - kRows / 2;
  if (kind == Kind::window || kind == Kind::band || all) {
    mask.window = 1 + integer(n / 2 + 20);
  }
  if (kind == Kind::segments) {
    auto segments = std::make_shared<Segments>();
    segments->query_offsets = {0, 1, 20, 20, kRows};
    segments->key_offsets = {0, n / 3, n / 3, n / 2, n};
    mask.segments = segments;
    mask.causal = random() % 2 == 0;
    mask.lower_right = mask.causal;
  }
  mask.exclude_self = kind == Kind::exclude_self || all;
  const auto pairs = static_cast<std::size_t>(kRows * n);
  if (kind == Kind::boolean || all) {
    for (std::size_t i = 0; i < pairs; ++i) {
      head.boolean.push_back(i / static_cast<std::size_t>(n) % 7 == 3 || random() % 3 == 0 ? 0
                                                                                           : 1);  // some see nothing
    }
  }
  if (kind == Kind::additive || all) {
    head.additive = normal(random, static_cast<std::int64_t>(pairs), 3.0);
    for (std::size_t i = 0; i < pairs; i += 1 + random() % 9) {
      head.additive[i] = random() % 2 == 0 ? -kInfinity : -1e30;
    }
  }
}

Head draw(std::uint64_t seed, std::int64_t n_kv, Kind kind) {
  std::mt19937_64 random(seed);
  constexpr std::array<std::int64_t, 5> dims{1, 3, 5, 17, 40};
  constexpr std::array<std::int64_t, 5> value_dims{0, 1, 5, 16, 19};
  constexpr std::array types{DType::float32, DType::float64, DType::bfloat16};
  Head head = random_head(seed, kRows, n_kv, any_of(random, dims), any_of(random, value_dims), 1.5);
  head.storage = any_of(random, types);
  head.gaps = random() % 4 == 0;
  if (random() % 2 == 0) {
    head.bias = normal(random, n_kv, 4.0);
    for (std::size_t j = 0; j < head.bias.size(); j += 1 + random() % 40) {
      head.bias[j] = -kInfinity;
    }
  }
  if (random() % 3 == 0) {
    head.soft_cap = 2.5;
  }
  switch (random() % 4) {
    case 0:
      head = gaussian(head, {1.5});
      break;
    case 1:
      head = gaussian(head, {1.0, 2.0});
      break;
    default:
      break;
  }
  mask_by(kind, random, head);
  return head;
}

std::int64_t bits(double x) {
  std::int64_t out = 0;
  std::memcpy(&out, &x, sizeof(out));
  return out;
}

/// Rows of `some` against those of `all` that `list` names.
void expect_same(const Answer& some, const RowList& list, const Answer& all, const std::string& what) {
  for (std::size_t t = 0; t < list.rows.size(); ++t) {
    const auto row = static_cast<std::size_t>(list.rows[t]);
    const auto columns = static_cast<std::size_t>(all.columns);
    for (std::size_t c = 0; c < columns; ++c) {
      ASSERT_EQ(bits(some.output[t * columns + c]), bits(all.output[row * columns + c]))
          << what << ", row " << row << ", column " << c << ": " << some.output[t * columns + c] << " and "
          << all.output[row * columns + c];
    }
    ASSERT_EQ(bits(some.lse[t]), bits(all.lse[row])) << what << ", row " << row;
    ASSERT_EQ(bits(some.row_max[t]), bits(all.row_max[row])) << what << ", row " << row;
  }
}

template <class T>
Answer few(const Head& head, const RowList& list, int threads) {
  const Prepared prepared(head);
  return collect(static_cast<std::int64_t>(list.rows.size()), head.d_v, head.output, [&](const HeadOutputs& out) {
    exact_head<T>(prepared.problem, list, out, base::Context{threads, nullptr, nullptr});
  });
}

RowList drawn_rows(std::mt19937_64& random, std::int64_t count) {
  RowList list;
  list.all = false;
  for (std::int64_t t = 0; t < count; ++t) {
    list.rows.push_back(static_cast<std::int64_t>(random() % kRows));
    list.targets.push_back(t);
  }
  return list;
}

template <class T>
void compare(const Head& head, const std::string& what, std::mt19937_64& random) {
  const Answer all = exact<T>(head);
  for (const std::int64_t count : {1, 2, 3, 4, 48, 192, 193, 400}) {
    const RowList list = drawn_rows(random, count);
    const bool small = count * head.n_kv < 10000;
    for (const simd::KernelTable* table : simd::available()) {
      if (std::string(table->name) == "scalar" && !small) {
        continue;
      }
      const ForcedIsa forced(table->name);
      for (const int threads : {1, 2, 5}) {
        if (!small && (threads == 1 || random() % 4 != 0)) {
          continue;
        }
        expect_same(few<T>(head, list, threads), list, all,
                    what + ", " + std::to_string(count) + " rows, " + table->name + ", " + std::to_string(threads) +
                        " threads");
        if (testing::Test::HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TYPED_TEST(ExactStream, SameBitsInAnyCompany) {
  std::uint64_t seed = 1;
  std::mt19937_64 random(99);
  for (const std::int64_t n : kKeys) {
    for (const Kind kind : kKinds) {
      const std::string what = "seed " + std::to_string(seed) + ", " + std::to_string(n) + " keys, mask " +
                               std::to_string(static_cast<int>(kind));
      compare<TypeParam>(draw(seed++, n, kind), what, random);
    }
  }
}

// What other rows see beside must not matter either: neither the hull of their values ...
TYPED_TEST(ExactStream, ValuesThatOtherRowsSeeDoNotMatter) {
  Head head = random_head(500, kRows, 400, 3, 2);
  for (std::int64_t j = 0; j < head.n_kv; ++j) {  // within 30 keys all values are the same
    const std::int64_t group = 1 + j / 30;
    std::fill_n(head.v.begin() + 2 * j, 2, static_cast<double>(0.1F * static_cast<float>(group)));
  }
  head.mask.causal = true;
  head.mask.window = 7;
  std::mt19937_64 random(501);
  compare<TypeParam>(head, "values", random);
  head.mask.causal = false;
  compare<TypeParam>(head, "values, two-sided", random);
}

// ... nor their biases.
TYPED_TEST(ExactStream, BiasesThatOtherRowsSeeDoNotMatter) {
  Head head = random_head(520, kRows, 400, 3, 2);
  std::mt19937_64 random(521);
  head.bias = normal(random, 400, 1.0);
  for (std::size_t j = 0; j < 400; j += 20) {
    head.bias[j] = 300.0;
  }
  head.mask.causal = true;
  head.mask.window = 7;
  compare<TypeParam>(head, "biases", random);
}

// Rows that see nothing, alone and in company.
TYPED_TEST(ExactStream, BlindRows) {
  for (const std::int64_t count : {1, 3, 4, 60}) {
    Head head = random_head(530, kRows, 200, 3, 2);
    head.boolean.assign(static_cast<std::size_t>(kRows * 200), 0);
    std::mt19937_64 random(531);
    const RowList list = drawn_rows(random, count);
    const Answer answer = few<TypeParam>(head, list, 2);
    for (std::size_t t = 0; t < list.rows.size(); ++t) {
      EXPECT_EQ(answer.output[2 * t], 0.0);
      EXPECT_EQ(answer.lse[t], -kInfinity);
      EXPECT_EQ(answer.row_max[t], -kInfinity);
      EXPECT_EQ(answer.rounding[t], 0.0);
    }
  }
}

// What is gathered in passing bounds what it should: certificates of rows answered alone hold too.
TYPED_TEST(ExactStream, CertificatesOfFewRowsHold) {
  Clearance clearance;
  std::uint64_t seed = 1000;
  for (const std::int64_t n : {1, 17, 128, 300, 2300}) {
    for (const Kind kind : kKinds) {
      for (const std::int64_t rows : {1, 3, 5}) {
        Head head = draw(seed++, n, kind);
        head.n_q = rows;
        head.q.resize(static_cast<std::size_t>(rows * head.d));
        if (head.mask.segments != nullptr) {
          auto segments = std::make_shared<Segments>();
          segments->query_offsets = {0, rows / 2, rows};
          segments->key_offsets = {0, n / 3, n};
          head.mask.segments = segments;
        }
        const Prepared prepared(head);
        const Answer answer = collect(rows, head.d_v, head.output, [&](const HeadOutputs& out) {
          exact_head<TypeParam>(prepared.problem, RowList{}, out, base::Context{2, nullptr, nullptr});
        });
        judge(head, answer, clearance, "seed " + std::to_string(seed - 1));
        if (testing::Test::HasFatalFailure()) {
          return;
        }
      }
    }
  }
  clearance.print("few rows");
  EXPECT_GT(2 * clearance.known, clearance.rows);
}

}  // namespace
}  // namespace polyattn::engines::test
