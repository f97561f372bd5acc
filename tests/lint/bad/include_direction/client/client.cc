#include "sluice/v1/query.grpc.pb.h"
#include "server/base/utf8.h"         // bad: arrow
#include "tests/support/server.h"     // bad: arrow
#include <CLI/CLI.hpp>                // bad: owner
