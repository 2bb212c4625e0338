// A library that Python can import, kept running beside us: bench/peers/peer.py answers line by line, and measures time
// on its own side of the pipe.

#include "peers/conversation.hpp"
#include "peers/peer.hpp"
#include "support/process.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::bench::peers {

namespace {

constexpr const char* kScript = "bench/peers/peer.py";

void write_floats(const std::filesystem::path& path, const std::vector<float>& numbers) {
  write_bytes(path, numbers.data(), numbers.size() * sizeof(float));
}

class PythonPeer : public Peer {
 public:
  PythonPeer(std::string name, std::string version, std::unique_ptr<Conversation> conversation)
      : name_(std::move(name)), version_(std::move(version)), conversation_(std::move(conversation)), scratch_(name_) {}

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::string version() const override { return version_; }

  void prepare(const Cell& cell, const Tensors& tensors) override {
    write_floats(scratch_.folder() / "q", tensors.q);
    write_floats(scratch_.folder() / "k", tensors.k);
    write_floats(scratch_.folder() / "v", tensors.v);
    size_ = tensors.q.size();
    ask(std::string("prepare ") + name_of(cell.kind) + " " + std::to_string(cell.heads) + " " + std::to_string(cell.n) +
        " " + std::to_string(cell.d) + " " + scratch_.folder().string());
  }

  double run() override { return std::stod(ask("run")); }
  double memory() override { return std::stod(ask("memory")); }

  std::vector<float> output() override {
    ask("output");
    const std::string bytes = read_text(scratch_.folder() / "output");
    if (bytes.size() != size_ * sizeof(float)) throw std::runtime_error(name_ + ": an answer of the wrong size");
    std::vector<float> numbers(size_);
    bytes.copy(reinterpret_cast<char*>(numbers.data()), bytes.size());
    return numbers;
  }

 private:
  std::string ask(const std::string& question) { return peers::ask(*conversation_, name_, question); }

  std::string name_;
  std::string version_;
  std::unique_ptr<Conversation> conversation_;
  Scratch scratch_;
  std::size_t size_ = 0;
};

}  // namespace

Found find_python_peer(const std::string& library) {
  Introduction introduction = start_python(kScript, library);
  if (introduction.conversation == nullptr) return {library, nullptr, introduction.why_not};
  return {
      library, std::make_unique<PythonPeer>(library, introduction.version, std::move(introduction.conversation)), {}};
}

}  // namespace polyattn::bench::peers
