#!/usr/bin/env bash
# Builds for the GPU of this machine, runs every GPU test, and prints the bench table. The last lines are the
# summary: exit 0 only when every step passed.
#
#   scripts/gpu.sh [--prebuilt] [--sanitizer] [--no-bench] [--json DIR]
#
#   --prebuilt    use build-cuda/ as it is (built elsewhere, for a machine without a compiler's packages)
#   --sanitizer   also run compute-sanitizer's memcheck and racecheck over a part of the op tests' cases, and a
#                 short generation (minutes)
#   --no-bench    tests only
#   --json DIR    gets the bench figures, for tools/plot_roof.py
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

prebuilt=no sanitizer=no bench=yes json=
while [ $# -gt 0 ]; do
  argument=$1
  shift
  case "$argument" in
    --prebuilt) prebuilt=yes ;;
    --sanitizer) sanitizer=yes ;;
    --no-bench) bench=no ;;
    --json)
      json=${1:?--json needs a folder}
      shift
      mkdir -p "$json"
      ;;
    *)
      echo "gpu.sh: unknown argument '$argument' (see the head of scripts/gpu.sh)" >&2
      exit 2
      ;;
  esac
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=()
step() {
  local name=$1 begin=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@" || failed+=("$name")
  printf '== %s: %d s\n' "$name" $((SECONDS - begin))
}

if ! nvidia-smi -L; then
  echo "gpu.sh: this machine has no GPU, or no driver for it" >&2
  exit 1
fi
if [ "$prebuilt" = no ]; then
  ./scripts/setup.sh build test || exit 1
  cmake --preset cuda && cmake --build --preset cuda && cmake --build --preset cuda --target bench_comm || exit 1
fi
bin=build-cuda
# Libraries that a prebuilt tree brings along.
export LD_LIBRARY_PATH=$PWD/$bin/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

gpus=$(nvidia-smi -L | grep -c '^GPU ')
# NCCL as Python's packages bring it, where the system has none.
if [ "$gpus" -gt 1 ] && ! ldconfig -p | grep -q 'libnccl\.so\.2 '; then
  nccl=$(python3 -c 'import nvidia.nccl; print(nvidia.nccl.__path__[0] + "/lib")' 2>/dev/null) &&
    export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$nccl
fi

# Several processes share a test's cases: most of the time is the oracles', on the CPU. Each takes its share of the
# cores, and none waits for work in a loop that keeps one from the others.
sharded() {
  local count=$1 index status=0 pids=()
  shift
  for ((index = 0; index < count; ++index)); do
    OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$((($(nproc) + count - 1) / count)) BOLIDE_CASES_SHARD=$index/$count "$@" \
      "$index" >"$scratch/shard.$index" 2>&1 &
    pids+=($!)
  done
  for ((index = 0; index < count; ++index)); do
    wait "${pids[index]}" || status=1
    cat "$scratch/shard.$index"
  done
  return $status
}
# The lists of cases by their cases, all else by tests.
op_cases() { $bin/tests/ops/cuda_ops_test --gtest_brief=1 --gtest_filter='CudaOpCases.*'; }
golden_shard() { GTEST_TOTAL_SHARDS=6 GTEST_SHARD_INDEX=$1 $bin/tests/engine/cuda_golden_test --gtest_brief=1; }
step "op cases" sharded 16 op_cases
step "op tests" $bin/tests/ops/cuda_ops_test --gtest_brief=1 --gtest_filter='-CudaOpCases.*'
step "goldens" sharded 6 golden_shard
step "times of stages" $bin/tests/worker/cuda_stage_times_test --gtest_brief=1
step "tune" $bin/tests/tools/cuda_tune_test --gtest_brief=1
# One GPU stands for several; what needs more is skipped, and says so.
step "sums over ranks" $bin/tests/comm/gpu_one_shot_test --gtest_brief=1
step "sums over processes" $bin/tests/comm/gpu_processes_test --gtest_brief=1
if [ -x $bin/tests/comm/gpu_nccl_test ]; then
  step "NCCL" $bin/tests/comm/gpu_nccl_test --gtest_brief=1
fi
if [ "$gpus" -gt 1 ]; then
  step "100,000 sums over GPUs" env BOLIDE_STRESS=100000 $bin/tests/comm/gpu_one_shot_test --gtest_brief=1 \
    --gtest_filter='*AnyOrderOfCalls/AllGpus'
fi
step "shared pages" $bin/tests/cache/cuda_shared_pages_test --gtest_brief=1
step "memory and limits" python3 tests/apps/gpu_memory_test.py --bolide $bin/apps/bolide --source . --gpus "$gpus" -v
# Several at once, which share the GPU's memory without having agreed on it.
step "shapes" python3 tools/shape_sweep.py --bolide $bin/apps/bolide --device cuda --gpus "$gpus" --count 250 --jobs 6 \
  --most-elements 60000000
step "shapes on the CPU" python3 tools/shape_sweep.py --bolide $bin/apps/bolide --count 100 --seed 2 --jobs 2
# Case by case, where fp16 may differ in two.
commands=(--bolide $bin/apps/bolide --source . --gpus "$gpus" -v)
step "LAMBADA on the demo model, fp32" python3 tests/apps/lambada_demo_test.py "${commands[@]}"
step "LAMBADA on the demo model, fp16" $bin/apps/bolide lambada --model examples/demo/model --device cuda --data-type fp16 \
  --dataset-path examples/demo/lambada.jsonl --acc-threshold 93
step "int8 weights" python3 tests/apps/int8_test.py "${commands[@]}"
if [ "$gpus" -gt 1 ]; then
  # Ranks as threads, and as processes where there are MPI and Gloo: what the tests of CPU ranks ask of them.
  # (The goldens over threads are RanksGiveTheIdsOfOne.)
  for flags in "--all-reduce one_shot" "--all-reduce nccl" "--no-cuda-graphs"; do
    step "ranks, $flags" python3 tests/apps/parallel_test.py "${commands[@]}" --all --flags="$flags" \
      Parallel.test_processes Parallel.test_lambada
  done
  step "killed ranks" python3 tests/apps/parallel_faults_test.py "${commands[@]}" --all Faults
fi
if [ "$sanitizer" = yes ]; then
  # A part of the cases, each once: all take too long under it, and they differ in shape more than in kind.
  step memcheck env BOLIDE_CASES_EVERY=10 compute-sanitizer --tool memcheck --error-exitcode 1 \
    $bin/tests/ops/cuda_ops_test --gtest_brief=1
  # One kernel at a time: it loses track of those that start before the one before has ended. Draws of many
  # logits take minutes, and are the kernels of SampleParts. MatmulArgmax* make the same of cuBLASLt's logits,
  # and that library's own kernels share memory in a way which racecheck takes for a race.
  racecheck="env CUDA_LAUNCH_BLOCKING=1 BOLIDE_CASES_EVERY=20 compute-sanitizer --tool racecheck --error-exitcode 1"
  # shellcheck disable=SC2086
  step racecheck $racecheck $bin/tests/ops/cuda_ops_test --gtest_brief=1 \
    --gtest_filter='-*SampleOfManyLogits:*SamplePartsDraw*:*SampleLargeParts:*MatmulArgmax*:*SampleTies*:*SampleNan*:*SampleAgrees*'
  head -6 examples/demo/lambada.jsonl >"$scratch/six.jsonl"
  generation="$bin/apps/bolide lambada --model examples/demo/model --device cuda --data-type fp16 --max-kv-tokens 4096
    --dataset-path $scratch/six.jsonl"
  # shellcheck disable=SC2086
  step "memcheck of a generation" compute-sanitizer --tool memcheck --error-exitcode 1 $generation
  # shellcheck disable=SC2086
  step "racecheck of a generation" $racecheck $generation
  # On two GPUs: what the tool adds to a kernel leaves one GPU too little room for several ranks' at once.
  if [ "$gpus" -gt 1 ]; then
    step "memcheck of sums over ranks" compute-sanitizer --tool memcheck --error-exitcode 1 \
      $bin/tests/comm/gpu_one_shot_test --gtest_brief=1 --gtest_filter='*SumsInRankOrder*/TwoGpus:*ReduceAdd*/TwoGpus:*Gathers*/TwoGpus:*InAGraph/TwoGpus'
  fi
fi
if [ "$bench" = yes ]; then
  bench() {
    local name=$1 config=$2
    shift 2
    step "bench $name" $bin/apps/bolide bench --model "bench/configs/$config.json" --load-format dummy --device cuda \
      --data-type fp16 ${json:+--json "$json/$name.json"} "$@"
  }
  bench bloom-560m bloom-560m --batch-size 1,8,64
  bench bloom-7b1 bloom-7b1
  bench bloom-7b1-b32 bloom-7b1 --batch-size 32 --input-len 512 --repeats 3
  bench gpt2 gpt2 --batch-size 1,64
  bench llama-3-8b llama-3-8b --batch-size 1,32 --input-len 512 --repeats 3
  bench llama-3-8b-int8 llama-3-8b --batch-size 1,32 --input-len 512 --repeats 3 --weight-scheme int8
  if [ "$gpus" -gt 1 ]; then
    comm() { $bin/tests/comm/bench_comm --kb 4,8,16,64,256,1024,2048,4096,8192,16384 | tee ${json:+"$json/comm.jsonl"}; }
    step "bench sums over GPUs" comm
    for way in one_shot nccl; do
      bench "bloom-560m-tp2-$way" bloom-560m --batch-size 1,8,64 --tensor-para-size 2 --all-reduce "$way"
      bench "bloom-7b1-tp2-$way" bloom-7b1 --tensor-para-size 2 --all-reduce "$way"
      bench "bloom-7b1-b32-tp2-$way" bloom-7b1 --batch-size 32 --input-len 512 --repeats 3 --tensor-para-size 2 \
        --all-reduce "$way"
    done
    bench bloom-7b1-b64 bloom-7b1 --batch-size 64 --output-len 128 --repeats 3
    bench bloom-7b1-b64-pp2 bloom-7b1 --batch-size 64 --output-len 128 --repeats 3 --pipeline-para-size 2
  fi
fi

printf '\n== summary: %d s\n' "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo "all passed"
