#include <grpcpp/grpcpp.h>
#include "client/client.h"
#include "sluice/v1/query.grpc.pb.h"
