#include "engines/polynomial/products.hpp"

#include "base/checked.hpp"
#include "numerics/rank.hpp"

#include <algorithm>

namespace polyattn::engines {
namespace {

using base::usize;

// A product costs two loads and a store; a sum over prefixes ends with a multiply-add, and 32 features of a walk with a
// load and a store besides.
constexpr double kProduct = 2.5;
constexpr double kTarget = 3.0;

/// A list of monomials while it is made.
struct Growing {
  std::vector<simd::MonomialProduct>* list;
  std::vector<int> last;  ///< last variable of each
  std::int32_t add(std::int32_t parent, int variable) {
    list->push_back({parent, variable});
    last.push_back(variable);
    return static_cast<std::int32_t>(list->size()) - 1;
  }
};

std::int32_t as_index(std::size_t i) noexcept { return static_cast<std::int32_t>(i); }

/// Prefixes of every degree up to h; returns where each degree begins.
std::vector<std::int32_t> add_prefixes(Products& products, std::vector<std::int32_t>& through) {
  Growing growing{&products.prefixes, {}};
  growing.add(-1, 0);
  std::vector<std::int32_t> offsets{0, 1};
  for (int s = 1; s <= products.prefix_degree; ++s) {
    const std::int32_t begin = offsets[usize(s) - 1];
    const std::int32_t end = offsets[usize(s)];
    for (int v = 0; v < products.dim; ++v) {
      for (std::int32_t parent = begin; parent < end && growing.last[usize(parent)] <= v; ++parent) {
        growing.add(parent, v);
      }
      if (s == products.prefix_degree) {
        through.push_back(as_index(products.prefixes.size()) - end);
      }
    }
    offsets.push_back(as_index(products.prefixes.size()));
  }
  return offsets;
}

}  // namespace

Products make_products(int dim, int degree, int prefix_degree, std::int64_t columns) {
  Products products{dim, degree, prefix_degree, columns, {}, {}, {}, {}, 0};
  std::vector<std::int32_t> through;  // prefixes of the highest degree whose last variable is at most v
  const std::vector<std::int32_t> offsets = add_prefixes(products, through);
  const std::int32_t all = offsets.back();
  const std::int32_t top = offsets[usize(prefix_degree)];
  Growing suffixes{&products.suffixes, {}};
  suffixes.add(-1, 0);
  products.key_groups.push_back({0, 1, 0, all, 0, 0});
  for (int s = 0; s <= prefix_degree; ++s) {
    const std::int32_t first = offsets[usize(s)];
    products.sum_groups.push_back({0, 1, first, offsets[usize(s) + 1] - first, s, first * columns});
  }
  products.moments = base::checked_mul(all, columns, "moments");
  const int most = degree - prefix_degree;
  for (int v = 0; v < dim && most > 0; ++v) {
    const std::int32_t count = through[usize(v)];
    const std::int32_t first = as_index(products.suffixes.size());
    const std::ptrdiff_t start = products.moments;
    std::int32_t begin = first;
    suffixes.add(0, v);
    for (int u = 1; u <= most; ++u) {
      const std::int32_t end = as_index(products.suffixes.size());
      const std::ptrdiff_t moments = start + std::ptrdiff_t{begin - first} * count * columns;
      products.sum_groups.push_back({begin, end - begin, top, count, prefix_degree + u, moments});
      for (std::int32_t parent = begin; u < most && parent < end; ++parent) {
        for (int w = suffixes.last[usize(parent)]; w < dim; ++w) {
          suffixes.add(parent, w);
        }
      }
      begin = end;
    }
    const std::int32_t here = as_index(products.suffixes.size()) - first;
    products.key_groups.push_back({first, here, top, count, 0, start});
    products.moments += base::checked_mul(here, base::checked_mul(std::int64_t{count}, columns, "moments"), "moments");
  }
  std::stable_sort(products.sum_groups.begin(), products.sum_groups.end(),
                   [](const auto& a, const auto& b) { return a.degree < b.degree; });
  return products;
}

double walk_work(double rank, std::int64_t columns) noexcept {
  const double chunks = rank / static_cast<double>(simd::kEvaluationGroup);
  return 2.0 * rank + kTarget / kProduct * static_cast<double>(columns) * chunks;
}

double monomial_work(std::int64_t dim, int degree, std::int64_t columns, int prefix_degree) noexcept {
  const auto rank = static_cast<double>(numerics::feature_rank(dim, degree));
  if (prefix_degree == 0) {
    return walk_work(rank, columns);
  }
  const auto width = static_cast<double>(columns);
  const auto prefixes = static_cast<double>(numerics::feature_rank(dim, prefix_degree));
  const auto suffixes = static_cast<double>(numerics::feature_rank(dim, degree - prefix_degree));
  const double chunks = rank / static_cast<double>(simd::kEvaluationGroup);
  return prefixes * (width + 1.0) + 2.0 * suffixes + width / kProduct * (suffixes + chunks);
}

int best_prefix_degree(std::int64_t dim, int degree, std::int64_t columns) noexcept {
  constexpr double kMostRows = 1024.0;  // of a block of keys, prefixes times columns and suffixes
  int best = 0;
  for (int h = 1; h < degree; ++h) {
    const auto rows = static_cast<double>(numerics::feature_rank(dim, h) * columns);
    const auto suffixes = static_cast<double>(numerics::feature_rank(dim, degree - h));
    if (rows + suffixes <= kMostRows &&
        monomial_work(dim, degree, columns, h) < monomial_work(dim, degree, columns, best)) {
      best = h;
    }
  }
  return best;
}

namespace {

struct ListWeights {
  std::vector<double> weight;
  std::vector<int> degree;
  std::vector<int> last;
  std::vector<int> last_count;   ///< how often the last variable occurs
  std::vector<int> first;        ///< first variable
  std::vector<int> first_count;  ///< how often it occurs
};

ListWeights list_weights(const std::vector<simd::MonomialProduct>& list, const double* z) {
  ListWeights out;
  const std::size_t count = list.size();
  out.weight.assign(count, 1.0);
  for (std::vector<int>* array : {&out.degree, &out.last, &out.last_count, &out.first, &out.first_count}) {
    array->assign(count, 0);
  }
  for (std::size_t i = 1; i < count; ++i) {
    const auto parent = usize(list[i].parent);
    const int v = list[i].variable;
    out.degree[i] = out.degree[parent] + 1;
    out.last[i] = v;
    out.last_count[i] = parent != 0 && out.last[parent] == v ? out.last_count[parent] + 1 : 1;
    out.first[i] = parent != 0 ? out.first[parent] : v;
    out.first_count[i] = out.first_count[parent] + (out.first[i] == v ? 1 : 0);
    out.weight[i] = out.weight[parent] * z[v] * out.degree[i] / out.last_count[i];
  }
  return out;
}

double choose(int n, int k) noexcept { return static_cast<double>(numerics::binomial(n, k)); }

}  // namespace

void product_weights(const Products& products, const double* z, double* out) {
  const ListWeights prefixes = list_weights(products.prefixes, z);
  const ListWeights suffixes = list_weights(products.suffixes, z);
  for (const simd::ProductGroup& group : products.key_groups) {
    double* next = out + group.moments;
    for (auto b = usize(group.suffix); b < usize(group.suffix + group.suffixes); ++b) {
      for (auto a = usize(group.prefix); a < usize(group.prefix + group.prefixes); ++a) {
        const int t = prefixes.degree[a] + suffixes.degree[b];
        // Of t!/alpha! only a variable that both share is not in the product of the two weights.
        const bool shared = prefixes.degree[a] > 0 && suffixes.degree[b] > 0 && prefixes.last[a] == suffixes.first[b];
        const int of_both = prefixes.last_count[a] + suffixes.first_count[b];
        const double both = shared ? choose(of_both, prefixes.last_count[a]) : 1.0;
        const double weight = prefixes.weight[a] * suffixes.weight[b] * choose(t, prefixes.degree[a]) / both;
        next = std::fill_n(next, products.columns, weight);
      }
    }
  }
}

}  // namespace polyattn::engines
