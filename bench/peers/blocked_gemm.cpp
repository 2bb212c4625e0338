// The textbook way to fast attention: a block of queries times a block of keys by a BLAS, exponentials with a running
// maximum, times the block of values by the BLAS again. Never n x n. Block sizes are those that do best on the problem
// at hand. OpenBLAS is loaded when it is there; it reads the kind of core from the environment, which is set right
// first, since it takes new processors for old ones.

#include "peers/peer.hpp"
#include "peers/softmax_rows.hpp"
#include "support/statistics.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::bench::peers {

namespace {

constexpr int kRowMajor = 101;
constexpr int kNoTranspose = 111;
constexpr int kTranspose = 112;
constexpr double kLog2E = 1.4426950408889634;

constexpr std::int64_t kQueryBlocks[] = {192, 384, 768};
constexpr std::int64_t kKeyBlocks[] = {256, 512, 1024};
constexpr std::int64_t kTunedQueries = 768;  // a multiple of every block of queries
constexpr int kTunedRuns = 4;                // the first warms up

struct OpenBlas {
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  Sgemm sgemm = nullptr;
  std::string version;
};

bool is_amd() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("vendor_id")) return line.find("AuthenticAMD") != std::string::npos;
  }
  return false;
}

#if defined(__x86_64__)

const SoftmaxKernels* softmax_kernels() {
  if (__builtin_cpu_supports("avx512f") != 0) return &kSoftmaxAvx512;
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) return &kSoftmaxAvx2;
  return nullptr;
}

#else

const SoftmaxKernels* softmax_kernels() { return nullptr; }

#endif

/// Without sgemm if there is no such library.
OpenBlas load_openblas(const SoftmaxKernels& softmax) {
  const bool wide = std::string(softmax.name) == "avx512";
  setenv("OPENBLAS_CORETYPE", wide ? "SkylakeX" : is_amd() ? "Zen" : "Haswell", 0);
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  OpenBlas blas;
  void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return blas;
  blas.sgemm = reinterpret_cast<OpenBlas::Sgemm>(dlsym(library, "cblas_sgemm"));
  if (const auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"))) {
    set_threads(1);
  }
  if (const auto config = reinterpret_cast<const char* (*)()>(dlsym(library, "openblas_get_config"))) {
    blas.version = config();
  }
  return blas;
}

struct Blocks {
  std::int64_t queries;
  std::int64_t keys;
};

class BlockedGemm : public Peer {
 public:
  BlockedGemm(OpenBlas blas, const SoftmaxKernels& softmax) : blas_(std::move(blas)), softmax_(softmax) {}

  [[nodiscard]] std::string name() const override { return "openblas"; }
  [[nodiscard]] std::string version() const override { return blas_.version + ", exponential in " + softmax_.name; }

  void prepare(const Cell& cell, const Tensors& tensors) override {
    cell_ = cell;
    q_ = tensors.q;
    k_ = tensors.k;
    v_ = tensors.v;
    output_.assign(q_.size(), 0.0F);
    bias_.clear();
    if (cell.kind == Kind::padding) {
      bias_.assign(static_cast<std::size_t>(cell.n), 0.0F);
      std::fill(bias_.begin() + visible_keys(cell), bias_.end(), -std::numeric_limits<float>::infinity());
    }
    tune();
  }

  double run() override {
    return seconds_of([&] {
      for (std::int64_t head = 0; head < cell_.heads; ++head) answer(head, 0, cell_.n);
    });
  }

  /// Of the blocks; what OpenBLAS keeps for packing is not seen.
  double memory() override {
    return static_cast<double>(scores_.size() * sizeof(float) + rows_.size() * sizeof(RowState));
  }

  std::vector<float> output() override { return output_; }

 private:
  /// Takes the blocks that are fastest on some queries in the middle of the first head.
  void tune() {
    const std::int64_t first = std::max<std::int64_t>(0, cell_.n / 2 - kTunedQueries);
    double least = std::numeric_limits<double>::infinity();
    Blocks best{};
    for (const std::int64_t queries : kQueryBlocks) {
      for (const std::int64_t keys : kKeyBlocks) {
        use({queries, keys});
        double seconds = std::numeric_limits<double>::infinity();
        for (int run = 0; run < kTunedRuns; ++run) {
          seconds = std::min(seconds, seconds_of([&] { answer(0, first, std::min(cell_.n, first + kTunedQueries)); }));
        }
        if (seconds < least) {
          least = seconds;
          best = blocks_;
        }
      }
    }
    use(best);
  }

  void use(Blocks blocks) {
    blocks_ = blocks;
    scores_.resize(static_cast<std::size_t>(blocks.queries * blocks.keys));
    rows_.resize(static_cast<std::size_t>(blocks.queries));
  }

  void answer(std::int64_t head, std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; row += blocks_.queries) {
      answer_block(head, row, std::min(blocks_.queries, last - row));
    }
  }

  /// Rows [first, first + rows) of a head.
  void answer_block(std::int64_t head, std::int64_t first, std::int64_t rows) {
    const std::int64_t d = cell_.d;
    const std::size_t at = static_cast<std::size_t>(head * cell_.n * d);
    const float* q = q_.data() + at + first * d;
    float* output = output_.data() + at + first * d;
    std::fill(rows_.begin(), rows_.end(), RowState{-std::numeric_limits<float>::infinity(), 0.0F});
    // Keys that nobody in the block sees are passed over.
    const std::int64_t end = cell_.kind == Kind::causal ? first + rows : visible_keys(cell_);
    const auto scale = static_cast<float>(kLog2E / std::sqrt(static_cast<double>(d)));
    for (std::int64_t key = 0; key < end; key += blocks_.keys) {
      const std::int64_t keys = std::min(blocks_.keys, cell_.n - key);
      const float* k = k_.data() + at + key * d;
      const float* v = v_.data() + at + key * d;
      multiply(kTranspose, rows, keys, d, scale, q, k, 0.0F, scores_.data());
      weigh(first, rows, key, keys, output, key == 0);
      multiply(kNoTranspose, rows, d, keys, 1.0F, scores_.data(), v, key == 0 ? 0.0F : 1.0F, output);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      softmax_.scale(output + i * d, d, 1.0F / rows_[static_cast<std::size_t>(i)].sum);
    }
  }

  /// Scores of rows [first, first + rows) against keys [key, key + keys) into weights.
  void weigh(std::int64_t first, std::int64_t rows, std::int64_t key, std::int64_t keys, float* output, bool is_first) {
    const float* bias = bias_.empty() ? nullptr : bias_.data() + key;
    for (std::int64_t i = 0; i < rows; ++i) {
      float* scores = scores_.data() + i * keys;
      std::int64_t count = keys;
      if (cell_.kind == Kind::causal && key + keys > first + i + 1) {
        const std::int64_t visible = std::max<std::int64_t>(0, first + i + 1 - key);
        count = (visible + 15) / 16 * 16;
        std::fill(scores + visible, scores + count, -std::numeric_limits<float>::infinity());
        std::fill(scores + count, scores + keys, 0.0F);
      }
      if (count == 0) continue;
      const float factor = softmax_.weigh(scores, bias, count, &rows_[static_cast<std::size_t>(i)]);
      if (!is_first && factor != 1.0F) softmax_.scale(output + i * cell_.d, cell_.d, factor);
    }
  }

  /// c [m, n] <- alpha a [m, k] b [k, n] + beta c, or b [n, k] transposed.
  void multiply(int transpose, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
                const float* b, float beta, float* c) const {
    const int columns = static_cast<int>(transpose == kTranspose ? k : n);
    blas_.sgemm(kRowMajor, kNoTranspose, transpose, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
                alpha, a, static_cast<int>(k), b, columns, beta, c, static_cast<int>(n));
  }

  OpenBlas blas_;
  const SoftmaxKernels& softmax_;
  Cell cell_;
  std::vector<float> q_;
  std::vector<float> k_;
  std::vector<float> v_;
  std::vector<float> bias_;
  std::vector<float> output_;
  std::vector<float> scores_;
  std::vector<RowState> rows_;
  Blocks blocks_{};
};

}  // namespace

Found find_blocked_gemm() {
  Found found{"openblas", nullptr, {}};
  const SoftmaxKernels* softmax = softmax_kernels();
  if (softmax == nullptr) {
    found.why_not = "no exponential for this processor";
    return found;
  }
  OpenBlas blas = load_openblas(*softmax);
  if (blas.sgemm == nullptr) {
    found.why_not = "libopenblas.so.0 cannot be loaded";
    return found;
  }
  found.peer = std::make_unique<BlockedGemm>(std::move(blas), *softmax);
  return found;
}

}  // namespace polyattn::bench::peers
