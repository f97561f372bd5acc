#include "server/rpc/server.h"
#include "server/services/query.h"
#include "server/core/health.h"
#include "server/db/sqlite/driver.h"
