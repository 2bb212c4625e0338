#include "lab/field.hpp"

#include "polyattn/error.hpp"

#include <flint/flint.h>

#include <flint/fmpz.h>
#include <flint/fq_nmod.h>
#include <flint/nmod_poly.h>
#include <flint/ulong_extras.h>
#include <string>

namespace polyattn::lab {

namespace {

constexpr int largest = 1024;

int checked_size(int p, int degree) {
  const bool fits = p >= 2 && p <= largest && (degree == 1 || (degree == 2 && p * p <= largest));
  if (fits && n_is_prime(static_cast<ulong>(p)) != 0) return degree == 1 ? p : p * p;
  throw Error(ErrorCode::invalid_argument, "field: expected a prime p and degree 1 or 2 with p^degree <= 1024, got " +
                                               std::to_string(p) + "^" + std::to_string(degree));
}

/// FLINT's field, and numbers for its elements.
class FlintField {
 public:
  FlintField(int p, int degree) : p_(p), degree_(degree) {
    fmpz_t prime;
    fmpz_init_set_ui(prime, static_cast<ulong>(p));
    fq_nmod_ctx_init(context_, prime, degree, "x");
    fmpz_clear(prime);
    fq_nmod_init(left_, context_);
    fq_nmod_init(right_, context_);
  }
  ~FlintField() {
    fq_nmod_clear(left_, context_);
    fq_nmod_clear(right_, context_);
    fq_nmod_ctx_clear(context_);
  }
  FlintField(const FlintField&) = delete;
  FlintField& operator=(const FlintField&) = delete;
  FlintField(FlintField&&) = delete;
  FlintField& operator=(FlintField&&) = delete;

  int add(int a, int b) {
    load(a, b);
    fq_nmod_add(left_, left_, right_, context_);
    return number();
  }
  int multiply(int a, int b) {
    load(a, b);
    fq_nmod_mul(left_, left_, right_, context_);
    return number();
  }

 private:
  void load(int a, int b) {
    for (const auto& [element, value] : {std::pair{left_, a}, std::pair{right_, b}}) {
      nmod_poly_zero(element);
      nmod_poly_set_coeff_ui(element, 0, static_cast<ulong>(value % p_));
      if (degree_ == 2) nmod_poly_set_coeff_ui(element, 1, static_cast<ulong>(value / p_));
    }
  }
  int number() {
    const auto low = static_cast<int>(nmod_poly_get_coeff_ui(left_, 0));
    return degree_ == 2 ? low + p_ * static_cast<int>(nmod_poly_get_coeff_ui(left_, 1)) : low;
  }

  int p_, degree_;
  fq_nmod_ctx_t context_{};
  fq_nmod_t left_{}, right_{};
};

/// Powers of `a` until 1 comes back, 1 first.
std::vector<Field::Element> cycle(int a, FlintField& flint) {
  std::vector<Field::Element> powers{1};
  for (int x = a; x != 1; x = flint.multiply(x, a)) powers.push_back(static_cast<Field::Element>(x));
  return powers;
}

}  // namespace

Field::Field(int p, int degree) : p_(p), degree_(degree), size_(checked_size(p, degree)) {
  FlintField flint(p, degree);
  const auto size = static_cast<std::size_t>(size_);
  sum_.resize(size * size);
  negative_.resize(size);
  for (int a = 0; a < size_; ++a) {
    for (int b = 0; b < size_; ++b) {
      const auto element = static_cast<Element>(a);
      const int sum = flint.add(a, b);
      sum_[index(element, static_cast<Element>(b))] = static_cast<Element>(sum);
      if (sum == 0) negative_[element] = static_cast<Element>(b);
    }
  }
  tabulate_powers();
}

void Field::tabulate_powers() {
  FlintField flint(p_, degree_);
  const auto order = static_cast<std::size_t>(size_ - 1);
  for (int generator = 1; power_.size() < order; ++generator) power_ = cycle(generator, flint);
  log_.resize(order + 1);
  for (std::size_t e = 0; e < order; ++e) log_[power_[e]] = static_cast<Element>(e);
  for (std::size_t e = 0; e <= order; ++e) power_.push_back(power_[e]);  // so that logs can be added
}

Field::Element Field::power(Element a, int e) const noexcept {
  Element result = 1;
  for (int i = 0; i < e; ++i) result = multiply(result, a);
  return result;
}

}  // namespace polyattn::lab
