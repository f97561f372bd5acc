#include "server/core/connections.h"
#include "server/rpc/status.h"        // bad: arrow
#include "server/app.h"               // bad: arrow
#include "sluice/v1/query.grpc.pb.h"  // bad: owner
#include <grpcpp/grpcpp.h>            // bad: owner
#include <sqlite3.h>                  // bad: owner
