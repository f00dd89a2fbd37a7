#!/usr/bin/env bash
# Fails when a C++ file of ours is not as clang-format (.clang-format, version 14) would write it.
#
#   tools/check_format.sh [--fix]      --fix rewrites the files
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -d '' files < <(git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cc' '*.cu' '*.cuh')
if [ "${1:-}" = --fix ]; then
  clang-format -i "${files[@]}"
else
  clang-format --dry-run -Werror "${files[@]}"
  echo "check_format: ${#files[@]} files are as clang-format writes them"
fi
