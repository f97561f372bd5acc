#include "server/base/status.h"
