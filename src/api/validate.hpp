#pragma once

/// The public boundary: every argument is checked here, once, and turned into one problem per head.

#include "api/views.hpp"
#include "engines/capabilities.hpp"
#include "engines/problem.hpp"
#include "planning/request.hpp"
#include "polyattn/attention.hpp"

#include <span>
#include <vector>

namespace polyattn::api {

/// Sizes of a call, all checked.
struct CallShape {
  std::int64_t batch = 0;
  std::int64_t query_heads = 0;
  std::int64_t key_heads = 0;
  std::int64_t n_q = 0;
  std::int64_t n_kv = 0;  ///< of the first key set
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  std::vector<std::int64_t> set_keys{};  ///< of every key set
};

/// Checks views against each other. Throws Error (invalid_argument) naming the two that do not fit, and how.
CallShape check_shapes(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values);
/// Checks numbers, masks and combinations. Throws Error (invalid_argument or unsupported).
void check_options(const Options& options, const CallShape& shape, std::size_t key_sets);
/// Throws Error (unsupported), naming both and who can, unless the engine (for `automatic`: some choice) has the
/// feature.
void require(Engine engine, engines::Feature feature, std::size_t order = 2);

planning::Request make_request(const Options& options, const ConstView& q, std::span<const ConstView> keys,
                               std::span<const ConstView> values);
/// Problems in batch-major order.
std::vector<engines::HeadProblem> make_problems(const ConstView& q, std::span<const ConstView> keys,
                                                std::span<const ConstView> values, const Options& options,
                                                const CallShape& shape);

}  // namespace polyattn::api
