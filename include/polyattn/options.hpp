#pragma once

/// What the caller may ask for: score, masks, tolerance, engine, resources.

#include "polyattn/dtype.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

namespace polyattn {

/// s_ij = scale * <q_i, k_j>. Any finite scale; by default 1/sqrt(dim) for order 2, required for order >= 3.
struct Dot {
  std::optional<double> scale;
};

/// s_ij = -sum_l (q_il - k_jl)^2 / (2 H_l^2). One positive bandwidth H, or one per axis.
struct Gaussian {
  std::vector<double> bandwidth;
};

using Score = std::variant<Dot, Gaussian>;

enum class Causal : std::uint8_t {
  none,
  upper_left,   ///< row i sees keys j <= i
  lower_right,  ///< row i sees keys j <= i + n_kv - n_q: the last row sees every key
};

/// Packed sequences: sequence s holds rows [query_offsets[s], query_offsets[s+1]) and keys [key_offsets[s], ...), and
/// its rows see its own keys only. Both lists have the same length, at least 2, begin with 0, do not decrease, and end
/// with n_q and n_kv. A sequence may have no rows or no keys.
struct Segments {
  std::vector<std::int64_t> query_offsets;
  std::vector<std::int64_t> key_offsets;
};

/// Which keys a row may see, by position. With segments all of it is relative to the row's own: its first row and its
/// first key count as 0, n_q and n_kv are its own.
struct Visibility {
  Causal causal = Causal::none;
  /// Sliding window, one width w >= 1 per key set, about c = i, or c = i + n_kv - n_q with lower_right: row i sees the
  /// w keys (c - w, c] with causal, |j - c| < w without. Empty: no window.
  std::vector<std::int64_t> window;
  std::optional<Segments> segments;
};

/// Independent parts that all apply: row i sees key j if every one of them lets it. What a row does not see does not
/// touch it, whatever K and V hold there; a row that sees nothing is zero with log-sum-exp -inf. Each engine's
/// capability table says which parts it handles.
struct Mask {
  Visibility visibility;
  /// Added to every score of a key, one view per key set (see `bias`); -inf hides the key, whose K and V are then never
  /// read. Empty: no bias.
  std::vector<ConstView> key_bias;
  /// [batch|1, heads|1, n_q|1, n_kv], heads of the queries, an axis of size 1 repeats: true where the row sees the key.
  /// With one row for all it counts as a key bias, here and below: engines that have `key_bias` take it.
  std::optional<ConstBoolView> boolean;
  /// The same shapes, any dtype: added to the scores, -inf hides the pair. NaN and +inf are errors unless they are to
  /// propagate.
  std::optional<ConstView> additive;
  /// Row i ignores key i (leave one out), counted from the first row and key of all, segments or not.
  bool exclude_self = false;
};

enum class ToleranceKind : std::uint8_t {
  absolute,        ///< max |T~ - T| <= value
  of_value_range,  ///< value times the largest (max - min) over a column of the visible values, per head; at order >= 3
                   ///< of their products, one of each set, whatever positions tuples combine
};

/// 0, the default, asks for the exact engine in the input's own type and is never "not reachable".
struct Tolerance {
  double value = 0.0;
  ToleranceKind kind = ToleranceKind::absolute;
};

/// What is promised of the rows of a head.
enum class Guarantee : std::uint8_t {
  certified,  ///< every row meets the tolerance, proved (default)
  sampled,    ///< all but a small share of the rows meet it, with a confidence: exact rows drawn at random say so
};

/// What a sampled guarantee is to say: with probability `confidence` over the draw, at most `share` of the rows of
/// every head err by more than the tolerance. ln(2 heads / (1 - confidence)) / share rows of a head are drawn, about.
struct Sampling {
  double share = 0.01;       ///< in (0, 1)
  double confidence = 0.95;  ///< in (0, 1), for all heads of the call together
  /// Fixes the draw, and with it the result. The statement holds for inputs that were not chosen with the seed in mind.
  std::uint64_t seed = 0;
};

enum class Engine : std::uint8_t { automatic, reference, exact, polynomial, grid, clustered };
enum class Arithmetic : std::uint8_t { automatic, float32, float64 };
enum class NonFinite : std::uint8_t {
  error,      ///< the first NaN or infinity is named (default)
  propagate,  ///< as PyTorch does; exact and reference only
};

constexpr const char* name_of(Engine engine) noexcept {
  switch (engine) {
    case Engine::automatic:
      return "auto";
    case Engine::reference:
      return "reference";
    case Engine::exact:
      return "exact";
    case Engine::polynomial:
      return "polynomial";
    case Engine::grid:
      return "grid";
    case Engine::clustered:
      return "clustered";
  }
  return "unknown";
}
constexpr const char* name_of(Arithmetic arithmetic) noexcept {
  switch (arithmetic) {
    case Arithmetic::automatic:
      return "auto";
    case Arithmetic::float32:
      return "float32";
    case Arithmetic::float64:
      return "float64";
  }
  return "unknown";
}

/// Speeds the planner's cost model uses, per second of one thread. Without a calibration, and for speeds that are 0,
/// the planner takes fixed defaults, the same on every machine, so that its choices are reproducible; where only the
/// multiply-adds of an arithmetic are given, its other speeds keep their proportion to them.
/// measure_calibration() (calibration.hpp) measures them.
struct Calibration {
  double float32_fma = 0.0;         ///< multiply-adds of the exact engine in float32
  double float64_fma = 0.0;         ///< the same in float64
  double memory_bytes = 0.0;        ///< bytes read from main memory
  double float32_exp = 0.0;         ///< exponentials of the exact engine, with what else it does for a pair
  double float64_exp = 0.0;         ///< the same in float64
  double float32_polynomial = 0.0;  ///< multiply-adds of the polynomial engine in float32
  double float64_polynomial = 0.0;  ///< the same in float64
};

/// Called now and then with the fraction done in [0, 1]; returning false cancels (Error, code cancelled).
using Progress = std::function<bool(double)>;

struct Options {
  Score score = Dot{};
  Mask mask;
  /// Scores s become soft_cap * tanh(s / soft_cap), before biases and masks are added. Positive.
  std::optional<double> soft_cap;

  Tolerance tolerance;
  /// Absolute tolerance on log-sum-exp, for those who need the denominators too.
  std::optional<double> lse_tolerance;
  /// Tolerance on the denominators D themselves; relative unless `density_absolute`.
  std::optional<double> density_tolerance;
  bool density_absolute = false;
  /// Unit of an absolute one. Given as about the largest denominator there is, it tells the planner what the tolerance
  /// amounts to. Positive.
  double density_unit = 1.0;
  /// Sampled: for the tolerance of the output alone; bounds of rows and of log-sum-exp stay proved.
  Guarantee guarantee = Guarantee::certified;
  Sampling sampling;

  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  std::optional<int> degree;  ///< pins the polynomial engine's degree, 0 to 30
  bool strict = false;        ///< a forced engine fails instead of handing rows to exact

  NonFinite non_finite = NonFinite::error;
  std::optional<DType> output_dtype;  ///< default: Q's dtype, float32 for 16-bit Q

  bool want_lse = false;         ///< log-sum-exp per row, with its own bound
  bool want_row_max = false;     ///< largest score per row; restricts the choice to exact and reference
  bool want_row_bounds = false;  ///< the certificate per row
  bool want_row_engine = false;  ///< which engine answered each row

  int threads = 0;                                                       ///< 0: all the machine offers
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes beyond inputs and outputs
  std::optional<Calibration> calibration;
  Progress progress;
};

}  // namespace polyattn
