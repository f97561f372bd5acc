#include "client/cli/csv.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

absl::Status Wrong(int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", what));
}

}  // namespace

bool IsCleanText(absl::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighBits = 0x8080808080808080;
  size_t pos = 0;
  for (; pos + 8 <= text.size(); pos += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + pos, 8);
    // A byte that is 0, or not ASCII, leaves a high bit.
    if ((((word - kOnes) | word) & kHighBits) != 0) break;
  }
  while (pos < text.size()) {
    const Character character = DecodeAt(text, pos);
    if (!character.valid || character.code == 0) return false;
    pos += character.bytes;
  }
  return true;
}

CsvReader::CsvReader(Input* input, char delimiter, size_t max_record_bytes)
    : input_(*input), delimiter_(delimiter), max_record_bytes_(max_record_bytes) {
  ends_field_[static_cast<unsigned char>(delimiter)] = true;
  ends_field_[static_cast<unsigned char>('\n')] = true;
  ends_field_[static_cast<unsigned char>('\r')] = true;
}

absl::StatusOr<bool> CsvReader::Next() {
  input_.Consume(used_);
  used_ = 0;
  line_ = next_line_;
  for (;;) {
    const absl::string_view text = input_.View();
    const Outcome outcome = text.empty() ? Outcome::kMore : Parse(text);
    if (!input_.status().ok()) return input_.status();
    if (outcome == Outcome::kFailed) return error_;
    if (outcome == Outcome::kRecord) break;
    if (input_.AtEnd()) {
      if (text.empty()) return false;
      return Wrong(line_, "a quoted field begins in this record and has no end");
    }
    if (text.size() > max_record_bytes_) return TooLong();
    input_.More();
  }
  if (used_ > max_record_bytes_) return TooLong();
  if (line_ == 1 && returned_field_ > 0) return LoneReturn(line_, returned_field_);
  next_line_ += lines_in_record_;
  absl::Status status = CheckText(input_.View().substr(0, used_));
  if (!status.ok()) return status;
  return true;
}

CsvReader::Outcome CsvReader::Parse(absl::string_view text) {
  fields_.clear();
  scratch_.clear();
  in_scratch_.clear();
  starts_.clear();
  lines_in_record_ = 1;
  returned_field_ = 0;
  for (size_t pos = 0;;) {
    if (pos < text.size() && text[pos] == '"') {
      const Outcome outcome = ParseQuoted(text, &pos);
      if (outcome != Outcome::kRecord) return outcome;
    } else {
      ParseUnquoted(text, &pos);
    }
    // What ends the field must be in view, unless the file ends here; and a CR is only half of it.
    const bool known = pos < text.size() && (text[pos] != '\r' || pos + 1 < text.size());
    if (!known && !input_.AtEnd()) return Outcome::kMore;
    if (pos < text.size() && text[pos] == delimiter_) {
      ++pos;
      continue;
    }
    if (pos < text.size() && text[pos] == '\r') ++pos;
    if (pos < text.size() && text[pos] == '\n') ++pos;
    used_ = pos;
    PutScratchInPlace();
    return Outcome::kRecord;
  }
}

void CsvReader::ParseUnquoted(absl::string_view text, size_t* pos) {
  const char* const begin = text.data() + *pos;
  const char* const end = text.data() + text.size();
  const char* p = begin;
  for (;; ++p) {
    while (p < end && !ends_field_[static_cast<unsigned char>(*p)]) ++p;
    // A CR alone is text.
    const bool lone_return = p + 1 < end && *p == '\r' && p[1] != '\n';
    if (!lone_return) break;
    if (returned_field_ == 0) returned_field_ = fields_.size() + 1;
  }
  const auto size = static_cast<size_t>(p - begin);
  fields_.push_back({absl::string_view(begin, size), false});
  *pos += size;
}

CsvReader::Outcome CsvReader::ParseQuoted(absl::string_view text, size_t* pos) {
  const size_t begin = *pos + 1;
  size_t piece = begin;  // what is not in scratch_ yet
  bool doubled = false;
  for (size_t from = begin;;) {
    const size_t quote = text.find('"', from);
    if (quote == absl::string_view::npos) return Outcome::kMore;
    if (quote + 1 == text.size() && !input_.AtEnd()) return Outcome::kMore;
    if (quote + 1 < text.size() && text[quote + 1] == '"') {
      if (!doubled) {
        in_scratch_.push_back(fields_.size());
        starts_.push_back(scratch_.size());
      }
      doubled = true;
      scratch_.append(text.data() + piece, quote + 1 - piece);
      piece = from = quote + 2;
      continue;
    }
    const absl::string_view content = text.substr(begin, quote - begin);
    for (const char c : content) lines_in_record_ += c == '\n' ? 1 : 0;
    if (doubled) scratch_.append(text.data() + piece, quote - piece);
    fields_.push_back({content, true});
    *pos = quote + 1;
    const absl::string_view rest = text.substr(*pos, 2);
    if (rest == "\r" && !input_.AtEnd()) return Outcome::kMore;
    const int64_t line = line_ + lines_in_record_ - 1;
    if (rest.size() == 2 && rest[0] == '\r' && rest[1] != '\n') {
      error_ = LoneReturn(line, fields_.size());
      return Outcome::kFailed;
    }
    if (rest.empty() || ends_field_[static_cast<unsigned char>(rest[0])]) return Outcome::kRecord;
    error_ = Wrong(
        line, absl::StrCat("field ", fields_.size(),
                           " goes on after its closing quote; a quote inside is written twice"));
    return Outcome::kFailed;
  }
}

void CsvReader::PutScratchInPlace() {
  for (size_t i = 0; i < in_scratch_.size(); ++i) {
    const size_t end = i + 1 < starts_.size() ? starts_[i + 1] : scratch_.size();
    fields_[in_scratch_[i]].text = absl::string_view(scratch_).substr(starts_[i], end - starts_[i]);
  }
}

absl::Status CsvReader::TooLong() const {
  if (returned_field_ > 0) return LoneReturn(line_, returned_field_);
  return Wrong(line_, absl::StrCat("the record that begins here takes more than ",
                                   SizeText(max_record_bytes_), "; is there a quote too many?"));
}

absl::Status CsvReader::LoneReturn(int64_t line, size_t field) const {
  return Wrong(line, absl::StrCat("a CR without its LF at field ", field,
                                  ": if the file's lines end with CR alone, convert it with tr "
                                  "'\\r' '\\n'"));
}

absl::Status CsvReader::CheckText(absl::string_view record) const {
  if (IsCleanText(record)) return absl::OkStatus();
  int64_t line = line_;
  for (size_t pos = 0; pos < record.size();) {
    const Character character = DecodeAt(record, pos);
    if (!character.valid) {
      return Wrong(line,
                   "it is not UTF-8; if it is Latin-1, convert it with iconv -f LATIN1 -t UTF-8");
    }
    if (character.code == 0) return Wrong(line, "it holds a NUL byte, which is no text");
    if (character.code == '\n') ++line;
    pos += character.bytes;
  }
  return absl::OkStatus();
}

}  // namespace sluice::cli
