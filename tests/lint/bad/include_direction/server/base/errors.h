#include <string>

#include "absl/status/status.h"

#include "server/async/task.h"        // bad: arrow
#include "sluice/v1/query.pb.h"       // bad: arrow
#include "clock.h"                    // bad: path
#include <spdlog/spdlog.h>            // bad: owner
