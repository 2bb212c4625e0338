#include "lab/exponential/enclosure.hpp"

#include "lab/exponential/balls.hpp"
#include "polyattn/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <queue>
#include <vector>

namespace polyattn::lab {

namespace {

constexpr double kMostRadius = 300.0;
constexpr std::size_t kMostCoefficients = 1001;
/// The enclosure ends where its ends are this close, or after so many pieces, wider but valid.
constexpr double kSharpness = 0x1p-10;
constexpr int kMostPieces = 20'000;
/// Bits at most: cancellation beyond them leaves an enclosure that says little.
constexpr slong kMostPrecision = 1 << 16;

/// [middle - half, middle + half], both dyadic, with a bound on the error there.
struct Piece {
  double middle = 0.0;
  double half = 0.0;
  double bound = 0.0;

  friend bool operator<(const Piece& a, const Piece& b) noexcept { return a.bound < b.bound; }
};

class ErrorOf {
 public:
  ErrorOf(const std::vector<std::string>& coefficients, ErrorKind kind) : kind_(kind) {
    Rational coefficient;
    for (std::size_t t = 0; t < coefficients.size(); ++t) {
      const bool rational = fmpq_set_str(coefficient.get(), coefficients[t].c_str(), 10) == 0;
      if (!rational || fmpz_is_zero(fmpq_denref(coefficient.get()))) {
        throw Error(ErrorCode::invalid_argument,
                    "coefficients: expected p or p/q at " + std::to_string(t) + ", got '" + coefficients[t] + "'");
      }
      fmpq_canonicalise(coefficient.get());
      fmpq_poly_set_coeff_fmpq(polynomial_.get(), static_cast<slong>(t), coefficient.get());
    }
    terms_ = static_cast<slong>(coefficients.size()) + 8;
  }

  void set_precision(slong bits) noexcept { precision_ = bits; }

  /// |P - exp|, or the relative error, at one point.
  void at(double x, Ball& value) {
    expand(x);
    arb_poly_get_coeff_arb(value.get(), taylor_.get(), 0);
    finish(x, value);
  }

  /// A bound for all of the piece.
  double bound(double middle, double half) {
    expand(middle);
    Ball h;
    Ball power;
    Ball sum;
    Ball term;
    Ball ends;
    arb_set_d(h.get(), half);
    // |e_0 + e_1 h| and |e_0 - e_1 h|.
    arb_poly_get_coeff_arb(ends.get(), taylor_.get(), 0);
    arb_poly_get_coeff_arb(term.get(), taylor_.get(), 1);
    arb_mul(term.get(), term.get(), h.get(), precision_);
    arb_abs(ends.get(), ends.get());
    arb_abs(term.get(), term.get());
    arb_add(sum.get(), ends.get(), term.get(), precision_);  // the larger of the two
    arb_one(power.get());
    arb_mul(power.get(), h.get(), h.get(), precision_);
    for (slong j = 2; j < terms_; ++j) {
      arb_poly_get_coeff_arb(term.get(), taylor_.get(), j);
      arb_abs(term.get(), term.get());
      arb_addmul(sum.get(), term.get(), power.get(), precision_);
      arb_mul(power.get(), power.get(), h.get(), precision_);
    }
    add_tail(middle, h, power, sum);
    finish(std::nextafter(middle - half, -kMostRadius - 1.0), sum);
    return upper_double(sum.get());
  }

 private:
  /// Taylor coefficients 0 ... terms_ - 1 of P - exp at x.
  void expand(double x) {
    Ball centre;
    Ball term;
    Ball coefficient;
    arb_set_d(centre.get(), x);
    arb_poly_set_fmpq_poly(taylor_.get(), polynomial_.get(), precision_);
    arb_poly_taylor_shift(taylor_.get(), taylor_.get(), centre.get(), precision_);
    arb_exp(term.get(), centre.get(), precision_);
    for (slong j = 0; j < terms_; ++j) {
      arb_poly_get_coeff_arb(coefficient.get(), taylor_.get(), j);
      arb_sub(coefficient.get(), coefficient.get(), term.get(), precision_);
      arb_poly_set_coeff_arb(taylor_.get(), j, coefficient.get());
      arb_div_ui(term.get(), term.get(), static_cast<ulong>(j) + 1, precision_);
    }
  }

  /// Adds e^m h^T/T! / (1 - h/(T+1)), T = terms_; `power` is h^T.
  void add_tail(double middle, const Ball& h, Ball& power, Ball& sum) const {
    Ball term;
    Ball shrink;
    arb_set_d(term.get(), middle);
    arb_exp(term.get(), term.get(), precision_);
    arb_mul(power.get(), power.get(), term.get(), precision_);
    arb_fac_ui(term.get(), static_cast<ulong>(terms_), precision_);
    arb_div(power.get(), power.get(), term.get(), precision_);
    arb_div_ui(shrink.get(), h.get(), static_cast<ulong>(terms_) + 1, precision_);
    arb_sub_ui(shrink.get(), shrink.get(), 1, precision_);
    arb_neg(shrink.get(), shrink.get());
    arb_div(power.get(), power.get(), shrink.get(), precision_);
    arb_add(sum.get(), sum.get(), power.get(), precision_);
  }

  /// Magnitude; for relative errors divided by exp(x).
  void finish(double x, Ball& value) const {
    arb_abs(value.get(), value.get());
    if (kind_ == ErrorKind::absolute) return;
    Ball factor;
    arb_set_d(factor.get(), -x);
    arb_exp(factor.get(), factor.get(), precision_);
    arb_mul(value.get(), value.get(), factor.get(), precision_);
  }

  ErrorKind kind_;
  RationalPoly polynomial_;
  BallPoly taylor_;
  slong terms_ = 0;
  slong precision_ = 128;
};

/// Bits that make the value at both ends sharp, doubled until they do.
slong enough_bits(ErrorOf& error, double radius) {
  Ball value;
  for (slong bits = 128; bits < kMostPrecision; bits *= 2) {
    error.set_precision(bits);
    bool sharp = true;
    for (const double x : {radius, -radius, radius / 3.0}) {
      error.at(x, value);
      sharp = sharp && (arb_rel_accuracy_bits(value.get()) > 64 || upper_double(value.get()) == 0.0);
    }
    if (sharp) return bits + 128;
  }
  return kMostPrecision;
}

}  // namespace

Enclosure enclose_error(const std::vector<std::string>& coefficients, double radius, ErrorKind kind) {
  if (!(radius >= 0.0 && radius <= kMostRadius)) {
    throw Error(ErrorCode::invalid_argument, "radius: expected 0 to 300, got " + std::to_string(radius));
  }
  if (coefficients.empty() || coefficients.size() > kMostCoefficients) {
    throw Error(ErrorCode::invalid_argument,
                "coefficients: expected 1 to 1001, got " + std::to_string(coefficients.size()));
  }
  ErrorOf error(coefficients, kind);
  error.set_precision(enough_bits(error, radius));
  Ball value;
  double low = 0.0;
  double high = 0.0;
  const auto see = [&](double x) {
    error.at(x, value);
    low = std::max(low, lower_double(value.get()));
    high = std::max(high, upper_double(value.get()));
  };
  see(radius);
  see(-radius);
  if (radius == 0.0) return {low, high};
  std::priority_queue<Piece> pieces;
  const auto add = [&](double left, double right) {
    // Rounding the middle is covered by a half width rounded up.
    const double middle = left + (right - left) / 2.0;
    const double half = std::max(right - middle, middle - left) * (1.0 + 0x1p-50);
    see(middle);
    pieces.push({middle, half, error.bound(middle, half)});
  };
  // Half widths below 1, so that the tail's geometric series converges.
  const int count = static_cast<int>(coefficients.size()) + 3 + static_cast<int>(std::ceil(radius));
  for (int i = 0; i < count; ++i) {
    add(i == 0 ? -radius : -radius + 2.0 * radius * i / count,
        i + 1 == count ? radius : -radius + 2.0 * radius * (i + 1) / count);
  }
  for (int made = count; made < kMostPieces && pieces.top().bound > low * (1.0 + kSharpness); made += 2) {
    const Piece worst = pieces.top();
    pieces.pop();
    // Outwards, so that nothing between a piece and its neighbour is lost.
    const double left = std::max(std::nextafter(worst.middle - worst.half, -2.0 * radius), -radius);
    const double right = std::min(std::nextafter(worst.middle + worst.half, 2.0 * radius), radius);
    if (!(left < worst.middle && worst.middle < right)) {  // as narrow as float64 goes
      pieces.push(worst);
      break;
    }
    add(left, worst.middle);
    add(worst.middle, right);
  }
  return {low, std::max(high, pieces.top().bound)};
}

}  // namespace polyattn::lab
