#pragma once

/// What Prepared holds: pieces of keys (of every set), the domain, and for every head a decision with its sums.
/// Immutable once built.

#include "api/key_pieces.hpp"
#include "api/validate.hpp"
#include "base/memory.hpp"
#include "planning/prepared_head.hpp"
#include "planning/tuple_plan.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace polyattn::detail {

struct PreparedState {
  explicit PreparedState(std::uint64_t max_memory) : memory(std::make_shared<base::MemoryMeter>(max_memory)) {}
  std::shared_ptr<base::MemoryMeter> memory;     ///< first: it must outlive what it counts
  PrepareOptions options;                        ///< biases are those of the pieces
  QueryDomain domain;                            ///< the caller's; `representative` views the copy below
  std::shared_ptr<const Tensor> representative;  ///< copy of the caller's
  std::vector<api::KeyPieces> sets;              ///< one at order 2
  api::CallShape shape;  ///< of a call with the first pieces: batch, heads and dims are those of all
  planning::Request request;
  std::vector<planning::Domain> domains;             ///< per head, as the two below
  std::vector<std::vector<double>> samples;          ///< representatives drawn from a declared domain
  std::vector<planning::PreparedHead> heads;         ///< at order 2
  std::vector<planning::TupleDecision> tuple_heads;  ///< at order 3 and above
  PlanReport report;

  [[nodiscard]] std::vector<planning::HeadDecision> decisions() const;
};

}  // namespace polyattn::detail

namespace polyattn::api {

/// Why exact answers rows that see keys by their place.
inline constexpr const char* kSumsOfAllKeys = "sums prepared over all keys do not serve rows that see some of them";

/// Throws Error (unsupported) for what belongs to one query set, of a length not known yet.
void check_preparable(const Options& options);

/// Queries of no rows, as these key sets would have them; without a number of heads from the options, as many as the
/// set that has most.
ConstView no_queries(const PrepareOptions& options, std::span<const ConstView> keys) noexcept;
/// Keys or values of every set, of the first piece of each.
std::vector<ConstView> first_keys(const detail::PreparedState& state);
std::vector<ConstView> first_values(const detail::PreparedState& state);

/// What plans read queries from: the caller's representatives, or none yet.
ConstView representatives(const detail::PreparedState& state);
/// Fills the domain of head i, and draws its representatives where the caller gave none.
void set_head_domain(detail::PreparedState& state, std::size_t i, const engines::HeadProblem& problem,
                     const base::Context& context);

void set_domain(detail::PreparedState& state, const QueryDomain& domain);

/// Problems of order 2 over all pieces; `q` gives batch, heads and queries.
std::vector<engines::HeadProblem> problems_over(const detail::PreparedState& state, const ConstView& q);

/// Fills everything that follows from options, domain and pieces. Cost: planning, and sums over all keys.
void build(detail::PreparedState& state);

/// The state with one more piece. Heads whose plans carry the new keys add them; others are prepared anew.
std::shared_ptr<const detail::PreparedState> extended(const detail::PreparedState& state,
                                                      std::shared_ptr<const KeyPiece> piece);

}  // namespace polyattn::api
