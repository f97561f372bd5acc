#include <sqlite3.h>
#include "server/db/statement.h"
