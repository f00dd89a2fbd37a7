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
show "$bolide" inspect --model "$out/1-gpu" | sed -n '/^[^ ]*\$/p;/^model  /,$p'

title 'Guess the last word of stories that the model has never seen'
recorded_value() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$demo/accuracy.json" | head -n 1; }
# Whether each case is right, a word a line: to compare case by case, not only the count.
verdicts() { grep -o '"correct": *[a-z]*' "$1" | tr -d ' '; }
row() { printf '%-42s %12s %9s%%\n' "$@"; }

table=$(row 'Hugging Face transformers (recorded)' "$(recorded_value correct)/$(recorded_value total)" "$(recorded_value accuracy)")
same=yes
for folder in "$model" "$out/1-gpu" "$out/2-gpu"; do
  show "$bolide" lambada --model "$folder" --tokenizer-path "$model" --dataset-path "$dataset" --data-type fp32 \
    --output-path "$out/cases.jsonl" | tee "$out/lambada.txt"
  read -r percent right < <(sed -n 's#^Accuracy: \([0-9]*\.[0-9][0-9]\)[0-9]*% (\([0-9/]*\)).*#\1 \2#p' "$out/lambada.txt")
  table+=$'\n'$(row "Bolide, $folder" "$right" "$percent")
  cmp -s <(verdicts "$demo/lambada_hf.jsonl") <(verdicts "$out/cases.jsonl") || same=no
done
printf '\n%s%-42s %12s %10s%s\n%s\n' "$bold" 'last words right' 'of all' 'percent' "$plain" "$table"
if [ "$same" = no ]; then
  echo 'demo.sh: Bolide is not right on the same cases as Hugging Face' >&2
  exit 1
fi
echo 'All four are right on the same stories.'

title 'A story'
show "$bolide" generate --model "$out/1-gpu" --tokenizer-path "$model" --prompt 'Once upon a time' \
  --max-new-tokens 150 --top-k 8 --temperature 0.8 --seed 4 --stream
printf '\n%sNext:%s %s generate --model %s --prompt "..." --stream, and ./scripts/test.sh\n' "$bold" "$plain" "$bolide" "$model"
