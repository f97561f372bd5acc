#include "server/db/drivers.h"
#include "server/db/sqlite/driver.h"  // bad: arrow
#include "server/services/query.h"    // bad: arrow
