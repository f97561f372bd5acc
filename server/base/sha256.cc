#include "server/base/sha256.h"

#include <cstdio>
#include <cstdlib>

#include <openssl/evp.h>

namespace sluice {
namespace {

// OpenSSL has it, or the memory is gone; a digest must not be guessed.
void Check(bool done) {
  if (done) return;
  std::fputs("sluiced: SHA-256 failed\n", stderr);
  std::abort();
}

}  // namespace

struct Sha256::State {
  State() { Check(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }

  ~State() { EVP_MD_CTX_free(context); }

  EVP_MD_CTX* const context = EVP_MD_CTX_new();
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}

Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view bytes) {
  Check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  Check(EVP_DigestFinal_ex(state_->context, digest, &size) == 1);
  return {reinterpret_cast<const char*>(digest), size};
}

}  // namespace sluice
