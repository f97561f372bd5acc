#include "server/db/fingerprint.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "server/base/utf8.h"

namespace sluice::db {
namespace {

// FNV-1a: fixed for good, unlike the hashes of libraries.
uint64_t StableHash(absl::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

bool IsSign(const Token& token) {
  return token.text == "-" || token.text == "+";
}

// Normalizer: writes a statement down token by token. What turns out to repeat is taken back when
// its closing parenthesis comes.
class Normalizer {
 public:
  void Take(const Token& token) {
    switch (token.kind) {
      case TokenKind::kEnd:
      case TokenKind::kSpace:
      case TokenKind::kComment:
        return;
      case TokenKind::kWord:
        return Word(token);
      case TokenKind::kString:
      case TokenKind::kNumber:
      case TokenKind::kParameter:
      case TokenKind::kError:  // may be the beginning of a literal
        return Value(token);
      case TokenKind::kOpen:
        return Open(token);
      case TokenKind::kClose:
        return Close(token);
      case TokenKind::kComma:
        rows_.next = rows_.after;
        rows_.after = false;
        return Write(token, ",");
      default:
        return Other(token);
    }
  }

  std::string Finish() && {
    while (!out_.empty() && (out_.back() == ';' || out_.back() == ' ')) out_.pop_back();
    return std::move(out_);
  }

 private:
  // The rows of a VALUES that is being read: whether a row may come next, whether one just ended,
  // and where the last one that was kept lies in out_.
  struct Rows {
    bool next = false;
    bool after = false;
    size_t begin = 0;
    size_t end = 0;
  };

  // An open parenthesis.
  struct Frame {
    size_t begin;      // in out_
    bool list;         // of an IN
    bool values_only;  // nothing but values and commas so far
    bool row;          // of a VALUES
    Rows outer;
  };

  void Word(const Token& token) {
    const std::string word = absl::AsciiStrToLower(token.text);
    Other(token, word);
    after_in_ = word == "in";
    rows_.next = word == "values";
  }

  void Value(const Token& token) {
    // The sign of a number is a part of the value where no operand stands before it.
    if (sign_at_ != kNoSign && token.kind == TokenKind::kNumber) {
      out_.resize(sign_at_);
      last_ = before_sign_;
    }
    rows_ = Rows();
    Write(token, "?");
  }

  void Other(const Token& token) { Other(token, token.text); }

  void Other(const Token& token, absl::string_view text) {
    const bool sign = IsSign(token) && !EndsOperand();
    const Token before = last_;
    const size_t at = out_.size();
    if (!frames_.empty() && !sign) frames_.back().values_only = false;
    rows_ = Rows();
    Write(token, text);
    if (sign) {
      sign_at_ = at;
      before_sign_ = before;
    }
  }

  void Open(const Token& token) {
    if (!frames_.empty()) frames_.back().values_only = false;
    Frame frame{0, after_in_, true, rows_.next, rows_};
    Write(token, "(");
    frame.begin = out_.size() - 1;
    frames_.push_back(frame);
    rows_ = Rows();
  }

  void Close(const Token& token) {
    Write(token, ")");
    rows_ = Rows();
    if (frames_.empty()) return;
    const Frame frame = frames_.back();
    frames_.pop_back();
    const bool has_values = out_.size() > frame.begin + 2;
    if (frame.list && frame.values_only && has_values) {
      out_.resize(frame.begin);
      out_ += "(?)";
    }
    if (!frame.row) return;
    rows_ = frame.outer;
    rows_.next = false;
    rows_.after = true;
    const absl::string_view text = out_;
    const absl::string_view row = text.substr(frame.begin);
    if (rows_.end > 0 && row == text.substr(rows_.begin, rows_.end - rows_.begin)) {
      out_.resize(rows_.end);
    } else {
      rows_.begin = frame.begin;
      rows_.end = out_.size();
    }
  }

  void Write(const Token& token, absl::string_view text) {
    if (NeedsSpace(token)) out_ += ' ';
    out_.append(text.data(), text.size());
    last_ = token;
    after_in_ = false;
    sign_at_ = kNoSign;
  }

  // The spaces of the SQL count only between characters that may be one operator.
  bool NeedsSpace(const Token& token) const {
    if (out_.empty() || last_.kind == TokenKind::kOpen || last_.kind == TokenKind::kCast ||
        last_.text == "." || last_.text == "[") {
      return false;
    }
    switch (token.kind) {
      case TokenKind::kComma:
      case TokenKind::kClose:
      case TokenKind::kSemicolon:
      case TokenKind::kCast:
        return false;
      case TokenKind::kOperator:
        if (token.text == "." || token.text == "[" || token.text == "]") return false;
        return last_.kind != TokenKind::kOperator ||
               last_.offset + last_.text.size() != token.offset;
      default:
        return true;
    }
  }

  // Whether a `-` here takes two operands. A word counts, be it a keyword or a column.
  bool EndsOperand() const {
    switch (last_.kind) {
      case TokenKind::kEnd:
      case TokenKind::kOpen:
      case TokenKind::kComma:
      case TokenKind::kSemicolon:
        return false;
      case TokenKind::kOperator:
        return last_.text == "]";
      default:
        return true;
    }
  }

  static constexpr size_t kNoSign = static_cast<size_t>(-1);

  std::string out_;
  std::vector<Frame> frames_;
  Rows rows_;
  Token last_;  // the last one written
  bool after_in_ = false;
  size_t sign_at_ = kNoSign;  // in out_, if a sign was the last thing written
  Token before_sign_;
};

}  // namespace

Fingerprint MakeFingerprint(absl::string_view sql, Dialect dialect) {
  Normalizer normalizer;
  Lexer lexer(sql, dialect);
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    normalizer.Take(token);
  }
  const std::string text = std::move(normalizer).Finish();
  Fingerprint fingerprint;
  fingerprint.text = SanitizeForMessage(text, kMaxFingerprintText);
  fingerprint.hash = absl::StrCat(absl::Hex(StableHash(text), absl::kZeroPad16));
  return fingerprint;
}

}  // namespace sluice::db
