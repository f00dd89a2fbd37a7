#!/usr/bin/env bash
# Installs what the build, the tests and the checks need and this machine lacks; both ./scripts/demo.sh and
# ./scripts/test.sh call it. Safe to run again: it does nothing when everything is there.
#
#   scripts/setup.sh [build] [test] [check]      default: build
#
#   build   compiler, CMake and the libraries that Bolide links; OpenMPI and Gloo, without which a build is one
#           process a run
#   test    GoogleTest, and a Python environment in .venv with the packages that some tests compare with
#   check   clang, its sanitizer runtimes, clang-format and clang-tidy: for fuzzing and for the checks of CI
#
# Exit 0 when everything that is required is there. What is optional and cannot be had is named, with what
# stays off without it.
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD_PACKAGES=(g++ cmake ninja-build ccache pkg-config libhwy-dev libonig-dev nlohmann-json3-dev libcli11-dev
  libspdlog-dev libfmt-dev libicu-dev)
TEST_PACKAGES=(libgtest-dev libgmock-dev python3)
CHECK_PACKAGES=(git clang clang-format clang-tidy libclang-rt-14-dev libomp-14-dev)
PARALLEL_PACKAGES=(openmpi-bin libopenmpi-dev libgloo-dev)  # optional: ranks as processes, over MPI and over Gloo
NETWORK_PACKAGES=(iproute2)        # optional: without it, the test that plays two hosts is off
VENV_PACKAGES=(python3-venv)       # optional: without it, tests that compare with Python packages are off
PYTHON_PACKAGES=(tokenizers sentencepiece)  # what tests compare with; wheels only, nothing is compiled

say() { printf 'setup: %s\n' "$*"; }
warn() { printf 'setup: %s\n' "$*" >&2; }

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build)
required=() optional=() want_python=no
for group in "${groups[@]}"; do
  case "$group" in
    build)
      required+=("${BUILD_PACKAGES[@]}")
      optional+=("${PARALLEL_PACKAGES[@]}")
      ;;
    test)
      required+=("${TEST_PACKAGES[@]}")
      optional+=("${VENV_PACKAGES[@]}" "${NETWORK_PACKAGES[@]}")
      want_python=yes
      ;;
    check) required+=("${CHECK_PACKAGES[@]}") ;;
    *)
      warn "unknown group '$group': use build, test or check"
      exit 2
      ;;
  esac
done

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_of() {
  local package
  for package in "$@"; do
    installed "$package" || printf '%s\n' "$package"
  done
}

# What an optional package is for.
off_without() {
  case "$1" in
    *openmpi*) printf 'runs under mpirun stay off, and their tests' ;;
    *gloo*) printf 'runs under torchrun, and of processes without MPI, stay off, and their tests' ;;
    iproute2) printf 'the test that plays two hosts stays off' ;;
    *) printf 'tests that compare with Python packages stay off' ;;
  esac
}

if [ "$(id -u)" = 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  as_root=(no)
fi

apt_install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
    </dev/null >"$apt_log" 2>&1
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  mapfile -t missing < <(missing_of "${required[@]}")
  mapfile -t extra < <(missing_of ${optional[@]+"${optional[@]}"})
  if [ $((${#missing[@]} + ${#extra[@]})) -gt 0 ]; then
    if [ "${as_root[*]}" = no ]; then
      warn "these packages are missing and this user may not install them. Ask for:"
      warn "  sudo apt-get install --no-install-recommends ${missing[*]} ${extra[*]}"
      [ ${#missing[@]} -eq 0 ] || exit 1
    else
      apt_log=$(mktemp)
      trap 'rm -f "$apt_log"' EXIT
      say "installing ${missing[*]} ${extra[*]}"
      "${as_root[@]}" apt-get update </dev/null >"$apt_log" 2>&1 || warn "apt-get update failed; trying with the lists that are here"
      if [ ${#missing[@]} -gt 0 ] && ! apt_install "${missing[@]}"; then
        tail -n 20 "$apt_log" >&2
        warn "apt-get could not install: ${missing[*]}"
        exit 1
      fi
      # One by one, so that one that cannot be had does not keep the others out.
      for package in ${extra[@]+"${extra[@]}"}; do
        apt_install "$package" || warn "could not install $package: $(off_without "$package")"
      done
    fi
  fi
else
  for tool in g++ cmake ninja pkg-config; do
    command -v "$tool" >/dev/null || {
      warn "this is no Debian-like system and '$tool' is missing: install what docs/dependencies.md lists"
      exit 1
    }
  done
  say "no apt here: taking the libraries as they are (docs/dependencies.md lists what is needed)"
fi

if [ "$want_python" = yes ]; then
  modules="${PYTHON_PACKAGES[*]}"
  if ! .venv/bin/python -c "import ${modules// /, }" 2>/dev/null; then
    if ! { [ -x .venv/bin/python ] || python3 -m venv .venv 2>/dev/null; }; then
      rm -rf .venv
      warn "cannot make the Python environment .venv: tests that compare with $modules stay off"
    elif ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: "${PYTHON_PACKAGES[@]}" </dev/null; then
      warn "pip could not install $modules: tests that compare with it stay off"
    else
      say "installed $modules in .venv"
    fi
  fi
fi
say "${groups[*]}: ready"
