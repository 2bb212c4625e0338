#pragma once

namespace polyattn::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POLYATTN_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POLYATTN_TEST_SANITIZED 1
#endif
#endif

/// Sanitizers look for other mistakes than wrong bounds, at twenty times the cost: one problem in so many will do.
#if defined(POLYATTN_TEST_SANITIZED)
inline constexpr int kShare = 16;
#else
inline constexpr int kShare = 1;
#endif

}  // namespace polyattn::test
