#include "server/services/query.h"    // bad: arrow
