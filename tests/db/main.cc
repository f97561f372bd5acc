#include <cstdlib>
#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/postgres.h"

// Tests may ask the environment for the server, however it was found.
int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  const std::optional<std::string> conninfo = sluice::test::TestPostgresConninfo();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread is there yet
  if (conninfo) setenv("SLUICE_TEST_POSTGRES", conninfo->c_str(), 1);
  return RUN_ALL_TESTS();
}
