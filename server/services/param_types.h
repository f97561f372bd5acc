// Types that a request says of its parameters.
#ifndef SLUICE_SERVER_SERVICES_PARAM_TYPES_H_
#define SLUICE_SERVER_SERVICES_PARAM_TYPES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/driver.h"
#include "server/db/statement.h"

namespace sluice::services {

// Whether `types` can be those of `params`. Where the engine has no types of parameters, each value
// must be of the type that is said. `place`: of the values in the request; empty, or with a dot at
// its end; `types_place`: of the types. Error: PARAMETER_INVALID.
absl::Status CheckParamTypes(db::EngineKind engine,
                             const db::ParamTypes& types,
                             const db::Params& params,
                             absl::string_view types_place = "",
                             absl::string_view place = "");

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_PARAM_TYPES_H_
