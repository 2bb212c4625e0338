#pragma once

/// Numbers in reports for people.

#include <string>

namespace polyattn::api {

/// `digits` significant digits; "unknown" for NaN.
std::string number(double value, int digits = 3);
/// With a unit from us to s; "-" if not finite.
std::string duration(double seconds);
/// With a unit from B to TiB; "-" if not finite.
std::string bytes(double count);

}  // namespace polyattn::api
