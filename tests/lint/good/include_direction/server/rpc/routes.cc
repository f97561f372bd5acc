#include "server/services/query.h"
#include "sluice/v1/query.grpc.pb.h"
#include "server/rpc/router.h"
