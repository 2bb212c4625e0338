// Float64 totals of a tile. Included inside the namespace of one instruction set.

/// total = total_scale total + live_scale live for the lanes of one F, live = 0. Both products are exact.
inline void flush_vector(F32*, float* live, double* total, const F64 (&total_scale)[2],
                         const F64 (&live_scale)[2]) noexcept {
  const F32 part = F32::load(live);
  fma(F64::load(total), total_scale[0], widen_low(part) * live_scale[0]).store(total);
  fma(F64::load(total + 8), total_scale[1], widen_high(part) * live_scale[1]).store(total + 8);
  F32::zero().store(live);
}
inline void flush_vector(F64*, double* live, double* total, const F64 (&total_scale)[2],
                         const F64 (&live_scale)[2]) noexcept {
  fma(F64::load(total), total_scale[0], F64::load(live) * live_scale[0]).store(total);
  F64::zero().store(live);
}

template <class F>
void flush_tile(std::ptrdiff_t value_dim, const ExactState<typename F::Scalar>& state,
                const ExactTotals& totals) noexcept {
  using E = Exact<typename F::Scalar>;
  for (std::ptrdiff_t lane = 0; lane < kTile; lane += F::width) {
    F64 total_scale[2];
    F64 live_scale[2];
    for (std::ptrdiff_t h = 0; h * F64::width < F::width; ++h) {
      const std::ptrdiff_t at = lane + h * F64::width;
      double wide_max[F64::width];
      double wide_excess[F64::width];
      for (std::ptrdiff_t i = 0; i < F64::width; ++i) {
        wide_max[i] = static_cast<double>(state.max[at + i]);
        wide_excess[i] = static_cast<double>(state.excess[at + i]);
      }
      const F64 live_max = F64::load(wide_max);
      const F64 total_max = F64::load(totals.max + at);
      const F64 new_max = max(live_max, total_max);
      total_scale[h] = exact_power(total_max - new_max);
      live_scale[h] = exact_power(live_max - new_max);
      new_max.store(totals.max + at);
      max(live_max + F64::load(wide_excess), F64::load(totals.top + at)).store(totals.top + at);
    }
    flush_vector(static_cast<F*>(nullptr), state.sum + lane, totals.sum + lane, total_scale, live_scale);
    for (std::ptrdiff_t c = 0; c < value_dim; ++c) {
      flush_vector(static_cast<F*>(nullptr), state.accumulator + c * kTile + lane,
                   totals.accumulator + c * kTile + lane, total_scale, live_scale);
    }
    F::set(E::least).store(state.max + lane);
    F::set(E::hidden).store(state.excess + lane);
  }
}

inline void divide_tile(std::ptrdiff_t value_dim, const ExactTotals& totals, const double* low, const double* high,
                        double* out, double* largest) noexcept {
  for (std::ptrdiff_t lane = 0; lane < kTile; lane += F64::width) {
    const F64 sum_of_weights = F64::load(totals.sum + lane);
    F64 most_seen = F64::zero();
    F64 poison = F64::zero();
    for (std::ptrdiff_t c = 0; c < value_dim; ++c) {
      const F64 least = F64::set(low[c]);
      const F64 most = F64::set(high[c]);
      // Adding +0 makes every zero positive, whatever order the zeros were met in.
      F64 t = (F64::load(totals.accumulator + c * kTile + lane) + F64::zero()) / sum_of_weights;
      t = select_less(t, least, least, t);
      t = select_less(most, t, most, t);
      t.store(out + c * kTile + lane);
      most_seen = max(abs(t), most_seen);
      poison = fma(t, F64::zero(), poison);
    }
    (most_seen + poison).store(largest + lane);
  }
}
