// The kernels of softmax_rows.hpp over lanes that the including file defines: V, kLanes, load, store, set, add,
// subtract, multiply, maximum, fma, nearest, times_power_of_2, largest, total.

/// 2^x for x <= 0, to about two units in the last place; less than 2^-125 is as good as zero. Polynomial of degree 6 on
/// [-1/2, 1/2].
inline V exp2(V x) {
  x = maximum(x, set(-125.0F));
  const V whole = nearest(x);
  const V f = subtract(x, whole);
  V p = set(1.535336188319500e-4F);
  p = fma(p, f, set(1.339887440266574e-3F));
  p = fma(p, f, set(9.618437357674640e-3F));
  p = fma(p, f, set(5.550332471162809e-2F));
  p = fma(p, f, set(2.402264791363012e-1F));
  p = fma(p, f, set(6.931472028550421e-1F));
  p = fma(p, f, set(1.0F));
  return times_power_of_2(p, whole);
}

template <bool kBias>
inline float weigh_row(float* scores, const float* bias, std::int64_t count, RowState* row) {
  // Four registers of maxima, so that the latency of one does not hold up the next.
  V most[4] = {set(row->maximum), set(row->maximum), set(row->maximum), set(row->maximum)};
  std::int64_t j = 0;
  const auto score = [&](std::int64_t at) {
    const V s = load(scores + at);
    return kBias ? add(s, load(bias + at)) : s;
  };
  for (; j + 4 * kLanes <= count; j += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) most[i] = maximum(most[i], score(j + i * kLanes));
  }
  for (; j < count; j += kLanes) most[0] = maximum(most[0], score(j));
  const float m = largest(maximum(maximum(most[0], most[1]), maximum(most[2], most[3])));
  const V shift = set(m);

  V sums[4] = {set(0.0F), set(0.0F), set(0.0F), set(0.0F)};
  for (j = 0; j + 4 * kLanes <= count; j += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) {
      const V weight = exp2(subtract(score(j + i * kLanes), shift));
      sums[i] = add(sums[i], weight);
      store(scores + j + i * kLanes, weight);
    }
  }
  for (; j < count; j += kLanes) {
    const V weight = exp2(subtract(score(j), shift));
    sums[0] = add(sums[0], weight);
    store(scores + j, weight);
  }
  const float sum = total(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
  // Mostly the maximum stays.
  const float factor = m == row->maximum ? 1.0F : largest(exp2(set(row->maximum - m)));
  row->maximum = m;
  row->sum = row->sum * factor + sum;
  return factor;
}

float weigh(float* scores, const float* bias, std::int64_t count, RowState* row) {
  return bias == nullptr ? weigh_row<false>(scores, bias, count, row) : weigh_row<true>(scores, bias, count, row);
}

void scale(float* row, std::int64_t count, float factor) {
  const V by = set(factor);
  std::int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) store(row + c, multiply(load(row + c), by));
  for (; c < count; ++c) row[c] *= factor;
}
