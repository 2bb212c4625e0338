#include "api/words.hpp"
#include "polyattn/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace polyattn {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Columns padded to the widest entry, the first to the left, the others to the right.
std::string table(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines.front().size(), 0);
  for (const auto& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) {
      widths[c] = std::max(widths[c], line[c].size());
    }
  }
  std::string out;
  for (const auto& line : lines) {
    out += " ";
    for (std::size_t c = 0; c < line.size(); ++c) {
      out += " " + std::string(c == 0 ? 0 : 1, ' ') + std::string(widths[c] - line[c].size(), ' ') + line[c];
    }
    out += "\n";
  }
  return out;
}

std::string percent(double share) { return std::isfinite(share) ? api::number(100.0 * share) + " %" : "-"; }

std::string name(const SweepRow& row) {
  return std::string(name_of(row.engine)) + (row.kind == CertificateKind::sampled ? " (sampled)" : "");
}

std::string head_table(const HeadSweep& head) {
  std::vector<std::vector<std::string>> lines{
      {"tolerance", "engine", "arithmetic", "degree", "rank", "bound", "time", "of exact", "rows to exact"}};
  for (const SweepRow& row : head.rows) {
    if (!row.reachable) {
      lines.push_back({api::number(row.asked), "not reachable", "-", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    const bool polynomial = row.engine == Engine::polynomial;
    lines.push_back({api::number(row.asked), name(row), name_of(row.arithmetic),
                     polynomial ? std::to_string(row.degree) : "-", polynomial ? std::to_string(row.rank) : "-",
                     std::isfinite(row.predicted_bound) ? api::number(row.predicted_bound) : "-",
                     api::duration(row.predicted_seconds), percent(row.predicted_seconds / row.exact_seconds),
                     percent(row.fallback_share)});
  }
  return table(lines);
}

/// All heads together: times added up, how many of them a polynomial answers.
std::string total_table(const SweepReport& sweep) {
  std::vector<std::vector<std::string>> lines{
      {"tolerance", "polynomial heads", "degrees", "largest bound", "time", "of exact", "rows to exact"}};
  for (std::size_t t = 0; t < sweep.heads.front().rows.size(); ++t) {
    int polynomial = 0;
    int lowest = std::numeric_limits<int>::max();
    int highest = -1;
    double bound = 0.0;
    double seconds = 0.0;
    double exact = 0.0;
    double left = 0.0;
    for (const HeadSweep& head : sweep.heads) {
      const SweepRow& row = head.rows[t];
      if (row.engine == Engine::polynomial) {
        ++polynomial;
        lowest = std::min(lowest, row.degree);
        highest = std::max(highest, row.degree);
      }
      bound = std::max(bound, row.reachable ? row.predicted_bound : kInfinity);
      seconds += row.reachable ? row.predicted_seconds : kInfinity;
      exact += row.exact_seconds;
      left += row.fallback_share;
    }
    const std::string degrees = highest < 0         ? "-"
                                : lowest == highest ? std::to_string(lowest)
                                                    : std::to_string(lowest) + "-" + std::to_string(highest);
    lines.push_back({api::number(sweep.heads.front().rows[t].asked), std::to_string(polynomial), degrees,
                     std::isfinite(bound) ? api::number(bound) : "-", api::duration(seconds), percent(seconds / exact),
                     percent(left / static_cast<double>(sweep.heads.size()))});
  }
  return table(lines);
}

}  // namespace

std::string describe(const SweepReport& sweep) {
  constexpr std::size_t kMostHeadsInFull = 8;
  const std::size_t heads = sweep.heads.size();
  std::string out = "sweep: " + std::to_string(heads) + (heads == 1 ? " head, " : " heads, ") +
                    std::to_string(sweep.threads) + (sweep.threads == 1 ? " thread, " : " threads, ") +
                    sweep.instruction_set + ", planned in " + api::duration(sweep.planning_seconds) + "\n";
  if (heads <= kMostHeadsInFull) {
    for (const HeadSweep& head : sweep.heads) {
      const InputStatistics& s = head.statistics;
      out += "batch " + std::to_string(head.batch) + ", head " + std::to_string(head.head) + ": " +
             std::to_string(s.queries) + " queries x " + std::to_string(s.keys) + " keys, dim " +
             std::to_string(s.dim) + ", value dim " + std::to_string(s.value_dim);
      if (head.statistics_known) {
        out += ", value range " + api::number(s.value_range) + ", score radius " + api::number(s.radius_after);
      }
      out += "; the constant answer mean(V) would err by about " + api::number(head.mean_answer_error) + "\n" +
             head_table(head);
    }
  }
  if (heads > 1) {
    out += "all heads:\n" + total_table(sweep);
  }
  return out;
}

}  // namespace polyattn
