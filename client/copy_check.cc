#include "client/copy_check.h"

#include <openssl/evp.h>

#include "absl/strings/str_cat.h"

#include "client/errors.h"

namespace sluice::client {
namespace {

absl::Status Broken(absl::string_view what) {
  return LocalError(absl::StatusCode::kDataLoss, "COPY_INCOMPLETE", Executed::kNo,
                    absl::StrCat("the copy is not what the server sent: ", what));
}

}  // namespace

struct CopyCheck::Digest {
  EVP_MD_CTX* const context = EVP_MD_CTX_new();

  Digest() { EVP_DigestInit_ex(context, EVP_sha256(), nullptr); }

  ~Digest() { EVP_MD_CTX_free(context); }

  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
};

CopyCheck::CopyCheck() : digest_(std::make_unique<Digest>()) {}

CopyCheck::~CopyCheck() = default;

absl::Status CopyCheck::Add(const v1::BackupResponse& message) {
  if (last_.last()) return Broken("a message followed its last one");
  EVP_DigestUpdate(digest_->context, message.data().data(), message.data().size());
  bytes_ += static_cast<int64_t>(message.data().size());
  if (message.last()) last_ = message;
  return absl::OkStatus();
}

absl::StatusOr<std::string> CopyCheck::Finish() {
  if (!last_.last()) return Broken("it ended without its last message");
  if (bytes_ != last_.total_bytes()) {
    return Broken(absl::StrCat("it has ", bytes_, " bytes of ", last_.total_bytes()));
  }
  std::string sha256(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  EVP_DigestFinal_ex(digest_->context, reinterpret_cast<unsigned char*>(sha256.data()), &size);
  sha256.resize(size);
  if (sha256 != last_.sha256()) return Broken("its SHA-256 is another");
  return sha256;
}

}  // namespace sluice::client
