#pragma once

/// Heads that differ in their queries only: the query heads of one key head. Exact reads and packs their keys once.

#include "engines/exact/packed_keys.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>

namespace polyattn::planning {

/// Whether keys, values and their biases are the same, in the same memory, so that what is packed for one head serves
/// the other. Scores and positions are taken to be the same, as they are within a call.
bool share_keys(const engines::HeadProblem& a, const engines::HeadProblem& b) noexcept;

/// What heads of one group can use of each other's work; for one head after the other, not several at a time.
class HeadGroup {
 public:
  /// `heads` share their keys and outlive the group.
  explicit HeadGroup(std::span<const engines::HeadProblem> heads);
  HeadGroup(const HeadGroup&) = delete;
  HeadGroup& operator=(const HeadGroup&) = delete;
  ~HeadGroup();

  /// Whether rows are few enough to do without packed keys.
  [[nodiscard]] bool few(const engines::RowList& list) const noexcept;
  /// As engines::stream_rows, to the same bits; if all rows are asked for, those of the whole group in one pass.
  template <class T>
  engines::KeyStatistics few_rows(const engines::HeadProblem& head, const engines::RowList& list,
                                  const engines::HeadOutputs& out, const base::Context& context);
  /// As engines::pack_keys. Valid until keys are asked for in another arithmetic.
  template <class T>
  const engines::PackedKeys<T>& packed(const engines::HeadProblem& head, const base::Context& context);

 private:
  struct Joint;
  std::span<const engines::HeadProblem> heads_;
  std::variant<std::monostate, engines::PackedKeys<float>, engines::PackedKeys<double>> packed_;
  std::array<std::unique_ptr<Joint>, 2> joint_;  ///< in float32 and float64: heads may need both in turns
};

}  // namespace polyattn::planning
