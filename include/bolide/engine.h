#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bolide/model_shape.h"
#include "bolide/request.h"
#include "bolide/tokenizer.h"

namespace bolide {

enum class LoadFormat : uint8_t {
  kAuto,   ///< a Hugging Face or FasterTransformer folder
  kDummy,  ///< random weights at the shape of a config.json (a folder or the file itself): for benchmarks,
           ///< says so in info()
};

/// A way to store matrices.
struct WeightSchemeInfo {
  std::string_view name, summary;
  int int8_mode = 0;  ///< FasterTransformer's number for it
};
/// All of them. The first stores them as they are.
std::vector<WeightSchemeInfo> weight_schemes();

struct EngineConfig {
  std::filesystem::path model = {};  ///< model folder (kDummy: also a config.json)
  std::filesystem::path tokenizer =
      {};  ///< tokenizer folder; empty: the model's folder, and none is fine for id-only use
  TokenizerOptions tokenizer_options = {};
  std::string device = "cpu";  ///< "cpu", or "cuda" where it is built in
  std::string data_type = {};  ///< fp32, fp16 or bf16 for weights and cache; empty: as in the checkpoint
  /// How matrices are stored, by the name of one of weight_schemes(); empty: the first. What meets them and
  /// the cache stay of data_type.
  std::string weight_scheme = {};
  LoadFormat load_format = LoadFormat::kAuto;
  int threads = 0;              ///< 0: all cores that this process may use
  int64_t max_batch_size = 64;  ///< sequences that run at once
  /// Cache size in tokens, rounded up to whole pages. 0: 2048 tokens for each of max_batch_size sequences,
  /// but at most what half of the memory still available after loading holds, and at least one page; physical
  /// memory is used only as tokens are written. On a GPU all of it is taken at once, and 0 is
  /// kv_cache_fraction of what is left.
  int64_t max_kv_tokens = 0;
  int64_t page_size = 16;  ///< tokens in a cache page
  /// Prompt tokens taken in per step; longer prompts are fed in chunks. 0: 512 on the CPU, 2048 on a GPU.
  int64_t max_chunk_tokens = 0;
  /// On a GPU: a request's ids are the same, bit for bit, whatever else is in its batch and however its
  /// prompt is cut, at the price of slower prefill. (The CPU keeps this for a given number of rows only; see
  /// docs/commands.md.) Refused on the CPU.
  bool deterministic_batching = false;
  /// Which GPUs, counted as CUDA_VISIBLE_DEVICES shows them: one for each rank that runs on this host. Empty:
  /// from 0 on.
  std::vector<int> devices = {};
  double kv_cache_fraction = 0.9;  ///< of the GPU memory left after loading, the caches' share, in (0, 1]
  bool cuda_graphs = true;         ///< launch decode steps as captured graphs
  /// On a GPU: the file of `bolide tune` that says by which algorithms of cuBLASLt products run. Empty:
  /// gemm_config.in of the working directory, where that is there and deterministic_batching is off; "none":
  /// no file. Refused where it was made for another GPU, cuBLASLt, data type or shape of model. What it says
  /// holds for these products in all engines of the process on this GPU.
  std::filesystem::path gemm_config = {};
  /// How many ranks share each layer's weights (tensor parallelism), and into how many stages of consecutive
  /// layers the model is cut (pipeline parallelism). Their product is the number of ranks: threads of this
  /// process, one a GPU, or the processes that mpirun, torchrun or srun has started (see process_rank()).
  int tensor_para_size = 1;
  int pipeline_para_size = 1;
  /// Prompt tokens of a micro-batch in a pipeline. 0: as steps are measured to take least, so that timing has
  /// a say in the last bits of a result; with a number a run repeats to the bit.
  int64_t micro_batch_tokens = 0;
  /// By what ranks in several processes talk: "mpi", "gloo" or, chosen by how they were started, "auto".
  std::string transport = "auto";
  double comm_timeout = 60;  ///< seconds after which a rank that does not answer counts as dead
  /// On GPUs: how ranks talk. "one_shot": NCCL, with Bolide's own kernels for sums and small gathers where
  /// the GPUs reach each other's memory; "nccl" alone; "host": by way of host memory, slowly, where there is
  /// no NCCL. Where ranks share a GPU "one_shot" becomes "host", and "nccl" is refused.
  std::string all_reduce = "one_shot";
  /// Called while weights are read, at the start with 0 and then after every part of a few MiB: how many
  /// bytes of checkpoint files (kDummy: of random values) are loaded, and how many this rank will have loaded
  /// at the end. From loader threads, one call at a time, done_bytes never falling; keep it short. Of ranks
  /// that are threads of one process rank 0's alone is called. An Error that it throws ends the loading.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_load = {};
};

/// The number of this process among those that mpirun, torchrun or srun has started; 0 when it is alone.
/// Process 0 creates the engine; all others call follow() with the same settings.
int process_rank();

/// Whether this is a process of mpirun's other than the first and has not met the others yet: what is wrong
/// by then, process 0 most likely finds and says, too, and mpirun then ends this one within two seconds.
bool said_by_first_rank();

/// What was loaded.
struct ModelInfo : ModelShape {
  std::string device, data_type, instruction_set;
  std::string checkpoint_data_type;  ///< of the files; data_type is what they were converted to
  std::string weight_scheme;         ///< of the matrices
  /// Of the whole model: elements of the matrices that a token is multiplied by, the head among them, and the
  /// bytes that they take. And those of the head, with what stands before it: only rows that draw meet them.
  int64_t gemm_parameters = 0, gemm_bytes = 0, head_parameters = 0;
  /// Of all ranks together.
  int64_t weight_bytes = 0, kv_bytes_per_token = 0, kv_capacity_tokens = 0;
  int tensor_para_size = 1, pipeline_para_size = 1;
  std::string transport = {};  ///< "threads", "mpi", "gloo"; empty: one rank
  int threads = 1;             ///< CPU threads of each rank
  /// The cache, and on a GPU what steps need besides; both are taken at the start there.
  int64_t cache_bytes = 0, step_bytes = 0;
  int64_t tuned_gemms = 0;  ///< rows of the gemm_config.in that it follows
  bool random_weights = false;
  double load_seconds = 0;
};

/// One step of the running batch, for benchmarks and metrics.
struct StepInfo {
  int64_t prefill_tokens = 0;  ///< prompt tokens taken in
  int64_t decode_rows = 0;     ///< sequences that got one more token from a one-token query
  double seconds = 0;
};

/// The engine: submit requests from any thread; one background thread runs them with continuous batching.
/// Requests start in order of submission, each as soon as the batch has a place and the cache has room for
/// its prompt and all of max_new_tokens (where all layers have sliding windows, for the widest). All methods
/// are thread-safe. Destruction cancels what is still running; it must not happen in a callback.
class Engine {
 public:
  /// Loads the model. Throws Error before any compute when a file or a flag is wrong. In process 0 only.
  static std::unique_ptr<Engine> create(const EngineConfig& config);
  virtual ~Engine() = default;

  /// Queues a request and returns its number. Throws kUsage for what can never run (empty prompt, ids outside
  /// the vocabulary, prompt and output longer than the cache, parameters out of range).
  virtual uint64_t submit(Request request) = 0;
  /// Blocks until the request is done, and forgets it. Rethrows the fault that ended it, if one did.
  virtual Result wait(uint64_t request) = 0;
  /// True when the request was still running; its Result then says kCancelled.
  virtual bool cancel(uint64_t request) = 0;
  /// submit + wait for all, results in order. Requests join one batch. When one of several cannot run, none
  /// does, and the error names its index; a fault while they run ends them all and is rethrown.
  std::vector<Result> generate(std::vector<Request> requests);

  virtual const ModelInfo& info() const = 0;
  /// Null when the model has no tokenizer.
  virtual const Tokenizer* tokenizer() const = 0;
  /// Called after each step from the engine's thread, before the results of that step are out; set before the
  /// first submit. An observer that throws is not called again.
  virtual void set_step_observer(std::function<void(const StepInfo&)> observer) = 0;

 protected:
  /// Queues all requests at once, or throws and queues none.
  virtual std::vector<uint64_t> submit_all(std::vector<Request> requests) = 0;
};

/// Serves the engine of process 0 with this process's part of the model, and returns when that engine is
/// destroyed. Throws Error as Engine::create() does, and when another rank has died or does not answer.
void follow(const EngineConfig& config);

/// The most memory that was in use at once so far: of this process on the CPU, or of what it took on the GPU.
int64_t peak_memory_bytes(const std::string& device);

/// Ceilings of this machine, for bench's share of the roof. Takes a second or two.
struct Roof {
  double bytes_per_second = 0;  ///< reading memory
  double flops = 0;             ///< fused multiply-adds in the arithmetic that `data_type` weights use
};
Roof measure_roof(const std::string& device, const std::string& data_type, int threads);

}  // namespace bolide
