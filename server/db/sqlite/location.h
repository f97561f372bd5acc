// Location: which file a target means, found out before anything is opened.
#ifndef SLUICE_SERVER_DB_SQLITE_LOCATION_H_
#define SLUICE_SERVER_DB_SQLITE_LOCATION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/db/sqlite/database_file.h"

namespace sluice::sqlite {

// PrivateFolder: holds a database that nobody else is to see. Removed with all that is in it.
class PrivateFolder {
 public:
  static absl::StatusOr<std::unique_ptr<PrivateFolder>> Make();
  ~PrivateFolder();

  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}

  const std::string path_;
};

struct Location {
  std::string path;  // absolute
  FileId id;
  std::string name;                       // what callers see
  std::unique_ptr<PrivateFolder> folder;  // of a private database
};

// Both block, since they look at the file system. A file that does not exist is made, empty, unless
// it is to be read only or must exist. Error: CONNECTION_INVALID_TARGET for what is no plain file
// in a folder that exists.
absl::StatusOr<Location> LocateFile(const std::string& path,
                                    const FileOptions& options,
                                    bool must_exist = false);
// The same for `:memory:`: a private file, so that readers and writer can share it.
absl::StatusOr<Location> LocateMemory();

// The same for a path that a caller chose: it leads to a file beneath `root`, a folder that is made
// if need be and opened once. Symbolic links, in any place, files with several names, what is no
// plain file, and names that belong to the server or to journals are PERMISSION_DENIED, in words
// that say nothing of what is outside. Both paths are absolute.
absl::StatusOr<Location> LocateBeneath(const std::string& root,
                                       const std::string& path,
                                       const FileOptions& options,
                                       bool must_exist);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_LOCATION_H_
