#pragma once

/// Everything: `#include <polyattn/polyattn.hpp>`.

#include "polyattn/attention.hpp"
#include "polyattn/calibration.hpp"
#include "polyattn/factors.hpp"
#include "polyattn/merge.hpp"
#include "polyattn/polynomial.hpp"
#include "polyattn/smoothing.hpp"
#include "polyattn/streaming.hpp"
