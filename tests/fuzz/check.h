// CHECK for fuzz targets: ends the process, which libFuzzer reports with the input.
#ifndef SLUICE_TESTS_FUZZ_CHECK_H_
#define SLUICE_TESTS_FUZZ_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define FUZZ_CHECK(condition)                                                             \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

#endif  // SLUICE_TESTS_FUZZ_CHECK_H_
