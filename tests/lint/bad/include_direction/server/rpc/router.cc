#include <grpcpp/grpcpp.h>
#include "server/services/query.h"    // bad: arrow
#include "server/core/connections.h"  // bad: arrow
#include "sluice/v1/query.grpc.pb.h"  // bad: owner
