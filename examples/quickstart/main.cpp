// Kernel regression: noisy samples of a function of two variables, each replaced by a weighted mean of all samples.

#include <polyattn/polyattn.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

int main() {
  constexpr std::int64_t n = 20000;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> place(0.0F, 1.0F);
  std::normal_distribution<float> noise(0.0F, 0.5F);
  std::vector<float> points;   // [n, 2]
  std::vector<float> samples;  // [n, 1]
  for (std::int64_t i = 0; i < n; ++i) {
    const float x = place(random);
    const float y = place(random);
    points.insert(points.end(), {x, y});
    samples.push_back(std::sin(4.0F * x) * std::cos(3.0F * y) + noise(random));
  }
  const polyattn::ConstView tokens = polyattn::matrix(points.data(), n, 2);
  const std::array<polyattn::ConstView, 1> keys{tokens};
  const std::array<polyattn::ConstView, 1> values{polyattn::matrix(samples.data(), n, 1)};

  polyattn::Options options;
  options.score = polyattn::Gaussian{{0.2}};
  options.tolerance = {1e-3, polyattn::ToleranceKind::of_value_range};
  try {
    const polyattn::Result result = polyattn::attend(tokens, keys, values, options);
    const float* smooth = result.output.as<float>();  // [n, 1]; null if the output were not float32
    std::printf("%s", polyattn::describe(result.report).c_str());
    std::printf("first point: sample %.3f, smoothed %.3f, off by at most %.1e\n", static_cast<double>(samples[0]),
                static_cast<double>(smooth[0]), result.report.heads[0].certificate.bound());
  } catch (const polyattn::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
