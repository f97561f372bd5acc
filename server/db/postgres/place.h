// Place: where a value stands in the request, for the errors about it.
#ifndef SLUICE_SERVER_DB_POSTGRES_PLACE_H_
#define SLUICE_SERVER_DB_POSTGRES_PLACE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/postgres/types.h"

namespace sluice::postgres {

// Steps of places.
inline constexpr absl::string_view kArrayValues = ".array_value.values";
inline constexpr absl::string_view kCompositeValues = ".composite_value.values";
inline constexpr absl::string_view kLower = ".range_value.lower";
inline constexpr absl::string_view kUpper = ".range_value.upper";

// Place: where a value stands in the request. Borrows the place around it; the path is put together
// for an error only.
class Place {
 public:
  // `position`: in the SQL, in characters from 1; 0 = not known.
  Place(absl::string_view path, int position) : step_(path), position_(position) {}

  // `step` is a field: `.range_value.lower`.
  Place(const Place& outer, absl::string_view step)
      : outer_(&outer), step_(step), position_(outer.position_) {}

  // `step` is a repeated field.
  Place(const Place& outer, absl::string_view step, int index)
      : outer_(&outer), step_(step), index_(index), position_(outer.position_) {}

  bool nested() const { return outer_ != nullptr; }

  absl::Status Refuse(absl::string_view why, absl::string_view hint = "") const;
  absl::Status OutOfRange(absl::string_view why, absl::string_view hint = "") const;
  // The kind does not go into the type, whose domains are resolved in `form`.
  absl::Status RefuseKind(const pb::Value& value, Form form, absl::string_view type_name) const;

 private:
  std::string Path() const;
  std::string CastHint(absl::string_view cast_to) const;

  const Place* outer_ = nullptr;
  absl::string_view step_;
  int index_ = -1;  // -1 = not repeated
  int position_ = 0;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_PLACE_H_
