#include "planning/head_group.hpp"

#include "base/error.hpp"
#include "engines/exact/stream.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

namespace polyattn::planning {

using base::usize;
using engines::HeadOutputs;
using engines::HeadProblem;
using engines::KeyStatistics;
using engines::RowList;

namespace {

using Array = double* HeadOutputs::*;
constexpr std::array<Array, 7> kArrays = {&HeadOutputs::lse,           &HeadOutputs::lse_bound, &HeadOutputs::row_max,
                                          &HeadOutputs::approximation, &HeadOutputs::rounding,  &HeadOutputs::storage,
                                          &HeadOutputs::relative};

/// All queries of the group as those of one head.
HeadProblem join(std::span<const HeadProblem> heads) {
  HeadProblem joined = heads.front();
  for (const HeadProblem& head : heads.subspan(1)) {
    base::append_rows(joined.queries, head.queries);
  }
  joined.positions = heads.front().n_q();
  return joined;
}

}  // namespace

/// Answers to all rows of the group.
struct HeadGroup::Joint {
  Joint(std::span<const HeadProblem> heads, const HeadOutputs& like, base::MemoryMeter* memory)
      : problem(join(heads)),
        rows(heads.front().n_q()),
        element(size_of(like.output.dtype)),
        output(base::checked_mul(problem.n_q() * problem.value_dim(), static_cast<std::int64_t>(element), "output"),
               memory) {
    outputs.output = {output.data(), like.output.dtype, problem.value_dim(), 1};
    for (std::size_t i = 0; i < kArrays.size(); ++i) {
      if (like.*kArrays[i] != nullptr) {
        arrays[i] = base::Buffer<double>(problem.n_q(), memory);
        outputs.*kArrays[i] = arrays[i].data();
      }
    }
  }
  /// The part of head `index`.
  void give(std::int64_t index, const HeadOutputs& out) const noexcept {
    const std::int64_t first = index * rows;
    for (const Array array : kArrays) {
      if (out.*array != nullptr) {
        std::copy_n(outputs.*array + first, rows, out.*array);
      }
    }
    auto* to = static_cast<std::byte*>(out.output.data);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t c = 0; c < problem.value_dim(); ++c) {
        std::memcpy(to + usize(i * out.output.row_stride + c * out.output.column_stride) * element,
                    output.data() + usize((first + i) * problem.value_dim() + c) * element, element);
      }
    }
  }

  HeadProblem problem;
  std::int64_t rows;
  std::size_t element;
  base::Buffer<std::byte> output;
  std::array<base::Buffer<double>, kArrays.size()> arrays;
  HeadOutputs outputs;
  KeyStatistics statistics;
  bool failed = false;  ///< some row cannot be answered: each head is to say so by itself
};

bool share_keys(const HeadProblem& a, const HeadProblem& b) noexcept {
  return a.batch == b.batch && a.keys == b.keys && a.values == b.values && a.bias == b.bias;
}

HeadGroup::HeadGroup(std::span<const HeadProblem> heads) : heads_(heads) {}
HeadGroup::~HeadGroup() = default;

bool HeadGroup::few(const RowList& list) const noexcept {
  const std::int64_t n_q = heads_.front().n_q();
  return list.count(n_q * static_cast<std::int64_t>(heads_.size())) <= engines::kFewRows;
}

template <class T>
KeyStatistics HeadGroup::few_rows(const HeadProblem& head, const RowList& list, const HeadOutputs& out,
                                  const base::Context& context) {
  const bool together = list.all && heads_.size() > 1 &&
                        std::all_of(heads_.begin(), heads_.end(), [&](const auto& h) { return h.pairs == head.pairs; });
  if (!together) {
    return engines::stream_rows<T>(head, list, out, context);
  }
  std::unique_ptr<Joint>& joint = joint_[sizeof(T) == sizeof(float) ? 0 : 1];
  if (joint == nullptr) {
    joint = std::make_unique<Joint>(heads_, out, context.memory);
    try {
      joint->statistics = engines::stream_rows<T>(joint->problem, list, joint->outputs, context);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::non_finite) {
        throw;
      }
      joint->failed = true;
    }
  }
  if (joint->failed) {
    return engines::stream_rows<T>(head, list, out, context);
  }
  joint->give(&head - heads_.data(), out);
  return joint->statistics;
}

template <class T>
const engines::PackedKeys<T>& HeadGroup::packed(const HeadProblem& head, const base::Context& context) {
  if (!std::holds_alternative<engines::PackedKeys<T>>(packed_)) {
    packed_ = std::monostate{};  // before there are two
    packed_ = engines::pack_keys<T>(head, context);
  }
  return std::get<engines::PackedKeys<T>>(packed_);
}

template KeyStatistics HeadGroup::few_rows<float>(const HeadProblem&, const RowList&, const HeadOutputs&,
                                                  const base::Context&);
template KeyStatistics HeadGroup::few_rows<double>(const HeadProblem&, const RowList&, const HeadOutputs&,
                                                   const base::Context&);
template const engines::PackedKeys<float>& HeadGroup::packed<float>(const HeadProblem&, const base::Context&);
template const engines::PackedKeys<double>& HeadGroup::packed<double>(const HeadProblem&, const base::Context&);

}  // namespace polyattn::planning
