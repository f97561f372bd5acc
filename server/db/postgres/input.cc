#include "server/db/postgres/input.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace sluice::postgres {
namespace {

// What a buffer holds at first, and at most unless a single message needs more.
constexpr size_t kSmallBuffer = size_t{16} << 10;
constexpr size_t kLargeBuffer = size_t{256} << 10;

}  // namespace

absl::Span<char> Input::Room() {
  const size_t unread = end_ - begin_;
  const bool ours = buffer_ != nullptr && buffer_.use_count() == 2;  // it, and shared_
  if (ours && unread == 0) begin_ = end_ = 0;
  const size_t size = buffer_ == nullptr ? 0 : buffer_->size;
  if (begin_ + needed_ > size || end_ == size) {
    if (ours && needed_ <= size && begin_ > 0) {
      std::memmove(buffer_->bytes.get(), buffer_->bytes.get() + begin_, unread);
      begin_ = 0;
      end_ = unread;
    } else {
      Replace(std::max({usual_, kSmallBuffer, needed_, 2 * unread}));
    }
  }
  return {buffer_->bytes.get() + end_, buffer_->size - end_};
}

void Input::Add(size_t count) {
  end_ += count;
  // Much comes at once.
  if (end_ == buffer_->size) usual_ = std::min(std::max(usual_, kSmallBuffer) * 4, kLargeBuffer);
}

std::optional<ServerMessage> Input::Next() {
  const size_t unread = end_ - begin_;
  needed_ = kHeadSize;
  if (broken_ || too_long_ || unread < kHeadSize) return std::nullopt;
  const char* const at = buffer_->bytes.get() + begin_;
  uint32_t raw = 0;
  std::memcpy(&raw, at + 1, sizeof raw);
  const size_t length = __builtin_bswap32(raw);
  broken_ = length < kLengthSize;
  too_long_ = length > limit_;
  if (broken_ || too_long_) return std::nullopt;
  needed_ = 1 + length;
  if (unread < needed_) return std::nullopt;
  begin_ += needed_;
  needed_ = kHeadSize;
  return ServerMessage{static_cast<MessageType>(*at), {at + kHeadSize, length - kLengthSize}};
}

void Input::Rest() {
  usual_ = 0;
  if (begin_ != end_ || buffer_ == nullptr || buffer_->size <= kSmallBuffer) return;
  shared_.reset();
  buffer_.reset();
  begin_ = end_ = 0;
}

void Input::Replace(size_t size) {
  auto next = std::make_shared<Buffer>(size);
  const size_t unread = end_ - begin_;
  if (unread > 0) std::memcpy(next->bytes.get(), buffer_->bytes.get() + begin_, unread);
  buffer_ = std::move(next);
  shared_ = buffer_;
  begin_ = 0;
  end_ = unread;
}

}  // namespace sluice::postgres
