#include "server/base/ids.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace sluice::ids {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::string_view kConnectionPrefix = "conn_";
constexpr size_t kConnectionBytes = 20;
constexpr size_t kConnectionDigits = 32;
constexpr int kChecksumDigits = 6;
constexpr size_t kRequestBytes = 10;

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "sluiced: %s; no identifier can be made safely\n", what);
  std::abort();
}

void FillRandom(unsigned char* out, size_t size) {
  while (size > 0) {
    const ssize_t got = getrandom(out, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) Die("getrandom failed");
    out += got;
    size -= static_cast<size_t>(got);
  }
}

void AppendBase32(const unsigned char* bytes, size_t size, std::string& out) {
  uint32_t pending = 0;
  int bits = 0;
  for (size_t i = 0; i < size; ++i) {
    pending = (pending << 8) | bytes[i];
    bits += 8;
    for (; bits >= 5; bits -= 5) out += kAlphabet[(pending >> (bits - 5)) & 31];
  }
  if (bits > 0) out += kAlphabet[(pending << (5 - bits)) & 31];
}

// The first bytes of a hash.
void AppendHex(const Hash& hash, size_t bytes, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (size_t i = 0; i < bytes; ++i) {
    out += kHex[hash[i] >> 4];
    out += kHex[hash[i] & 15];
  }
}

uint32_t Crc32(std::string_view text) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

// Six digits hold 30 bits: the low ones of the CRC-32.
std::string Checksum(std::string_view text) {
  const uint32_t crc = Crc32(text);
  std::string out;
  for (int digit = kChecksumDigits - 1; digit >= 0; --digit) {
    out += kAlphabet[(crc >> (5 * digit)) & 31];
  }
  return out;
}

// Sha256: one thread's digest context. Made once, since OpenSSL looks an algorithm up by name each
// time it is asked for one, which costs more than the digest of a short id.
class Sha256 {
 public:
  Hash Digest(std::string_view text) {
    Hash hash{};
    const bool done = EVP_DigestInit_ex2(context_.get(), Algorithm(), nullptr) == 1 &&
                      EVP_DigestUpdate(context_.get(), text.data(), text.size()) == 1 &&
                      EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr) == 1;
    if (!done) Die("SHA-256 failed");
    return hash;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };

  // Never freed: OpenSSL frees what it owns at exit, perhaps before the last thread ends.
  static const EVP_MD* Algorithm() {
    static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return algorithm;
  }

  const std::unique_ptr<EVP_MD_CTX, Free> context_{EVP_MD_CTX_new()};
};

// Stock: random bytes that one thread has bought at once.
class Stock {
 public:
  const unsigned char* Take(size_t size) {
    if (next_ + size > bytes_.size()) {
      FillRandom(bytes_.data(), bytes_.size());
      next_ = 0;
    }
    const unsigned char* const taken = bytes_.data() + next_;
    next_ += size;
    return taken;
  }

 private:
  std::array<unsigned char, 1000> bytes_{};
  size_t next_ = bytes_.size();
};

}  // namespace

std::string Random(std::string_view prefix, int bits) {
  std::array<unsigned char, 64> bytes{};
  const auto size = static_cast<size_t>(bits) / 8;
  if (bits <= 0 || bits % 8 != 0 || size > bytes.size()) Die("an odd number of bits was asked for");
  FillRandom(bytes.data(), size);
  std::string id(prefix);
  AppendBase32(bytes.data(), size, id);
  return id;
}

std::string NewConnectionId() {
  std::string id = Random(kConnectionPrefix, kConnectionBytes * 8);
  id += Checksum(id);
  return id;
}

bool IsConnectionId(std::string_view id) {
  constexpr size_t kBody = kConnectionPrefix.size() + kConnectionDigits;
  if (id.size() != kBody + kChecksumDigits) return false;
  if (id.substr(0, kConnectionPrefix.size()) != kConnectionPrefix) return false;
  if (id.find_first_not_of(kAlphabet, kConnectionPrefix.size()) != std::string_view::npos)
    return false;
  return id.substr(kBody) == Checksum(id.substr(0, kBody));
}

std::string NewTransactionId() {
  return Random("txn_", 128);
}

std::string NewRequestId() {
  thread_local Stock stock;
  std::string id = "req_";
  AppendBase32(stock.Take(kRequestBytes), kRequestBytes, id);
  return id;
}

Hash HashOf(std::string_view id) {
  thread_local Sha256 sha256;
  return sha256.Digest(id);
}

Hash MacOf(std::string_view key, std::string_view text) {
  Hash mac{};
  unsigned int size = 0;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
  const bool done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(),
                         mac.data(), &size) != nullptr;
  if (!done || size != mac.size()) Die("HMAC-SHA-256 failed");
  return mac;
}

bool SameSecret(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string NewKey() {
  std::array<unsigned char, 32> bytes{};
  FillRandom(bytes.data(), bytes.size());
  return std::string(bytes.begin(), bytes.end());
}

std::string Handle(const Hash& hash) {
  std::string handle = "h_";
  AppendHex(hash, 4, handle);
  return handle;
}

std::string Handle(std::string_view id) {
  return Handle(HashOf(id));
}

std::string TransactionHandle(const Hash& hash) {
  std::string handle = "tx_";
  AppendHex(hash, 6, handle);
  return handle;
}

}  // namespace sluice::ids
