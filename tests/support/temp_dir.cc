#include "tests/support/temp_dir.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace sluice::test {

TempDir::TempDir()
    : path_((std::filesystem::canonical(::testing::TempDir()) / "sluice-test-XXXXXX").string()) {
  if (mkdtemp(path_.data()) == nullptr) {
    ADD_FAILURE() << "no temporary folder can be made";
    std::abort();
  }
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::File(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

}  // namespace sluice::test
