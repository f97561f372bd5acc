// Random identifiers. Those that grant something (connections, transactions) come from getrandom(2)
// and are looked up by their SHA-256, so no comparison's duration depends on the secret.
#ifndef SLUICE_SERVER_BASE_IDS_H_
#define SLUICE_SERVER_BASE_IDS_H_

#include <array>
#include <string>
#include <string_view>

namespace sluice::ids {

// SHA-256 of an id: what registries store and look up.
using Hash = std::array<unsigned char, 32>;

// `prefix` and `bits` of randomness in lower-case Crockford base32 without padding. `bits` is a
// multiple of 8.
std::string Random(std::string_view prefix, int bits);

// conn_ + 160 bits + six characters of checksum, by which a secret scanner can tell an id from
// chance. A capability: only its hash is stored, only its handle is shown.
std::string NewConnectionId();

// True for the shape and checksum of a connection id; says nothing about whether one exists.
bool IsConnectionId(std::string_view id);

// txn_ + 128 bits.
std::string NewTransactionId();

// req_ + 80 bits. For telling log lines apart, not a secret: taken from randomness that the thread
// has in stock, so one call in a hundred enters the kernel.
std::string NewRequestId();

Hash HashOf(std::string_view id);

// HMAC-SHA256 of the text: what only the holder of the key can make.
Hash MacOf(std::string_view key, std::string_view text);

// Whether both are the same, in a time that does not tell how much of them is.
bool SameSecret(std::string_view one, std::string_view other);

// 32 bytes of randomness, to be kept secret.
std::string NewKey();

// h_ + the first 8 hex digits of the hash: how logs, metrics and lists name a connection.
std::string Handle(const Hash& hash);
std::string Handle(std::string_view id);

// tx_ + the first 12 hex digits of the hash: the same for a transaction.
std::string TransactionHandle(const Hash& hash);

}  // namespace sluice::ids

#endif  // SLUICE_SERVER_BASE_IDS_H_
