#include "smoothing/places.hpp"

#include "io/element.hpp"
#include "signals.hpp"
#include "smoothing/flags.hpp"

#include <utility>

namespace polyattn::cli {

namespace {

/// Column `column` in float64.
std::vector<double> numbers(const ConstView& view, std::int64_t column) {
  std::vector<double> values(static_cast<std::size_t>(view.shape[2]));
  for (std::int64_t row = 0; row < view.shape[2]; ++row) {
    if ((row & 0xfffff) == 0) stop_if_interrupted();
    values[static_cast<std::size_t>(row)] = io::element(view, 0, 0, row, column);
  }
  return values;
}

}  // namespace

Places make_places(const Tables& tables, const std::optional<GridRequest>& grid, const std::vector<double>& bandwidth) {
  Places places;
  places.names = tables.points.columns;
  if (grid) {
    places.grid = make_grid(*grid, tables.points.view, bandwidth);
    places.view = places.grid->view();
  } else if (tables.queries) {
    places.view = tables.queries->view;
    if (tables.queries->table) places.names = tables.queries->columns;
  } else {
    places.view = tables.points.view;
    places.points = true;
  }
  return places;
}

void add_array(Outputs& outputs, const std::string& path, const Places& places, const Array& array) {
  const Tensor& tensor = *array.tensor;
  std::vector<std::int64_t> dims{tensor.shape()[2]};
  if (places.grid) dims = places.grid->dims();
  if (!array.flat) dims.push_back(tensor.shape()[3]);
  outputs.add_array(path, tensor.dtype(), dims, tensor.data());
}

void add_axes(Outputs& outputs, const std::string& path, const Places& places) {
  if (!places.grid) return;
  for (std::size_t l = 0; l < places.grid->axes.size(); ++l) {
    const std::vector<double>& axis = places.grid->axes[l];
    outputs.add_array(beside(path, "-axis" + std::to_string(l)), DType::float64,
                      std::vector<std::int64_t>{static_cast<std::int64_t>(axis.size())}, axis.data());
  }
}

void add_table(Outputs& outputs, const std::string& path, const Places& places, const std::vector<Array>& arrays) {
  std::vector<std::vector<double>> data;
  std::vector<std::string> names = places.names;
  for (std::int64_t l = 0; l < places.view.shape[3]; ++l) data.push_back(numbers(places.view, l));
  for (const Array& array : arrays) {
    const ConstView view = array.tensor->view();
    for (std::int64_t c = 0; c < view.shape[3]; ++c) data.push_back(numbers(view, c));
    names.insert(names.end(), array.names.begin(), array.names.end());
  }
  std::vector<io::CsvColumn> columns;
  for (std::size_t k = 0; k < data.size(); ++k) columns.push_back({names[k], data[k].data()});
  outputs.add_table(path, columns, places.rows());
}

}  // namespace polyattn::cli
