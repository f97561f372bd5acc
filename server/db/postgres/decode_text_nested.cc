#include "server/db/postgres/decode_text_nested.h"

#include <algorithm>
#include <cstdint>

#include "absl/container/inlined_vector.h"

#include "server/db/postgres/scanner.h"
#include "server/db/postgres/value_wire.h"

namespace sluice::postgres {
namespace {

using absl::string_view;
using Value = pb::Value;

// Item: one element, field or bound, without its quotes. Reused for those that follow, so that one
// string serves them all.
class Item {
 public:
  // Reads up to one of `ends`, or to the end of the closing quote.
  bool Scan(Scanner& in, string_view ends) {
    is_quoted_ = in.Eat('"');
    if (is_quoted_) return ScanQuoted(in);
    const string_view rest = in.rest();
    const size_t size = rest.find_first_of(ends);
    if (size == string_view::npos) return false;
    text_ = rest.substr(0, size);
    in.Skip(size);
    return true;
  }

  bool is_quoted() const { return is_quoted_; }

  string_view text() const { return text_; }

 private:
  // A backslash or a quote stands before what means itself.
  bool ScanQuoted(Scanner& in) {
    const string_view whole = in.rest();
    const size_t plain = whole.find_first_of("\"\\");
    if (plain == string_view::npos) return false;
    in.Skip(plain);
    text_ = whole.substr(0, plain);
    if (!StartsEscape(in.rest())) return in.Eat('"');
    unescaped_.assign(text_.data(), text_.size());
    while (StartsEscape(in.rest())) {
      unescaped_.push_back(in.rest()[1]);
      in.Skip(2);
      const size_t next = in.rest().find_first_of("\"\\");
      if (next == string_view::npos) return false;
      unescaped_.append(in.rest().data(), next);
      in.Skip(next);
    }
    text_ = unescaped_;
    return in.Eat('"');
  }

  static bool StartsEscape(string_view text) {
    return text.size() >= 2 && (text[0] == '\\' || text[1] == '"');
  }

  bool is_quoted_ = false;
  string_view text_;
  std::string unescaped_;
};

// ArrayText: reads the braces and what is between them.
class ArrayText {
 public:
  ArrayText(Decoding& decoding, const Type& type, string_view text, std::string& out)
      : decoding_(decoding),
        reader_(decoding.book, type.inner, Format::kText),
        in_(text),
        out_(out) {
    const Type* const element = decoding.book.Find(type.inner);
    const char delimiter = element == nullptr ? type.delimiter : element->delimiter;
    ends_[0] = delimiter;
  }

  bool Read(pb::ValueType element_type) {
    if (in_.Peek() == '[' && !ReadBounds()) return false;
    if (in_.rest() == "{}") {
      AppendArrayHead(element_type, {}, {}, out_);
      return true;
    }
    if (!ReadLevel(0) || !in_.Done()) return false;
    if (lower_bounds_.empty()) lower_bounds_.assign(lengths_.size(), 1);
    if (lower_bounds_.size() != lengths_.size()) return false;
    AppendArrayHead(element_type, lengths_, lower_bounds_, out_);
    return true;
  }

 private:
  static constexpr int32_t kOpen = -1;

  // `[0:2][-1:1]=`; only the lower ones count, since the elements say how many they are.
  bool ReadBounds() {
    while (in_.Eat('[')) {
      int64_t lower = 0;
      int64_t upper = 0;
      if (!ReadBound(lower) || !in_.Eat(':') || !ReadBound(upper) || !in_.Eat(']')) return false;
      if (lower_bounds_.size() == kMaxDimensions) return false;
      lower_bounds_.push_back(static_cast<int32_t>(lower));
    }
    return in_.Eat('=');
  }

  bool ReadBound(int64_t& bound) {
    const bool is_negative = in_.Eat('-');
    if (!in_.Digits(1, 10, bound)) return false;
    if (is_negative) bound = -bound;
    return bound == static_cast<int32_t>(bound);
  }

  // Braces of one level hold either braces or elements, and all of them as many.
  bool ReadLevel(size_t level) {
    if (!in_.Eat('{')) return false;
    if (level == lengths_.size()) {
      if (has_element_ || level == kMaxDimensions) return false;
      lengths_.push_back(kOpen);
    }
    int32_t length = 0;
    do {
      const bool is_read = in_.Peek() == '{' ? ReadLevel(level + 1) : ReadElement(level);
      if (!is_read) return false;
      ++length;
    } while (in_.Eat(ends_[0]));
    if (!in_.Eat('}')) return false;
    if (lengths_[level] == kOpen) lengths_[level] = length;
    return lengths_[level] == length;
  }

  bool ReadElement(size_t level) {
    has_element_ = true;
    if (level + 1 != lengths_.size() || !item_.Scan(in_, {ends_, sizeof(ends_)})) return false;
    if (!item_.is_quoted() && item_.text().empty()) return false;
    if (!item_.is_quoted() && item_.text() == "NULL") {
      AppendNestedNull(pb::Array::kValuesFieldNumber, out_);
      return true;
    }
    return reader_.ReadNested(decoding_, pb::Array::kValuesFieldNumber, item_.text(), out_);
  }

  Decoding& decoding_;
  const ValueReader reader_;
  Scanner in_;
  std::string& out_;
  char ends_[2] = {',', '}'};  // of an element without quotes
  Item item_;
  bool has_element_ = false;
  absl::InlinedVector<int32_t, kMaxDimensions> lengths_;  // kOpen: the first is being read
  absl::InlinedVector<int32_t, kMaxDimensions> lower_bounds_;
};

// int2vector and oidvector, whose subscripts begin at 0.
bool ReadVector(Decoding& decoding,
                const Type& type,
                pb::ValueType element_type,
                string_view text,
                std::string& out) {
  const ValueReader reader(decoding.book, type.inner, Format::kText);
  int32_t count = 0;
  while (!text.empty()) {
    const size_t size = std::min(text.find(' '), text.size());
    const string_view element = text.substr(0, size);
    if (!reader.ReadNested(decoding, pb::Array::kValuesFieldNumber, element, out)) return false;
    text.remove_prefix(std::min(size + 1, text.size()));
    ++count;
  }
  const int32_t lower_bound = 0;
  AppendArrayHead(element_type, absl::MakeSpan(&count, count > 0 ? 1 : 0),
                  absl::MakeSpan(&lower_bound, 1), out);
  return true;
}

// What stands on one side of the comma; nothing at all is no bound.
bool ReadBoundText(Decoding& decoding,
                   const ValueReader& reader,
                   int field,
                   Scanner& in,
                   bool& is_bounded,
                   std::string& out) {
  Item item;
  if (!item.Scan(in, ",)]")) return false;
  is_bounded = item.is_quoted() || !item.text().empty();
  return !is_bounded || reader.ReadNested(decoding, field, item.text(), out);
}

bool ReadBounds(Decoding& decoding, const Type& type, Scanner& in, std::string& out) {
  const ValueReader reader(decoding.book, type.inner, Format::kText);
  const bool lower_in = in.Eat('[');
  if (!lower_in && !in.Eat('(')) return false;
  bool has_lower = false;
  bool has_upper = false;
  if (!ReadBoundText(decoding, reader, pb::Range::kLowerFieldNumber, in, has_lower, out)) {
    return false;
  }
  if (!in.Eat(',')) return false;
  if (!ReadBoundText(decoding, reader, pb::Range::kUpperFieldNumber, in, has_upper, out)) {
    return false;
  }
  const bool upper_in = in.Eat(']');
  if (!upper_in && !in.Eat(')')) return false;
  PutNumber(pb::Range::kLowerInclusiveFieldNumber, has_lower && lower_in ? 1 : 0, out);
  PutNumber(pb::Range::kUpperInclusiveFieldNumber, has_upper && upper_in ? 1 : 0, out);
  return true;
}

// The range that the rest begins with, as it is written.
bool ScanRange(Scanner& in, string_view& range) {
  const string_view rest = in.rest();
  Item item;
  if (!in.Eat('[') && !in.Eat('(')) return false;
  if (!item.Scan(in, ",") || !in.Eat(',')) return false;
  if (!item.Scan(in, ")]")) return false;
  if (!in.Eat(']') && !in.Eat(')')) return false;
  range = rest.substr(0, rest.size() - in.rest().size());
  return true;
}

// Reads fields until the closing parenthesis; `count` is how many there were. Those that the type
// does not have are skipped.
bool ReadFields(
    Decoding& decoding, const Type& type, Scanner& in, size_t& count, std::string& out) {
  Item item;
  do {
    if (!item.Scan(in, ",)")) return false;
    if (count >= type.fields.size()) {
      ++count;
      continue;
    }
    const Oid oid = type.fields[count++].type;
    if (!item.is_quoted() && item.text().empty()) {
      AppendNestedNull(pb::Composite::kValuesFieldNumber, out);
      continue;
    }
    const ValueReader reader(decoding.book, oid, Format::kText);
    if (!reader.ReadNested(decoding, pb::Composite::kValuesFieldNumber, item.text(), out)) {
      return false;
    }
  } while (in.Eat(','));
  return in.Eat(')') && in.Done();
}

}  // namespace

bool ReadArrayText(Decoding& decoding, const Type& type, string_view text, std::string& out) {
  const pb::ValueType element_type = decoding.book.ValueTypeOf(type.inner);
  OpenField array(Tag(Value::kArrayValueFieldNumber, kLength), text.size(), out);
  const bool is_read = IsVector(type) ? ReadVector(decoding, type, element_type, text, out)
                                      : ArrayText(decoding, type, text, out).Read(element_type);
  array.Close();
  return is_read;
}

bool ReadRangeText(Decoding& decoding, const Type& type, string_view text, std::string& out) {
  Scanner in(text);
  OpenField range(Tag(Value::kRangeValueFieldNumber, kLength), text.size(), out);
  if (in.Eat("empty")) {
    PutNumber(pb::Range::kEmptyFieldNumber, 1, out);
  } else if (!ReadBounds(decoding, type, in, out)) {
    return false;
  }
  range.Close();
  return in.Done();
}

bool ReadMultirangeText(Decoding& decoding, const Type& type, string_view text, std::string& out) {
  Scanner in(text);
  if (!in.Eat('{')) return false;
  const ValueReader reader(decoding.book, type.inner, Format::kText);
  OpenField array(Tag(Value::kArrayValueFieldNumber, kLength), text.size(), out);
  int32_t count = 0;
  while (in.Peek() != '}') {
    string_view range;
    if ((count > 0 && !in.Eat(',')) || !ScanRange(in, range)) return false;
    if (!reader.ReadNested(decoding, pb::Array::kValuesFieldNumber, range, out)) return false;
    ++count;
  }
  AppendArrayHead(pb::VALUE_TYPE_RANGE, absl::MakeSpan(&count, count > 0 ? 1 : 0), {}, out);
  array.Close();
  return in.Eat('}') && in.Done();
}

bool ReadCompositeText(Decoding& decoding, const Type& type, string_view text, std::string& out) {
  const size_t before = out.size();
  Scanner in(text);
  if (!in.Eat('(')) return false;
  size_t count = 0;
  if (type.fields.empty() && in.rest() == ")") {
    in.Skip(1);
    PutHeader(Value::kCompositeValueFieldNumber, 0, out);
    return true;
  }
  OpenField row(Tag(Value::kCompositeValueFieldNumber, kLength), text.size(), out);
  if (!ReadFields(decoding, type, in, count, out)) return false;
  if (count == type.fields.size()) {
    row.Close();
  } else {
    out.resize(before);
    PutRaw(type.oid, pb::Raw::FORMAT_TEXT, text, out);
  }
  return true;
}

}  // namespace sluice::postgres
