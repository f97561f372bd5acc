#include "server/app.h"
#include "server/rpc/server.h"        // bad: arrow
