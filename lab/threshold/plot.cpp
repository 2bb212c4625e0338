#include "lab/threshold/plot.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cmath>

namespace polyattn::lab {

namespace {

// Pixels.
constexpr double kWidth = 970.0;
constexpr double kHeight = 560.0;
constexpr double kLeft = 70.0;
constexpr double kRight = 650.0;
constexpr double kTop = 44.0;
constexpr double kBottom = 500.0;
constexpr double kLegend = 668.0;
constexpr double kLegendStep = 22.0;

double share(const Axis& axis, double value) {
  const auto at = [&](double v) { return axis.logarithmic ? std::log(v) : v; };
  return (at(value) - at(axis.low)) / (at(axis.high) - at(axis.low));
}

std::string tip_text(const std::string& tip) { return tip.empty() ? "" : "<title>" + escaped(tip) + "</title>"; }

std::string dashes(const std::string& dash) {
  return dash.empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", dash);
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::vector<std::pair<double, std::string>> decimal_ticks(double low, double high) {
  std::vector<std::pair<double, std::string>> ticks;
  for (int power = static_cast<int>(std::floor(std::log10(low))); std::pow(10.0, power) <= high; ++power) {
    for (const int digit : {1, 2, 5}) {
      const double value = digit * std::pow(10.0, power);
      if (value >= low * 0.999 && value <= high * 1.001) ticks.emplace_back(value, fmt::format("{:g}", value));
    }
  }
  return ticks;
}

Plot::Plot(std::string name, std::string title, Axis x, Axis y)
    : name_(std::move(name)), title_(std::move(title)), x_(std::move(x)), y_(std::move(y)) {}

double Plot::place_x(double x) const { return kLeft + share(x_, x) * (kRight - kLeft); }
double Plot::place_y(double y) const { return kBottom - share(y_, y) * (kBottom - kTop); }

void Plot::rectangle(double x0, double y0, double x1, double y1, const std::string& fill, const std::string& tip) {
  const auto [left, right] =
      std::minmax({std::clamp(place_x(x0), kLeft, kRight), std::clamp(place_x(x1), kLeft, kRight)});
  const auto [top, bottom] =
      std::minmax({std::clamp(place_y(y0), kTop, kBottom), std::clamp(place_y(y1), kTop, kBottom)});
  marks_ += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\">{}</rect>\n",
                        left, top, right - left, bottom - top, fill, tip_text(tip));
}

void Plot::line(const std::vector<std::pair<double, double>>& points, const std::string& colour,
                const std::string& dash) {
  std::string path;
  bool drawing = false;
  for (const auto& [x, y] : points) {
    const bool known = std::isfinite(place_x(x)) && std::isfinite(place_y(y));
    if (known) path += fmt::format("{}{:.2f} {:.2f} ", drawing ? 'L' : 'M', place_x(x), place_y(y));
    drawing = known;
  }
  if (path.empty()) return;
  marks_ +=
      fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{} clip-path=\"url(#{}-frame)\"/>\n",
                  path, colour, dashes(dash), name_);
}

void Plot::dot(double x, double y, const std::string& colour, const std::string& tip) {
  if (!std::isfinite(place_x(x)) || !std::isfinite(place_y(y))) return;
  marks_ +=
      fmt::format("<circle cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"4\" fill=\"{}\" clip-path=\"url(#{}-frame)\">{}</circle>\n",
                  place_x(x), place_y(y), colour, name_, tip_text(tip));
}

double Plot::next_legend() { return kTop + 8.0 + kLegendStep * entries_++; }

void Plot::legend_line(const std::string& label, const std::string& colour, const std::string& dash) {
  const double y = next_legend();
  legend_ += fmt::format(
      "<path d=\"M{0:.1f} {1:.1f} L{2:.1f} {1:.1f}\" stroke=\"{3}\" stroke-width=\"2\"{4}/>\n"
      "<text x=\"{5:.1f}\" y=\"{6:.1f}\">{7}</text>\n",
      kLegend, y, kLegend + 22.0, colour, dashes(dash), kLegend + 30.0, y + 4.0, escaped(label));
}

void Plot::legend_box(const std::string& label, const std::string& fill) {
  const double y = next_legend();
  legend_ += fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"22\" height=\"14\" fill=\"{}\" stroke=\"#888\"/>\n"
      "<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
      kLegend, y - 7.0, fill, kLegend + 30.0, y + 4.0, escaped(label));
}

std::string Plot::axes() const {
  std::string text = fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#333\"/>\n",
                                 kLeft, kTop, kRight - kLeft, kBottom - kTop);
  for (const auto& [value, label] : x_.ticks) {
    text += fmt::format(
        "<path d=\"M{0:.2f} {1} L{0:.2f} {2}\" stroke=\"#333\"/>\n"
        "<text x=\"{0:.2f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
        place_x(value), kBottom, kBottom + 6.0, kBottom + 22.0, escaped(label));
  }
  for (const auto& [value, label] : y_.ticks) {
    text += fmt::format(
        "<path d=\"M{1} {0:.2f} L{2} {0:.2f}\" stroke=\"#333\"/>\n"
        "<text x=\"{3}\" y=\"{4:.2f}\" text-anchor=\"end\">{5}</text>\n",
        place_y(value), kLeft - 6.0, kLeft, kLeft - 10.0, place_y(value) + 4.0, escaped(label));
  }
  const double middle_x = (kLeft + kRight) / 2.0;
  const double middle_y = (kTop + kBottom) / 2.0;
  return text + fmt::format(
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n"
                    "<text transform=\"translate(20 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n"
                    "<text x=\"{}\" y=\"26\" font-size=\"16\">{}</text>\n",
                    middle_x, kBottom + 46.0, escaped(x_.title), middle_y, escaped(y_.title), kLeft, escaped(title_));
}

std::string Plot::svg() const {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
             "font-family=\"sans-serif\" font-size=\"13\">\n"
             "<defs><clipPath id=\"{6}-frame\"><rect x=\"{2}\" y=\"{3}\" width=\"{4}\" height=\"{5}\"/></clipPath>"
             "<pattern id=\"{6}-strokes\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
             "patternTransform=\"rotate(45)\"><path d=\"M0 0 L0 6\" stroke=\"#555\" stroke-width=\"1\"/></pattern>"
             "</defs>\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
             kWidth, kHeight, kLeft, kTop, kRight - kLeft, kBottom - kTop, name_) +
         marks_ + axes() + legend_ + "</svg>\n";
}

}  // namespace polyattn::lab
