// A sensor that is read once a second, smoothed as it comes: every reading is a token, every answer a weighted mean of
// all readings so far, the near ones (in temperature and humidity) and the recent ones counting most.

#include <polyattn/polyattn.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>

int main() {
  polyattn::StreamingOptions declared;
  declared.dim = 2;  // temperature and humidity, both scaled to [-1, 1]
  declared.value_dim = 1;
  declared.score = polyattn::Gaussian{{0.7}};
  declared.queries = {{}, {1.0}};
  declared.keys = {{}, {1.0}};
  declared.value_low = {-2.0};
  declared.value_high = {2.0};
  declared.expected_bias = 10.0;
  declared.tolerance = {1e-3, polyattn::ToleranceKind::absolute};
  try {
    polyattn::StreamingState state(declared);
    const polyattn::StreamingReport report = state.report();
    std::printf("degree %d, %lld features, %llu bytes, every answer within %.1e\n", report.degree,
                static_cast<long long>(report.rank), static_cast<unsigned long long>(report.bytes),
                report.a_priori_bound);
    std::mt19937 random(1);
    std::normal_distribution<double> noise(0.0, 0.3);
    for (std::int64_t second = 0; second < 100000; ++second) {
      const double time = static_cast<double>(second);
      const double place[] = {std::sin(1e-3 * time), std::cos(7e-4 * time)};
      const double reading[] = {std::clamp(place[0] * place[1] + noise(random), -2.0, 2.0)};
      const double recency[] = {1e-4 * time};  // a reading loses weight by e in 10,000 seconds
      state.append(polyattn::matrix(place, 1, 2), polyattn::matrix(reading, 1, 1), polyattn::matrix(recency, 1, 1));
      if (second % 20000 == 19999) {
        const polyattn::StreamingAnswer answer = state.query(polyattn::matrix(place, 1, 2));
        std::printf("after %lld readings: read %.4f, smoothed %.4f, off by at most %.1e\n",
                    static_cast<long long>(second + 1), reading[0], answer.output.as<double>()[0],
                    answer.certificate.bound());
      }
    }
    const polyattn::StreamingState later = polyattn::StreamingState::load(state.save());
    std::printf("saved and loaded: %lld readings\n", static_cast<long long>(later.report().tokens));
  } catch (const polyattn::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
