#include "io/safetensors.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace polyattn::io {

namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, name + ": " + what);
}

constexpr std::uint64_t max_header_bytes = 100'000'000;  // the limit of the format's own reader

/// Bytes per element of the types the format knows; nothing for types added to it later.
std::optional<std::size_t> element_size(std::string_view dtype) {
  if (dtype == "BOOL" || dtype == "U8" || dtype == "I8" || dtype.starts_with("F8_")) return 1;
  if (dtype == "U16" || dtype == "I16" || dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U32" || dtype == "I32" || dtype == "F32") return 4;
  if (dtype == "U64" || dtype == "I64" || dtype == "F64" || dtype == "C64") return 8;
  return std::nullopt;
}

std::int64_t integer(const Json& value, const std::string& where) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() <= INT64_MAX) return value.get<std::int64_t>();
  refuse(where, "malformed header: expected a non-negative integer, found " +
                    value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40));
}

/// Parses the header, refusing names that occur twice, of which the JSON library would silently keep the last.
Json parse_header(std::string_view text, const std::string& path) {
  std::set<std::string> names;
  std::string twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    refuse(path, std::string("malformed .safetensors header: ") + error.what());
  }
  if (!header.is_object()) refuse(path, "malformed .safetensors header: expected a JSON object");
  if (!twice.empty()) refuse(path, "malformed .safetensors header: the name '" + twice + "' occurs twice");
  return header;
}

SafetensorsEntry entry_from(const std::string& name, const Json& described, const std::string& path,
                            std::int64_t data_at, std::int64_t data_bytes) {
  const std::string where = path + ":" + name;
  if (!described.is_object() || !described.contains("dtype") || !described.contains("shape") ||
      !described.contains("data_offsets")) {
    refuse(where, "malformed header: expected an object with dtype, shape and data_offsets");
  }
  const Json& offsets = described["data_offsets"];
  if (!described["dtype"].is_string() || !described["shape"].is_array() || !offsets.is_array() || offsets.size() != 2) {
    refuse(where, "malformed header: dtype must be a string, shape a list and data_offsets a list of two integers");
  }
  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = described["dtype"].get<std::string>();
  for (const Json& dim : described["shape"]) entry.shape.push_back(integer(dim, where));
  const std::int64_t begin = integer(offsets[0], where);
  const std::int64_t end = integer(offsets[1], where);
  if (begin > end || end > data_bytes) {
    refuse(where, "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "] do not lie inside the " +
                      std::to_string(data_bytes) + " bytes after the header (is the file truncated?)");
  }
  entry.begin = data_at + begin;
  entry.end = data_at + end;
  if (const auto size = element_size(entry.dtype)) {
    const std::int64_t expected = checked_elements(where, entry.shape, *size) * static_cast<std::int64_t>(*size);
    if (expected != end - begin) {
      refuse(where, "shape " + dims_text(entry.shape) + " of " + entry.dtype + " needs " + std::to_string(expected) +
                        " bytes, but data_offsets hold " + std::to_string(end - begin));
    }
  }
  return entry;
}

/// The format wants the tensors to cover the file exactly; anything else is a damaged or a crafted file.
void check_coverage(std::vector<SafetensorsEntry> entries, const std::string& path, std::int64_t data_at,
                    std::int64_t file_bytes) {
  std::ranges::sort(entries, {}, [](const auto& entry) { return std::pair(entry.begin, entry.end); });
  std::int64_t covered = data_at;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < covered) {
      refuse(path, "malformed: the tensors '" + previous->name + "' and '" + entry.name + "' overlap");
    }
    if (entry.begin > covered) {
      refuse(path, "malformed: " + std::to_string(entry.begin - covered) + " bytes before the tensor '" + entry.name +
                       "' belong to no tensor");
    }
    covered = entry.end;
    previous = &entry;
  }
  if (covered != file_bytes) {
    refuse(path, "longer than its header says: " + std::to_string(file_bytes - covered) +
                     " bytes at its end belong to no tensor");
  }
}

}  // namespace

std::vector<SafetensorsEntry> list_safetensors(const MappedFile& file) {
  const std::string& path = file.path();
  const auto bytes = file.bytes();
  constexpr std::size_t length_bytes = 8;
  if (bytes.size() < length_bytes) {
    refuse(path, "truncated: a .safetensors file begins with a length of 8 bytes, this file has " +
                     std::to_string(bytes.size()));
  }
  std::uint64_t length = 0;
  for (std::size_t k = length_bytes; k-- > 0;) length = length * 256 + std::to_integer<std::uint64_t>(bytes[k]);
  if (length > bytes.size() - length_bytes) {
    refuse(path, "truncated or not a .safetensors file: it announces a header of " + std::to_string(length) +
                     " bytes, but only " + std::to_string(bytes.size() - length_bytes) + " follow");
  }
  if (length > max_header_bytes) {
    refuse(path, "has a header of " + std::to_string(length) + " bytes; the format allows 100000000");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + length_bytes, length);
  const Json header = parse_header(text, path);
  const auto data_at = static_cast<std::int64_t>(length_bytes + length);
  const auto file_bytes = static_cast<std::int64_t>(bytes.size());
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, described] : header.items()) {
    if (name != "__metadata__") entries.push_back(entry_from(name, described, path, data_at, file_bytes - data_at));
  }
  check_coverage(entries, path, data_at, file_bytes);
  return entries;
}

SafetensorsEntry find_safetensors(const MappedFile& file, const std::string& tensor) {
  const std::vector<SafetensorsEntry> entries = list_safetensors(file);
  const auto found = std::ranges::find(entries, tensor, &SafetensorsEntry::name);
  if (found == entries.end()) {
    std::string names;
    for (std::size_t k = 0; k < entries.size() && k < 20; ++k) names += (k == 0 ? "" : ", ") + entries[k].name;
    if (entries.size() > 20) names += ", … (" + std::to_string(entries.size()) + " in all)";
    refuse(file.path(), (tensor.empty() ? "name one of its tensors as FILE:NAME" : "has no tensor '" + tensor + "'") +
                            "; it holds: " + (names.empty() ? "nothing" : names));
  }
  return *found;
}

StoredTensor read_safetensors(const std::shared_ptr<const MappedFile>& file, const std::string& tensor, Role role) {
  const SafetensorsEntry found = find_safetensors(*file, tensor);
  const std::string name = file->path() + ":" + tensor;
  const std::string& type = found.dtype;
  Layout layout{DType::float32, found.shape, false};
  if (type == "F16") {
    layout.dtype = DType::float16;
  } else if (type == "BF16") {
    layout.dtype = DType::bfloat16;
  } else if (type == "F64") {
    layout.dtype = DType::float64;
  } else if (type != "F32") {
    refuse(name, "holds " + type + ", expected F16, BF16, F32 or F64");
  }
  return make_stored(name, file, file->bytes().data() + found.begin, std::move(layout), role);
}

}  // namespace polyattn::io
