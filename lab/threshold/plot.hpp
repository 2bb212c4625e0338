#pragma once

/// A plot as SVG text: a frame with two axes, marks in the units of the data. No fonts, scripts or files from
/// elsewhere.

#include <string>
#include <utility>
#include <vector>

namespace polyattn::lab {

/// Text as it may stand in XML.
std::string escaped(const std::string& text);

struct Axis {
  std::string title;
  double low = 0.0;
  double high = 1.0;
  bool logarithmic = false;
  std::vector<std::pair<double, std::string>> ticks;
};

/// Ticks at 1, 2 and 5 times powers of ten within the axis.
std::vector<std::pair<double, std::string>> decimal_ticks(double low, double high);

class Plot {
 public:
  /// `name` sets its definitions apart from those of another plot on the same page.
  Plot(std::string name, std::string title, Axis x, Axis y);

  /// Corners in any order; what lies outside the axes is cut off.
  void rectangle(double x0, double y0, double x1, double y1, const std::string& fill, const std::string& tip = "");
  /// NaN breaks the line. `dash` as in SVG, empty for none.
  void line(const std::vector<std::pair<double, double>>& points, const std::string& colour,
            const std::string& dash = "");
  /// Fill of diagonal strokes.
  [[nodiscard]] std::string strokes() const { return "url(#" + name_ + "-strokes)"; }
  void dot(double x, double y, const std::string& colour, const std::string& tip = "");
  void legend_line(const std::string& label, const std::string& colour, const std::string& dash = "");
  void legend_box(const std::string& label, const std::string& fill);

  /// The whole SVG element.
  [[nodiscard]] std::string svg() const;

 private:
  [[nodiscard]] double place_x(double x) const;
  [[nodiscard]] double place_y(double y) const;
  [[nodiscard]] std::string axes() const;
  [[nodiscard]] double next_legend();

  std::string name_, title_;
  Axis x_, y_;
  std::string marks_, legend_;
  int entries_ = 0;
};

}  // namespace polyattn::lab
