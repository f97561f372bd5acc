#include "tests/db/crash_vfs.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/mutex.h"

namespace sluice::test {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSector = 512;

using Random = std::mt19937_64;

bool Chance(Random& random, double chance) {
  return std::uniform_real_distribution<>(0, 1)(random) < chance;
}

// A change of a file that is not certainly on the disk: bytes at an offset, or a new size.
struct Change {
  size_t offset = 0;
  std::string bytes;
  std::optional<size_t> size = std::nullopt;
};

void Write(std::string& content, size_t offset, const char* bytes, size_t size) {
  if (content.size() < offset + size) content.resize(offset + size);
  std::memcpy(&content[offset], bytes, size);
}

void Apply(const Change& change, std::string& content) {
  if (change.size.has_value()) {
    content.resize(*change.size);
  } else {
    Write(content, change.offset, change.bytes.data(), change.bytes.size());
  }
}

// Some of the sectors only.
void ApplyTorn(const Change& change, Random& random, std::string& content) {
  for (size_t at = 0; at < change.bytes.size();) {
    const size_t size =
        std::min(kSector - (change.offset + at) % kSector, change.bytes.size() - at);
    if (Chance(random, 0.5)) Write(content, change.offset + at, &change.bytes[at], size);
    at += size;
  }
}

struct File {
  bool journal = false;
  std::string durable;
  std::vector<Change> changes;
};

// What may be left of a file.
std::string Remains(const File& file, Random& random) {
  constexpr double kChances[] = {0, 0.1, 0.5, 0.9, 1};
  const double kept = kChances[random() % std::size(kChances)];
  const double torn = Chance(random, 0.5) ? 0 : 0.3;
  std::vector<const Change*> changes;
  for (const Change& change : file.changes) changes.push_back(&change);
  if (Chance(random, 0.5)) std::shuffle(changes.begin(), changes.end(), random);
  std::string content = file.durable;
  for (const Change* const change : changes) {
    if (!Chance(random, kept)) continue;
    if (!change->size.has_value() && Chance(random, torn)) {
      ApplyTorn(*change, random, content);
    } else {
      Apply(*change, content);
    }
  }
  return content;
}

std::string ContentOf(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

}  // namespace

// Disk: the model. Any thread.
class Disk {
 public:
  using FilePtr = std::shared_ptr<File>;

  Disk(std::string folder, std::function<void()> before_each)
      : folder_(std::move(folder)), before_each_(std::move(before_each)) {}

  void BeforeEach() const { before_each_(); }

  void Fail(CrashVfs::Operation operation, int code, int64_t times) {
    MutexLock lock(&mu_);
    faults_[static_cast<size_t>(operation)] = {.code = code, .left = times};
  }

  // What an operation has to answer instead of being done; OK: it is to be done.
  int Fault(CrashVfs::Operation operation) {
    MutexLock lock(&mu_);
    Due& due = faults_[static_cast<size_t>(operation)];
    if (due.left == 0) return SQLITE_OK;
    --due.left;
    return due.code;
  }

  bool Covers(const char* path) const {
    return path != nullptr && fs::path(path).parent_path() == folder_;
  }

  // A file that is about to be opened.
  FilePtr Open(const std::string& path) {
    MutexLock lock(&mu_);
    Name& name = names_[path];
    if (name.now == nullptr) {
      name.now = std::make_shared<File>();
      name.now->journal = absl::EndsWith(path, "-wal");
      if (fs::exists(path)) {  // made by others before, and left alone by them
        name.now->durable = ContentOf(path);
        name.durable = name.now;
      }
    }
    return name.now;
  }

  void Delete(const std::string& path, bool sync_folder) {
    MutexLock lock(&mu_);
    names_[path].now = nullptr;
    if (sync_folder) SyncFolder();
  }

  void Add(File& file, Change change) {
    MutexLock lock(&mu_);
    file.changes.push_back(std::move(change));
  }

  // All changes are on the disk, and with `sync_folder` the names of all files.
  void Sync(File& file, bool sync_folder) {
    MutexLock lock(&mu_);
    for (const Change& change : file.changes) Apply(change, file.durable);
    file.changes.clear();
    if (sync_folder) SyncFolder();
  }

  void Cut(uint64_t seed, const std::string& target) {
    Random random(seed);
    std::map<std::string, File> files;
    {
      MutexLock lock(&mu_);
      bool unsynced = false;
      for (const auto& [path, name] : names_) {
        const FilePtr& file = Chance(random, 0.5) ? name.now : name.durable;
        unsynced = unsynced || name.now != name.durable;
        if (file == nullptr) continue;
        unsynced = unsynced || !file->changes.empty();
        files.emplace(path, *file);
      }
      if (unsynced) ++unsynced_cuts_;
    }
    for (const auto& [path, file] : files) {
      const fs::path copy = fs::path(target) / fs::path(path).filename();
      std::ofstream(copy, std::ios::binary) << Remains(file, random);
    }
  }

  int64_t unsynced_cuts() {
    MutexLock lock(&mu_);
    return unsynced_cuts_;
  }

 private:
  // What a name leads to, for those who run and after a cut; they differ until the folder is
  // synced.
  struct Name {
    FilePtr now;
    FilePtr durable;
  };

  // Faults that are to come.
  struct Due {
    int code = SQLITE_OK;
    int64_t left = 0;
  };

  void SyncFolder() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (auto& [path, name] : names_) name.durable = name.now;
  }

  const std::string folder_;
  const std::function<void()> before_each_;

  Mutex mu_;
  std::map<std::string, Name> names_ ABSL_GUARDED_BY(mu_);
  int64_t unsynced_cuts_ ABSL_GUARDED_BY(mu_) = 0;
  std::array<Due, 4> faults_ ABSL_GUARDED_BY(mu_);  // by operation
};

namespace {

// One open file: SQLite's part, then ours, then the ordinary file's, in one piece of memory.
struct Handle {
  sqlite3_file base;
  Disk* disk;
  Disk::FilePtr* file;
  bool sync_folder;  // with the next sync, as the ordinary VFS does it
};

Handle& HandleOf(sqlite3_file* file) {
  return *reinterpret_cast<Handle*>(file);
}

sqlite3_file* Real(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(&HandleOf(file) + 1);
}

template <auto Method, class... Args>
int Pass(sqlite3_file* file, Args... args) {
  sqlite3_file* const real = Real(file);
  return (real->pMethods->*Method)(real, args...);
}

int Close(sqlite3_file* file) {
  const int code = Pass<&sqlite3_io_methods::xClose>(file);
  delete HandleOf(file).file;
  return code;
}

using Operation = CrashVfs::Operation;

int WriteFile(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  HandleOf(file).disk->BeforeEach();
  const bool journal = (*HandleOf(file).file)->journal;
  const int fault =
      HandleOf(file).disk->Fault(journal ? Operation::kWriteJournal : Operation::kWriteDatabase);
  if (fault != SQLITE_OK) return fault;
  const int code = Pass<&sqlite3_io_methods::xWrite>(file, bytes, size, offset);
  Change change;
  change.offset = static_cast<size_t>(offset);
  change.bytes.assign(static_cast<const char*>(bytes), static_cast<size_t>(size));
  if (code == SQLITE_OK) HandleOf(file).disk->Add(**HandleOf(file).file, std::move(change));
  return code;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  HandleOf(file).disk->BeforeEach();
  const int code = Pass<&sqlite3_io_methods::xTruncate>(file, size);
  Change change;
  change.size = static_cast<size_t>(size);
  if (code == SQLITE_OK) HandleOf(file).disk->Add(**HandleOf(file).file, std::move(change));
  return code;
}

int Sync(sqlite3_file* file, int /*flags*/) {
  Handle& handle = HandleOf(file);
  handle.disk->BeforeEach();
  const bool journal = (*handle.file)->journal;
  const int fault =
      handle.disk->Fault(journal ? Operation::kSyncJournal : Operation::kSyncDatabase);
  if (fault != SQLITE_OK) return fault;
  handle.disk->Sync(**handle.file, std::exchange(handle.sync_folder, false));
  return SQLITE_OK;
}

using Io = sqlite3_io_methods;

// No xFetch: what is mapped would be written unseen.
constexpr Io kMethods = {
    2,
    &Close,
    &Pass<&Io::xRead, void*, int, sqlite3_int64>,
    &WriteFile,
    &Truncate,
    &Sync,
    &Pass<&Io::xFileSize, sqlite3_int64*>,
    &Pass<&Io::xLock, int>,
    &Pass<&Io::xUnlock, int>,
    &Pass<&Io::xCheckReservedLock, int*>,
    &Pass<&Io::xFileControl, int, void*>,
    &Pass<&Io::xSectorSize>,
    &Pass<&Io::xDeviceCharacteristics>,
    &Pass<&Io::xShmMap, int, int, int, void volatile**>,
    &Pass<&Io::xShmLock, int, int, int>,
    [](sqlite3_file* file) { Real(file)->pMethods->xShmBarrier(Real(file)); },
    &Pass<&Io::xShmUnmap, int>,
    nullptr,
    nullptr,
};

struct Shared {
  sqlite3_vfs* real;
  Disk* disk;
};

Shared& SharedOf(sqlite3_vfs* vfs) {
  return *static_cast<Shared*>(vfs->pAppData);
}

int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out_flags) {
  const Shared& shared = SharedOf(vfs);
  constexpr int kOurs = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
  if (!shared.disk->Covers(path) || (flags & kOurs) == 0) {
    return shared.real->xOpen(shared.real, path, file, flags, out_flags);
  }
  const Disk::FilePtr opened = shared.disk->Open(path);
  const int code = shared.real->xOpen(shared.real, path, Real(file), flags, out_flags);
  Handle& handle = HandleOf(file);
  // SQLite closes a file that has methods, and no other.
  handle.base.pMethods = Real(file)->pMethods == nullptr ? nullptr : &kMethods;
  if (handle.base.pMethods == nullptr) return code;
  handle.disk = shared.disk;
  handle.file = new Disk::FilePtr(opened);
  constexpr int kJournal = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
  handle.sync_folder = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & kJournal) != 0;
  return code;
}

int Delete(sqlite3_vfs* vfs, const char* path, int sync_folder) {
  const Shared& shared = SharedOf(vfs);
  if (shared.disk->Covers(path)) shared.disk->BeforeEach();
  const int code = shared.real->xDelete(shared.real, path, sync_folder);
  if (code == SQLITE_OK && shared.disk->Covers(path)) shared.disk->Delete(path, sync_folder != 0);
  return code;
}

}  // namespace

struct CrashVfs::Vfs {
  Shared shared;
  sqlite3_vfs vfs;
};

CrashVfs::CrashVfs(std::string folder, std::function<void()> before_each)
    : disk_(std::make_unique<Disk>(fs::canonical(folder).string(), std::move(before_each))),
      vfs_(std::make_unique<Vfs>()) {
  sqlite3_initialize();
  vfs_->shared = {sqlite3_vfs_find(nullptr), disk_.get()};
  sqlite3_vfs& vfs = vfs_->vfs;
  // All other functions are the ordinary ones; they use nothing of the object they are called on.
  vfs = *vfs_->shared.real;
  vfs.szOsFile += static_cast<int>(sizeof(Handle));
  vfs.pNext = nullptr;
  vfs.zName = "crash";
  vfs.pAppData = &vfs_->shared;
  vfs.xOpen = &Open;
  vfs.xDelete = &Delete;
  sqlite3_vfs_register(&vfs, 1);
}

CrashVfs::~CrashVfs() {
  sqlite3_vfs_register(vfs_->shared.real, 1);
  sqlite3_vfs_unregister(&vfs_->vfs);
}

void CrashVfs::Fail(Operation operation, int code, int64_t times) {
  disk_->Fail(operation, code, times);
}

void CrashVfs::Cut(uint64_t seed, const std::string& target) const {
  disk_->Cut(seed, target);
}

int64_t CrashVfs::unsynced_cuts() const {
  return disk_->unsynced_cuts();
}

}  // namespace sluice::test
