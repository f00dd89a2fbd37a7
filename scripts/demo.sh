#!/usr/bin/env bash
# Shows what Bolide does, on a machine with nothing prepared: installs what is missing, builds, converts the demo
# model to FasterTransformer's layout for one and for two ranks, scores each folder beside the accuracy that Hugging Face's
# implementation had, and writes a story. Everything it makes lies in build/ and out/demo/.
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
recorded=$demo/accuracy.json  # Hugging Face's, in float32
out=out/demo
bolide=build/apps/bolide

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'
else
  bold='' dim='' plain=''
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# Shows a command as one would type it, then runs it.
show() {
  printf '%s$ %s%s\n' "$dim" "${*//$bolide/bolide}" "$plain"
  "$@"
}

title 'Build'
if command -v nvcc >/dev/null && command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  echo 'There is a GPU here, but this version runs on the CPU only: building for the CPU.'
fi
cmake --preset default >/dev/null
cmake --build --preset default --target bolide_command

title "Convert the demo model to FasterTransformer's layout, for one rank and for two"
for ranks in 1 2; do
  show "$bolide" convert --input-dir "$model" --output-dir "$out" -tp "$ranks" --force
done

title 'Look at the first folder'
show "$bolide" inspect --model "$out/1-gpu" | tail -n 20

# Accuracies, as "N/M", in the order in which they are printed below.
title 'Guess the last word of stories that the model has never seen'
scores=()
for folder in "$model" "$out/1-gpu" "$out/2-gpu"; do
  show "$bolide" lambada --model "$folder" --tokenizer-path "$model" --dataset-path "$dataset" --data-type fp32 | tee "$out/lambada.txt"
  scores+=("$(sed -n 's/^Accuracy: \([0-9.]*\)% (\([0-9/]*\)).*/\2 \1/p' "$out/lambada.txt")")
done

# recorded_value KEY: a number of the flat JSON object that the training script left.
recorded_value() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$recorded" | head -n 1; }
expected="$(recorded_value correct)/$(recorded_value total)"
printf '\n%-46s %14s %10s\n' 'last words right' 'of all' 'percent'
row() { printf '%-46s %14s %9s%%\n' "$@"; }
row 'Hugging Face transformers (recorded)' "$expected" "$(recorded_value accuracy)"
names=("Bolide, $model" "Bolide, $out/1-gpu" "Bolide, $out/2-gpu")
same=yes
for i in 0 1 2; do
  row "${names[$i]}" "${scores[$i]% *}" "${scores[$i]#* }"
  [ "${scores[$i]% *}" = "$expected" ] || same=no
done
if [ "$same" = no ]; then
  echo "demo.sh: an accuracy differs from the recorded one" >&2
  exit 1
fi

title 'A story'
show "$bolide" generate --model "$out/1-gpu" --tokenizer-path "$model" --prompt 'Once upon a time' \
  --max-new-tokens 150 --top-k 8 --temperature 0.8 --seed 4 --stream
printf '\n%sNext:%s %s generate --model %s --prompt "..." --stream, and ./scripts/test.sh\n' "$bold" "$plain" "$bolide" "$model"
