# sluice_options carries the language level, warnings and sanitizers; every target of ours links it.

option(SLUICE_BUILD_TESTS "Build the tests" ON)
option(SLUICE_BUILD_BENCH "Build the benchmarks" ON)
option(SLUICE_BUILD_FUZZ "Build the fuzz targets (clang only)" OFF)
option(SLUICE_WERROR "Treat warnings as errors" OFF)
set(SLUICE_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(SLUICE_CCACHE ccache)
if(SLUICE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SLUICE_CCACHE})
endif()

add_library(sluice_options INTERFACE)
target_include_directories(sluice_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(sluice_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast -Wundef
  -foptimize-sibling-calls -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(sluice_options INTERFACE -Wthread-safety -Werror=thread-safety)
endif()
if(SLUICE_WERROR)
  target_compile_options(sluice_options INTERFACE -Werror)
endif()
target_compile_options(sluice_options INTERFACE -fstack-protector-strong)
target_compile_definitions(sluice_options INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2> SLUICE_VERSION="${PROJECT_VERSION}")

if(SLUICE_SANITIZE)
  set(flags -fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all)
  if(SLUICE_SANITIZE MATCHES undefined AND CMAKE_CXX_COMPILER_ID MATCHES Clang)
    list(APPEND flags -fno-sanitize=function,vptr)   # clang 14 cannot assemble coroutines with `function`
  endif()
  add_compile_options(${flags})
  add_link_options(${flags})
  # Debian's gRPC and Abseil are built without sanitizers; their headers must not assume otherwise.
  target_compile_definitions(sluice_options INTERFACE GRPC_ASAN_SUPPRESSED GRPC_TSAN_SUPPRESSED SLUICE_SANITIZED)
endif()

find_program(SLUICE_MOLD mold)
if(SLUICE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
