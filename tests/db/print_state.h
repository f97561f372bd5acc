// How a failed expectation shows the state of a transaction.
#ifndef SLUICE_TESTS_DB_PRINT_STATE_H_
#define SLUICE_TESTS_DB_PRINT_STATE_H_

#include <ostream>

#include "server/db/transaction.h"

namespace sluice::db {

inline void PrintTo(TransactionStanding::State state, std::ostream* out) {
  constexpr const char* kNames[] = {"open", "failed", "gone"};
  *out << kNames[static_cast<int>(state)];
}

}  // namespace sluice::db

#endif  // SLUICE_TESTS_DB_PRINT_STATE_H_
