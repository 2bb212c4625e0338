#include "lab/linear_code.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace polyattn::lab {

namespace {

/// word -= factor row
void eliminate(Word& word, const Word& row, Field::Element factor, const Field& field) {
  if (factor == 0) return;
  for (std::size_t i = 0; i < word.size(); ++i) word[i] = field.subtract(word[i], field.multiply(factor, row[i]));
}

void scale(Word& row, Field::Element factor, const Field& field) {
  for (Field::Element& symbol : row) symbol = field.multiply(symbol, factor);
}

/// Gauss and Jordan: reduced row echelon form of `rows`, those that are 0 left out; returns the pivots.
std::vector<int> reduce(std::vector<Word>& rows, const Field& field) {
  std::vector<int> pivots;
  const std::size_t length = rows.empty() ? 0 : rows.front().size();
  for (std::size_t column = 0; column < length && pivots.size() < rows.size(); ++column) {
    const std::size_t rank = pivots.size();
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(rank);
    const auto found = std::find_if(begin, rows.end(), [&](const Word& row) { return row[column] != 0; });
    if (found == rows.end()) continue;
    std::swap(*begin, *found);
    scale(rows[rank], field.inverse(rows[rank][column]), field);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i != rank) eliminate(rows[i], rows[rank], rows[i][column], field);
    }
    pivots.push_back(static_cast<int>(column));
  }
  rows.resize(pivots.size());
  return pivots;
}

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::invalid_argument, what); }

/// Both codes, places in an order in which the information positions of the first come first.
ProductCodes ordered(std::string name, int order, const std::shared_ptr<const Field>& field, std::vector<Word> rows,
                     int distance, std::vector<Word> product_rows, int product_distance) {
  const LinearCode code(field, rows, distance);
  std::vector<int> places = code.pivots();
  for (int i = 0; i < code.length(); ++i) {
    if (!std::ranges::binary_search(code.pivots(), i)) places.push_back(i);
  }
  for (std::vector<Word>* all : {&rows, &product_rows}) {
    for (Word& row : *all) row = permuted(row, places);
  }
  return {std::move(name), order, LinearCode(field, std::move(rows), distance),
          LinearCode(field, std::move(product_rows), product_distance)};
}

/// A point of the curve, or (x, 0) on the line.
struct Point {
  Field::Element x, y;
};

/// x^i y^j at every point.
Word values_of(int i, int j, const std::vector<Point>& points, const Field& field) {
  Word values;
  values.reserve(points.size());
  for (const Point& point : points) values.push_back(field.multiply(field.power(point.x, i), field.power(point.y, j)));
  return values;
}

std::vector<Word> powers_up_to(int degree, const std::vector<Point>& points, const Field& field) {
  std::vector<Word> rows;
  for (int i = 0; i <= degree; ++i) rows.push_back(values_of(i, 0, points, field));
  return rows;
}

/// The functions x^i y^j, j < q, of pole order i q + j (q + 1) at most m.
std::vector<Word> hermitian_rows(int q, int m, const std::vector<Point>& points, const Field& field) {
  std::vector<Word> rows;
  for (int j = 0; j < q; ++j) {
    for (int i = 0; i * q + j * (q + 1) <= m; ++i) rows.push_back(values_of(i, j, points, field));
  }
  return rows;
}

std::vector<Point> hermitian_points(int q, const Field& field) {
  std::vector<Point> points;
  for (int x = 0; x < field.size(); ++x) {
    const Field::Element norm = field.power(static_cast<Field::Element>(x), q + 1);
    for (int y = 0; y < field.size(); ++y) {
      const auto element = static_cast<Field::Element>(y);
      if (field.add(field.power(element, q), element) == norm)
        points.push_back({static_cast<Field::Element>(x), element});
    }
  }
  return points;
}

/// The least m for which there are `dimension` pole orders i q + j (q + 1), j < q, up to m.
int pole_order_for(int q, int dimension) {
  std::vector<int> orders;
  for (int j = 0; j < q; ++j) {
    for (int i = 0; i < dimension; ++i) orders.push_back(i * q + j * (q + 1));
  }
  std::ranges::sort(orders);
  return orders[static_cast<std::size_t>(dimension) - 1];
}

}  // namespace

LinearCode::LinearCode(std::shared_ptr<const Field> field, std::vector<Word> rows, int distance)
    : field_(std::move(field)),
      length_(rows.empty() ? 0 : static_cast<int>(rows.front().size())),
      distance_(distance),
      rows_(std::move(rows)) {
  pivots_ = reduce(rows_, *field_);
}

Word LinearCode::encode(std::span<const Field::Element> message) const {
  if (message.size() != rows_.size()) {
    refuse("message: expected " + std::to_string(rows_.size()) + " symbols, got " + std::to_string(message.size()));
  }
  Word word(static_cast<std::size_t>(length_), 0);
  for (std::size_t i = 0; i < rows_.size(); ++i) eliminate(word, rows_[i], field_->negative(message[i]), *field_);
  return word;
}

bool LinearCode::contains(std::span<const Field::Element> word) const {
  if (word.size() != static_cast<std::size_t>(length_)) return false;
  Word message;
  message.reserve(pivots_.size());
  for (const int pivot : pivots_) message.push_back(word[static_cast<std::size_t>(pivot)]);
  return std::ranges::equal(encode(message), word);
}

Word permuted(std::span<const Field::Element> word, std::span<const int> order) {
  Word result;
  result.reserve(order.size());
  for (const int place : order) result.push_back(word[static_cast<std::size_t>(place)]);
  return result;
}

ProductCodes reed_solomon(int p, int degree, int length, int dimension, int order) {
  const auto field = std::make_shared<const Field>(p, degree);
  if (dimension < 1 || order < 1 || length > field->size() || order * (dimension - 1) >= length) {
    refuse("Reed-Solomon code: expected 1 <= dimension and order (dimension - 1) < length <= " +
           std::to_string(field->size()) + ", got length " + std::to_string(length) + ", dimension " +
           std::to_string(dimension) + ", order " + std::to_string(order));
  }
  std::vector<Point> points(static_cast<std::size_t>(length));
  for (int x = 0; x < length; ++x) points[static_cast<std::size_t>(x)] = {static_cast<Field::Element>(x), 0};
  const int highest = order * (dimension - 1);
  return ordered("Reed-Solomon", order, field, powers_up_to(dimension - 1, points, *field), length - dimension + 1,
                 powers_up_to(highest, points, *field), length - highest);
}

ProductCodes hermitian(int q, int dimension, int order) {
  const auto field = std::make_shared<const Field>(q, 2);
  const int length = q * q * q;
  if (dimension < 1 || dimension > length || order < 1) {
    refuse("Hermitian code: expected a dimension from 1 to " + std::to_string(length) + " and order >= 1, got " +
           std::to_string(dimension) + " and " + std::to_string(order));
  }
  const int m = pole_order_for(q, dimension);
  if (order * m >= length) {
    refuse("Hermitian code: expected order m < " + std::to_string(length) +
           " for the pole order m = " + std::to_string(m) + " that dimension " + std::to_string(dimension) +
           " takes, got order " + std::to_string(order));
  }
  const std::vector<Point> points = hermitian_points(q, *field);
  return ordered("Hermitian", order, field, hermitian_rows(q, m, points, *field), length - m,
                 hermitian_rows(q, order * m, points, *field), length - order * m);
}

}  // namespace polyattn::lab
