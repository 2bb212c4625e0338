#pragma once

/// What reductions to order-3 attention share: a problem of attention given row by row, an oracle that answers it with
/// an error, and the rule that turns answers into decisions.

#include "polyattn/options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace polyattn::lab {

/// A dichotomy: every true output is at most `low`, which means no, or at least `high`, which means yes.
struct Decision {
  double low = 0.0;
  double high = 0.0;
  double threshold = 0.0;  ///< between the two
  /// Outputs may be as small as exp(-hundreds): the oracle is asked for a relative error.
  bool relative = false;

  /// An absolute error below this leaves every answer on its side of the threshold.
  [[nodiscard]] double margin() const noexcept;
  /// A relative error below this does.
  [[nodiscard]] double relative_margin() const noexcept;
};

/// Order-3 attention with one column of values: n real keys in either set whose value is 1, and pad keys whose value
/// is 0, so that an output is the share of pairs of real keys. Vectors are written on demand.
struct TripleAttention {
  std::int64_t rows = 0;               ///< queries
  std::array<std::int64_t, 2> real{};  ///< real keys of each set
  std::array<std::int64_t, 2> pads{};  ///< pad keys of each set, all alike
  std::int64_t dim = 0;
  double scale = 0.0;
  std::function<void(std::int64_t row, std::span<float> out)> query;
  std::array<std::function<void(std::int64_t key, std::span<float> out)>, 2> key;  ///< real keys
  std::array<std::vector<float>, 2> pad;                                           ///< what every pad key is
  Decision decision;
};

/// The keys of a TripleAttention, or of a part of its real keys, in memory.
struct TripleKeys {
  std::int64_t dim = 0;
  double scale = 0.0;
  std::array<std::vector<float>, 2> keys;    ///< [n, dim]
  std::array<std::vector<float>, 2> values;  ///< [n]
};

/// Real keys [begin, end) of each set, and all pads.
struct KeyInterval {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
TripleKeys keys_of(const TripleAttention& problem, const std::array<KeyInterval, 2>& real);

/// Outputs and how far they may be from the truth: |T~ - T| <= absolute, and <= relative * T.
struct Answers {
  std::vector<double> outputs;
  double absolute = 0.0;
  double relative = 0.0;  ///< infinity where nothing is proved
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::automatic;
};

/// Answers queries [rows, dim], rows * dim numbers, to the accuracy the decision needs, or better.
using Oracle =
    std::function<Answers(std::span<const float> queries, const TripleKeys& keys, const Decision&, const Progress&)>;

/// polyattn itself. `options`: engine, arithmetic, threads and max_memory are used. An automatic engine is a plan's
/// choice; for relative decisions it is exact, and reference where exact does not prove enough.
Oracle attention_oracle(const Options& options);

/// Throws Error (not_reachable) unless the errors are small enough for the decision.
void check_accuracy(const Decision& decision, const Answers& answers);

}  // namespace polyattn::lab
