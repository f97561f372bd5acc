#include "server/app.h"
#include "server/rpc/server.h"
#include "client/client.h"            // bad: arrow
#include <grpcpp/server.h>            // bad: owner
