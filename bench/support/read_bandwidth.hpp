#pragma once

/// The best rate at which one core, or several together, read main memory in order: what a share of read bandwidth is
/// a share of.

namespace polyattn::bench {

/// Bytes a second over one pass through 512 MiB, each of `threads` threads reading a part of its own. At the first call
/// for a number of threads several ways of reading are tried (one stream to eight, with and without prefetch), and the
/// best is used from then on.
double read_bandwidth(int threads);

}  // namespace polyattn::bench
