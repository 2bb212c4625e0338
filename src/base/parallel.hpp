#pragma once

/// Parallel loops that carry exceptions, report progress and can be cancelled. Work items are taken dynamically;
/// results must not depend on which thread takes which item.

#include "base/float_environment.hpp"
#include "base/memory.hpp"
#include "polyattn/options.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>

namespace polyattn::base {

/// Fraction done of a whole call, in units of predicted work. The callable is called by one thread at a time.
class ProgressMeter {
 public:
  ProgressMeter(const Progress& callable, double total) : callable_(callable), total_(total > 0 ? total : 1.0) {}
  /// Counts work done; false once cancelled.
  bool add(double work);
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

 private:
  Progress callable_;  // a copy: the caller's options need not outlive the plan
  double total_;
  std::mutex mutex_;
  double done_ = 0.0;
  std::atomic<bool> cancelled_{false};
};

/// What every engine is handed to run with.
struct Context {
  int threads = 1;
  MemoryMeter* memory = nullptr;
  ProgressMeter* progress = nullptr;  ///< may be null

  [[nodiscard]] Context serial() const noexcept { return {1, memory, progress}; }
};

/// Throws Error (cancelled) if the call was cancelled.
void check_cancelled(const Context& context);

int hardware_threads() noexcept;

/// Calls body(item, thread) for item in [0, count), thread in [0, context.threads). Of several exceptions that of the
/// smallest item is rethrown, whatever the timing.
template <class Body>
void parallel_for(const Context& context, std::int64_t count, const Body& body) {
  std::exception_ptr failure;
  std::mutex failure_mutex;
  std::atomic<std::int64_t> failed_item{count};  // items below it still run: one of them may fail too
  const auto guarded = [&](std::int64_t item, int thread) {
    if (item > failed_item.load(std::memory_order_relaxed) ||
        (context.progress != nullptr && context.progress->cancelled())) {
      return;
    }
    try {
      body(item, thread);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (item < failed_item.load(std::memory_order_relaxed)) {
        failure = std::current_exception();
        failed_item.store(item, std::memory_order_relaxed);
      }
    }
  };
  if (context.threads <= 1 || count <= 1) {
    const FloatEnvironment environment;
    for (std::int64_t item = 0; item < count; ++item) {
      guarded(item, 0);
    }
  } else {
    std::atomic<std::int64_t> next{0};
    // Relaxed: items owe each other nothing, and an order between them would hide races from the thread sanitizer.
    const auto take = [&next] { return next.fetch_add(1, std::memory_order_relaxed); };
    const int threads = static_cast<int>(context.threads < count ? context.threads : count);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
      const FloatEnvironment environment;
      for (std::int64_t item = take(); item < count; item = take()) {
        guarded(item, thread);
      }
    }
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
  check_cancelled(context);
}

}  // namespace polyattn::base
