// RequestKey: what makes a repeated write recognisable as the same one.
#ifndef SLUICE_SERVER_DB_REQUEST_KEY_H_
#define SLUICE_SERVER_DB_REQUEST_KEY_H_

#include <cstdint>
#include <string>

namespace sluice::db {

// A database that executes a write with a key stores both, with the answer, in the transaction of
// the write; the same key within 24 h answers what was stored, or REQUEST_ID_REUSED if the content
// is another. What failed is not stored.
struct RequestKey {
  RequestKey() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  std::string scope;    // who asks, on which connection: 16 bytes
  std::string id;       // the caller's UUID: 16 bytes
  std::string content;  // hash of what was asked: 32 bytes
  int64_t part = 0;     // which part of the request; 0 = the whole
  // The request commits a transaction, so that its key tells what became of it: it is stored even
  // if the request itself only reads.
  bool commits = false;
};

// A longer answer is not kept, only the fact that there was one.
inline constexpr int64_t kMostReplayBytes = 64 << 10;

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_REQUEST_KEY_H_
