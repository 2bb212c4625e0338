#include "results.hpp"

#include "command.hpp"
#include "io/npy.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <tuple>

namespace polyattn::cli {

namespace {

bool keep_going() { return !interrupted(); }

/// "0-2, 5" for {0, 1, 2, 5}
std::string ranges_text(const std::vector<std::int64_t>& sorted) {
  std::string text;
  for (std::size_t first = 0; first < sorted.size();) {
    std::size_t last = first;
    while (last + 1 < sorted.size() && sorted[last + 1] == sorted[last] + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(sorted[first]);
    if (last > first) text += "-" + std::to_string(sorted[last]);
    first = last + 1;
  }
  return text;
}

/// Heads that were answered alike: what they have in common, the extremes of the rest.
std::string group_line(const std::vector<const HeadReport*>& group) {
  const HeadReport& one = *group.front();
  double bound = 0.0;
  double mean_answer = 0.0;
  double seconds = 0.0;
  double share = 0.0;  // that may err by more
  std::int64_t rows = 0;
  std::int64_t handed_over = 0;
  std::map<std::int64_t, std::vector<std::int64_t>> heads_of_batch;
  for (const HeadReport* head : group) {
    bound = std::max(bound, head->certificate.bound());
    mean_answer = std::max(mean_answer, head->mean_answer_error);
    seconds += head->seconds;
    share = std::max(share, head->certificate.sample.share);
    rows += head->rows_total;
    if (head->engine != Engine::exact && head->engine != Engine::reference) handed_over += head->rows_exact;
    heads_of_batch[head->batch].push_back(head->head);
  }
  std::string text = fmt::format("{} heads: {} in {}", group.size(), name_of(one.engine), name_of(one.arithmetic));
  if (one.engine == Engine::polynomial) text += fmt::format(", degree {}, rank {}", one.degree, one.rank);
  if (one.certificate.kind == CertificateKind::sampled) text += ", sampled, not certified";
  text += fmt::format("; error at most {:.3g} (the mean of V: {:.3g}); {} rows", bound, mean_answer, rows);
  if (one.certificate.kind == CertificateKind::sampled) {
    text += fmt::format(", with confidence {:g} % all but {:.3g} % of each head",
                        100.0 * one.certificate.sample.confidence, 100.0 * share);
  }
  if (handed_over > 0) text += fmt::format(", {} of them handed to exact", handed_over);
  text += fmt::format("; {:.3g} s\n", seconds);
  for (const auto& [batch, heads] : heads_of_batch) {
    text += fmt::format("  batch {}: heads {}\n", batch, ranges_text(heads));
  }
  return text;
}

}  // namespace

std::string words(const Report& report) {
  constexpr std::size_t most_heads_in_full = 8;
  if (report.heads.size() <= most_heads_in_full) return describe(report);
  std::map<std::tuple<Engine, Arithmetic, int, CertificateKind>, std::vector<const HeadReport*>> groups;
  for (const HeadReport& head : report.heads) {
    groups[{head.engine, head.arithmetic, head.degree, head.certificate.kind}].push_back(&head);
  }
  std::string text;
  for (const auto& [what, group] : groups) text += group_line(group);
  return text +
         fmt::format("{:.3g} s on {} threads ({}), {:.3g} s of it planning; {:.3g} MB beyond inputs and outputs\n",
                     report.seconds, report.threads, report.instruction_set, report.planning_seconds,
                     static_cast<double>(report.peak_bytes) / 1e6);
}

void Outputs::add_tensor(const std::string& path, const Tensor& tensor, std::size_t rank, bool per_row) {
  const std::span<const std::int64_t> all(tensor.shape());
  add_array(path, tensor.dtype(), all.subspan(4 - rank, per_row ? rank - 1 : rank), tensor.data());
}

void Outputs::add_array(const std::string& path, DType dtype, std::span<const std::int64_t> dims, const void* data) {
  files_.push_back(std::make_unique<io::StagedFile>(path));
  io::write_npy(*files_.back(), dtype, dims, data, keep_going);
  files_.back()->finish();
}

void Outputs::add_integers(const std::string& path, std::span<const std::int64_t> values) {
  files_.push_back(std::make_unique<io::StagedFile>(path));
  io::write_npy(*files_.back(), values, keep_going);
  files_.back()->finish();
}

void Outputs::add_table(const std::string& path, std::span<const io::CsvColumn> columns, std::int64_t rows) {
  files_.push_back(std::make_unique<io::StagedFile>(path));
  io::write_csv(*files_.back(), columns, rows, keep_going);
  files_.back()->finish();
}

void Outputs::add_text(const std::string& path, const std::string& text) {
  files_.push_back(std::make_unique<io::StagedFile>(path));
  files_.back()->write(std::as_bytes(std::span(text)), keep_going);
  files_.back()->finish();
}

void Outputs::commit() {
  stop_if_interrupted();
  for (const auto& file : files_) file->commit();
  files_.clear();
}

void publish(const std::optional<std::string>& json_path, const Json& json, const std::string& in_words,
             Outputs files) {
  if (json_path && *json_path != "-") files.add_text(*json_path, json_text(json));
  files.commit();
  print(json_path == "-" ? json_text(json) : in_words);
}

std::vector<std::string> file_outputs(const std::vector<std::optional<std::string>>& paths) {
  std::vector<std::string> files;
  for (const auto& path : paths) {
    if (path && *path != "-") files.push_back(*path);
  }
  return files;
}

}  // namespace polyattn::cli
