#include "server/async/task.h"
#include "server/base/status.h"
#include "sluice/v1/value.pb.h"
#include "google/protobuf/message.h"
