// What a user writes: attention over four keys, checked against a closed form. Equal keys give the mean of the values.

#include <polyattn/polyattn.hpp>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

int fail(const char* what) {
  std::fprintf(stderr, "consumer: %s\n", what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || std::strcmp(polyattn::version(), argv[1]) != 0) {
    return fail("the library is not of the version that was installed");
  }
  const std::vector<float> queries{0.5F, -1.0F, 2.0F, 0.25F};
  const std::vector<float> keys(8, 1.0F);
  const std::vector<float> values{1.0F, 2.0F, 3.0F, 6.0F};
  const auto q = polyattn::matrix(queries.data(), 2, 2);
  const std::vector k{polyattn::matrix(keys.data(), 4, 2)};
  const std::vector v{polyattn::matrix(values.data(), 4, 1)};

  const polyattn::Result result = polyattn::attend(q, k, v);
  const float* output = result.output.as<float>();
  if (output == nullptr || result.output.elements() != 2) {
    return fail("the output is not a float32 tensor of two rows");
  }
  for (int row = 0; row < 2; ++row) {
    // The float64 side of the comparison is exact: the mean is 3.
    if (!(std::fabs(static_cast<double>(output[row]) - 3.0) <= result.report.heads.at(0).certificate.bound())) {
      return fail("the output is further from the mean of the values than the certificate says");
    }
  }

  try {
    polyattn::Options options;
    options.tolerance.value = -1.0;
    static_cast<void>(polyattn::attend(q, k, v, options));
    return fail("a negative tolerance was accepted");
  } catch (const polyattn::Error& error) {  // the type must be recognised across the library's boundary
    if (error.code() != polyattn::ErrorCode::invalid_argument) {
      return fail("a negative tolerance has the wrong error code");
    }
  }
  return 0;
}
