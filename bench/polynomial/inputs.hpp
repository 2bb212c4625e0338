#pragma once

/// Queries and keys drawn independently from one cloud, values that depend on the keys, and an output allocated before
/// anything is timed.

#include "polyattn/attention.hpp"
#include "support/case.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::bench::polynomial {

enum class Cloud {
  cube,       ///< uniform on [-1, 1]^d, score a dot product
  unit_cube,  ///< uniform on [0, 1]^d, Gaussian score
  normal,     ///< standard normal, score a dot product
  clusters,   ///< normal with deviation 0.03 about 20 centres, the same for queries and keys, uniform in [0, 1]^d;
              ///< Gaussian score
};

/// The Gaussian score of the kernel exp(-|x - y|^2 / h^2) with L = d / h^2.
Score gaussian_of(std::int64_t d, double steepness);

struct Setting {
  std::int64_t n = 0;  ///< queries and keys of a head
  std::int64_t d = 0;
  std::int64_t d_v = 1;
  Cloud cloud = Cloud::cube;
  /// How fast weights change: the scale of the dot product, or in the unit cube, clusters too, L = max |x - y|^2 / h^2
  /// of the kernel exp(-|x - y|^2 / h^2), the maximum that of the cube: d / h^2.
  double steepness = 1.0;
  double tolerance = 1e-3;  ///< of the value range
  double frequency = 3.0;   ///< of the values, see values_of_keys
  std::int64_t heads = 1;
};

/// T, float or double, is the type of the data.
template <class T>
class Inputs {
 public:
  explicit Inputs(const Setting& setting);

  /// The first rows of Q over the first keys, of every head; one thread.
  [[nodiscard]] Problem problem(std::int64_t rows, std::int64_t keys, Engine engine) const;
  /// All of them.
  [[nodiscard]] Problem problem(Engine engine) const { return problem(setting_.n, setting_.n, engine); }
  /// [1, heads, rows, d_v]; outputs of different sizes overlap.
  [[nodiscard]] View output(std::int64_t rows);
  [[nodiscard]] View output() { return output(setting_.n); }

 private:
  Setting setting_;
  std::vector<T> q_;
  std::vector<T> k_;
  std::vector<T> v_;
  std::vector<T> output_;
};

}  // namespace polyattn::bench::polynomial
