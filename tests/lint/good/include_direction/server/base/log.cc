#include "server/base/log.h"
#include <spdlog/spdlog.h>
#include "absl/strings/str_cat.h"
#include <sys/types.h>
