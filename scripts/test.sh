#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run. The last lines are ctest's.
#
#   scripts/test.sh [--quick] [--preset NAME] [--sanitizers] [--no-setup] [-- CTEST ARGUMENTS]
#
#   --quick        only tests labelled quick (the whole set without it)
#   --preset NAME  a configure preset: default (Release) or sanitize (AddressSanitizer and UBSan, clang++)
#   --sanitizers   sanitize, then default
#   --no-setup     install nothing
set -euo pipefail
cd "$(dirname "$0")/.."

# `subset`: what a slow test repeats in full
presets=(default) setup=yes ctest_args=() which=(--label-exclude subset)
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) which=(--label-regex quick) ;;
    --preset)
      presets=("${2:?--preset needs a name}")
      shift
      ;;
    --sanitizers) presets=(sanitize default) ;;
    --no-setup) setup=no ;;
    --help | -h)
      sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"
      exit 0
      ;;
    --)
      shift
      ctest_args+=("$@")
      break
      ;;
    *)
      echo "test.sh: unknown argument '$1' (see scripts/test.sh --help)" >&2
      exit 2
      ;;
  esac
  shift
done

[ "$setup" = no ] || ./scripts/setup.sh build test
for preset in "${presets[@]}"; do
  printf '\n== build (%s)\n' "$preset"
  cmake --preset "$preset"
  cmake --build --preset "$preset"
  printf '\n== tests (%s)\n' "$preset"
  ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error "${which[@]}" ${ctest_args[@]+"${ctest_args[@]}"}
done
