#pragma once

/// Kernel smoothing through the nonuniform Fourier transforms of FINUFFT, on one thread.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace polyattn::bench::peers {

/// Gaussian score, d_v = 1, as many queries as keys, float64; d is 1 to 3.
struct Smoothing {
  std::int64_t n = 0;
  std::int64_t d = 0;
  double bandwidth = 0.0;
  const double* q = nullptr;  ///< [n, d]
  const double* k = nullptr;  ///< [n, d]
  const double* v = nullptr;  ///< [n]
  /// The truth in some rows, and the largest error that is allowed there.
  std::vector<std::int64_t> rows;
  std::vector<double> truth;
  double error = 0.0;
};

/// The fastest ones found whose error is within what is allowed.
struct FinufftSettings {
  double error = 0.0;  ///< measured, in the same rows
  double eps = 0.0;    ///< accuracy asked of the transforms
  double modes = 0.0;  ///< an axis
  double period = 0.0;
  double bits = 0.0;        ///< 32 or 64
  double upsampling = 0.0;  ///< of the transforms' inner grid
};

enum class Precision : std::uint8_t {
  any,  ///< whichever is faster; rounding the data is part of the run
  float64,
};

class Finufft {
 public:
  Finufft(const Finufft&) = delete;
  Finufft& operator=(const Finufft&) = delete;
  virtual ~Finufft() = default;

  [[nodiscard]] virtual std::string version() const = 0;
  /// Hands over the data and looks for settings, before anything is timed.
  virtual void prepare(const Smoothing& smoothing) = 0;
  [[nodiscard]] virtual FinufftSettings settings(Precision precision) = 0;
  /// Seconds of one run with everything a caller pays: scaling points, sorting, plans, transforms, the quotient.
  virtual double run(Precision precision) = 0;

 protected:
  Finufft() = default;
};

struct FoundFinufft {
  std::unique_ptr<Finufft> peer;
  std::string why_not;  ///< where there is none
};

/// Driven by bench/peers/finufft_peer.py under $POLYATTN_PEER_PYTHON or python3.
FoundFinufft find_finufft();

}  // namespace polyattn::bench::peers
