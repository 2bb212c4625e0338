#include "base/parallel.hpp"

#include "base/error.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

using base::Context;
using base::parallel_for;
using base::ProgressMeter;

constexpr int kThreadCounts[] = {1, 2, 3, 8};

Context threads_of(int threads, ProgressMeter* progress = nullptr) { return {threads, nullptr, progress}; }

TEST(ParallelFor, EveryItemOnceByAThreadInRange) {
  for (const int threads : kThreadCounts) {
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      std::atomic<bool> in_range{true};
      parallel_for(threads_of(threads), count, [&](std::int64_t item, int thread) {
        visits[static_cast<std::size_t>(item)].fetch_add(1);
        if (thread < 0 || thread >= threads) {
          in_range = false;
        }
      });
      EXPECT_TRUE(in_range);
      EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v.load() == 1; }))
          << threads << " threads, " << count << " items";
    }
  }
}

// A thread index belongs to one thread at a time: scratch indexed by it needs no lock.
TEST(ParallelFor, ThreadIndicesAreNotShared) {
  std::vector<std::atomic<int>> inside(8);
  std::atomic<bool> shared{false};
  parallel_for(threads_of(8), 2000, [&](std::int64_t, int thread) {
    auto& here = inside[static_cast<std::size_t>(thread)];
    if (here.fetch_add(1) != 0) {
      shared = true;
    }
    here.fetch_sub(1);
  });
  EXPECT_FALSE(shared);
}

struct ItemError : std::runtime_error {
  explicit ItemError(std::int64_t i) : std::runtime_error(std::to_string(i)), item(i) {}
  std::int64_t item;
};

template <class Body>
std::int64_t item_rethrown(int threads, std::int64_t count, const Body& body) {
  try {
    parallel_for(threads_of(threads), count, body);
  } catch (const ItemError& error) {
    return error.item;
  }
  return -1;
}

TEST(ParallelFor, TheExceptionOfTheLowestFailingItemIsRethrown) {
  for (const int threads : kThreadCounts) {
    const auto body = [](std::int64_t item, int) {
      if (item >= 17 && item % 3 == 0) {
        throw ItemError(item);
      }
    };
    EXPECT_EQ(item_rethrown(threads, 100, body), 18) << threads << " threads";
  }
}

// Item 5 fails last, long after 6 and 7 have failed, and still wins.
TEST(ParallelFor, ALateFailureOfALowerItemWins) {
  for (const int threads : {2, 3, 8}) {
    std::atomic<bool> lower_started{false};
    std::atomic<bool> higher_failed{false};
    const auto wait_for = [](const std::atomic<bool>& flag) {
      for (int spin = 0; spin < 100000 && !flag.load(); ++spin) {  // a run time may give one thread only
        std::this_thread::yield();
      }
    };
    const auto body = [&](std::int64_t item, int) {
      if (item == 5) {
        lower_started = true;
        wait_for(higher_failed);
        throw ItemError(item);
      }
      if (item == 6 || item == 7) {
        wait_for(lower_started);
        higher_failed = true;
        throw ItemError(item);
      }
    };
    EXPECT_EQ(item_rethrown(threads, 100, body), 5) << threads << " threads";
  }
}

TEST(ParallelFor, NothingStartsAfterAFailure) {
  int started = 0;
  EXPECT_EQ(item_rethrown(1, 100,
                          [&](std::int64_t item, int) {
                            ++started;
                            if (item == 3) {
                              throw ItemError(item);
                            }
                          }),
            3);
  EXPECT_EQ(started, 4);
}

TEST(ParallelFor, CancellingStopsAndThrows) {
  for (const int threads : kThreadCounts) {
    double last = 0.0;
    ProgressMeter meter([&](double done) { return (last = done) < 0.25; }, 1000.0);
    std::atomic<int> started{0};
    EXPECT_TRUE(fails_with(ErrorCode::cancelled, {"cancelled"}, [&] {
      parallel_for(threads_of(threads, &meter), 1000, [&](std::int64_t, int) {
        ++started;
        meter.add(1.0);
      });
    }));
    EXPECT_GE(started.load(), 250);
    EXPECT_LT(started.load(), 250 + 2 * threads) << "each thread may be inside one more item";
  }
}

TEST(ParallelFor, AnErrorIsNotHiddenByACancel) {
  int calls = 0;
  ProgressMeter meter([&](double) { return ++calls < 0; }, 1.0);
  EXPECT_THROW(parallel_for(threads_of(1, &meter), 10,
                            [&](std::int64_t item, int) {
                              meter.add(1.0);
                              throw ItemError(item);
                            }),
               ItemError);
}

TEST(ProgressMeter, ReportsFractionsInOrderByOneThreadAtATime) {
  std::vector<double> seen;
  std::atomic<int> inside{0};
  bool alone = true;
  ProgressMeter meter(
      [&](double done) {
        alone = alone && inside.fetch_add(1) == 0;
        seen.push_back(done);
        inside.fetch_sub(1);
        return true;
      },
      400.0);
  parallel_for(threads_of(4, &meter), 500, [&](std::int64_t, int) { meter.add(1.0); });
  EXPECT_TRUE(alone);
  ASSERT_EQ(seen.size(), 500U);
  EXPECT_EQ(seen.front(), 1.0 / 400.0);
  EXPECT_EQ(seen.back(), 1.0) << "work beyond the prediction stays at 1";
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(ProgressMeter, IsNotCalledAgainOnceCancelled) {
  int calls = 0;
  ProgressMeter meter([&](double) { return ++calls < 3; }, 10.0);
  EXPECT_TRUE(meter.add(1.0));
  EXPECT_TRUE(meter.add(1.0));
  EXPECT_FALSE(meter.cancelled());
  EXPECT_FALSE(meter.add(1.0));
  EXPECT_TRUE(meter.cancelled());
  EXPECT_FALSE(meter.add(1.0));
  EXPECT_EQ(calls, 3);
  EXPECT_TRUE(fails_with(ErrorCode::cancelled, {}, [&] { base::check_cancelled(threads_of(1, &meter)); }));
}

TEST(ProgressMeter, WithoutACallableNothingIsCancelled) {
  ProgressMeter meter({}, 0.0);
  EXPECT_TRUE(meter.add(5.0));
  EXPECT_NO_THROW(base::check_cancelled(threads_of(1, &meter)));
  EXPECT_NO_THROW(base::check_cancelled(threads_of(1)));
}

}  // namespace
}  // namespace polyattn::test
