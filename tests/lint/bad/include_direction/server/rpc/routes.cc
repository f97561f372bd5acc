#include "sluice/v1/query.grpc.pb.h"
#include "server/services/query.h"
#include "server/db/sqlite/driver.h"  // bad: arrow
