#include <grpcpp/grpcpp.h>
#include "google/rpc/status.pb.h"
#include "server/async/stream.h"
