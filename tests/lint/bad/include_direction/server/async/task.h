#include "server/base/status.h"
#include "server/db/rows.h"           // bad: arrow
#include <grpcpp/alarm.h>             // bad: owner
