// FileId: which file it is, whatever it is called.
#ifndef SLUICE_SERVER_DB_SQLITE_FILE_ID_H_
#define SLUICE_SERVER_DB_SQLITE_FILE_ID_H_

#include <utility>

#include <sys/types.h>

namespace sluice::sqlite {

struct FileId {
  dev_t device = 0;
  ino_t inode = 0;

  bool operator==(const FileId&) const = default;

  template <class H>
  friend H AbslHashValue(H hash, const FileId& id) {
    return H::combine(std::move(hash), id.device, id.inode);
  }
};

// OpenedFile: learns which file SQLite opened on this thread while it lives, from the file itself:
// the name may have led elsewhere by then. Needs InitializeLibrary.
class OpenedFile {
 public:
  OpenedFile();
  ~OpenedFile();

  OpenedFile(const OpenedFile&) = delete;
  OpenedFile& operator=(const OpenedFile&) = delete;

  const FileId& id() const { return id_; }

  void Saw(const FileId& id) { id_ = id; }

 private:
  FileId id_;  // of the last one
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_FILE_ID_H_
