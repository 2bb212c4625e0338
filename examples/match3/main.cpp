// Match-3: numbers x_1 ... x_n modulo M; row i is to say whether there are j, k with x_i + x_j + x_k = 0 mod M.
//
//   match3 [--rows FILE] [N...]    default 1000 2000 4000; FILE gets n,truth,order3,order2 for every row
//
// Attention of order 3 can: cos(2 pi f (a + b + c) / M) is a sum of four products of a number that depends on a, one
// that depends on b and one that depends on c, so with F frequencies and d = 4 F coordinates
//
//     score(i, j, k) = lambda sum_f cos(2 pi f (x_i + x_j + x_k) / M)
//
// is lambda F where the sum is 0 and at most lambda (F - gap) elsewhere; `gap` is found by looking at every residue.
// Values are 1. A pad token of value 0 and score 0, whose bias gives it the weight
//
//     P = n exp(lambda (F - gap / 2)),    lambda = 2 log(4 n) / gap,
//
// makes the output at least 1 / (1 + 1/4) where there is a match and at most 1 / (1 + 4) where there is none: the n^2
// tuples that do not match weigh at most n^2 exp(lambda (F - gap)) = P / 4, one that does weighs exp(lambda F) = 4 P.
// So 1/2 tells them apart, with room for rounding and for the tolerance of the call.
//
// Attention of order 2 sees pairs. Its output at i is made of x_i and of sums over single tokens, d_v + 1 numbers;
// beside the answers of order 3 the program prints how often order 2 with the same d and the analogous embedding is
// right when its threshold is chosen with the truth at hand.

#include <polyattn/polyattn.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr std::int64_t kDim = 64;
constexpr double kTolerance = 0.01;

struct Problem {
  std::int64_t modulus = 0;
  std::vector<std::int64_t> x;
  std::vector<bool> truth;
};

/// About half of the rows have a match: n^2 / 2 sums of two numbers, each of which is right with probability 1/M, miss
/// them all with probability exp(-n^2 / 2M).
Problem draw(std::int64_t n, std::mt19937_64& random) {
  Problem problem;
  const auto is_prime = [](std::int64_t m) {
    for (std::int64_t factor = 2; factor * factor <= m; ++factor) {
      if (m % factor == 0) return false;
    }
    return true;
  };
  const auto size = static_cast<double>(n);
  problem.modulus = std::max<std::int64_t>(5, std::llround(size * size / (2.0 * std::log(2.0))));
  while (!is_prime(problem.modulus)) ++problem.modulus;
  const auto modulus = static_cast<std::uint64_t>(problem.modulus);
  for (std::int64_t i = 0; i < n; ++i) problem.x.push_back(static_cast<std::int64_t>(random() % modulus));
  const std::unordered_set<std::int64_t> present(problem.x.begin(), problem.x.end());
  for (const std::int64_t a : problem.x) {
    problem.truth.push_back(std::any_of(problem.x.begin(), problem.x.end(), [&](std::int64_t b) {
      return present.contains((2 * problem.modulus - a - b) % problem.modulus);
    }));
  }
  return problem;
}

/// Frequencies, and how far below their number the sum of cosines stays on every residue but 0.
struct Frequencies {
  std::vector<std::int64_t> f;
  double gap = 0.0;
};

/// The best of a few draws. M is prime, so any frequency may as well be 1.
Frequencies choose(std::int64_t modulus, std::int64_t count, std::mt19937_64& random) {
  std::vector<float> cosine(static_cast<std::size_t>(modulus));
  for (std::size_t t = 0; t < cosine.size(); ++t) {
    cosine[t] = static_cast<float>(std::cos(kTwoPi * static_cast<double>(t) / static_cast<double>(modulus)));
  }
  Frequencies best;
  for (int trial = 0; trial < 8; ++trial) {
    Frequencies drawn;
    for (std::int64_t l = 0; l < count; ++l) {
      const std::uint64_t any = 1 + random() % (static_cast<std::uint64_t>(modulus) - 1);
      drawn.f.push_back(l == 0 ? 1 : static_cast<std::int64_t>(any));
    }
    std::vector<float> sum(static_cast<std::size_t>(modulus) / 2 + 1, 0.0F);  // symmetric in t
    for (const std::int64_t f : drawn.f) {
      std::int64_t at = 0;
      for (float& entry : sum) {
        entry += cosine[static_cast<std::size_t>(at)];
        at += f;
        if (at >= modulus) at -= modulus;
      }
    }
    const float largest = *std::max_element(sum.begin() + 1, sum.end());
    drawn.gap = static_cast<double>(count) - static_cast<double>(largest) - 1e-4;  // float sums of 32 numbers up to 1
    if (best.f.empty() || drawn.gap > best.gap) best = drawn;
  }
  return best;
}

/// Token embeddings [n + 1, kDim] of which the last is the pad's, zero: cosines and sines in the given places.
/// `pattern` has a letter for each coordinate of a frequency: c or s, capitals with a minus.
std::vector<float> embed(const Problem& problem, const Frequencies& frequencies, const char* pattern, double factor) {
  const std::size_t width = std::strlen(pattern);
  std::vector<float> result((problem.x.size() + 1) * static_cast<std::size_t>(kDim), 0.0F);
  for (std::size_t i = 0; i < problem.x.size(); ++i) {
    for (std::size_t l = 0; l < frequencies.f.size(); ++l) {
      const std::int64_t turns = frequencies.f[l] * problem.x[i] % problem.modulus;  // below 2^63: M < 2^31
      const double angle = kTwoPi * static_cast<double>(turns) / static_cast<double>(problem.modulus);
      for (std::size_t e = 0; e < width; ++e) {
        const bool minus = pattern[e] == 'C' || pattern[e] == 'S';
        const double value = pattern[e] == 'c' || pattern[e] == 'C' ? std::cos(angle) : std::sin(angle);
        result[i * kDim + l * width + e] = static_cast<float>(minus ? -factor * value : factor * value);
      }
    }
  }
  return result;
}

struct Answer {
  std::vector<double> output;
  double bound = 0.0;
  double seconds = 0.0;
  std::string engine;
};

/// Indicator attention: values 1, a pad of value 0 whose weight is exp(log_pad) in all.
Answer attend(const Problem& problem, const std::vector<float>& queries, const std::vector<std::vector<float>>& sets,
              double log_pad) {
  const auto n = static_cast<std::int64_t>(problem.x.size());
  std::vector<float> ones(problem.x.size() + 1, 1.0F);
  std::vector<double> pad_bias(problem.x.size() + 1, 0.0);
  ones.back() = 0.0F;
  // The tuples of pads alone weigh that much; those of a pad and other tokens far less, which `main` counts.
  pad_bias.back() = log_pad / static_cast<double>(sets.size());
  std::vector<polyattn::ConstView> keys;
  std::vector<polyattn::ConstView> values;
  polyattn::Options options;
  options.score = polyattn::Dot{1.0};
  options.tolerance = {kTolerance, polyattn::ToleranceKind::absolute};
  for (const std::vector<float>& set : sets) {
    keys.push_back(polyattn::matrix(set.data(), n + 1, kDim));
    values.push_back(polyattn::matrix(ones.data(), n + 1, 1));
    options.mask.key_bias.push_back(polyattn::bias(pad_bias.data(), n + 1));
  }
  const auto start = std::chrono::steady_clock::now();
  const polyattn::Result result = polyattn::attend(polyattn::matrix(queries.data(), n, kDim), keys, values, options);
  Answer answer;
  answer.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const polyattn::HeadReport& head = result.report.heads[0];
  answer.bound = head.certificate.bound();
  answer.engine = head.rows_exact == head.rows_total ? "exact" : polyattn::name_of(head.engine);
  for (std::int64_t i = 0; i < n; ++i) answer.output.push_back(static_cast<double>(result.output.as<float>()[i]));
  return answer;
}

std::int64_t right(const Problem& problem, const std::vector<double>& output, double threshold) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < output.size(); ++i) count += (output[i] > threshold) == problem.truth[i] ? 1 : 0;
  return count;
}

/// The most rows any threshold gets right, in either direction.
std::int64_t most_right(const Problem& problem, std::vector<double> output) {
  std::int64_t best = 0;
  const auto n = static_cast<std::int64_t>(output.size());
  for (const double threshold : std::vector<double>(output)) {
    const std::int64_t count = right(problem, output, threshold);
    best = std::max({best, count, n - count});
  }
  return best;
}

/// What is proved of order 3: outputs are at least `high` with a match and at most `low` without.
struct Levels {
  double low = 0.0;
  double high = 0.0;
};
Levels proved_levels(double n, double lambda, const Frequencies& frequencies, double log_pad) {
  const auto count = static_cast<double>(frequencies.f.size());
  // Embeddings are rounded to float32: 4 roundings in a product of three, sums of (|cos| + |sin|)^3 <= 2.83.
  const double rounded = lambda * count * 2.83 * 4.1 * 0x1p-24;
  const double mixed = 2.0 * n * std::exp(-0.5 * log_pad);  // of one pad and another token, beside those of two
  const double least = std::exp(lambda * count - rounded - log_pad);
  const double most = n * n * std::exp(lambda * (count - frequencies.gap) + rounded - log_pad);
  return {most / (most + 1.0), least / (least + 1.0 + mixed)};
}

bool run(std::int64_t n, std::FILE* rows) {
  std::mt19937_64 random(static_cast<std::uint64_t>(n));
  const Problem problem = draw(n, random);
  const auto size = static_cast<double>(n);
  const auto matches = std::count(problem.truth.begin(), problem.truth.end(), true);

  const Frequencies triples = choose(problem.modulus, kDim / 4, random);
  const double lambda = 2.0 * std::log(4.0 * size) / triples.gap;
  const double log_pad = std::log(size) + lambda * (static_cast<double>(triples.f.size()) - 0.5 * triples.gap);
  const Levels levels = proved_levels(size, lambda, triples, log_pad);
  // cos(a + b + c) = cos a cos b cos c - cos a sin b sin c - sin a cos b sin c - sin a sin b cos c
  const Answer three = attend(problem, embed(problem, triples, "cCSS", lambda),
                              {embed(problem, triples, "cscs", 1.0), embed(problem, triples, "cssc", 1.0)}, log_pad);
  const std::int64_t three_right = right(problem, three.output, 0.5);

  // The same budget of coordinates: twice as many frequencies, since cos(a + b) takes two products.
  const Frequencies pairs = choose(problem.modulus, kDim / 2, random);
  const double pair_lambda = std::log(16.0 * size) / pairs.gap;
  const double pair_pad = 0.5 * std::log(size) + pair_lambda * (static_cast<double>(pairs.f.size()) - 0.5 * pairs.gap);
  const Answer two =
      attend(problem, embed(problem, pairs, "cS", pair_lambda), {embed(problem, pairs, "cs", 1.0)}, pair_pad);

  const bool proved = levels.high - three.bound > 0.5 && levels.low + three.bound < 0.5;
  std::printf("%6lld %10lld %6lld %7.1f  <= %.3f or >= %.3f %8.1e %8lld %8.1f  %s %8.1f %%\n",
              static_cast<long long>(n), static_cast<long long>(problem.modulus), static_cast<long long>(matches),
              lambda * static_cast<double>(triples.f.size()), levels.low, levels.high, three.bound,
              static_cast<long long>(n - three_right), three.seconds, three.engine.c_str(),
              100.0 * static_cast<double>(most_right(problem, two.output)) / size);
  std::fflush(stdout);
  for (std::size_t i = 0; rows != nullptr && i < problem.x.size(); ++i) {
    std::fprintf(rows, "%lld,%d,%.9g,%.9g\n", static_cast<long long>(n), problem.truth[i] ? 1 : 0, three.output[i],
                 two.output[i]);
  }
  return proved && three_right == n;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::int64_t> sizes;
  std::FILE* rows = nullptr;
  for (int a = 1; a < argc; ++a) {
    if (std::strcmp(argv[a], "--rows") == 0 && a + 1 < argc) {
      rows = std::fopen(argv[++a], "w");
      if (rows == nullptr) return std::perror(argv[a]), 1;
      std::fprintf(rows, "n,truth,order3,order2\n");
    } else {
      sizes.push_back(std::atoll(argv[a]));
    }
  }
  if (sizes.empty()) sizes = {1000, 2000, 4000};
  bool all = true;
  std::printf(
      "d = %lld; order 3: proved levels of the output, error bound, wrong rows, seconds; order 2: most rows a "
      "threshold gets right\n",
      static_cast<long long>(kDim));
  std::printf("     n          M  match  radius  none      match       bound    wrong  seconds  engine   order 2\n");
  try {
    for (const std::int64_t n : sizes) {
      if (n < 2 || n > 10000) {
        std::fprintf(stderr, "match3: N has to be from 2 to 10000\n");
        return 2;
      }
      all = run(n, rows) && all;
    }
  } catch (const polyattn::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  if (rows != nullptr && std::fclose(rows) != 0) return std::perror("match3"), 1;
  return all ? 0 : 1;
}
