#include "client/request_id.h"

#include <random>

namespace sluice::client {

std::string NewRequestId() {
  std::random_device random;
  std::string uuid = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
  for (char& c : uuid) {
    const unsigned bits = random() % 16;
    if (c == 'x') c = "0123456789abcdef"[bits];
    if (c == 'y') c = "89ab"[bits % 4];
  }
  return uuid;
}

}  // namespace sluice::client
