#include "lab/nearest.hpp"

#include "lab/hamming_table.hpp"
#include "polyattn/error.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

namespace polyattn::lab {

namespace {

/// Keys [first, last), reached by halving `depth` times: at one depth their numbers differ by 1 at most.
struct Range {
  std::int64_t first = 0;
  std::int64_t last = 0;
  int depth = 0;
};

/// What is known of a row: every key is farther than `low`; some key is nearer than the far end of the gap at `high`.
struct RowState {
  std::int64_t low = -1;
  std::int64_t high = 0;
  std::vector<Range> open;  // ranges still to be asked about at `high`, the next one last
  std::int64_t answer = -1;
  bool halving = false;
  std::int64_t step = 0;  // how far beyond `low` to ask next, after halving has failed; 0: in the middle

  [[nodiscard]] std::int64_t level() const noexcept {
    return step > 0 ? std::min(low + step, high - 1) : low + (high - low) / 2;
  }
};

/// Rows with the same threshold and ranges of one depth are asked together.
struct Group {
  std::vector<std::int64_t> rows;
  std::map<std::int64_t, GapCell> cells;  // by first key
};

class Search {
 public:
  Search(const BitVectors& a, const BitVectors& b, const NearestOptions& options)
      : a_(a), b_(b), options_(options), rows_(static_cast<std::size_t>(a.count())) {
    while (gap_at(all_near_, options.ratio).far <= a.dimension()) ++all_near_;
    for (RowState& row : rows_) row.high = all_near_;
  }

  Nearest run() {
    std::int64_t left = advance_all();
    while (left > 0) {
      for (const auto& [key, group] : groups()) {
        report();
        decide(gap_at(key.first, options_.ratio), group);
      }
      left = advance_all();
    }
    Nearest out;
    out.cost = cost_;
    out.index.reserve(rows_.size());
    for (const RowState& row : rows_) out.index.push_back(row.answer);
    return out;
  }

  /// One threshold, all rows and keys.
  std::vector<std::uint8_t> decide_once(std::int64_t near) {
    if (near >= all_near_) return std::vector<std::uint8_t>(rows_.size(), 1);
    const HammingGap gap = gap_at(near, options_.ratio);
    Group group;
    group.rows.resize(rows_.size());
    std::iota(group.rows.begin(), group.rows.end(), 0);
    group.cells[0] = {group.rows, 0, b_.count()};
    if (!use_table(gap.near)) return group.rows.empty() ? std::vector<std::uint8_t>{} : attention(gap, group);
    std::vector<std::uint8_t> answers;
    for (const std::int64_t i : group.rows) answers.push_back(look_up(i, gap.near) ? 1 : 0);
    return answers;
  }

  [[nodiscard]] const NearestCost& cost() const noexcept { return cost_; }

 private:
  static Range half(const Range& range, bool right) {
    const std::int64_t middle = range.first + (range.last - range.first + 1) / 2;
    return right ? Range{middle, range.last, range.depth + 1} : Range{range.first, middle, range.depth + 1};
  }

  /// A yes on `range`: the answer if it is one key, else its halves come next.
  static void narrow(RowState& row, const Range& range) {
    if (range.last - range.first == 1) {
      row.answer = range.first;
      return;
    }
    row.open.push_back(half(range, true));
    row.open.push_back(half(range, false));
  }

  /// Brings every row to its next question; how many have one.
  std::int64_t advance_all() {
    std::int64_t left = 0;
    for (RowState& row : rows_) {
      if (row.answer < 0) advance(row);
      left += row.answer < 0 ? 1 : 0;
    }
    return left;
  }

  void advance(RowState& row) const {
    if (!row.open.empty()) return;
    if (row.halving) {  // no range holds a key within `high`, so the nearest is farther
      row.low = row.high;
      row.high = all_near_;
      row.halving = false;
      row.step = 1;
    }
    if (row.high - row.low > 1) return;
    if (row.high == all_near_) {
      row.answer = 0;
      return;
    }
    row.halving = true;
    narrow(row, {0, b_.count(), 0});
  }

  std::map<std::pair<std::int64_t, int>, Group> groups() const {
    std::map<std::pair<std::int64_t, int>, Group> out;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const RowState& row = rows_[i];
      if (row.answer >= 0) continue;
      const Range range = row.open.empty() ? Range{0, b_.count(), 0} : row.open.back();
      const std::int64_t level = row.open.empty() ? row.level() : row.high;
      Group& group = out[{level, range.depth}];
      GapCell& cell = group.cells[range.first];
      cell.first_key = range.first;
      cell.last_key = range.last;
      cell.rows.push_back(static_cast<std::int64_t>(i));
    }
    for (auto& [key, group] : out) {
      for (const auto& [first, cell] : group.cells) {
        group.rows.insert(group.rows.end(), cell.rows.begin(), cell.rows.end());
      }
    }
    return out;
  }

  void decide(const HammingGap& gap, const Group& group) {
    const bool searching = rows_[static_cast<std::size_t>(group.rows.front())].open.empty();
    if (searching && use_table(gap.near)) {
      for (const std::int64_t i : group.rows) {
        RowState& row = rows_[static_cast<std::size_t>(i)];
        const auto found = look_up(i, gap.near);
        if (found) {
          row.answer = *found;  // the nearest itself
        } else {
          row.low = gap.near;
        }
      }
      return;
    }
    const std::vector<std::uint8_t> answers = attention(gap, group);
    for (std::size_t k = 0; k < answers.size(); ++k) {
      RowState& row = rows_[static_cast<std::size_t>(group.rows[k])];
      if (searching) {
        (answers[k] != 0 ? row.high : row.low) = gap.near;
        row.step = answers[k] != 0 ? 0 : 2 * row.step;
        continue;
      }
      const Range range = row.open.back();
      row.open.pop_back();
      if (answers[k] != 0) narrow(row, range);
    }
  }

  std::vector<std::uint8_t> attention(const HammingGap& gap, const Group& group) {
    if (!options_.oracle) throw Error(ErrorCode::invalid_argument, "oracle: expected one, got none");
    std::vector<GapCell> cells;
    for (const auto& [first, cell] : group.cells) cells.push_back(cell);
    const auto measured = [&](const Order2Instance& instance) {
      count(instance);
      return options_.oracle(instance);
    };
    const std::int64_t keys = std::ranges::max(cells, {}, &GapCell::keys).keys();
    const GapReduction constants = reduce_gap(options_.shape, a_.dimension(), gap, keys);
    cost_.largest_entry = std::max(cost_.largest_entry, constants.entry);
    cost_.smallest_threshold = std::min(cost_.smallest_threshold, constants.threshold);
    return decide_gap(options_.shape, a_, b_, cells, gap, measured);
  }

  void count(const Order2Instance& instance) {
    cost_.calls += 1;
    cost_.decisions += instance.rows();
    if (!instance.segments) {
      cost_.scores += instance.rows() * instance.key_count();
      return;
    }
    const Segments& parts = *instance.segments;
    for (std::size_t s = 1; s < parts.key_offsets.size(); ++s) {
      cost_.scores +=
          (parts.query_offsets[s] - parts.query_offsets[s - 1]) * (parts.key_offsets[s] - parts.key_offsets[s - 1]);
    }
  }

  [[nodiscard]] bool use_table(std::int64_t near) const {
    return options_.branch == GapBranch::table ||
           (options_.branch == GapBranch::automatic && table_is_cheap(a_.dimension(), near, b_.count()));
  }

  std::optional<std::int64_t> look_up(std::int64_t i, std::int64_t near) {
    constexpr std::int64_t most = std::int64_t{1} << 28;
    constexpr std::int64_t long_enough = std::int64_t{1} << 14;  // to report for one row
    const std::int64_t probes = ball_size(a_.dimension(), near);
    if (probes > most) {
      throw Error(ErrorCode::unsupported, "branch table: more than 2^28 vectors of " + std::to_string(a_.dimension()) +
                                              " bits lie within " + std::to_string(near));
    }
    if (!table_) table_.emplace(b_);
    if (++cost_.looked_up % 64 == 0 || probes > long_enough) report();
    return table_->within(a_[i], near);
  }

  /// The share of the rows that are done.
  void report() const {
    if (!options_.progress) return;
    double done = 0.0;
    for (const RowState& row : rows_) done += row.answer >= 0 ? 1.0 : row.halving ? 0.5 : 0.0;
    if (!options_.progress(done / static_cast<double>(rows_.size()))) throw Error(ErrorCode::cancelled, "cancelled");
  }

  const BitVectors& a_;
  const BitVectors& b_;
  const NearestOptions& options_;
  std::vector<RowState> rows_;
  std::int64_t all_near_ = 0;  // the least threshold at which no key can be far
  std::optional<HammingTable> table_;
  NearestCost cost_;
};

void check(const BitVectors& a, const BitVectors& b, const NearestOptions& options) {
  if (a.dimension() != b.dimension()) {
    throw Error(ErrorCode::invalid_argument, "dimension: expected as many bits in both sets, got " +
                                                 std::to_string(a.dimension()) + " and " +
                                                 std::to_string(b.dimension()));
  }
  if (b.count() == 0 && a.count() > 0)
    throw Error(ErrorCode::invalid_argument, "b: expected at least one row, got none");
  gap_at(0, options.ratio);
}

}  // namespace

Nearest nearest_by_attention(const BitVectors& a, const BitVectors& b, const NearestOptions& options) {
  check(a, b, options);
  return Search(a, b, options).run();
}

std::vector<std::uint8_t> gap_ann(const BitVectors& a, const BitVectors& b, std::int64_t near,
                                  const NearestOptions& options, NearestCost* cost) {
  check(a, b, options);
  Search search(a, b, options);
  std::vector<std::uint8_t> answers = search.decide_once(near);
  if (cost != nullptr) *cost = search.cost();
  return answers;
}

}  // namespace polyattn::lab
