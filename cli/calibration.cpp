#include "calibration.hpp"

#include "io/staged_file.hpp"
#include "polyattn/calibration.hpp"

#include <array>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <utility>

namespace polyattn::cli {

namespace {

using Speed = std::pair<const char*, double Calibration::*>;
constexpr std::array kSpeeds{
    Speed{"float32_fma", &Calibration::float32_fma},
    Speed{"float64_fma", &Calibration::float64_fma},
    Speed{"float32_exp", &Calibration::float32_exp},
    Speed{"float64_exp", &Calibration::float64_exp},
    Speed{"float32_polynomial", &Calibration::float32_polynomial},
    Speed{"float64_polynomial", &Calibration::float64_polynomial},
    Speed{"memory_bytes", &Calibration::memory_bytes},
};

[[noreturn]] void refuse(const std::string& path, const std::string& got) {
  throw Error(ErrorCode::invalid_argument,
              path + ": expected a calibration as \"polyattn info --calibrate --json FILE\" writes it, got " + got);
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (line.starts_with("model name") && colon + 2 < line.size()) return line.substr(colon + 2);
  }
  return "unknown";
}

/// Numbers that are left out or null keep their defaults.
Calibration calibration_from(const std::string& path, const Json& json) {
  if (!json.is_object() || !json.contains("calibration") || !json["calibration"].is_object()) {
    refuse(path, "JSON without a \"calibration\"");
  }
  const Json& speeds = json["calibration"];
  Calibration calibration;
  for (const auto& [name, member] : kSpeeds) {
    if (!speeds.contains(name) || speeds[name].is_null()) continue;
    const Json& speed = speeds[name];
    if (!speed.is_number() || !std::isfinite(speed.get<double>()) || speed.get<double>() < 0.0) {
      refuse(path, std::string(name) + " = " + speed.dump());
    }
    calibration.*member = speed.get<double>();
  }
  return calibration;
}

}  // namespace

CalibrationKey calibration_key() { return {processor_name(), instruction_set(), version()}; }

std::string calibration_cache() {
  const auto folder = [](const char* variable) {
    const char* value = std::getenv(variable);
    // The specification of XDG_CACHE_HOME has relative paths ignored.
    return std::string(value != nullptr && value[0] == '/' ? value : "");
  };
  std::string root = folder("XDG_CACHE_HOME");
  if (root.empty() && !folder("HOME").empty()) root = folder("HOME") + "/.cache";
  return root.empty() ? "" : root + "/polyattn/calibration.json";
}

Json to_json(const Calibration& calibration, const CalibrationKey& key) {
  Json speeds;
  for (const auto& [name, member] : kSpeeds) speeds[name] = calibration.*member;
  return {{"schema", json_schema},
          {"processor", key.processor},
          {"instruction_set", key.instruction_set},
          {"version", key.version},
          {"calibration", speeds}};
}

std::optional<Calibration> read_calibration(const std::string& path, const CalibrationKey* key) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) refuse(path, "a file that cannot be read");
  const Json json = Json::parse(text.str(), nullptr, false);
  if (json.is_discarded()) refuse(path, "something that is not JSON");
  Calibration calibration = calibration_from(path, json);
  if (key != nullptr &&
      (json.value("schema", 0) != json_schema || json.value("processor", "") != key->processor ||
       json.value("instruction_set", "") != key->instruction_set || json.value("version", "") != key->version)) {
    return std::nullopt;
  }
  return calibration;
}

Calibration machine_calibration() {
  const CalibrationKey key = calibration_key();
  const std::string path = calibration_cache();
  try {
    if (const auto kept = read_calibration(path, &key)) return *kept;
  } catch (const std::exception&) {  // not there, or not what was put there: measured anew
  }
  const Calibration measured = measure_calibration();
  try {
    if (!path.empty()) {
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
      const std::string text = json_text(to_json(measured, key));
      io::StagedFile file(path);
      file.write(std::as_bytes(std::span(text)));
      file.finish();
      file.commit();
    }
  } catch (const std::exception&) {  // a cache that cannot be written is no reason to fail
  }
  return measured;
}

std::optional<Calibration> calibration_of(const std::optional<std::string>& flag) {
  if (!flag || *flag == "none") return std::nullopt;
  if (*flag == "auto") return machine_calibration();
  return read_calibration(*flag, nullptr);
}

}  // namespace polyattn::cli
