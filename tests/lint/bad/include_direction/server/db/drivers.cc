#include "server/db/sqlite/driver.h"
#include "server/core/health.h"       // bad: arrow
