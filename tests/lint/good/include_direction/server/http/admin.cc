#include "server/core/health.h"
