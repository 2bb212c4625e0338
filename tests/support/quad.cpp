#include "support/quad.hpp"

#include <cmath>

#if defined(POLYATTN_TEST_FLOAT128)
#if defined(__clang__)
// clang has the type, but glibc 2.36 does not declare the functions to it.
extern "C" polyattn::test::Quad expf128(polyattn::test::Quad) noexcept;
extern "C" polyattn::test::Quad logf128(polyattn::test::Quad) noexcept;
#endif

namespace polyattn::test {
Quad exp_of(Quad x) { return expf128(x); }
Quad log_of(Quad x) { return logf128(x); }
}  // namespace polyattn::test
#endif

namespace polyattn::test {
long double exp_of(long double x) { return std::exp(x); }
long double log_of(long double x) { return std::log(x); }
}  // namespace polyattn::test
