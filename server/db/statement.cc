#include "server/db/statement.h"

namespace sluice::db {

Statement::Statement(absl::string_view sql) : sql_(sql) {
  static const auto* const no_params = new Params();
  static const auto* const no_named_params = new NamedParams();
  params_ = no_params;
  named_params_ = no_named_params;
}

}  // namespace sluice::db
