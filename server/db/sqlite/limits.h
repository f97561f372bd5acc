// What a client's statement may grow to. Unless it is said otherwise, each is SQLite's own run-time
// limit, set on every connection.
#ifndef SLUICE_SERVER_DB_SQLITE_LIMITS_H_
#define SLUICE_SERVER_DB_SQLITE_LIMITS_H_

#include <cstdint>

namespace sluice::sqlite {

// A text, a blob, or a stored row.
inline constexpr int kMaxValueBytes = 65 << 20;
inline constexpr int kMaxSqlBytes = 1 << 20;
// A row of a result that is answered in one piece.
inline constexpr int64_t kMaxRowBytes = 128 << 20;

// A text, a blob, or a stored row on an event loop, where others wait: what is done with a longer
// one may take long within one VM step.
inline constexpr int kMaxLoopValueBytes = 256 << 10;

inline constexpr int kMaxExpressionDepth = 1000;
inline constexpr int kMaxCompoundSelect = 50;
inline constexpr int kMaxProgramSteps = 1'000'000;
inline constexpr int kMaxFunctionArguments = 100;
inline constexpr int kMaxLikePatternBytes = 1000;
inline constexpr int kMaxParameters = 32'766;
inline constexpr int kMaxTriggerDepth = 10;

// SQLite descends once per common table expression and per view that another one reads, ever more
// slowly, and has no limit of its own for that. So these are ours; db::kStackBytes allows for them.
inline constexpr int kMaxTableExpressions = 1000;  // in one statement
inline constexpr int64_t kMaxViews = 2000;         // in one database
inline constexpr int64_t kMaxViewBytes = 2 << 20;  // of their definitions together

// The memory that all databases of the process may take together. Far more than they need; it is
// there so that a statement runs out of memory before the process does.
inline constexpr int64_t kMaxHeapBytes = int64_t{2} << 30;

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_LIMITS_H_
