#include "peers/finufft.hpp"

#include "peers/conversation.hpp"

#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace polyattn::bench::peers {

namespace {

constexpr const char* kName = "finufft";
constexpr const char* kScript = "bench/peers/finufft_peer.py";

std::string word_of(Precision precision) { return precision == Precision::any ? "any" : "float64"; }

class PythonFinufft : public Finufft {
 public:
  PythonFinufft(std::string version, std::unique_ptr<Conversation> conversation)
      : version_(std::move(version)), conversation_(std::move(conversation)), scratch_(kName) {}

  [[nodiscard]] std::string version() const override { return version_; }

  void prepare(const Smoothing& smoothing) override {
    const auto count = static_cast<std::size_t>(smoothing.n);
    const std::size_t points = count * static_cast<std::size_t>(smoothing.d) * sizeof(double);
    write_bytes(scratch_.folder() / "q", smoothing.q, points);
    write_bytes(scratch_.folder() / "k", smoothing.k, points);
    write_bytes(scratch_.folder() / "v", smoothing.v, count * sizeof(double));
    write_bytes(scratch_.folder() / "rows", smoothing.rows.data(), smoothing.rows.size() * sizeof(std::int64_t));
    write_bytes(scratch_.folder() / "truth", smoothing.truth.data(), smoothing.truth.size() * sizeof(double));
    std::ostringstream words;
    words.precision(17);
    words << "prepare " << smoothing.n << " " << smoothing.d << " " << smoothing.bandwidth << " " << smoothing.error
          << " " << smoothing.rows.size() << " " << scratch_.folder().string();
    ask(*conversation_, kName, words.str());
  }

  FinufftSettings settings(Precision precision) override {
    std::istringstream answer(ask(*conversation_, kName, "settings " + word_of(precision)));
    FinufftSettings found;
    answer >> found.error >> found.eps >> found.modes >> found.period >> found.bits >> found.upsampling;
    if (!answer) throw std::runtime_error(std::string(kName) + ": settings that cannot be read");
    return found;
  }

  double run(Precision precision) override {
    return std::stod(ask(*conversation_, kName, "run " + word_of(precision)));
  }

 private:
  std::string version_;
  std::unique_ptr<Conversation> conversation_;
  Scratch scratch_;
};

}  // namespace

FoundFinufft find_finufft() {
  Introduction introduction = start_python(kScript, kName);
  if (introduction.conversation == nullptr) return {nullptr, introduction.why_not};
  return {std::make_unique<PythonFinufft>(introduction.version, std::move(introduction.conversation)), {}};
}

}  // namespace polyattn::bench::peers
