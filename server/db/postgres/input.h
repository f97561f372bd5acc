// Input: what was received and not yet taken, in buffers that results keep parts of.
#ifndef SLUICE_SERVER_DB_POSTGRES_INPUT_H_
#define SLUICE_SERVER_DB_POSTGRES_INPUT_H_

#include <cstddef>
#include <memory>
#include <optional>

#include "absl/types/span.h"

#include "server/db/postgres/protocol.h"

namespace sluice::postgres {

class Input {
 public:
  struct Buffer {
    explicit Buffer(size_t its_size) : bytes(new char[its_size]), size(its_size) {}

    const std::unique_ptr<char[]> bytes;  // NOLINT(modernize-avoid-c-arrays): not to be cleared
    const size_t size;
  };

  // No message may be longer than `limit`, in bytes.
  explicit Input(size_t limit) : limit_(limit) {}

  // Where to receive; never empty.
  absl::Span<char> Room();
  // So many bytes were received there.
  void Add(size_t count);

  // The next message; nothing if it is not here yet, or never will be.
  std::optional<ServerMessage> Next();

  // The next message is none: it has no length that a message can have.
  bool broken() const { return broken_; }

  // The next message is longer than may be.
  bool too_long() const { return too_long_; }

  // The one that holds the last message.
  const std::shared_ptr<const Buffer>& buffer() const { return shared_; }

  // Nothing is expected: lets go of what is more than a little.
  void Rest();

 private:
  void Replace(size_t size);

  size_t limit_;
  std::shared_ptr<Buffer> buffer_;
  std::shared_ptr<const Buffer> shared_;  // the same
  size_t begin_ = 0;                      // of what was not taken
  size_t end_ = 0;
  size_t needed_ = 0;  // by the next message, from begin_
  size_t usual_ = 0;   // size of the next buffer
  bool broken_ = false;
  bool too_long_ = false;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_INPUT_H_
