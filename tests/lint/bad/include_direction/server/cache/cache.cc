#include "server/base/status.h"       // bad: layer
