#pragma once

/// Other people's softmax attention, on one thread.

#include "peers/cell.hpp"

#include <memory>
#include <string>
#include <vector>

namespace polyattn::bench::peers {

class Peer {
 public:
  Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  virtual ~Peer() = default;

  /// As figures have it: "openblas", "pytorch", "onnxruntime".
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string version() const = 0;
  /// Everything that may be done before the clock starts: layouts the peer likes, tuning, a first run. The tensors are
  /// read here and not later.
  virtual void prepare(const Cell& cell, const Tensors& tensors) = 0;
  /// Seconds of one run of what was prepared.
  virtual double run() = 0;
  /// Bytes the first run needed beside inputs, as far as can be seen: blocks for peers in this process, growth of
  /// resident memory (the output may be part of it) for others. -1 where it is not known.
  virtual double memory() = 0;
  /// The answer of the last run, [heads, n, d].
  virtual std::vector<float> output() = 0;
};

/// A peer, or why there is none.
struct Found {
  std::string name;
  std::unique_ptr<Peer> peer;
  std::string why_not;
};

/// Two matrix products with OpenBLAS, and exponentials of our own between them.
Found find_blocked_gemm();
/// `library` is "pytorch" or "onnxruntime": driven by bench/peers/peer.py under $POLYATTN_PEER_PYTHON or python3.
Found find_python_peer(const std::string& library);

}  // namespace polyattn::bench::peers
