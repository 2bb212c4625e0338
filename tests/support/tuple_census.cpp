#include "support/tuple_census.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <utility>

namespace polyattn::test {

namespace {

std::size_t usize(std::int64_t n) { return static_cast<std::size_t>(n); }

void restore(Stored& tensor) { tensor = store(tensor.dtype, tensor.shape, tensor.values); }

/// Lengths so that there are few enough tuples for the definition.
TupleShape draw_shape(Random& random) {
  const std::int64_t sets = random.integer(1, 4);
  const std::array<std::int64_t, 4> most{40, 14, 7, 5};
  TupleShape shape;
  for (std::int64_t s = 0; s < sets; ++s) {
    shape.n.push_back(random.integer(1, most[usize(sets) - 1]));
  }
  shape.n_q = random.integer(1, 5);
  shape.dim = random.integer(1, 4);
  shape.value_dim = random.integer(1, 3);
  return shape;
}

/// What makes inputs hard: entries at the corners, equal keys, a key or a query far out, a spike among the values,
/// values of one sign, values that do not vary.
void harden(TupleCall& tuples, Random& random) {
  const auto some = [&](std::vector<Stored>& list) -> Stored& {
    return list[usize(random.integer(0, static_cast<std::int64_t>(list.size()) - 1))];
  };
  Stored& keys = some(tuples.k);
  Stored& values = some(tuples.v);
  const auto columns = usize(keys.shape[3]);
  switch (random.integer(0, 8)) {
    case 0:
      for (double& x : keys.values) {
        x = x < 0.0 ? -1.0 : 1.0;
      }
      break;
    case 1:
      for (std::size_t i = columns; i < keys.values.size(); ++i) {
        keys.values[i] = keys.values[i % columns];
      }
      break;
    case 2:
      for (std::size_t l = 0; l < columns; ++l) {
        keys.values[l] *= 8.0;
      }
      break;
    case 3:
      for (std::size_t l = 0; l < columns; ++l) {
        tuples.q.values[l] *= 8.0;
      }
      break;
    case 4:
      values.values.back() = random.log_uniform(1.0, 3e4) * random.sign();
      break;
    case 5:
      for (double& x : values.values) {
        x = std::fabs(x) + 100.0;
      }
      break;
    case 6:
      std::fill(values.values.begin(), values.values.end(), random.uniform(-1.0, 1.0));
      break;
    case 7:
      for (double& x : keys.values) {
        x *= random.log_uniform(1e-6, 1.0);
      }
      break;
    default:
      break;
  }
  restore(keys);
  restore(values);
  restore(tuples.q);
}

void draw_masks(TupleCall& tuples, Random& random) {
  if (random.chance(0.4)) {
    add_biases(tuples, -random.log_uniform(0.1, 30.0), 1.0, random.bits());
  }
  if (random.chance(0.25)) {
    tuples.causal = random.chance(0.5) ? Causal::upper_left : Causal::lower_right;
  }
  if (random.chance(0.1)) {
    for (std::size_t s = 0; s < tuples.k.size(); ++s) {
      tuples.window.push_back(random.integer(1, 6));
    }
  }
}

Options draw_options(const TupleCall& tuples, Random& random) {
  Options options;
  options.threads = 1;
  options.arithmetic = random.chance(0.5) ? Arithmetic::float32 : Arithmetic::float64;
  if (random.chance(0.4)) {
    options.output_dtype = DType::float64;
  }
  const double choice = random.unit();
  if (choice < 0.7) {
    options.engine = Engine::polynomial;
    options.degree = static_cast<int>(random.integer(0, 9));
    options.tolerance.value = 1e300;
    options.strict = true;
    // Where rows see different keys, polynomials of these orders are summed in float64; at order 2 windows are not.
    const bool apart = tuples.causal != Causal::none || !tuples.window.empty();
    if (apart && tuples.order() > 2) {
      options.arithmetic = Arithmetic::float64;
    }
    if (!tuples.window.empty() && tuples.order() == 2) {
      options.engine = Engine::exact;
      options.degree.reset();
    }
  } else if (choice < 0.85) {
    options.engine = Engine::exact;
  } else if (choice < 0.9) {
    options.engine = Engine::reference;
    options.arithmetic = Arithmetic::float64;
  } else {
    options.arithmetic = Arithmetic::automatic;
    options.tolerance.value = random.log_uniform(1e-9, 1e-1);
  }
  return options;
}

void add_failure(const TupleTrial& trial, const std::string& what, TupleCensus& census) {
  std::ostringstream text;
  text << "seed " << trial.seed << ", order " << trial.tuples.order() << ", " << name_of(trial.options.engine) << " "
       << name_of(trial.options.arithmetic) << ", degree " << trial.options.degree.value_or(-1) << ": " << what;
  census.failures.push_back(text.str());
}

/// One number of the inputs drawn anew, or pushed to where it weighs most.
void move(TupleTrial& trial, Random& random) {
  TupleCall& tuples = trial.tuples;
  if (random.chance(0.1)) {
    tuples.scale *= random.log_uniform(0.8, 1.25);
    return;
  }
  const std::int64_t tensors = 1 + 2 * static_cast<std::int64_t>(tuples.k.size());
  const std::int64_t which = random.integer(0, tensors - 1);
  Stored& tensor = which == 0 ? tuples.q : which % 2 == 1 ? tuples.k[usize(which / 2)] : tuples.v[usize(which / 2 - 1)];
  double& x = tensor.values[usize(random.integer(0, static_cast<std::int64_t>(tensor.values.size()) - 1))];
  switch (random.integer(0, 3)) {
    case 0:
      x = random.uniform(-1.0, 1.0);
      break;
    case 1:
      x = random.sign();
      break;
    case 2:
      x = -x;
      break;
    default:
      x *= random.uniform(0.5, 1.5);
      break;
  }
  restore(tensor);
}

}  // namespace

void TupleCensus::add(const TupleCensus& other) {
  problems += other.problems;
  refused += other.refused;
  polynomial += other.polynomial;
  masked += other.masked;
  for (std::size_t order = 0; order < 6; ++order) {
    by_order[order] += other.by_order[order];
  }
  rows += other.rows;
  worst = std::max(worst, other.worst);
  worst_polynomial = std::max(worst_polynomial, other.worst_polynomial);
  worst_lse = std::max(worst_lse, other.worst_lse);
  failures.insert(failures.end(), other.failures.begin(), other.failures.end());
}

TupleTrial draw_trial(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array kTypes{DType::float16, DType::bfloat16, DType::float32, DType::float64};
  const TupleShape shape = draw_shape(random);
  const DType dtype = kTypes[usize(random.integer(0, 3))];
  TupleTrial trial;
  trial.seed = seed;
  trial.tuples = random_tuples(shape, random.log_uniform(0.01, 6.0), dtype, random.bits());
  if (random.chance(0.2)) {
    trial.tuples.scale = -trial.tuples.scale;
  }
  harden(trial.tuples, random);
  draw_masks(trial.tuples, random);
  trial.options = draw_options(trial.tuples, random);
  return trial;
}

double examine(const TupleTrial& trial, TupleCensus& census) {
  Options options = trial.options;
  options.want_row_bounds = options.want_lse = true;
  try {
    const Result result = attend(trial.tuples, options);
    const TupleVerdict verdict = judge(truth_of(trial.tuples), result);
    ++census.problems;
    ++census.by_order[std::min<std::size_t>(trial.tuples.order(), 5)];
    const HeadReport& head = result.report.heads.front();
    census.rows += head.rows_total;
    census.worst = std::max(census.worst, verdict.worst);
    census.worst_lse = std::max(census.worst_lse, verdict.worst_lse);
    if (head.rows_polynomial == head.rows_total && head.rows_total > 0) {
      ++census.polynomial;
      census.worst_polynomial = std::max(census.worst_polynomial, verdict.worst);
      const TupleCall& t = trial.tuples;
      census.masked += t.bias.empty() && t.causal == Causal::none && t.window.empty() ? 0 : 1;
    }
    if (!(verdict.worst <= 1.0) || !(verdict.worst_lse <= 1.0)) {
      add_failure(trial,
                  "error over bound " + std::to_string(verdict.worst) + ", log-sum-exp " +
                      std::to_string(verdict.worst_lse) + "\n" + describe(result.report),
                  census);
    }
    // At order 2 values that do not vary are answered by exact in float64, whatever its bound.
    const bool constant = trial.tuples.order() == 2 && head.value_range == 0.0;
    if (trial.options.engine == Engine::automatic && !constant && !(head.certificate.bound() <= head.tolerance)) {
      add_failure(trial, "bound beyond the tolerance", census);
    }
    return verdict.worst;
  } catch (const Error& error) {
    // The polynomial engine may refuse; float32 may be too narrow for what is asked.
    const bool fair = error.code() == ErrorCode::not_reachable || trial.options.arithmetic == Arithmetic::float32;
    if (!fair) {
      add_failure(trial, error.what(), census);
    }
    ++census.refused;
    return -1.0;
  }
}

TupleCensus survey_tuples(std::uint64_t first, std::int64_t count) {
  TupleCensus census;
  for (std::int64_t i = 0; i < count; ++i) {
    examine(draw_trial(first + static_cast<std::uint64_t>(i)), census);
  }
  return census;
}

TupleCensus search_tuples(std::uint64_t first, std::int64_t climbs, int steps) {
  TupleCensus census;
  for (std::int64_t i = 0; i < climbs; ++i) {
    TupleTrial at = draw_trial(first + static_cast<std::uint64_t>(i));
    Random random(at.seed ^ 0x5eedULL);
    double best = examine(at, census);
    for (int step = 0; step < steps; ++step) {
      TupleTrial next = at;
      move(next, random);
      const double found = examine(next, census);
      if (found >= best) {
        best = found;
        at = std::move(next);
      }
    }
  }
  return census;
}

std::string summary(const TupleCensus& census) {
  std::ostringstream text;
  text << "tuples: problems " << census.problems << " (orders 2 to 5:";
  for (std::size_t order = 2; order <= 5; ++order) {
    text << ' ' << census.by_order[order];
  }
  text << "), polynomial " << census.polynomial << " (masked " << census.masked << "), refused " << census.refused
       << ", rows " << census.rows << "; worst error/bound " << census.worst << ", of polynomials "
       << census.worst_polynomial << ", log-sum-exp " << census.worst_lse << ", failures " << census.failures.size();
  return text.str();
}

}  // namespace polyattn::test
