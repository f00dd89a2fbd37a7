#!/usr/bin/env bash
# Builds the fuzz targets (clang, AddressSanitizer) and runs each for a while from its corpus.
#
#   scripts/fuzz.sh [SECONDS] [TARGET ...]      60 seconds and every target by default
#
# Exit 0 when nothing was found; 1 with the tail of the log and the command that repeats it otherwise. New inputs of a
# run stay in build-fuzz/corpus; fuzz/corpus holds the small seeds only, fuzz/dictionaries words worth trying.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
esac
seconds=${1:-60}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "fuzz.sh: '$seconds' is not a number of seconds (see scripts/fuzz.sh --help)" >&2
  exit 2
fi
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in fuzz/fuzz_*.cc; do targets+=("$(basename "$source" .cc)"); done
fi

cmake --preset fuzz
cmake --build --preset fuzz --target "${targets[@]}"
mkdir -p build-fuzz/findings

run_one() {
  local target=$1 seconds=$2 log=build-fuzz/findings/$1.log
  local options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1)
  [ ! -f "fuzz/dictionaries/$target.dict" ] || options+=(-dict="fuzz/dictionaries/$target.dict")
  mkdir -p "build-fuzz/corpus/$target" "fuzz/corpus/$target"
  # 10 s for one input is a hang; 1 GB, and 256 MB at once, are far above what any input of a few kB should cost.
  if "build-fuzz/fuzz/$target" "${options[@]}" -artifact_prefix="build-fuzz/findings/$target-" "build-fuzz/corpus/$target" \
    "fuzz/corpus/$target" >"$log" 2>&1; then
    printf '%-18s ok      %s runs, %s a second, peak %s MB\n' "$target" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
      "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" "$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")"
  else
    printf '%-18s FINDING\n' "$target"
    tail -n 40 "$log"
    printf 'again with: build-fuzz/fuzz/%s build-fuzz/findings/%s-*\n' "$target" "$target"
    return 1
  fi
}
export -f run_one

# As many at once as there are cores; xargs fails when one of them does.
if ! printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run_one "$1" "$2"' _ {} "$seconds"; then
  echo "fuzz.sh: findings; inputs are in build-fuzz/findings" >&2
  exit 1
fi
