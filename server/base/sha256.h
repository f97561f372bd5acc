// Sha256: the SHA-256 of bytes that come piece by piece.
#ifndef SLUICE_SERVER_BASE_SHA256_H_
#define SLUICE_SERVER_BASE_SHA256_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// Used by one thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();

  void Update(absl::string_view bytes);
  // The 32 bytes of the digest. Nothing may follow.
  std::string Finish();

 private:
  struct State;

  const std::unique_ptr<State> state_;
};

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_SHA256_H_
