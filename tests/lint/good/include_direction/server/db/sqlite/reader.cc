#include "server/db/sqlite/connection.h"
#include "server/async/inbox.h"
