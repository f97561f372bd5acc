#include "server/db/drivers.h"
#include "server/async/mutex.h"
