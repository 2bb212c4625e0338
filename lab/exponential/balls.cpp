#include "lab/exponential/balls.hpp"

#include <arf.h>
#include <flint/flint.h>

namespace polyattn::lab {

namespace {

constexpr slong kBits = 53;

}  // namespace

double upper_double(const arb_t x) {
  arf_t end;
  arf_init(end);
  arb_get_ubound_arf(end, x, kBits);
  const double value = arf_get_d(end, ARF_RND_CEIL);
  arf_clear(end);
  return value;
}

double lower_double(const arb_t x) {
  arf_t end;
  arf_init(end);
  arb_get_lbound_arf(end, x, kBits);
  const double value = arf_get_d(end, ARF_RND_FLOOR);
  arf_clear(end);
  return value;
}

std::string text_of(const fmpz_t x) {
  char* digits = fmpz_get_str(nullptr, 10, x);
  std::string text(digits);
  flint_free(digits);
  return text;
}

}  // namespace polyattn::lab
