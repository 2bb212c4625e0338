#include "api/words.hpp"

#include <cmath>
#include <cstdio>

namespace polyattn::api {

std::string number(double value, int digits) {
  if (std::isnan(value)) {
    return "unknown";
  }
  if (std::isinf(value)) {
    return value > 0 ? "infinite" : "-infinite";
  }
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
  return buffer;
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) {
    return "-";
  }
  if (seconds < 1e-3) {
    return number(seconds * 1e6) + " us";
  }
  if (seconds < 1.0) {
    return number(seconds * 1e3) + " ms";
  }
  return number(seconds, 4) + " s";
}

std::string bytes(double count) {
  if (!std::isfinite(count)) {
    return "-";
  }
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (count >= 1024.0 && unit < 4) {
    count /= 1024.0;
    ++unit;
  }
  return number(count) + " " + units[unit];
}

}  // namespace polyattn::api
