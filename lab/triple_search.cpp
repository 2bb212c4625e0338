#include "lab/triple_search.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <string>

namespace polyattn::lab {

namespace {

/// Tuples of a block of rows: about a second's work, so that a yes among the first rows is found soon and threads still
/// have enough to share. And numbers its queries take.
constexpr std::int64_t block_tuples = std::int64_t{1} << 27;
constexpr std::int64_t block_numbers = std::int64_t{1} << 24;
constexpr std::int64_t fewest_rows = 16;

class Searcher {
 public:
  Searcher(const TripleAttention& problem, const Oracle& oracle, const Progress& progress)
      : problem_(problem), oracle_(oracle), progress_(progress) {
    report_.rows = problem.rows;
    report_.tuples = (problem.real[0] + problem.pads[0]) * (problem.real[1] + problem.pads[1]);
    report_.dim = problem.dim;
    report_.decision = problem.decision;
  }

  [[nodiscard]] std::int64_t block() const {
    const std::int64_t rows = std::max(fewest_rows, block_tuples / std::max<std::int64_t>(report_.tuples, 1));
    return std::max<std::int64_t>(1, std::min(rows, block_numbers / std::max<std::int64_t>(problem_.dim, 1)));
  }

  std::vector<bool> decide(std::int64_t first, std::int64_t count, const TripleKeys& keys, const Progress& progress) {
    const auto dim = static_cast<std::size_t>(problem_.dim);
    queries_.assign(static_cast<std::size_t>(count) * dim, 0.0F);
    for (std::int64_t i = 0; i < count; ++i) {
      problem_.query(first + i, std::span(queries_).subspan(static_cast<std::size_t>(i) * dim, dim));
    }
    const Answers answers = oracle_(queries_, keys, problem_.decision, progress);
    if (answers.outputs.size() != static_cast<std::size_t>(count)) {
      throw Error(ErrorCode::invalid_argument, "oracle: expected " + std::to_string(count) + " outputs, got " +
                                                   std::to_string(answers.outputs.size()));
    }
    check_accuracy(problem_.decision, answers);
    if (report_.calls++ == 0) {
      report_.engine = answers.engine;
      report_.arithmetic = answers.arithmetic;
    }
    report_.absolute = std::max(report_.absolute, answers.absolute);
    report_.relative = std::max(report_.relative, answers.relative);
    std::vector<bool> yes;
    for (const double output : answers.outputs) yes.push_back(output > problem_.decision.threshold);
    return yes;
  }

  /// Rows until `enough` of what is decided so far.
  template <class Enough>
  std::vector<bool> scan(const Enough& enough) {
    const TripleKeys keys = keys_of(problem_, {{{0, problem_.real[0]}, {0, problem_.real[1]}}});
    std::vector<bool> decided;
    while (report_.rows_answered < problem_.rows && !enough(decided)) {
      const std::int64_t first = report_.rows_answered;
      const std::int64_t count = std::min(block(), problem_.rows - first);
      const std::vector<bool> more = decide(first, count, keys, part_of(first, count));
      decided.insert(decided.end(), more.begin(), more.end());
      report_.rows_answered += count;
    }
    return decided;
  }

  /// The keys that `row`, which says yes, says yes to.
  Triple bisect(std::int64_t row) {
    std::array<KeyInterval, 2> interval{{{0, problem_.real[0]}, {0, problem_.real[1]}}};
    for (KeyInterval& side : interval) {
      while (side.end - side.begin > 1) {
        const KeyInterval whole = side;
        const std::int64_t middle = whole.begin + (whole.end - whole.begin) / 2;
        side.end = middle;
        const bool in_first_half = decide(row, 1, keys_of(problem_, interval), unmoved()).front();
        if (!in_first_half) side = {middle, whole.end};
      }
    }
    return {row, interval[0].begin, interval[1].begin};
  }

  [[nodiscard]] const SearchReport& report() const noexcept { return report_; }

 private:
  [[nodiscard]] Progress part_of(std::int64_t first, std::int64_t count) const {
    if (!progress_) return {};
    return [this, first, count](double done) {
      return progress_((static_cast<double>(first) + done * static_cast<double>(count)) /
                       static_cast<double>(problem_.rows));
    };
  }
  [[nodiscard]] Progress unmoved() const {
    if (!progress_) return {};
    return [this](double) { return progress_(1.0); };
  }

  const TripleAttention& problem_;
  const Oracle& oracle_;
  const Progress& progress_;
  std::vector<float> queries_;
  SearchReport report_;
};

bool some(const std::vector<bool>& decided) { return std::ranges::find(decided, true) != decided.end(); }

}  // namespace

Search search(const TripleAttention& problem, const Oracle& oracle, const Progress& progress) {
  Searcher searcher(problem, oracle, progress);
  const bool keys = problem.real[0] > 0 && problem.real[1] > 0;
  Search result;
  if (keys) {
    const std::vector<bool> decided = searcher.scan(some);
    const auto yes = std::ranges::find(decided, true);
    if (yes != decided.end()) result.found = searcher.bisect(yes - decided.begin());
  }
  result.report = searcher.report();
  return result;
}

std::vector<bool> decide_rows(const TripleAttention& problem, const Oracle& oracle, const Progress& progress,
                              SearchReport* report) {
  Searcher searcher(problem, oracle, progress);
  std::vector<bool> decided = searcher.scan([](const std::vector<bool>&) { return false; });
  if (report != nullptr) *report = searcher.report();
  return decided;
}

}  // namespace polyattn::lab
