#include "server/db/replay.h"

#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

#include "server/base/errors.h"

namespace sluice::db {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// The first byte. Another number, another layout.
constexpr uint32_t kVersion = 1;

enum Flag : uint32_t {
  kFailed = 1,
  kHasColumns = 2,
  kTruncated = 4,
  kEnd = 8,
};

void WriteText(absl::string_view text, CodedOutputStream& out) {
  out.WriteVarint32(static_cast<uint32_t>(text.size()));
  if (!text.empty()) out.WriteRaw(text.data(), static_cast<int>(text.size()));
}

bool ReadText(CodedInputStream& in, std::string& text) {
  uint32_t size = 0;
  return in.ReadVarint32(&size) && in.ReadString(&text, static_cast<int>(size));
}

bool ReadInt(CodedInputStream& in, int64_t& value) {
  uint64_t bits = 0;
  if (!in.ReadVarint64(&bits)) return false;
  value = static_cast<int64_t>(bits);
  return true;
}

void WriteRows(const Rows& rows, CodedOutputStream& out) {
  const uint32_t flags = (rows.has_columns ? uint32_t{kHasColumns} : 0) |
                         (rows.truncated ? uint32_t{kTruncated} : 0) |
                         (rows.end ? uint32_t{kEnd} : 0);
  out.WriteVarint32(flags);
  out.WriteVarint64(static_cast<uint64_t>(rows.count));
  out.WriteVarint64(static_cast<uint64_t>(rows.rows_affected));
  out.WriteVarint64(static_cast<uint64_t>(rows.last_insert_rowid));
  WriteText(rows.command_tag, out);
  WriteText(rows.wire, out);
}

bool ReadRows(CodedInputStream& in, uint32_t flags, Rows& rows) {
  rows.has_columns = (flags & kHasColumns) != 0;
  rows.truncated = (flags & kTruncated) != 0;
  rows.end = (flags & kEnd) != 0;
  return ReadInt(in, rows.count) && ReadInt(in, rows.rows_affected) &&
         ReadInt(in, rows.last_insert_rowid) && ReadText(in, rows.command_tag) &&
         ReadText(in, rows.wire);
}

void WriteFailure(const absl::Status& failure, CodedOutputStream& out) {
  std::vector<std::pair<std::string, std::string>> payloads;
  failure.ForEachPayload([&](absl::string_view key, const absl::Cord& value) {
    payloads.emplace_back(std::string(key), std::string(value));
  });
  out.WriteVarint32(kFailed);
  out.WriteVarint32(static_cast<uint32_t>(failure.code()));
  WriteText(failure.message(), out);
  out.WriteVarint32(static_cast<uint32_t>(payloads.size()));
  for (const auto& [key, value] : payloads) {
    WriteText(key, out);
    WriteText(value, out);
  }
}

bool ReadFailure(CodedInputStream& in, absl::Status& failure) {
  uint32_t code = 0;
  uint32_t payloads = 0;
  std::string message;
  if (!in.ReadVarint32(&code) || code == 0 || !ReadText(in, message) ||
      !in.ReadVarint32(&payloads)) {
    return false;
  }
  failure = absl::Status(static_cast<absl::StatusCode>(code), message);
  for (uint32_t i = 0; i < payloads; ++i) {
    std::string key;
    std::string value;
    if (!ReadText(in, key) || !ReadText(in, value)) return false;
    failure.SetPayload(key, absl::Cord(value));
  }
  return true;
}

bool ReadResult(CodedInputStream& in, BatchResults& results) {
  uint32_t flags = 0;
  if (!in.ReadVarint32(&flags)) return false;
  if ((flags & kFailed) != 0) {
    absl::Status failure;
    if (!ReadFailure(in, failure)) return false;
    results.emplace_back(std::move(failure));
    return true;
  }
  Rows rows;
  if (!ReadRows(in, flags, rows)) return false;
  results.emplace_back(std::move(rows));
  return true;
}

}  // namespace

std::string PackReply(const BatchResults& results) {
  std::string packed;
  google::protobuf::io::StringOutputStream stream(&packed);
  CodedOutputStream out(&stream);
  out.WriteVarint32(kVersion);
  out.WriteVarint32(static_cast<uint32_t>(results.size()));
  for (const absl::StatusOr<Rows>& result : results) {
    if (result.ok()) {
      WriteRows(*result, out);
    } else {
      WriteFailure(result.status(), out);
    }
  }
  out.Trim();
  return packed;
}

absl::StatusOr<BatchResults> UnpackReply(absl::string_view packed) {
  const absl::Status unreadable = errors::Internal("A stored answer cannot be read");
  CodedInputStream in(reinterpret_cast<const uint8_t*>(packed.data()),
                      static_cast<int>(packed.size()));
  uint32_t version = 0;
  uint32_t count = 0;
  if (!in.ReadVarint32(&version) || version != kVersion || !in.ReadVarint32(&count)) {
    return unreadable;
  }
  BatchResults results;
  for (uint32_t i = 0; i < count; ++i) {
    if (!ReadResult(in, results)) return unreadable;
  }
  if (in.CurrentPosition() != static_cast<int>(packed.size())) return unreadable;
  return results;
}

}  // namespace sluice::db
