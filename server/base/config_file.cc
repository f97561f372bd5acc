#include "server/base/config_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include <toml++/toml.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"

namespace sluice {
namespace {

constexpr std::streamsize kMaxBytes = 1 << 20;

FileEntry MakeEntry(std::string key, const toml::node& node) {
  FileEntry entry;
  entry.key = std::move(key);
  entry.line = static_cast<int>(node.source().begin.line);
  if (const auto text = node.value_exact<std::string>()) {
    entry.text = *text;
    entry.type = FileValueType::kString;
  } else if (const auto number = node.value_exact<int64_t>()) {
    entry.text = absl::StrCat(*number);
    entry.type = FileValueType::kInteger;
  } else if (const auto boolean = node.value_exact<bool>()) {
    entry.text = *boolean ? "true" : "false";
    entry.type = FileValueType::kBoolean;
  } else if (node.is_table()) {
    entry.type = FileValueType::kEmptySection;
  }
  return entry;
}

void Flatten(const std::string& prefix, const toml::table& table, std::vector<FileEntry>& out) {
  for (const auto& [key, node] : table) {
    std::string name = absl::StrCat(prefix, std::string(key.str()));
    if (const toml::table* inner = node.as_table(); inner != nullptr && !inner->empty()) {
      Flatten(absl::StrCat(name, "."), *inner, out);
    } else {
      out.push_back(MakeEntry(std::move(name), node));
    }
  }
}

absl::Status Unreadable(int error) {
  return absl::InvalidArgumentError(absl::StrCat("the configuration file cannot be read: ",
                                                 std::generic_category().message(error)));
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return Unreadable(errno);
  std::string text(static_cast<size_t>(kMaxBytes) + 1, '\0');
  file.read(text.data(), kMaxBytes + 1);
  if (file.bad()) return Unreadable(EIO);
  if (file.gcount() > kMaxBytes) {
    return absl::InvalidArgumentError("the configuration file is larger than 1MiB");
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace

absl::StatusOr<std::vector<FileEntry>> ParseConfigText(absl::string_view text) {
  std::vector<FileEntry> entries;
  try {
    Flatten("", toml::parse(std::string_view(text.data(), text.size())), entries);
  } catch (const toml::parse_error& error) {
    // The library's own words may quote the line.
    return absl::InvalidArgumentError(
        absl::StrCat("line ", error.source().begin.line, ", column ", error.source().begin.column,
                     ": this is not valid TOML; text needs \"quotes\""));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const FileEntry& a, const FileEntry& b) { return a.line < b.line; });
  return entries;
}

absl::StatusOr<std::vector<FileEntry>> ReadConfigFile(const std::string& path) {
  const auto text = ReadText(path);
  const auto entries = text.ok() ? ParseConfigText(*text) : text.status();
  if (entries.ok()) return *entries;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", entries.status().message()));
}

}  // namespace sluice
