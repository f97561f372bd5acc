// TempDir: an empty folder that goes, with all that is in it, when the test ends.
#ifndef SLUICE_TESTS_SUPPORT_TEMP_DIR_H_
#define SLUICE_TESTS_SUPPORT_TEMP_DIR_H_

#include <string>

#include "absl/strings/string_view.h"

namespace sluice::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();

  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

  // The path of a file in it.
  std::string File(absl::string_view name) const;

 private:
  std::string path_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_SUPPORT_TEMP_DIR_H_
