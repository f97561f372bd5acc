#include "server/db/drivers.h"
#include "server/db/sqlite/driver.h"
