// Rows of the grid: sums from tensors, and their certificates. Included inside the namespace of one instruction set,
// after its lanes. See grid_kernels.hpp.

/// T_0 is 1: its terms need no product.
///
/// `Rows` sums over the last axis, sum_k T_k tensor[j * step + k], each in one chain.
template <std::ptrdiff_t Nodes, std::ptrdiff_t Rows>
inline void grid_inner(const double* tensor, std::ptrdiff_t step, const F64* last, F64 (&inner)[4]) noexcept {
#pragma GCC unroll 4
  for (std::ptrdiff_t j = 0; j < Rows; ++j) {
    inner[j] = F64::set(tensor[j * step]);
  }
#pragma GCC unroll 16
  for (std::ptrdiff_t k = 1; k < Nodes; ++k) {
#pragma GCC unroll 4
    for (std::ptrdiff_t j = 0; j < Rows; ++j) {
      inner[j] = fma(last[k], F64::set(tensor[j * step + k]), inner[j]);
    }
  }
}

/// The last two axes: sum_j T_j sum_k T_k tensor[j * step + k]. `before` is T of the last axis but one.
template <std::ptrdiff_t Nodes>
inline F64 grid_plane(const double* tensor, std::ptrdiff_t step, const F64* last, const double* before,
                      std::ptrdiff_t rows, std::ptrdiff_t ld) noexcept {
  F64 inner[4];
  grid_inner<Nodes, 1>(tensor, step, last, inner);
  F64 total = inner[0];
  std::ptrdiff_t j = 1;
  for (; j + 4 <= rows; j += 4) {
    grid_inner<Nodes, 4>(tensor + j * step, step, last, inner);
#pragma GCC unroll 4
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
      total = fma(F64::load(before + (j + i) * ld), inner[i], total);
    }
  }
  if (j + 2 <= rows) {
    grid_inner<Nodes, 2>(tensor + j * step, step, last, inner);
    total = fma(F64::load(before + j * ld), inner[0], total);
    total = fma(F64::load(before + (j + 1) * ld), inner[1], total);
    j += 2;
  }
  if (j < rows) {
    grid_inner<Nodes, 1>(tensor + j * step, step, last, inner);
    total = fma(F64::load(before + j * ld), inner[0], total);
  }
  return total;
}

/// Axes from `axis` on, of which one step is `step` numbers; their polynomials are at `lists`.
template <std::ptrdiff_t Nodes>
inline F64 grid_axes(const EvaluateRows& block, std::ptrdiff_t axis, const double* lists, const double* tensor,
                     std::ptrdiff_t step, const F64* last) noexcept {
  const std::ptrdiff_t nodes = block.nodes[axis];
  if (axis + 2 == block.axes) {
    return grid_plane<Nodes>(tensor, step, last, lists, nodes, block.ld);
  }
  std::ptrdiff_t next = Nodes;
  for (std::ptrdiff_t l = axis + 2; l + 1 < block.axes; ++l) {
    next *= block.nodes[l];
  }
  const double* inner = lists + nodes * block.ld;
  F64 total = grid_axes<Nodes>(block, axis + 1, inner, tensor, next, last);
  for (std::ptrdiff_t k = 1; k < nodes; ++k) {
    total = fma(F64::load(lists + k * block.ld),
                grid_axes<Nodes>(block, axis + 1, inner, tensor + k * step, next, last), total);
  }
  return total;
}

template <std::ptrdiff_t Nodes>
inline void grid_evaluate_nodes(const EvaluateRows& block) noexcept {
  std::ptrdiff_t before = 0;
  for (std::ptrdiff_t axis = 0; axis + 1 < block.axes; ++axis) {
    before += block.nodes[axis];
  }
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    F64 last[std::size_t{Nodes}];
    for (std::ptrdiff_t k = 0; k < Nodes; ++k) {
      last[k] = F64::load(block.lists + (before + k) * block.ld + i);
    }
    for (std::ptrdiff_t c = 0; c < block.channels; ++c) {
      const double* tensor = block.tensor + c * block.nodes[0] * block.width;
      grid_axes<Nodes>(block, 0, block.lists + i, tensor, block.width, last).store(block.out + c * block.ld_out + i);
    }
  }
}

template <std::ptrdiff_t Nodes>
inline void grid_evaluate_at(const EvaluateRows& block) noexcept {
  if constexpr (Nodes > 1) {
    if (block.nodes[block.axes - 1] < Nodes) {
      grid_evaluate_at<Nodes - 1>(block);
      return;
    }
  }
  grid_evaluate_nodes<Nodes>(block);
}
inline void grid_evaluate(const EvaluateRows& block) noexcept { grid_evaluate_at<kMaxNodes>(block); }

inline void grid_own(const OwnProducts& block) noexcept {
  for (std::ptrdiff_t j = 0; j < block.points; j += F64::width) {
    F64 total = F64::zero();
    for (std::ptrdiff_t i = 0; i < block.nodes; ++i) {
      F64 inner = F64::zero();
      for (std::ptrdiff_t k = 0; k < block.nodes; ++k) {
        inner = fma(F64::set(block.matrix[i * block.nodes + k]), F64::load(block.list + k * block.ld + j), inner);
      }
      total = fma(inner, F64::load(block.list + i * block.ld + j), total);
    }
    (F64::load(block.out + j) * total).store(block.out + j);
  }
}

inline void grid_look_up(const LookUpParts& block) noexcept {
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    F64 part = F64::zero();
    for (std::ptrdiff_t l = 0; l < block.axes; ++l) {
      const double bins = static_cast<double>(block.bins[l]);
      const F64 g = (F64::load(block.places + l * block.ld + i) + F64::set(1.0)) * F64::set(0.5 * bins);
      const F64 floor = F64::zero() - ceil(F64::zero() - g);
      part = fma(part, F64::set(bins), min(floor, F64::set(bins - 1.0)));
    }
    double parts[F64::width];
    part.store(parts);
    std::ptrdiff_t place[F64::width];
    for (std::ptrdiff_t j = 0; j < F64::width; ++j) {
      place[j] = static_cast<std::ptrdiff_t>(parts[j]);
    }
    for (std::ptrdiff_t c = 0; c < block.channels; ++c) {
      const double* table = block.table + c * block.width;
      double* out = block.out + c * block.ld_out + i;
      for (std::ptrdiff_t j = 0; j < F64::width; ++j) {
        out[j] = table[place[j]];
      }
    }
  }
}

/// A column's charge at t, by its chord (row_math.cpp).
inline F64 grid_charge(const CertifyRows& rows, std::ptrdiff_t column, std::ptrdiff_t i, F64 t, F64 mass) noexcept {
  const double centre = rows.centre[column];
  const F64 below = F64::set(centre - rows.low[column]);
  const F64 above = F64::set(rows.high[column] - centre);
  const double* charges = rows.charges + (1 + 3 * column) * rows.ld + i;
  const F64 way = abs(t);
  const F64 span = select_less(t, F64::zero(), below, above);
  const F64 end = select_less(t, F64::zero(), F64::load(charges), F64::load(charges + 2 * rows.ld));
  const F64 part = way / span;
  const F64 inner = (F64::set(1.0) - part) * F64::load(charges + rows.ld) + part * end;
  const F64 outer = end + (way - span) * mass;
  const F64 distance = max(below, above) + way;
  return select_less(way, span, inner, outer) + F64::set(rows.outside + 2.0 * rows.lost) * distance +
         F64::set(rows.lost);
}

/// A number that is not finite anywhere makes `poison` NaN, which refuses the row: max would lose it.
inline void grid_certify(const CertifyRows& rows) noexcept {
  const F64 up = F64::set(1.0 + 1e-12);
  const F64 down = F64::set(1.0 - 1e-12);
  const F64 refused = F64::set(__builtin_inf());
  const F64 unit = F64::set(0x1p-53);
  for (std::ptrdiff_t i = 0; i < rows.points; i += F64::width) {
    const F64 denominator = F64::load(rows.sums + i);
    const F64 mass = F64::load(rows.charges + i) + F64::set(rows.outside + rows.lost);
    const F64 own = rows.own == nullptr ? F64::zero() : abs(F64::load(rows.own + i));
    F64 rounding = F64::set(rows.rounding) * (F64::set(rows.reach[0]) + own) + F64::set(rows.lost);
    rounding = rows.own == nullptr ? rounding : rounding + unit * abs(denominator);
    const F64 low = (denominator - (rounding + mass) * up) * down;
    F64 approximation = F64::zero();
    F64 computing = F64::zero();
    F64 largest = F64::zero();
    F64 poison = F64::zero() * low;
    for (std::ptrdiff_t c = 0; c < rows.columns; ++c) {
      const F64 sum = F64::load(rows.sums + (1 + c) * rows.ld + i);
      const F64 t = sum / denominator;
      const F64 charge = grid_charge(rows, c, i, t, mass);
      F64 reach = F64::set(rows.reach[1 + c]);
      reach = rows.own == nullptr ? reach : reach + abs(F64::load(rows.own + (1 + c) * rows.ld + i));
      const double centre = rows.centre[c];
      const double below = centre - rows.low[c];
      const double above = rows.high[c] - centre;
      F64 off = F64::set(rows.rounding) * reach +
                F64::set(rows.lost) * (F64::set((below > above ? below : above) + 1.0) + abs(t));
      off = rows.own == nullptr ? off : off + unit * abs(sum);
      off = off + abs(t) * rounding;
      poison = fma(charge + off, F64::zero(), poison);
      approximation = max(approximation, charge / low);
      computing = max(computing, off / low);
      const F64 answer = min(max(F64::set(centre) + t, F64::set(rows.low[c])), F64::set(rows.high[c]));
      largest = max(largest, abs(answer));
      answer.store(rows.out + c * rows.ld + i);
    }
    const F64 bound = select_less(F64::zero(), low, approximation * up, refused);
    // A comparison with NaN takes the last operand.
    select_less(poison, F64::set(1.0), bound, refused).store(rows.out + rows.columns * rows.ld + i);
    const F64 answering = F64::set(rows.answer) * (largest + F64::set(rows.largest_value));
    ((computing + F64::set(rows.perturbation) + answering) * up).store(rows.out + (rows.columns + 1) * rows.ld + i);
  }
}
