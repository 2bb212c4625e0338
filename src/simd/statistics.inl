// Included inside the namespace of one instruction set, after its lanes. See statistics_kernels.hpp.

inline double largest_lane(F64 x) noexcept {
  double lanes[static_cast<std::size_t>(F64::width)];
  x.store(lanes);
  double largest = lanes[0];
  for (std::ptrdiff_t i = 1; i < F64::width; ++i) {
    largest = lanes[i] > largest ? lanes[i] : largest;
  }
  return largest;
}

inline ColumnMeasure measure_column(const MeasureColumn& column) noexcept {
  const F64 centre = F64::set(column.centre);
  const F64 metric = F64::set(column.metric);
  F64 half = F64::zero();
  F64 largest = F64::zero();
  F64 poison = F64::zero();
  for (std::ptrdiff_t i = 0; i < column.tokens; i += F64::width) {
    const F64 x = F64::load(column.x + i);
    const F64 away = abs(x - centre);
    half = max(away, half);
    largest = max(abs(x), largest);
    poison = fma(x, F64::zero(), poison);
    (F64::load(column.square + i) + metric * away * away).store(column.square + i);
  }
  return {largest_lane(half), largest_lane(largest), sum(poison)};
}

inline ColumnMeasure weigh_column(const WeighColumn& column) noexcept {
  const F64 centre = F64::set(column.centre);
  const F64 linear = F64::set(column.linear);
  const F64 square = F64::set(column.square);
  const F64 metric = F64::set(column.metric);
  F64 half = F64::zero();
  F64 largest = F64::zero();
  F64 poison = F64::zero();
  for (std::ptrdiff_t i = 0; i < column.tokens; i += F64::width) {
    const F64 x = F64::load(column.x + i);
    const F64 away = x - centre;
    const F64 term = linear * away + square * away * away;  // one of the two is 0
    (F64::load(column.log_weight + i) + term).store(column.log_weight + i);
    (F64::load(column.terms + i) + abs(term)).store(column.terms + i);
    (F64::load(column.norms + i) + metric * away * away).store(column.norms + i);
    half = max(abs(away), half);
    largest = max(abs(x), largest);
    poison = fma(x, F64::zero(), poison);
  }
  return {largest_lane(half), largest_lane(largest), sum(poison)};
}

inline double largest_of(const double* x, std::ptrdiff_t tokens) noexcept {
  F64 largest = F64::set(-__builtin_inf());
  for (std::ptrdiff_t i = 0; i < tokens; i += F64::width) {
    largest = max(F64::load(x + i), largest);
  }
  return largest_lane(largest);
}

inline double exponentials(const double* x, double shift, std::ptrdiff_t tokens, double* out) noexcept {
  const F64 log2e = F64::set(0x1.71547652b82fep0);
  F64 total = F64::zero();
  for (std::ptrdiff_t i = 0; i < tokens; i += F64::width) {
    Vectors<F64, 1> power;
    power[0] = (F64::load(x + i) - F64::set(shift)) * log2e;
    exp2_negative<F64, 1>(power);
    power[0].store(out + i);
    total = total + power[0];
  }
  return sum(total);
}

inline double dot_product(const double* a, const double* b, std::ptrdiff_t tokens) noexcept {
  F64 total = F64::zero();
  for (std::ptrdiff_t i = 0; i < tokens; i += F64::width) {
    total = fma(F64::load(a + i), F64::load(b + i), total);
  }
  return sum(total);
}

constexpr StatisticsKernels statistics_kernels() noexcept {
  return {&measure_column, &weigh_column, &largest_of, &exponentials, &dot_product};
}
