// polyattn info: what a file holds; with --calibrate, how fast this machine is.

#include "calibration.hpp"
#include "command.hpp"
#include "exit_codes.hpp"
#include "io/element.hpp"
#include "io/safetensors.hpp"
#include "io/tensor_file.hpp"
#include "polyattn/calibration.hpp"
#include "results.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::cli {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Of the finite elements; NaN where there are none.
struct Summary {
  double low = nan;
  double high = nan;
  double largest = nan;  ///< absolute value
  double mean = nan;
  std::int64_t nans = 0;
  std::int64_t positive_infinities = 0;
  std::int64_t negative_infinities = 0;
};

Summary summarise(const io::StoredTensor& tensor) {
  Summary summary;
  std::int64_t finite = 0;
  double total = 0.0;
  double lost = 0.0;  // Neumaier's compensation
  for (std::int64_t index = 0; index < tensor.elements; ++index) {
    if ((index & 0xfffff) == 0) stop_if_interrupted();
    const double x = io::element(tensor.data, tensor.dtype, index);
    if (!std::isfinite(x)) {
      ++(std::isnan(x) ? summary.nans : x > 0.0 ? summary.positive_infinities : summary.negative_infinities);
      continue;
    }
    summary.low = finite == 0 ? x : std::min(summary.low, x);
    summary.high = finite == 0 ? x : std::max(summary.high, x);
    ++finite;
    const double sum = total + x;
    lost += std::abs(total) >= std::abs(x) ? (total - sum) + x : (x - sum) + total;
    total = sum;
  }
  if (finite > 0) {
    summary.largest = std::max(std::abs(summary.low), std::abs(summary.high));
    summary.mean = (total + lost) / static_cast<double>(finite);
  }
  return summary;
}

void tell_tensor(const std::string& name, std::string& text, Json& list) {
  const io::StoredTensor tensor = io::read_tensor(name, io::Role::any);
  const Summary summary = summarise(tensor);
  const char* order = tensor.fortran_order ? "Fortran" : "C";
  text += fmt::format("{}: {} {}, {} order, {} bytes\n", tensor.name, name_of(tensor.dtype), io::dims_text(tensor.dims),
                      order, tensor.bytes());
  if (std::isnan(summary.low)) {
    text += "  no finite elements";
  } else {
    text += fmt::format("  min {:.9g}, max {:.9g}, largest magnitude {:.9g}, mean {:.9g}", summary.low, summary.high,
                        summary.largest, summary.mean);
  }
  const std::int64_t non_finite = summary.nans + summary.positive_infinities + summary.negative_infinities;
  text += non_finite == 0 ? "; all finite\n"
                          : fmt::format("; {} NaN, {} +infinity, {} -infinity\n", summary.nans,
                                        summary.positive_infinities, summary.negative_infinities);
  list.push_back({{"name", tensor.name},
                  {"dtype", name_of(tensor.dtype)},
                  {"shape", tensor.dims},
                  {"order", order},
                  {"bytes", tensor.bytes()},
                  {"min", summary.low},
                  {"max", summary.high},
                  {"max_abs", summary.largest},
                  {"mean", summary.mean},
                  {"nan", summary.nans},
                  {"positive_infinity", summary.positive_infinities},
                  {"negative_infinity", summary.negative_infinities}});
}

/// The table of contents of a .safetensors file, whatever the types in it.
void tell_contents(const std::string& path, std::string& text, Json& list) {
  const auto entries = io::list_safetensors(io::MappedFile(path));
  text += fmt::format("{}: {} tensors\n", path, entries.size());
  for (const io::SafetensorsEntry& entry : entries) {
    text += fmt::format("  {}: {} {}, {} bytes\n", entry.name, entry.dtype, io::dims_text(entry.shape),
                        entry.end - entry.begin);
    list.push_back({{"name", path + ":" + entry.name},
                    {"dtype", entry.dtype},
                    {"shape", entry.shape},
                    {"bytes", entry.end - entry.begin}});
  }
}

/// Measured anew, and put nowhere but into the JSON.
void tell_speeds(const std::optional<std::string>& json_path) {
  const Calibration speeds = measure_calibration();
  const CalibrationKey key = calibration_key();
  const std::string text = fmt::format(
      "{} ({}), one thread, in 1e9 a second\n"
      "  exact, multiply-adds:       float32 {:.1f}, float64 {:.1f}\n"
      "  exact, exponentials:        float32 {:.2f}, float64 {:.2f}\n"
      "  polynomials, multiply-adds: float32 {:.1f}, float64 {:.1f}\n"
      "  bytes from memory:          {:.1f}\n",
      key.processor, key.instruction_set, 1e-9 * speeds.float32_fma, 1e-9 * speeds.float64_fma,
      1e-9 * speeds.float32_exp, 1e-9 * speeds.float64_exp, 1e-9 * speeds.float32_polynomial,
      1e-9 * speeds.float64_polynomial, 1e-9 * speeds.memory_bytes);
  publish(json_path, to_json(speeds, key), text);
}

int run(int argc, char** argv) {
  std::vector<std::string> names;
  std::optional<std::string> json_path;
  bool calibrate = false;
  CLI::App app("What a file holds: type, shape, extremes, NaN and infinities.", "polyattn info");
  app.add_option("files", names, "FILE.npy, FILE.safetensors:NAME, or FILE.safetensors for its contents")
      ->type_name("FILE ...");
  text_flag(app, "--json", json_path, "FILE", "The same as JSON; - for standard output");
  app.add_flag("--calibrate", calibrate,
               "Instead: measure this machine, for --calibration of attend and plan (JSON with --json)");
  app.footer(
      "Examples:\n"
      "  polyattn info --calibrate --json machine.json\n"
      "  polyattn info q.npy k.npy v.npy\n"
      "  polyattn info model.safetensors\n"
      "  polyattn info model.safetensors:layers.0.q --json -\n");
  if (const auto code = parse(app, argc, argv)) return *code;
  if (calibrate) {
    if (!names.empty()) throw UsageError("info --calibrate takes no files");
    io::check_outputs(file_outputs({json_path}), {});
    tell_speeds(json_path);
    return exit_done;
  }
  if (names.empty()) throw UsageError("info needs at least one file");
  std::vector<std::string> inputs;
  inputs.reserve(names.size());
  for (const std::string& name : names) inputs.push_back(io::split_name(name).path);
  io::check_outputs(file_outputs({json_path}), inputs);

  std::string text;
  Json json{{"schema", json_schema}, {"tensors", Json::array()}};
  for (const std::string& name : names) {
    const io::TensorName parts = io::split_name(name);
    if (parts.safetensors && parts.tensor.empty()) {
      tell_contents(parts.path, text, json["tensors"]);
    } else {
      tell_tensor(name, text, json["tensors"]);
    }
  }
  publish(json_path, json, text);
  return exit_done;
}

}  // namespace

constinit const Command info_command{"info", "say what a file holds", run};

}  // namespace polyattn::cli
