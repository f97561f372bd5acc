// Reply: a small message plus bytes that are already in its wire form. Concatenated, the two parse
// as one message.
#ifndef SLUICE_SERVER_ASYNC_REPLY_H_
#define SLUICE_SERVER_ASYNC_REPLY_H_

#include <string>
#include <utility>

namespace sluice {

template <class M>
struct Reply {
  Reply() = default;

  explicit Reply(M message) : head(std::move(message)) {}

  Reply(M message, std::string bytes) : head(std::move(message)), body(std::move(bytes)) {}

  M head;            // everything but the rows
  std::string body;  // fields of M, encoded by a driver; may be megabytes, so it is never copied
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_REPLY_H_
