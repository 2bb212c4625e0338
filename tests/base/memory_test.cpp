#include "base/memory.hpp"

#include "base/kept_blocks.hpp"
#include "base/parallel.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

using base::Buffer;
using base::MemoryMeter;

/// Bytes in use, seen from outside: what is left of the limit can be taken, one more byte cannot.
testing::AssertionResult uses(MemoryMeter& meter, std::uint64_t bytes) {
  const std::uint64_t left = meter.limit() - bytes;
  try {
    meter.take(left);
    meter.give(left);
  } catch (const Error& error) {
    return testing::AssertionFailure() << "more than " << bytes << " bytes in use: " << error.what();
  }
  const auto one_more = fails_with(ErrorCode::out_of_memory, {"max_memory"}, [&] { meter.take(left + 1); });
  return one_more ? one_more : testing::AssertionFailure() << "fewer than " << bytes << " bytes in use";
}

TEST(MemoryMeter, PeakIsTheMostInUseAtOnce) {
  MemoryMeter meter;
  meter.take(100);
  meter.take(50);
  meter.give(100);
  meter.take(60);
  EXPECT_EQ(meter.peak(), 150U);
  meter.take(41);
  EXPECT_EQ(meter.peak(), 151U);
}

TEST(MemoryMeter, RefusesBeforeCountingAndSaysHowMuch) {
  MemoryMeter meter(1000);
  meter.take(400);
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory", "400 + 601", "1000"}, [&] { meter.take(601); }));
  EXPECT_EQ(meter.peak(), 400U);
  meter.take(600);
  EXPECT_EQ(meter.peak(), 1000U);
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"1000"}, [&] { meter.take(1); }));
  meter.give(1000);
  EXPECT_TRUE(uses(meter, 0));
}

TEST(MemoryMeter, SizesNearTheEndOfTheirTypeDoNotWrap) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  MemoryMeter small(10);
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {}, [&] { small.take(kMost); }));
  small.take(10);
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {}, [&] { small.take(kMost - 5); }));
  MemoryMeter unlimited;
  unlimited.take(kMost - 1);
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {}, [&] { unlimited.take(2); }));
}

// Every thread holds its bytes while all others do: the peak is their sum, whatever the timing.
TEST(MemoryMeter, PeakUnderThreads) {
  constexpr int kThreads = 4;
  constexpr std::uint64_t kBytes = 1 << 20;
  MemoryMeter meter(kThreads * kBytes + 100);
  std::atomic<int> holding{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        meter.take(25);
        meter.give(25);
      }
      meter.take(kBytes);
      for (++holding; holding.load() < kThreads;) {
        std::this_thread::yield();
      }
      meter.give(kBytes);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_GE(meter.peak(), kThreads * kBytes);
  EXPECT_LE(meter.peak(), meter.limit());
  EXPECT_TRUE(uses(meter, 0));
}

TEST(Buffer, IsAlignedFilledAndCountedWhileItLives) {
  MemoryMeter meter(1 << 20);
  {
    const Buffer<float> floats(7, 2.5F, &meter);
    const Buffer<double> none(0, &meter);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(floats.data()) % base::kAlignment, 0U);
    EXPECT_EQ(floats.size(), 7U);
    for (const float x : floats) {
      EXPECT_EQ(x, 2.5F);
    }
    EXPECT_EQ(none.size(), 0U);
    EXPECT_EQ(none.begin(), none.end());
    EXPECT_TRUE(uses(meter, 28));
  }
  EXPECT_TRUE(uses(meter, 0));
  EXPECT_EQ(meter.peak(), 1U << 20);  // `uses` took everything
}

TEST(Buffer, LargeBlocksAreUsedAgain) {
  constexpr std::int64_t kCount = std::int64_t{3} << 20;
  double* first = nullptr;
  {
    Buffer<double> buffer(kCount);
    first = buffer.data();
    std::fill(buffer.begin(), buffer.end(), 1.0);
  }
  Buffer<double> smaller(kCount - 5);
  EXPECT_EQ(smaller.data(), first);
  Buffer<double> other(kCount);
  EXPECT_NE(other.data(), first) << "in use";
  std::fill(other.begin(), other.end(), 2.0);
  std::fill(smaller.begin(), smaller.end(), 3.0);
  EXPECT_EQ(other[0], 2.0);
}

TEST(KeptBlocks, GiveBackTheOldestBeyondTheirLimit) {
  static std::vector<void*> released;
  released.clear();
  const auto release = [](void* block) { released.push_back(block); };
  base::KeptBlocks blocks(100);
  char memory[4];
  blocks.know(memory, 50);
  blocks.know(memory + 1, 40);
  blocks.know(memory + 2, 60);
  blocks.know(memory + 3, 101);
  EXPECT_EQ(blocks.take(1), nullptr) << "none is kept yet";
  EXPECT_TRUE(blocks.put(memory, release));
  EXPECT_TRUE(blocks.put(memory + 1, release));
  EXPECT_FALSE(blocks.put(memory + 1, release)) << "not in use";
  EXPECT_TRUE(released.empty());
  EXPECT_TRUE(blocks.put(memory + 2, release));
  EXPECT_EQ(released, std::vector<void*>{memory});
  EXPECT_TRUE(blocks.put(memory + 3, release)) << "larger than all that is kept";
  EXPECT_EQ(released, (std::vector<void*>{memory, memory + 3}));
  EXPECT_EQ(blocks.take(61), nullptr);
  EXPECT_EQ(blocks.take(20), nullptr) << "too large for that";
  EXPECT_EQ(blocks.take(35), memory + 1);
  EXPECT_TRUE(blocks.clear(release));
  EXPECT_EQ(released, (std::vector<void*>{memory, memory + 3, memory + 2}));
  EXPECT_FALSE(blocks.clear(release));
}

TEST(Buffer, MovesCarryStorageAndCount) {
  MemoryMeter meter(1000);
  Buffer<double> a(10, 1.0, &meter);
  const double* storage = a.data();
  Buffer<double> b(std::move(a));
  EXPECT_EQ(b.data(), storage);
  EXPECT_TRUE(uses(meter, 80));
  b = Buffer<double>(3, 2.0, &meter);
  EXPECT_EQ(b.size(), 3U);
  EXPECT_EQ(b[2], 2.0);
  EXPECT_TRUE(uses(meter, 24)) << "the old storage is given back with the temporary";
  b = Buffer<double>();
  EXPECT_EQ(b.data(), nullptr);
  EXPECT_TRUE(uses(meter, 0));
}

TEST(Buffer, BeyondTheLimitNothingIsAllocatedOrCounted) {
  MemoryMeter meter(1000);
  const Buffer<double> held(100, &meter);
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory", "800 + 208"}, [&] { Buffer<double>(26, &meter); }));
  EXPECT_TRUE(uses(meter, 800));
}

TEST(Buffer, SizesThatOverflowAreRefused) {
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"memory"},
                         [] { Buffer<double>(std::numeric_limits<std::int64_t>::max() / 4); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"memory"}, [] { Buffer<double>(-1); }));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
// (Sanitizers stop the program at such a request instead of refusing it.)
TEST(Buffer, WhatTheMachineRefusesIsNotCounted) {
  MemoryMeter meter(std::uint64_t{1} << 62);
  constexpr std::int64_t kHuge = std::int64_t{1} << 58;
  EXPECT_TRUE(
      fails_with(ErrorCode::out_of_memory, {std::to_string(8 * kHuge)}, [&] { Buffer<double>(kHuge, &meter); }));
  EXPECT_TRUE(uses(meter, 0));
}
#endif

}  // namespace
}  // namespace polyattn::test
