#include "server/db/sqlite/connection.h"
#include "server/db/postgres/lane.h"  // bad: arrow
#include "server/rpc/call.h"          // bad: arrow
#  include <sqlite3.h>                // bad: owner
#include <libpq-fe.h>                 // bad: owner
