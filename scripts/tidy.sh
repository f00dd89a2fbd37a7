#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy) on the sources that differ from a branch, in a configured build/. Some seconds a
# file: for a developer before a commit, not for CI.
#
#   scripts/tidy.sh [BASE | --all]      BASE: default main
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/compile_commands.json ] || cmake --preset default >/dev/null
if [ "${1:-}" = --all ]; then
  mapfile -t files < <(git ls-files -- 'src/*.cc' 'apps/*.cc')
else
  base=$(git merge-base "${1:-main}" HEAD)
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } |
    grep -E '^(src|apps)/.*\.cc$' | sort -u)
fi
if [ ${#files[@]} -eq 0 ]; then
  echo "tidy: no source differs"
else
  printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy -p build --quiet
fi
