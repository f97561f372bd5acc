#include "server/db/sqlite/backup.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/database.h"
#include "server/db/sqlite/result.h"

namespace sluice::sqlite {
namespace {

// Pages of one step: a millisecond or two, after which waiting reads have their turn.
constexpr int kStepPages = 256;

// Copies of one database that exist at once, each as large as the database.
constexpr int kMostCopies = 4;

absl::Status ScratchFailure(int error) {
  if (error == ENOSPC || error == EDQUOT) return CopyDiskFull();
  return errors::Internal(absl::StrCat("The server's folder for copies cannot be used: ",
                                       std::generic_category().message(error)));
}

// Disposal: frees on a reader what takes its time to free; in place if there are none any more.
template <class T>
class Disposal final : public Work {
 public:
  explicit Disposal(std::unique_ptr<T> what) : what_(std::move(what)) {}

  void Run(Connection& /*connection*/) override { what_.reset(); }

  void Answer() override { delete this; }

  void Refuse(const absl::Status& /*why*/) override { delete this; }

 private:
  std::unique_ptr<T> what_;
};

template <class T>
void Dispose(WorkQueue& readers, std::unique_ptr<T> what) {
  if (what == nullptr) return;
  auto disposal = std::make_unique<Disposal<T>>(std::move(what));
  readers.PushOwn(*disposal.release());  // deletes itself
}

}  // namespace

absl::StatusOr<std::unique_ptr<ScratchFile>> ScratchFile::Make(const std::string& folder) {
  std::error_code failure;
  std::string path = folder;
  if (path.empty()) path = std::filesystem::temp_directory_path(failure).string();
  if (failure) return ScratchFailure(failure.value());
  path += "/copy-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return ScratchFailure(errno);
  return std::unique_ptr<ScratchFile>(new ScratchFile(std::move(path), fd));
}

ScratchFile::~ScratchFile() {
  close(fd_);
  if (!sealed_) unlink(path_.c_str());
}

absl::Status ScratchFile::Seal() {
  struct stat file {};

  if (fstat(fd_, &file) != 0 || unlink(path_.c_str()) != 0) return ScratchFailure(errno);
  sealed_ = true;
  size_ = file.st_size;
  return absl::OkStatus();
}

absl::StatusOr<std::string> ScratchFile::Read(int64_t offset, int64_t most) const {
  std::string bytes(static_cast<size_t>(most), '\0');
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got =
        pread(fd_, &bytes[have], bytes.size() - have, offset + static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ScratchFailure(errno);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

absl::StatusOr<std::unique_ptr<ScratchFile>> Copying::Advance() {
  if (pages_ == nullptr) {
    TRY_STATUS(Begin());
  }
  TRY(const bool complete, pages_->Step(kStepPages));
  if (!complete) return nullptr;
  pages_.reset();
  source_.reset();  // and with it the snapshot
  TRY_STATUS(copy_->Seal());
  return std::move(copy_);
}

absl::Status Copying::Begin() {
  TRY(copy_, ScratchFile::Make(file_.settings().scratch));
  TRY(source_, file_.OpenReader(file_.settings().busy_timeout));
  TRY_STATUS(source_->Run("BEGIN"));
  TRY_STATUS(source_->DatabaseSize().status());  // the first read takes the snapshot
  TRY(pages_, PageCopy::Begin(*source_, copy_->path()));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Copies::Turn>> Copies::Begin() {
  MutexLock lock(&mu_);
  if (closed_) return errors::PoolClosed();
  if (making_) return errors::PoolExhausted("copies of this database in the making", 1);
  if (kept_ >= kMostCopies) return errors::PoolExhausted("copies of this database", kMostCopies);
  making_ = true;
  current_ = std::make_unique<Copying>(file_);
  return std::make_unique<Turn>(*this);
}

void Copies::EndTurn() {
  MutexLock lock(&mu_);
  making_ = false;
  // Under the lock: Close has to find it here, or find it gone.
  Dispose(readers_, std::move(current_));
}

void Copies::Keep() {
  MutexLock lock(&mu_);
  ++kept_;
}

void Copies::Discard(std::unique_ptr<ScratchFile> copy) {
  {
    MutexLock lock(&mu_);
    --kept_;
  }
  Dispose(readers_, std::move(copy));
}

void Copies::Close() {
  MutexLock lock(&mu_);
  closed_ = true;
  current_.reset();
}

std::unique_ptr<Copying> Copies::Take() {
  MutexLock lock(&mu_);
  return std::move(current_);
}

void Copies::Put(std::unique_ptr<Copying> copying) {
  MutexLock lock(&mu_);
  current_ = std::move(copying);
}

void CopyStep::Run(Connection& /*connection*/) {
  result_ = Advance();
}

CopyStep::Result CopyStep::Advance() {
  if (DeadlinePassed(ctx_)) return errors::DeadlineExceeded(errors::Executed::kNo);
  std::unique_ptr<Copying> copying = copies_.Take();
  if (copying == nullptr) return errors::PoolClosed();
  TRY(std::unique_ptr<ScratchFile> copy, copying->Advance());
  if (copy == nullptr) copies_.Put(std::move(copying));
  return copy;
}

CopySnapshot::CopySnapshot(std::shared_ptr<Database> database,
                           Copies& copies,
                           std::unique_ptr<ScratchFile> copy)
    : database_(std::move(database)), copies_(copies), copy_(std::move(copy)) {
  copies_.Keep();
}

CopySnapshot::~CopySnapshot() {
  copies_.Discard(std::move(copy_));
}

Task<absl::StatusOr<std::string>> CopySnapshot::Read(const Context& ctx, int64_t most) {
  absl::StatusOr<std::string> bytes = co_await database_->ReadCopy(ctx, *copy_, offset_, most);
  if (bytes.ok()) offset_ += static_cast<int64_t>(bytes->size());
  co_return bytes;
}

}  // namespace sluice::sqlite
