// Streams as objects. Tokens and queries are checked in streaming_append.cpp and streaming_query.cpp, the mathematics
// is in engines/polynomial/streaming.

#include "polyattn/streaming.hpp"

#include "api/streaming_bytes.hpp"
#include "api/streaming_file.hpp"
#include "api/streaming_state.hpp"
#include "api/views.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/parallel.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace polyattn {

namespace detail {

StreamState::StreamState(const StreamingOptions& given, const StreamingResources& resources)
    : memory(resources.max_memory), options(given) {
  if (resources.threads < 0 || resources.threads > 4096) {
    base::fail(ErrorCode::invalid_argument, "threads", "0 (all) to 4096", std::to_string(resources.threads));
  }
  const engines::StreamDeclaration declared = api::declare_stream(options);
  const api::StreamDegree chosen = api::choose_degree(options, declared, resources.max_memory);
  options.degree = chosen.degree;
  bound = chosen.bound;
  model = engines::make_stream_model(declared, chosen.degree);
  const std::int64_t count = base::checked_mul(options.batch, options.heads, "batch and heads");
  const int wanted = resources.threads == 0 ? base::hardware_threads() : resources.threads;
  threads = static_cast<int>(std::clamp<std::int64_t>(count, 1, wanted));
  for (std::int64_t i = 0; i < count; ++i) {
    heads.emplace_back(model, &memory);
  }
  for (int i = 0; i < threads; ++i) {
    scratch.emplace_back(model, &memory);
  }
}

}  // namespace detail

using base::fail;
using detail::StreamState;

StreamingState::StreamingState(const StreamingOptions& options, const StreamingResources& resources) {
  const base::FloatEnvironment environment;
  state_ = std::make_unique<StreamState>(options, resources);
}
StreamingState::StreamingState(std::unique_ptr<detail::StreamState> state) noexcept : state_(std::move(state)) {}
StreamingState::StreamingState(StreamingState&& other) noexcept = default;
StreamingState& StreamingState::operator=(StreamingState&& other) noexcept = default;
StreamingState::~StreamingState() = default;

void StreamingState::append(const ConstView& key, const ConstView& value, const std::optional<ConstView>& key_bias) {
  const base::FloatEnvironment environment;
  api::append_tokens(*state_, key, value, key_bias ? &*key_bias : nullptr);
}

Certificate StreamingState::query_into(const Destinations& out, const ConstView& q) const {
  const base::FloatEnvironment environment;
  return api::answer_queries(*state_, out, q);
}

StreamingAnswer StreamingState::query(const ConstView& q) const {
  api::check_view("q", q);
  const Shape per_row{q.shape[0], q.shape[1], q.shape[2], 1};
  StreamingAnswer answer;
  answer.output = Tensor(state_->options.output_dtype, {q.shape[0], q.shape[1], q.shape[2], state_->options.value_dim});
  answer.lse = Tensor(DType::float64, per_row);
  answer.lse_bound = Tensor(DType::float64, per_row);
  answer.row_bounds = Tensor(DType::float64, per_row);
  Destinations out;
  out.output = answer.output.view();
  out.lse = answer.lse.view();
  out.lse_bound = answer.lse_bound.view();
  out.row_bounds = answer.row_bounds.view();
  answer.certificate = query_into(out, q);
  return answer;
}

void StreamingState::merge(const StreamingState& other) {
  const base::FloatEnvironment environment;
  StreamState& state = *state_;
  const StreamState& from = *other.state_;
  if (!api::declared_alike(state.options, from.options)) {
    fail(ErrorCode::invalid_argument, "other", "a stream declared as this one is", "another declaration");
  }
  if (&state == &from) {
    fail(ErrorCode::invalid_argument, "other", "tokens that this stream does not have", "the stream itself");
  }
  for (std::size_t i = 0; i < state.heads.size(); ++i) {
    const engines::StreamHead& a = state.heads[i];
    const engines::StreamHead& b = from.heads[i];
    const bool alike = std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(),
                                  [](const auto& x, const auto& y) { return x.centre == y.centre; });
    if (a.visible != 0 && b.visible != 0 && !alike) {
      fail(ErrorCode::invalid_argument, "other",
           "values with the same centre: declare value_low and value_high of streams to be merged", "another centre");
    }
  }
  for (std::size_t i = 0; i < state.heads.size(); ++i) {
    engines::merge_head(state.model, from.heads[i], state.heads[i]);
  }
}

StreamingReport StreamingState::report() const {
  StreamingReport report;
  report.degree = state_->model.features.degree;
  report.rank = state_->model.rank();
  report.radius = state_->model.frame.radius;
  report.a_priori_bound = state_->bound;
  report.tolerance = state_->options.tolerance.value;
  report.tokens = state_->heads.front().tokens;
  report.bytes = state_->memory.peak();
  return report;
}

const StreamingOptions& StreamingState::options() const noexcept { return state_->options; }

std::vector<std::byte> StreamingState::save() const { return api::stream_to_bytes(*state_); }
void StreamingState::save(const std::string& path) const { api::write_file(path, save()); }

StreamingState StreamingState::load(std::span<const std::byte> bytes, const StreamingResources& resources) {
  const base::FloatEnvironment environment;
  return StreamingState(api::stream_from_bytes(bytes, resources));
}
StreamingState StreamingState::load(const std::string& path, const StreamingResources& resources) {
  return load(api::read_file(path), resources);
}

}  // namespace polyattn
