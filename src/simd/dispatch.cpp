#include "simd/dispatch.hpp"

#include "base/error.hpp"

#include <cstdlib>
#include <string>

namespace polyattn::simd {

const std::vector<const KernelTable*>& available() {
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      found.push_back(&kAvx512Kernels);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      found.push_back(&kAvx2Kernels);
    }
#elif defined(__aarch64__)
    found.push_back(&kNeonKernels);  // part of the architecture
#endif
    found.push_back(&kScalarKernels);
    return found;
  }();
  return tables;
}

const KernelTable& kernels() {
  const auto& tables = available();
  const char* forced = std::getenv("POLYATTN_ISA");
  if (forced == nullptr || *forced == '\0') {
    return *tables.front();
  }
  std::string names;
  for (const KernelTable* table : tables) {
    if (std::string(forced) == table->name) {
      return *table;
    }
    names.append(names.empty() ? "" : ", ").append(table->name);
  }
  base::fail(ErrorCode::invalid_argument, "POLYATTN_ISA", "one of " + names, forced);
}

}  // namespace polyattn::simd
