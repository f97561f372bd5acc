// The name that was probably meant, for messages about an unknown one.
#ifndef SLUICE_SERVER_BASE_NEAREST_H_
#define SLUICE_SERVER_BASE_NEAREST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

// Insertions, deletions, replacements and swaps of neighbours between `a` and `b`.
size_t EditDistance(absl::string_view a, absl::string_view b);

// The candidate nearest to `name`, empty if none is near: at most a third of its letters differ, or
// `name` is a candidate's last part (max_rows for limits.max_rows).
std::string Nearest(absl::string_view name, const std::vector<std::string>& candidates);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_NEAREST_H_
