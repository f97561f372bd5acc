# shellcheck shell=bash
# The Debian packages that Sluice needs, named once, and the one way to install them. Sourced, never run.

# shellcheck disable=SC2034  # the arrays are used by the scripts that source this file
BUILD_PACKAGES=(
  ca-certificates clang-14 cmake ninja-build ccache mold pkg-config
  libabsl-dev libcli11-dev libgrpc++-dev libpq-dev libprotobuf-dev libspdlog-dev libsqlite3-dev libssl-dev
  libtomlplusplus-dev nlohmann-json3-dev
  protobuf-compiler protobuf-compiler-grpc grpc-proto
)
# shellcheck disable=SC2034
TEST_PACKAGES=(
  clang-format-14 clang-tidy-14 git libclang-rt-14-dev libgmock-dev libgtest-dev llvm-14
  pgbouncer postgresql python3 python3-grpc-tools python3-grpcio shellcheck sqlite3 strace
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
  "${as_root[@]}" bash -c "set -euo pipefail; $(declare -f start_no_servers apt_install); apt_install \"\$@\"" \
    apt_install "${missing[@]}" </dev/null
}

# Runs as root, in a shell of its own.
apt_install() {
  local -a apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  export DEBIAN_FRONTEND=noninteractive
  start_no_servers
  "${apt[@]}" update -qq
  "${apt[@]}" install -qq -y --no-install-recommends "$@"
}

# The tests start the servers that they need: an install starts none, and makes no data for one.
start_no_servers() {
  local policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d
  if ! dpkg-query -W postgresql-common >/dev/null 2>&1; then
    mkdir -p "$clusters"
    echo 'create_main_cluster = false' >"$clusters/sluice.conf"
  fi
  if [[ ! -e $policy ]]; then
    # Its exit code forbids services to start; it is for this install alone.
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
}
