#include "server/db/sqlite/reader.h"  // bad: arrow
#include <sqlite3.h>                  // bad: owner
#include "server/core/connections.h"  // bad: arrow
