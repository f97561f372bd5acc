// One record of the log as its line of JSON; log.h says what it looks like.
#ifndef SLUICE_SERVER_BASE_LOG_RECORD_H_
#define SLUICE_SERVER_BASE_LOG_RECORD_H_

#include <initializer_list>
#include <string>

#include "absl/time/time.h"

#include "server/base/log.h"

namespace sluice::log {

// The line, with its line feed.
std::string FormatRecord(
    absl::Time time, Level level, Text logger, Text message, std::initializer_list<Field> fields);

}  // namespace sluice::log

#endif  // SLUICE_SERVER_BASE_LOG_RECORD_H_
