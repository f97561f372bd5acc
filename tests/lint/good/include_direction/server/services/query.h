#include "server/core/connections.h"
#include "sluice/v1/query.pb.h"
#include "server/db/database.h"
