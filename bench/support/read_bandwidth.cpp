#include "support/read_bandwidth.hpp"

#include "support/huge_pages.hpp"
#include "support/statistics.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace polyattn::bench {

namespace {

constexpr std::size_t kBytes = std::size_t{512} << 20;  // far beyond any last-level cache in sight
constexpr int kTrials = 3;

/// Reads all of [data, data + size) and returns something that depends on every byte of it.
using Reader = std::uint64_t (*)(const std::byte* data, std::size_t size);

#if defined(__x86_64__)

/// `kStreams` parts of the data are read side by side, 128 bytes of each in turn. `kAhead` > 0 asks for the line that
/// many bytes ahead, past the end of a page where the processor's own prefetcher stops.
template <std::size_t kStreams, std::size_t kAhead>
__attribute__((target("avx2"))) std::uint64_t read_streams(const std::byte* data, std::size_t size) {
  const std::size_t part = size / kStreams;
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (std::size_t at = 0; at < part; at += 128) {
    for (std::size_t stream = 0; stream < kStreams; ++stream) {
      const std::byte* from = data + stream * part + at;
      if constexpr (kAhead > 0) {
        _mm_prefetch(reinterpret_cast<const char*>(from + kAhead), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(from + kAhead + 64), _MM_HINT_T0);
      }
      const auto* words = reinterpret_cast<const __m256i*>(from);
      for (int i = 0; i < 4; ++i) sums[i] = _mm256_add_epi64(sums[i], _mm256_load_si256(words + i));
    }
  }
  const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  std::uint64_t words[4];
  std::memcpy(words, &sum, sizeof(words));
  return words[0] + words[1] + words[2] + words[3];
}

#endif

std::uint64_t read_words(const std::byte* data, std::size_t size) {
  std::uint64_t sums[8] = {};
  for (std::size_t at = 0; at < size; at += sizeof(sums)) {
    std::uint64_t words[8];
    std::memcpy(words, data + at, sizeof(words));
    for (int i = 0; i < 8; ++i) sums[i] += words[i];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t one : sums) sum += one;
  return sum;
}

std::vector<Reader> readers() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) {
    return {read_streams<1, 0>,    read_streams<2, 0>,    read_streams<4, 0>,    read_streams<8, 0>,
            read_streams<1, 1024>, read_streams<2, 1024>, read_streams<4, 1024>, read_streams<8, 1024>};
  }
#endif
  return {read_words};
}

/// Bytes a second of one pass: all threads wait for each other, the slowest ends the time.
double pass(const HugePages& memory, Reader reader, int threads) {
  const auto count = static_cast<std::size_t>(threads);
  const std::size_t part = kBytes / count / 4096 * 4096;
  const auto read = [&](std::size_t thread) {
    benchmark::DoNotOptimize(reader(memory.bytes().data() + thread * part, part));
  };
  const double seconds = seconds_of([&] {
    std::vector<std::thread> others;
    for (std::size_t thread = 1; thread < count; ++thread) others.emplace_back(read, thread);
    read(0);
    for (std::thread& other : others) other.join();
  });
  return static_cast<double>(part * count) / seconds;
}

Reader best_reader(const HugePages& memory, int threads) {
  Reader best = nullptr;
  double highest = 0.0;
  for (int trial = 0; trial < kTrials; ++trial) {
    for (const Reader reader : readers()) {
      const double rate = pass(memory, reader, threads);
      if (rate > highest) {
        highest = rate;
        best = reader;
      }
    }
  }
  return best;
}

}  // namespace

double read_bandwidth(int threads) {
  static const HugePages memory(kBytes);
  static std::map<int, Reader> chosen;
  auto found = chosen.find(threads);
  if (found == chosen.end()) found = chosen.emplace(threads, best_reader(memory, threads)).first;
  return pass(memory, found->second, threads);
}

}  // namespace polyattn::bench
