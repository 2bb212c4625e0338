#include "lab/threshold/study.hpp"

#include "lab/threshold/crossing.hpp"
#include "lab/threshold/theory.hpp"
#include "polyattn/error.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

namespace polyattn::lab {

namespace {

/// B in five digits, so that tables read well and a sweep is the same on every machine.
double rounded(double entries) { return std::strtod(fmt::format("{:.5g}", entries).c_str(), nullptr); }

/// The sweep of one n.
class Column {
 public:
  Column(const StudyPlan& plan, const Look& look, std::int64_t n, std::vector<Point>& points, const Save& save,
         const Looker& looker)
      : plan_(plan), look_(look), n_(n), points_(points), save_(save), looker_(looker) {}

  /// The point at `entries`, looked at if it is not there yet.
  const Point& at(double entries) {
    auto found = std::ranges::find_if(points_, [&](const Point& p) { return p.n == n_ && p.entries == entries; });
    if (found == points_.end()) {
      Point point = looker_.predict(plan_.settings, instance(), entries, look_);
      if (plan_.measure) looker_.measure(plan_.settings, instance(), look_, point);
      points_.push_back(point);
      save_(points_);
      return points_.back();
    }
    if (plan_.measure && std::isnan(found->exact_measured)) {
      Point measured = *found;
      looker_.measure(plan_.settings, instance(), look_, measured);
      *found = measured;
      save_(points_);
    }
    return *found;
  }

 private:
  /// Made when first needed: a continued study may need it for no B.
  const Instance& instance() {
    if (!instance_) {
      instance_.emplace(plan_.settings.order, n_, dimensions(plan_.settings.dims_per_log, n_), plan_.settings.seed);
    }
    return *instance_;
  }

  const StudyPlan& plan_;
  const Look& look_;
  std::int64_t n_;
  std::vector<Point>& points_;
  const Save& save_;
  const Looker& looker_;
  std::optional<Instance> instance_;
};

/// Halves the bracket of a crossing until its ends are within `ratio`, or halving it tells nothing new.
template <class Find>
void narrow(Column& column, double ratio, const Find& crossing) {
  Crossing now = crossing();
  while (now.outcome == Outcome::crossed && now.high > now.low * ratio) {
    const double middle = rounded(std::sqrt(now.low * now.high));
    if (!(middle > now.low && middle < now.high)) return;
    column.at(middle);
    const Crossing next = crossing();
    if (next.low == now.low && next.high == now.high) return;
    now = next;
  }
}

/// `tell` hears the share of the column that is done.
void run_column(const StudyPlan& plan, std::int64_t n, Column& column, const std::vector<Point>& points,
                const Progress& tell) {
  constexpr int most_lost = 3;
  const std::vector<double> sweep = sweep_of(plan.range);
  const double steps = static_cast<double>(sweep.size()) + 4.0;
  bool cheaper = false;
  int lost = 0;
  for (std::size_t i = 0; i < sweep.size() && lost < most_lost; ++i) {
    tell(static_cast<double>(i) / steps);
    const bool now = column.at(sweep[i]).predicted_ratio() < 1.0;
    lost = cheaper && !now ? lost + 1 : 0;
    cheaper = cheaper || now;
  }
  tell(static_cast<double>(sweep.size()) / steps);
  narrow(column, plan.bracket, [&] { return predicted_crossing(n, points); });
  if (!plan.measure) return;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (points[i].n == n) column.at(points[i].entries);  // of an earlier study without measurements
  }
  // Clocks are not that sharp.
  narrow(column, std::max(plan.bracket, 1.04), [&] { return measured_crossing(n, points); });
}

}  // namespace

Usual usual_study(int order) {
  if (order == 2) return {0.5, 0.5, {0.5, 4.0, 19}, 10, 20};
  if (order == 3) return {1.0, 1.0, {0.5, 3.5, 18}, 10, 13};
  return {1.0, 1.0, {0.5, 3.0, 16}, 10, 14};
}

std::vector<double> sweep_of(const Range& range) {
  std::vector<double> sweep;
  for (int i = 0; i < range.steps; ++i) {
    const double share = range.steps == 1 ? 0.0 : static_cast<double>(i) / (range.steps - 1);
    sweep.push_back(rounded(range.low * std::pow(range.high / range.low, share)));
  }
  sweep.erase(std::unique(sweep.begin(), sweep.end()), sweep.end());
  return sweep;
}

void run_study(const StudyPlan& plan, const Look& look, std::vector<Point>& points, const Save& save,
               const Looker& looker) {
  double all = 0.0;
  for (const std::int64_t n : plan.lengths) all += static_cast<double>(n);
  double before = 0.0;
  for (const std::int64_t n : plan.lengths) {
    double share = before / all;
    const auto tell = [&](double of_column) {
      share = (before + of_column * static_cast<double>(n)) / all;
      if (look.progress && !look.progress(share)) throw Error(ErrorCode::cancelled, "interrupted");
      return true;
    };
    Look quiet = look;  // the library's own progress starts at 0 with every call: only its power to cancel is used
    if (look.progress) quiet.progress = [&](double) { return look.progress(share); };
    Column column(plan, quiet, n, points, save, looker);
    run_column(plan, n, column, points, tell);
    before += static_cast<double>(n);
  }
}

}  // namespace polyattn::lab
