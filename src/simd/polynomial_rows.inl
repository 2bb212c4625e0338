// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

inline void choose_kernel(const ChooseBlock& block) noexcept {
  constexpr double kUp = 1.0 + 1e-13;  // more than the roundings of any of these numbers
  const F64 weight = F64::set(block.weight);
  const F64 gamma = F64::set(block.gamma * kUp);
  const F64 deviation = F64::set(block.deviation);
  const bool deviates = block.deviation < __builtin_inf();
  for (std::ptrdiff_t i = 0; i < block.tokens; i += F64::width) {
    const F64 slack = F64::load(block.slack + i);
    const F64 box = F64::load(block.box + i);
    const F64 box_square = box * box * F64::set(1.0 + 1e-15);
    F64 power = F64::set(1.0);  // box^2q
    F64 best = F64::set(__builtin_inf());
    // Where no score is a number, q = 0 stays.
    F64 best_q = F64::zero();
    F64 best_chosen = F64::load(block.moment_error + i);
    F64 best_power = power;
    F64 best_moment = weight;
    for (int q = 0; 2 * q <= block.degree; ++q) {
      const F64 chosen = F64::load(block.moment_error + q * block.tokens + i);
      F64 moment = weight;
      if (q > 0) {
        const F64 sum = max(F64::load(block.sums + 2 * q * block.stride + i), F64::zero());
        moment = min(fma(gamma * power, weight, sum), power * weight);
      }
      const F64 error = fma(chosen, moment, slack * weight);
      F64 score = error * F64::set(q == block.spread_q ? block.typical : block.range);
      if (deviates) {
        score = min(score, fma(chosen, power, slack) * weight * deviation);
      }
      best_q = select_less(score, best, F64::set(static_cast<double>(q)), best_q);
      best_chosen = select_less(score, best, chosen, best_chosen);
      best_power = select_less(score, best, power, best_power);
      best_moment = select_less(score, best, moment, best_moment);
      best = select_less(score, best, score, best);
      power = power * box_square;
    }
    best_q.store(block.q + i);
    (fma(best_chosen, best_moment, slack * weight) * F64::set(kUp)).store(block.error + i);
    (fma(best_chosen, best_power, slack) * weight * F64::set(kUp)).store(block.uniform + i);
    best_chosen.store(block.chosen_error + i);
    (gamma * best_power).store(block.moment_scale + i);
    (best_moment * F64::set(kUp)).store(block.moment + i);
  }
}

inline void certify_kernel(const CertifyBlock& block) noexcept {
  const F64 weight_high = F64::set(block.weight_high);
  for (std::ptrdiff_t i = 0; i < block.tokens; i += F64::width) {
    const F64 box = F64::load(block.box + i);
    F64 denominator = F64::zero();
    F64 absolute = F64::zero();
    for (int t = block.degree; t >= 0; --t) {
      const F64 coefficient = F64::load(block.coefficients + t * block.tokens + i);
      denominator = fma(coefficient, F64::load(block.sums + t * block.stride + i), denominator);
      absolute = fma(absolute, box, abs(coefficient));
    }
    const F64 tiny = F64::load(block.tiny + i);
    const F64 scale = absolute * F64::set(block.gamma * (1.0 + 1e-13));
    const F64 rounding = fma(scale, weight_high, tiny) * F64::set(1.0 + 1e-13);
    const F64 computed = ((denominator - rounding) - F64::load(block.error + i)) * F64::set(1.0 - 1e-14);
    // Jensen: the mean score is first / W, less what it may be off.
    const F64 first = block.degree >= 1 ? F64::load(block.sums + block.stride + i) : F64::zero();
    const F64 off =
        block.degree >= 1 ? fma(box * F64::set(block.gamma * (1.0 + 1e-13)), weight_high, tiny) : box * weight_high;
    const F64 sum = first - off;
    const F64 over = select_less(sum, F64::zero(), F64::set(block.weight_low), weight_high);
    const F64 root = max(fma(sum / over, F64::set(0.0625 * (1.0 + 1e-15)), F64::set(1.0 - 1e-15)), F64::zero());
    const F64 power2 = root * root;
    const F64 power4 = power2 * power2;
    const F64 power8 = power4 * power4;
    const F64 jensen = power8 * power8 * F64::set(block.weight_low * (1.0 - 1e-13));
    denominator.store(block.denominator + i);
    // max returns its second operand where the first is NaN.
    max(computed, jensen).store(block.denominator_low + i);
    scale.store(block.rounding_scale + i);
    rounding.store(block.rounding_denominator + i);
  }
}

/// Bound on sum w s^p |v - T| of column c for rows i: |v - T| is convex in v, so below its chord over [low, high].
inline F64 chord(const FinishBlock& block, std::ptrdiff_t c, std::ptrdiff_t i, F64 answer) noexcept {
  const F64 low = F64::set(block.low[c]);
  const F64 high = F64::set(block.high[c]);
  const F64 weight = F64::load(block.moment + i);
  const F64 weighted = F64::load(block.moments + c * block.tokens + i);
  const F64 loss = F64::load(block.moment_loss + i);
  const F64 size = max(abs(low), abs(high));
  const F64 off = fma(F64::load(block.moment_scale + i), F64::set(block.absolute[c]), fma(size, loss, loss));
  const F64 above = max(fma(high, weight, off) - weighted, F64::zero());
  const F64 below = max(weighted + fnma(low, weight, off), F64::zero());
  const F64 bound = fma(answer - low, above, (high - answer) * below) / (high - low);
  const F64 infinite = F64::set(__builtin_inf());
  return select_less(answer, low, infinite, select_less(high, answer, infinite, bound));
}

/// Bound on sum w s^2 |v - T| of column c for rows i, from the same with |v|.
inline F64 spread_bound(const FinishBlock& block, std::ptrdiff_t c, std::ptrdiff_t i, F64 answer) noexcept {
  const F64 off = fma(F64::load(block.spread_scale + i), F64::set(block.absolute[c]), F64::load(block.spread_loss + i));
  const F64 spread = F64::load(block.spreads + c * block.tokens + i) + off;
  return fma(abs(answer), F64::load(block.second + i), spread) * F64::set(1.0 + 1e-14);
}

inline void finish_kernel(const FinishBlock& block) noexcept {
  const std::ptrdiff_t slab = block.stride_columns * block.tokens;
  for (std::ptrdiff_t i = 0; i < block.tokens; i += F64::width) {
    const F64 inverse = F64::set(1.0) / F64::load(block.denominator + i);
    const F64 scale = F64::set(1.0) / F64::load(block.denominator_low + i);
    const F64 error = F64::load(block.error + i);
    const F64 uniform = F64::load(block.uniform + i);
    const F64 rounding_scale = F64::load(block.rounding_scale + i);
    const F64 rounding_denominator = F64::load(block.rounding_denominator + i);
    const F64 tiny = F64::load(block.rounding_tiny + i);
    F64 approximation = F64::zero();
    F64 rounding = F64::zero();
    F64 largest = F64::zero();
    F64 poison = F64::zero();  // NaN as soon as one answer or bound is not finite; max and min alone would lose it
    for (std::ptrdiff_t c = 0; c < block.columns; ++c) {
      const double* sums = block.sums + c * block.tokens + i;
      F64 numerator = F64::zero();
      for (int t = block.degree; t >= 0; --t) {
        numerator = fma(F64::load(block.coefficients + t * block.tokens + i), F64::load(sums + t * slab), numerator);
      }
      const F64 answer = numerator * inverse;
      const F64 low = F64::set(block.low[c]);
      const F64 high = F64::set(block.high[c]);
      const F64 away = answer - F64::set(block.mean[c]);
      const F64 spread = max(high - answer, answer - low);
      const F64 deviation = fma(away * away, F64::set(block.half_inverse[c]), F64::set(block.deviation[c]));
      // min returns its second operand where the first is NaN: the spread is a bound on its own, the others are not.
      F64 column = min(uniform * deviation, error * spread);
      if (block.moments != nullptr) {
        const F64 away_together =
            fma(F64::load(block.moment_error + i), chord(block, c, i, answer), F64::load(block.slack + i) * spread);
        column = min(away_together, column);
      }
      if (block.spreads != nullptr) {
        column = min(F64::load(block.spread_error + i) * spread_bound(block, c, i, answer), column);
      }
      const F64 rounded =
          fma(rounding_scale, F64::set(block.absolute[c]), fma(abs(answer), rounding_denominator, tiny));
      poison = fma(answer, F64::zero(), fma(column, F64::zero(), fma(rounded, F64::zero(), poison)));
      approximation = max(column, approximation);
      rounding = max(rounded, rounding);
      const F64 clipped = max(min(answer, high), low) + F64::set(block.centre[c]);
      const F64 stored = max(min(clipped, F64::set(block.most[c])), F64::set(block.least[c]));
      largest = max(abs(stored), largest);
      stored.store(block.answer + c * block.tokens + i);
    }
    largest.store(block.largest + i);
    fma(approximation, scale, poison).store(block.approximation + i);
    (rounding * scale).store(block.rounding + i);
  }
}
