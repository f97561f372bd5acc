# shellcheck shell=bash
# The Debian packages that Sluice needs, named once, and the one way to install them. Sourced, never run.

# shellcheck disable=SC2034  # the arrays are used by the scripts that source this file
BUILD_PACKAGES=(
  ca-certificates clang-14 cmake ninja-build ccache mold pkg-config
  libabsl-dev libcli11-dev libgrpc++-dev libprotobuf-dev libspdlog-dev libsqlite3-dev libssl-dev
  libtomlplusplus-dev nlohmann-json3-dev
  protobuf-compiler protobuf-compiler-grpc grpc-proto
)
# shellcheck disable=SC2034
TEST_PACKAGES=(
  clang-format-14 clang-tidy-14 git libclang-rt-14-dev libgmock-dev libgtest-dev llvm-14
  python3 python3-grpc-tools python3-grpcio shellcheck sqlite3 strace
)
# shellcheck disable=SC2034
GCC_PACKAGES=(g++)

# Prints those of its arguments that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] || echo "$package"
  done
}

# Installs those of its arguments that are missing; touches neither network nor apt when none is.
install_packages() {
  if ! { command -v dpkg-query && command -v apt-get; } >/dev/null; then
    echo "This is not Debian: nothing is installed; the build names whatever it misses." >&2
    return
  fi
  local -a missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "Missing packages; as root: apt-get install ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "Installing ${missing[*]}"
  "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update -qq </dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -qq -y --no-install-recommends "${missing[@]}" </dev/null
}
