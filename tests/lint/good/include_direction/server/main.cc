#include "server/app.h"
#include "server/base/config.h"
