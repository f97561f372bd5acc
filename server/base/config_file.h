// The configuration file, TOML, as a flat list of keys with their lines.
#ifndef SLUICE_SERVER_BASE_CONFIG_FILE_H_
#define SLUICE_SERVER_BASE_CONFIG_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

enum class FileValueType { kString, kInteger, kBoolean, kEmptySection, kOther };

// FileEntry: `max_rows = 10` below `[limits]` is {"limits.max_rows", "10", kInteger, line}.
struct FileEntry {
  std::string key;
  std::string text;
  FileValueType type = FileValueType::kOther;
  int line = 0;
};

// In the order of the lines. Messages name the line and repeat nothing of it: it may hold a secret.
absl::StatusOr<std::vector<FileEntry>> ParseConfigText(absl::string_view text);

// Reads a file of at most 1 MiB. Messages begin with the path.
absl::StatusOr<std::vector<FileEntry>> ReadConfigFile(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_CONFIG_FILE_H_
