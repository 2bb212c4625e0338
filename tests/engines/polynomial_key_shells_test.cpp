// Keys left out: what shells say of their keys, and certificates of rows that are charged for them.

#include "engines/polynomial/key_shells.hpp"
#include "engines/polynomial_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::test {
namespace {

using base::usize;
using engines::Frame;
using engines::KeyShells;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Quad wide(double x) { return static_cast<Quad>(x); }

Quad sqrt_of(Quad x) {
  if (x == 0) {
    return 0;
  }
  Quad root = wide(std::sqrt(static_cast<double>(x)));
  for (int i = 0; i < 2; ++i) {
    root = (root + x / root) / 2;
  }
  return root;
}

/// Points of a kernel smoother: most near the centre, some in a long tail.
HeadData smoothing_head(std::uint64_t seed, std::int64_t n, std::int64_t dim, double bandwidth, bool with_bias) {
  Random random(seed);
  HeadData head = random_head(seed, n, n, dim, 2);
  for (std::int64_t j = 0; j < n; ++j) {
    const double stretch = random.chance(0.1) ? random.uniform(1.0, 8.0) : 1.0;
    for (std::int64_t l = 0; l < dim; ++l) {
      head.k[usize(j * dim + l)] *= stretch;
    }
  }
  head.q = head.k;
  head.score.kind = engines::ScoreKind::gaussian;
  head.score.bandwidth.assign(usize(dim), bandwidth);
  if (with_bias) {
    for (std::int64_t j = 0; j < n; ++j) {
      head.bias.push_back(random.chance(0.05) ? -kInfinity : random.uniform(-3.0, 3.0));
    }
  }
  return head;
}

struct Shelled {
  engines::QueryExtent extent;
  Frame frame;
  KeyShells keys;
};
Shelled shells_of(const engines::HeadProblem& problem) {
  Shelled out;
  out.extent = engines::query_extent(problem, serial_context());
  out.frame = engines::make_frame(problem, out.extent, serial_context());
  out.keys = engines::key_shells(problem, out.frame, serial_context());
  return out;
}

TEST(PolynomialKeyShells, BoundTheirKeys) {
  for (const bool with_bias : {false, true}) {
    const HeadData head = smoothing_head(1, 9000, 3, 1.0, with_bias);
    const auto [extent, frame, keys] = shells_of(head.problem());
    ASSERT_GT(keys.shells.size(), 10U);
    for (std::size_t b = 1; b < keys.shells.size(); ++b) {
      EXPECT_LT(keys.shells[b - 1].norm, keys.shells[b].norm);
    }
    EXPECT_EQ(keys.shells.back().norm, frame.key_norm);
    for (const std::size_t first : {std::size_t{0}, keys.shells.size() / 2, keys.shells.size() - 1}) {
      for (const double norm : {0.0, 0.5, 3.0}) {
        Quad mass = 0;
        for (std::int64_t j = 0; j < head.n_kv; ++j) {
          const double square = keys.square[usize(j)];
          EXPECT_EQ(square < 0.0, frame.log_weight[usize(j)] == -kInfinity);
          if (square < 0.0 || (first > 0 && square <= keys.shells[first - 1].square)) {
            continue;
          }
          Quad exact = 0;
          for (std::int64_t l = 0; l < head.dim; ++l) {
            const Quad away = wide(head.k[usize(j * head.dim + l)]) - wide(frame.key_centre[usize(l)]);
            exact += away * away;  // bandwidth 1
          }
          mass += exp_of(wide(frame.log_weight[usize(j)]) - wide(frame.log_scale) + wide(norm) * sqrt_of(exact));
        }
        const double bound = engines::far_mass(keys, first, norm);
        EXPECT_GE(wide(bound), mass);
        // Shells are an eighth of an octave wide at most, the innermost excepted.
        const double width = norm * keys.shells.back().norm * 0.14;
        EXPECT_LE(wide(bound), mass * wide(std::exp(width) * 1.001)) << first << " " << norm;
      }
    }
  }
}

template <class T>
void expect_certified_under_cuts(double bandwidth, std::int64_t* charged) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const HeadData head = smoothing_head(seed, 60, 2 + static_cast<std::int64_t>(seed % 3), bandwidth, seed % 2 == 0);
    const engines::HeadProblem problem = head.problem();
    const HeadTruth<Quad> truth = truth_of<Quad>(head);
    const auto [extent, whole, keys] = shells_of(problem);
    for (std::size_t first = 1; first <= keys.shells.size(); ++first) {
      PolynomialSetup setup = make_setup(problem, 14);
      engines::leave_out(setup.frame, extent, keys, first);
      EXPECT_EQ(setup.frame.far.mass.empty(), first == keys.shells.size());
      EXPECT_LE(setup.frame.radius, whole.radius);
      engines::hide_far_keys(setup.frame, keys);
      setup.table = engines::make_table(std::min(setup.frame.radius, 300.0), 14);
      const PolynomialRun run = run_polynomial<T>(problem, setup);
      const Clearance clearance = clearance_of(head, run, truth);
      EXPECT_LE(clearance.answer, 1.0) << seed << ", " << first << " shells, row " << clearance.worst_row;
      EXPECT_LE(clearance.lse, 1.0) << seed << ", " << first << " shells";
      for (std::int64_t i = 0; i < head.n_q; ++i) {
        *charged += run.answered[usize(i)] != 0 && first < keys.shells.size() && run.bound(i) < 0.1 ? 1 : 0;
      }
    }
  }
}

TEST(PolynomialKeyShells, RowsAreChargedForWhatIsLeftOut) {
  std::int64_t charged = 0;
  for (const double bandwidth : {1.0, 2.0, 5.0}) {
    expect_certified_under_cuts<float>(bandwidth, &charged);
    expect_certified_under_cuts<double>(bandwidth, &charged);
  }
  EXPECT_GT(charged, 1000);  // with bounds that say something
}

TEST(PolynomialKeyShells, RowsBeyondTheQueriesAreRefused) {
  const HeadData head = smoothing_head(3, 200, 2, 1.0, false);
  auto [extent, frame, keys] = shells_of(head.problem());
  engines::leave_out(frame, extent, keys, keys.shells.size() - 1);
  EXPECT_LT(frame.far.at(extent.norm), kInfinity);
  EXPECT_EQ(frame.far.at(1.01 * extent.norm), kInfinity);
  double last = 0.0;
  for (double norm = 0.0; norm <= extent.norm; norm += extent.norm / 3000) {
    EXPECT_GE(frame.far.at(norm), engines::far_mass(keys, keys.shells.size() - 1, norm));
    EXPECT_GE(frame.far.at(norm), last);
    last = frame.far.at(norm);
  }
  engines::leave_out(frame, extent, keys, keys.shells.size());
  EXPECT_EQ(frame.far.at(extent.norm), 0.0);
}

}  // namespace
}  // namespace polyattn::test
