#include "server/rpc/router.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/descriptor.h"

namespace sluice::rpc {

absl::Status Router::CheckComplete() const {
  std::set<std::string> wanted;
  for (const Service& service : services_) {
    const auto* const descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service.name);
    if (descriptor == nullptr)
      return absl::InternalError(absl::StrCat("no proto declares ", service.name));
    for (int i = 0; i < descriptor->method_count(); ++i) {
      wanted.insert(absl::StrCat(service.name, "/", descriptor->method(i)->name()));
    }
  }
  for (const Route& route : routes_) {
    if (wanted.erase(route.options.name) == 0) {
      return absl::InternalError(
          absl::StrCat("a route that no proto declares, or a second one: ", route.options.name));
    }
  }
  if (!wanted.empty())
    return absl::InternalError(
        absl::StrCat("methods without a route: ", absl::StrJoin(wanted, ", ")));
  return absl::OkStatus();
}

}  // namespace sluice::rpc
