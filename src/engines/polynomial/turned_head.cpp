#include "engines/polynomial/turned_head.hpp"

#include "engines/columns.hpp"
#include "engines/polynomial/features.hpp"
#include "engines/polynomial/kernels.hpp"
#include "engines/polynomial/key_side.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

constexpr std::int64_t kTokens = 128;  // mapped at a time
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A product with a matrix is a polynomial of degree 1 in so many columns.
struct Mapping {
  FeatureList features;
  base::Buffer<double> moments;
};

Mapping make_mapping(const std::vector<double>& map, std::int64_t dim, base::MemoryMeter* memory) {
  Mapping out{walk_features(numerics::monomials(static_cast<int>(dim), 1), dim - 1), {}};
  out.moments = base::Buffer<double>(out.features.moments(), 0.0, memory);
  for (std::int64_t l = 0; l < dim; ++l) {
    for (std::int64_t c = 0; c < dim; ++c) {
      out.moments[usize(out.features.starts[1] + l * dim + c)] = map[usize(c * dim + l)];
    }
  }
  return out;
}

/// Largest |coordinate| and largest norms of strong and weak coordinates.
struct MappedExtent {
  std::vector<double> half;
  double strong = 0.0;
  double weak = 0.0;
};

struct MappingJob {
  const base::Rows& source;
  const std::vector<double>& centre;
  const std::vector<double>& map;
  const double* log_weight;  ///< of keys: those of -infinity are put at the centre; null: all count
  std::int64_t strong;
};

struct MappingScratch {
  base::Buffer<double> x;
  base::Buffer<double> monomials;
  base::Buffer<double> sums;
};

MappedExtent map_tokens(const MappingJob& job, const base::Context& context, double* out) {
  const std::int64_t dim = job.source.columns;
  const std::int64_t count = job.source.rows;
  const Mapping mapping = make_mapping(job.map, dim, context.memory);
  const std::int64_t blocks = base::blocks_of(count, kTokens);
  std::vector<MappedExtent> parts(usize(blocks));
  std::vector<MappingScratch> scratch;
  for (int thread = 0; thread < std::max(1, context.threads); ++thread) {
    scratch.push_back(
        {base::Buffer<double>(dim * kTokens, context.memory),
         base::Buffer<double>(mapping.features.monomial_scratch(simd::kEvaluationGroup, kTokens), context.memory),
         base::Buffer<double>(2 * dim * kTokens, context.memory)});
  }
  base::parallel_for(context, blocks, [&](std::int64_t block, int thread) {
    const std::int64_t first = block * kTokens;
    const std::int64_t here = std::min(kTokens, count - first);
    auto& [x, monomials, sums] = scratch[usize(thread)];
    std::fill(x.begin(), x.end(), 0.0);
    load_columns(job.source, first, here, x.data(), kTokens);
    for (std::int64_t l = 0; l < dim; ++l) {
      double* column = x.data() + l * kTokens;
      for (std::int64_t r = 0; r < here; ++r) {
        const bool hidden = job.log_weight != nullptr && job.log_weight[first + r] == -kInfinity;
        column[r] = hidden ? 0.0 : column[r] - job.centre[usize(l)];
      }
    }
    polynomial_kernels<double>().evaluate({mapping.features.program(), x.data(), kTokens, mapping.moments.data(),
                                           nullptr, monomials.data(), nullptr, sums.data()});
    MappedExtent& part = parts[usize(block)];
    std::vector<double> strong(usize(kTokens), 0.0);
    std::vector<double> weak(usize(kTokens), 0.0);
    for (std::int64_t c = 0; c < dim; ++c) {
      const double* column = sums.data() + (dim + c) * kTokens;
      const simd::ColumnMeasure found =
          simd::kernels().statistics.measure({column, kTokens, 0.0, 1.0, c < job.strong ? strong.data() : weak.data()});
      part.half.push_back(found.poison == 0.0 ? found.half : kInfinity);
      std::copy_n(column, here, out + c * count + first);
    }
    part.strong = simd::kernels().statistics.largest(strong.data(), kTokens);
    part.weak = simd::kernels().statistics.largest(weak.data(), kTokens);
  });
  MappedExtent all;
  all.half.assign(usize(dim), 0.0);
  for (const MappedExtent& part : parts) {
    for (std::size_t c = 0; c < all.half.size(); ++c) {
      all.half[c] = std::max(all.half[c], part.half[c]);
    }
    all.strong = std::max(all.strong, part.strong);
    all.weak = std::max(all.weak, part.weak);
  }
  all.strong = metric_norm(all.strong, usize(job.strong));
  all.weak = metric_norm(all.weak, usize(dim - job.strong));
  return all;
}

/// sum_l |map_il| half_l for every i: what coordinate i can be at most.
std::vector<double> reaches(const std::vector<double>& map, const std::vector<double>& half) {
  std::vector<double> out;
  for (std::size_t i = 0; i < half.size(); ++i) {
    double sum = 0.0;
    for (std::size_t l = 0; l < half.size(); ++l) {
      sum += std::fabs(map[i * half.size() + l]) * half[l];
    }
    out.push_back(sum);
  }
  return out;
}

/// How far sum_i (A q)_i (B k)_i as computed may be from sum_l metric_l q_l k_l, for centred q and k within the frame's
/// half widths. 1. the matrix A^T B - diag(metric), itself computed with dim + 2 roundings; 2. the mapped coordinates,
/// each wrong by gamma of its reach; 3. the differences q - c and k - kappa, and the metric, at most 8 U together.
double map_error(const Frame& frame, const HeadMaps& maps) {
  const std::size_t dim = frame.metric.size();
  const double sum_gamma = numerics::gamma(static_cast<double>(dim) + 3.0, kU64);
  double mismatch = 0.0;
  double size = 0.0;
  double box = 0.0;
  for (std::size_t a = 0; a < dim; ++a) {
    for (std::size_t b = 0; b < dim; ++b) {
      double sum = 0.0;
      double absolute = 0.0;
      for (std::size_t i = 0; i < dim; ++i) {
        const double product = maps.query[i * dim + a] * maps.key[i * dim + b];
        sum += product;
        absolute += std::fabs(product);
      }
      const double target = a == b ? frame.metric[a] : 0.0;
      const double reach = frame.query_half[a] * frame.key_half[b];
      mismatch += (std::fabs(sum - target) + sum_gamma * (absolute + std::fabs(target))) * reach;
    }
    box += std::fabs(frame.metric[a]) * frame.query_half[a] * frame.key_half[a];
  }
  const std::vector<double> query = reaches(maps.query, frame.query_half);
  const std::vector<double> key = reaches(maps.key, frame.key_half);
  bool sane = true;
  const auto usual = [](double x) { return x == 0.0 || (x > 1e-120 && x < 1e120); };
  for (std::size_t i = 0; i < dim; ++i) {
    size += query[i] * key[i];
    sane = sane && usual(query[i]) && usual(key[i]);
  }
  const double moved = rounding_model<double>(1, static_cast<std::int64_t>(dim) + 1, 1).gamma;
  const double error = (mismatch + (2.0 * moved + moved * moved) * size + 8.0 * kU64 * box) * (1.0 + 1e-9) + 1e-100;
  return sane && std::isfinite(error) ? error : kInfinity;
}

base::Rows columns_of(const base::Buffer<double>& data, std::int64_t rows, std::int64_t first, std::int64_t last) {
  return {{{data.data() + first * rows, DType::float64, 0, rows, 1, rows}}, rows, last - first};
}

HeadProblem part_of(const HeadProblem& problem, const TurnedHead& head, std::int64_t first, std::int64_t last) {
  HeadProblem out;
  out.batch = problem.batch;
  out.head = problem.head;
  out.queries = columns_of(head.queries, problem.n_q(), first, last);
  out.keys = columns_of(head.keys, problem.n_kv(), first, last);
  out.values = problem.values;
  return out;  // the dot score with scale 1; key biases are in the frame's log weights
}

/// Coordinates [first, last) of the turned head.
void set_shape(Frame& frame, const MappedExtent& queries, const MappedExtent& keys, std::size_t first, std::size_t last,
               double query_norm, double key_norm) {
  const auto cut = [&](const std::vector<double>& half) {
    return std::vector<double>(half.begin() + static_cast<std::ptrdiff_t>(first),
                               half.begin() + static_cast<std::ptrdiff_t>(last));
  };
  frame.metric.assign(last - first, 1.0);
  frame.query_centre.assign(last - first, 0.0);
  frame.key_centre.assign(last - first, 0.0);
  frame.query_half = cut(queries.half);
  set_key_extent(frame, {frame.query_centre, frame.query_half, query_norm, 0.0}, {cut(keys.half), key_norm});
}

}  // namespace

TurnedHead turn_head(const HeadProblem& problem, const Frame& frame, const HeadMaps& maps, std::int64_t strong,
                     const base::Context& context) {
  const std::int64_t dim = problem.dim();
  TurnedHead out;
  out.strong_dim = strong;
  out.queries = base::Buffer<double>(dim * problem.n_q(), context.memory);
  out.keys = base::Buffer<double>(dim * problem.n_kv(), context.memory);
  const MappedExtent queries =
      map_tokens({problem.queries, frame.query_centre, maps.query, nullptr, strong}, context, out.queries.data());
  const MappedExtent keys =
      map_tokens({problem.keys, frame.key_centre, maps.key, frame.log_weight.data(), strong}, context, out.keys.data());
  out.whole = part_of(problem, out, 0, dim);
  out.strong = part_of(problem, out, 0, strong);
  out.weak = part_of(problem, out, strong, dim);
  const FrameShape& shape = frame;
  static_cast<FrameShape&>(out.frame) = shape;
  out.frame.log_weight = base::Buffer<double>(problem.n_kv(), context.memory);
  std::copy(frame.log_weight.begin(), frame.log_weight.end(), out.frame.log_weight.begin());
  out.frame.weight_error = frame.weight_error + map_error(frame, maps);
  const FrameShape& turned = out.frame;
  static_cast<FrameShape&>(out.strong_frame) = turned;
  static_cast<FrameShape&>(out.weak_frame) = turned;
  set_shape(out.strong_frame, queries, keys, 0, usize(strong), queries.strong, keys.strong);
  set_shape(out.weak_frame, queries, keys, usize(strong), usize(dim), queries.weak, keys.weak);
  set_shape(out.frame, queries, keys, 0, usize(dim), std::hypot(queries.strong, queries.weak) * (1.0 + 1e-12),
            std::hypot(keys.strong, keys.weak) * (1.0 + 1e-12));
  return out;
}

}  // namespace polyattn::engines
