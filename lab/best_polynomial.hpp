#pragma once

#include "polyattn/report.hpp"

namespace polyattn::lab {

/// The cheapest polynomial that a plan of one head expects to certify most rows; null if there is none. Points into
/// `head`.
const Candidate* best_polynomial(const HeadPlan& head) noexcept;

}  // namespace polyattn::lab
