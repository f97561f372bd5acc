#include "client/cli/message_json.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"

#include "client/cli/json_text.h"
#include "client/cli/value_text.h"
#include "client/values.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {
namespace {

using client::ToValue;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// `TABLE_KIND_VIEW` is a `view`: without what all values of the enum begin with.
std::string Word(const google::protobuf::EnumValueDescriptor& value) {
  const absl::string_view first = value.type()->value(0)->name();
  return EnumWord(value.name(), first.substr(0, first.size() - sizeof("UNSPECIFIED") + 1));
}

// A field, or with an index one entry of a repeated one.
void AppendField(const Message& message,
                 const FieldDescriptor& field,
                 int index,
                 std::string* out) {
  const auto& reflection = *message.GetReflection();
  const bool one = index >= 0;
  const auto get = [&](auto single, auto repeated) {
    return one ? (reflection.*repeated)(message, &field, index)
               : (reflection.*single)(message, &field);
  };
  using google::protobuf::Reflection;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return AppendJson(ToValue(get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32)), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return AppendJson(ToValue(get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64)), out);
    case FieldDescriptor::CPPTYPE_UINT32:
      return AppendJson(ToValue(get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32)), out);
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrAppend(out, get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return AppendJson(ToValue(get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble)), out);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return AppendJson(ToValue(get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat)), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      return AppendJson(ToValue(get(&Reflection::GetBool, &Reflection::GetRepeatedBool)), out);
    case FieldDescriptor::CPPTYPE_ENUM:
      return AppendJsonString(Word(*get(&Reflection::GetEnum, &Reflection::GetRepeatedEnum)), out);
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
      const bool bytes = field.type() == FieldDescriptor::TYPE_BYTES;
      return AppendJsonString(bytes ? absl::Base64Escape(text) : text, out);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return AppendMessageJson(one ? reflection.GetRepeatedMessage(message, &field, index)
                                   : reflection.GetMessage(message, &field),
                               out);
  }
}

void AppendMap(const Message& message, const FieldDescriptor& field, std::string* out) {
  const auto& reflection = *message.GetReflection();
  out->push_back('{');
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    if (i > 0) out->push_back(',');
    AppendField(entry, *entry.GetDescriptor()->map_key(), -1, out);
    out->push_back(':');
    AppendField(entry, *entry.GetDescriptor()->map_value(), -1, out);
  }
  out->push_back('}');
}

void AppendRepeated(const Message& message, const FieldDescriptor& field, std::string* out) {
  out->push_back('[');
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    if (i > 0) out->push_back(',');
    AppendField(message, field, i, out);
  }
  out->push_back(']');
}

}  // namespace

void AppendMessageJson(const Message& message, std::string* out) {
  if (const auto* value = dynamic_cast<const v1::Value*>(&message)) return AppendJson(*value, out);
  const auto& descriptor = *message.GetDescriptor();
  out->push_back('{');
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    if (i > 0) out->push_back(',');
    AppendJsonString(field.name(), out);
    out->push_back(':');
    if (field.is_map()) {
      AppendMap(message, field, out);
    } else if (field.is_repeated()) {
      AppendRepeated(message, field, out);
    } else if (field.has_presence() && !message.GetReflection()->HasField(message, &field)) {
      absl::StrAppend(out, "null");
    } else {
      AppendField(message, field, -1, out);
    }
  }
  out->push_back('}');
}

}  // namespace sluice::cli
