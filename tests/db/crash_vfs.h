// CrashVfs: a file system for SQLite that knows what a power cut would leave of its files, and that
// can fail.
#ifndef SLUICE_TESTS_DB_CRASH_VFS_H_
#define SLUICE_TESTS_DB_CRASH_VFS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <sqlite3.h>

namespace sluice::test {

class Disk;

// While it lives it is SQLite's default. Reads, writes and locks are the ordinary ones, on ordinary
// files; for those in `folder` it also keeps what a sync has certainly brought to the disk, and
// what was written since, and so may have reached it or not. The real disk is not waited for. One
// at a time, since SQLite's default is the process's.
class CrashVfs {
 public:
  // `before_each` is called before anything is changed or synced, on the thread that does it.
  explicit CrashVfs(
      std::string folder, std::function<void()> before_each = [] {});
  // No file is open any more.
  ~CrashVfs();

  CrashVfs(const CrashVfs&) = delete;
  CrashVfs& operator=(const CrashVfs&) = delete;

  enum class Operation { kWriteJournal, kSyncJournal, kWriteDatabase, kSyncDatabase };

  // The next so many of these fail with this result code of SQLite, and do nothing. Any thread.
  void Fail(Operation operation, int code, int64_t times);

  // Writes to `target`, an empty folder, what the disk may hold if the power goes now: what was
  // synced, and of the rest any part in any order, writes torn at sectors. Any thread, while others
  // use the files; `seed` decides what is left.
  void Cut(uint64_t seed, const std::string& target) const;

  // Cuts that had anything to lose, for tests that have to know that they test something.
  int64_t unsynced_cuts() const;

 private:
  struct Vfs;

  const std::unique_ptr<Disk> disk_;
  const std::unique_ptr<Vfs> vfs_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_CRASH_VFS_H_
