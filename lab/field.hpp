#pragma once

/// Finite fields with up to 1,024 elements, tabulated by FLINT.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::lab {

/// F_q with q = p or p^2. The element c0 + c1 x is the number c0 + c1 p: so 0 is zero, 1 is one, and numbers below p
/// are the prime field.
class Field {
 public:
  using Element = std::uint16_t;

  /// Throws Error (invalid_argument) unless p is a prime, degree 1 or 2 and p^degree <= 1024.
  Field(int p, int degree);

  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] int characteristic() const noexcept { return p_; }
  [[nodiscard]] int degree() const noexcept { return degree_; }

  [[nodiscard]] Element add(Element a, Element b) const noexcept { return sum_[index(a, b)]; }
  [[nodiscard]] Element negative(Element a) const noexcept { return negative_[a]; }
  [[nodiscard]] Element subtract(Element a, Element b) const noexcept { return add(a, negative(b)); }
  [[nodiscard]] Element multiply(Element a, Element b) const noexcept {
    return a == 0 || b == 0 ? Element{0} : power_[static_cast<std::size_t>(log_[a]) + log_[b]];
  }
  /// 1/a; a is not 0.
  [[nodiscard]] Element inverse(Element a) const noexcept {
    return power_[static_cast<std::size_t>(size_ - 1) - log_[a]];
  }
  /// a^e, e >= 0; 0^0 = 1.
  [[nodiscard]] Element power(Element a, int e) const noexcept;

 private:
  [[nodiscard]] std::size_t index(Element a, Element b) const noexcept {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(size_) + b;
  }
  void tabulate_powers();

  int p_, degree_, size_;
  std::vector<Element> sum_;       // [size, size]
  std::vector<Element> negative_;  // [size]
  std::vector<Element> power_;     // of a generator, exponents 0 to 2 size - 2
  std::vector<Element> log_;       // [size]; entry 0 is not used
};

}  // namespace polyattn::lab
