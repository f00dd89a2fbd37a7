#!/usr/bin/env bash
# Shows what Bolide does, on a machine with nothing prepared: installs what is missing, builds, converts the demo
# model to FasterTransformer's layout for one and for two ranks, scores each folder beside the accuracy that Hugging Face's
# implementation had, and writes a story. Where CUDA's compiler and a GPU are there, it does so on the GPU, too (CUDA
# itself it does not install). Everything it makes lies in build/ or build-cuda/, and in out/demo/.
#
#   scripts/demo.sh [--no-setup]
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  '') ./scripts/setup.sh build ;;
  --no-setup) ;;
  --help | -h)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
  *)
    echo "demo.sh: unknown argument '$1' (see scripts/demo.sh --help)" >&2
    exit 2
    ;;
esac

demo=examples/demo
model=$demo/model
dataset=$demo/lambada.jsonl
out=out/demo
preset=default bolide=build/apps/bolide devices=(cpu)
if { command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  preset=cuda bolide=build-cuda/apps/bolide devices=(cpu cuda)
fi

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'
else
  bold='' dim='' plain=''
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# Shows a command as one would type it, then runs it.
show() {
  local line='' word
  for word in "$@"; do
    [ "$word" != "$bolide" ] || word=bolide
    case "$word" in *' '*) word="\"$word\"" ;; esac
    line+=" $word"
  done
  printf '%s$%s%s\n' "$dim" "$line" "$plain"
  "$@"
}

title 'Build'
[ "$preset" = default ] || nvidia-smi -L
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --target bolide_command

title "Convert the demo model to FasterTransformer's layout, for one rank and for two"
for ranks in 1 2; do
  show "$bolide" convert --input-dir "$model" --output-dir "$out" -tp "$ranks" --force
done

title 'Look at the first folder'
show "$bolide" inspect --model "$out/1-gpu" | sed -n '/^[^ ]*\$/p;/^model  /,$p'

title 'Guess the last word of stories that the model has never seen'
recorded_value() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$demo/accuracy.json" | head -n 1; }
# Whether each case is right, a word a line: to compare case by case, not only the count.
verdicts() { grep -o '"correct": *[a-z]*' "$1" | tr -d ' '; }
row() { printf '%-42s %12s %9s%%\n' "$@"; }

table=$(row 'Hugging Face transformers (recorded)' "$(recorded_value correct)/$(recorded_value total)" "$(recorded_value accuracy)")
same=yes
# A row of the table for a folder on a device.
score() {
  local folder=$1 device=$2 percent right
  show "$bolide" lambada --model "$folder" --tokenizer-path "$model" --dataset-path "$dataset" --data-type fp32 \
    --device "$device" --output-path "$out/cases.jsonl" | tee "$out/lambada.txt"
  read -r percent right < <(sed -n 's#^Accuracy: \([0-9]*\.[0-9][0-9]\)[0-9]*% (\([0-9/]*\)).*#\1 \2#p' "$out/lambada.txt")
  table+=$'\n'$(row "Bolide, $device, $folder" "$right" "$percent")
  cmp -s <(verdicts "$demo/lambada_hf.jsonl") <(verdicts "$out/cases.jsonl") || same=no
}
for device in "${devices[@]}"; do
  for folder in "$model" "$out/1-gpu" "$out/2-gpu"; do score "$folder" "$device"; done
done
printf '\n%s%-42s %12s %10s%s\n%s\n' "$bold" 'last words right' 'of all' 'percent' "$plain" "$table"
if [ "$same" = no ]; then
  echo 'demo.sh: Bolide is not right on the same cases as Hugging Face' >&2
  exit 1
fi
echo 'All are right on the same stories.'

for device in "${devices[@]}"; do
  word=${device/cuda/gpu}
  title "A story, on the ${word^^}"
  show "$bolide" generate --model "$out/1-gpu" --tokenizer-path "$model" --prompt 'Once upon a time' \
    --device "$device" --max-new-tokens 150 --top-k 8 --temperature 0.8 --seed 4 --stream
done
printf '\n%sNext:%s %s generate --model %s --prompt "..." --stream, and ./scripts/test.sh\n' "$bold" "$plain" "$bolide" "$model"
