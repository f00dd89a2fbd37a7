#include <atomic>
#include <exception>
#include <future>
#include <thread>

#include "comm/communicator.h"
#include "comm/cuda/exchange.h"
#include "comm/cuda/nccl_library.h"
#include "tensor/cuda/check.h"
#include "tensor/device.h"

namespace bolide {
namespace {

using cuda::nccl_library;
using cuda::NcclLibrary;

cudaStream_t stream_of(const Context& context) { return static_cast<cudaStream_t>(context.stream); }

size_t bytes_of(const View& x) { return static_cast<size_t>(x.shape.count()) * size_of(x.dtype); }

ncclDataType_t summable(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return ncclFloat32;
    case DType::kF16:
      return ncclFloat16;
    case DType::kBF16:
      return ncclBfloat16;
    default:
      fail(ErrorCode::kInternal, "a sum over ranks of {}", name_of(dtype));
  }
}

void check_view(const View& x) {
  BOLIDE_CHECK(x.device == Device::kCuda && x.contiguous(), "{}", x.shape.str());
}

void check_start(ncclResult_t status, const char* what) {
  if (status == ncclSuccess) return;
  fail(ErrorCode::kResource, "NCCL: {} failed: {} ({}); NCCL_DEBUG=INFO tells more", what,
       nccl_library().get_error_string(status), nccl_library().get_last_error(nullptr));
}

// A started communicator, and memory for its barriers.
struct Started {
  ncclComm_t comm = nullptr;
  Tensor ones;  // [2] fp32
};

// With a first sum, and a message from each rank to the next one, as a pipeline has them: NCCL connects two
// ranks when they first do so. Memory comes first: with ranks as threads an allocation may wait for another
// rank's kernel, and that kernel for this rank.
Started start(int device_index, const ncclUniqueId& id, int size, int rank) {
  use_cuda_device(device_index);
  const NcclLibrary& nccl = nccl_library();
  Started started = {.ones = Tensor::zeros({2}, DType::kF32, Device::kCuda)};
  const Stream stream(Device::kCuda);
  const auto on = static_cast<cudaStream_t>(stream.get());
  check_start(nccl.comm_init_rank(&started.comm, size, id, rank), "ncclCommInitRank");
  float* ones = started.ones.as<float>();
  check_start(nccl.all_reduce(ones, ones, 1, ncclFloat32, ncclSum, started.comm, on),
              "the first ncclAllReduce");
  if (size > 1) {
    check_start(nccl.group_start(), "ncclGroupStart");
    check_start(nccl.send(ones, 1, ncclFloat32, (rank + 1) % size, started.comm, on), "the first ncclSend");
    check_start(nccl.recv(ones + 1, 1, ncclFloat32, (rank + size - 1) % size, started.comm, on),
                "the first ncclRecv");
    check_start(nccl.group_end(), "ncclGroupEnd");
  }
  cuda::check(cudaStreamSynchronize(on), "the first calls of NCCL");
  return started;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(const Context& context, Transport& world, std::span<const int> group, Channel channel)
      : world_(world), size_(static_cast<int>(group.size())), rank_(cuda::rank_in(group, world)) {
    BOLIDE_CHECK(context.device == Device::kCuda);
    const NcclLibrary& nccl = nccl_library();  // on each rank: who has none says so before the exchange
    ncclUniqueId id = {};
    if (rank_ == 0) check_start(nccl.get_unique_id(&id), "ncclGetUniqueId");
    id = cuda::exchange(world, group, channel, id)[0];
    // In a thread of its own, because NCCL's start waits without end for a rank that died after the exchange.
    // (A communicator of NCCL's non-blocking kind could be given up, but starts a thread for every call.)
    std::promise<Started> promise;
    std::future<Started> result = promise.get_future();
    std::thread([promise = std::move(promise), device = context.device_index, id, size = size_,
                 rank = rank_]() mutable {
      try {
        promise.set_value(start(device, id, size, rank));
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    }).detach();
    if (result.wait_for(world.timeout()) != std::future_status::ready) {
      fail(
          ErrorCode::kResource,
          "NCCL did not connect rank {} with the {} ranks of its group within {:g} s at {}: one of them died "
          "or hangs (NCCL_DEBUG=INFO tells more)",
          world.rank(), size_, world.timeout().count(), world.at());
    }
    Started started = result.get();
    comm_ = started.comm;
    ones_ = std::move(started.ones);
  }

  ~NcclCommunicator() override {
    // While an exception unwinds, a rank may be gone: no waiting for it.
    ncclResult_t state = ncclSuccess;
    const ncclComm_t comm = comm_.exchange(nullptr);
    if (!comm) return;
    const NcclLibrary& nccl = nccl_library();
    const bool whole = !failed_ && std::uncaught_exceptions() == 0 &&
                       nccl.comm_get_async_error(comm, &state) == ncclSuccess && state == ncclSuccess;
    if (whole) {
      nccl.comm_destroy(comm);
    } else {
      nccl.comm_abort(comm);
    }
  }

  int size() const override { return size_; }
  int rank() const override { return rank_; }
  std::string_view name() const override { return "nccl"; }

  void all_reduce(const Context& context, const View& x) override {
    check_view(x);
    call("ncclAllReduce", x, [&](const NcclLibrary& nccl, ncclComm_t comm) {
      return nccl.all_reduce(x.data, x.data, static_cast<size_t>(x.shape.count()), summable(x.dtype), ncclSum,
                             comm, stream_of(context));
    });
  }

  void all_gather(const Context& context, const View& x, const View& y) override {
    check_view(x);
    check_view(y);
    BOLIDE_CHECK(bytes_of(y) == bytes_of(x) * static_cast<size_t>(size_));
    call("ncclAllGather", x, [&](const NcclLibrary& nccl, ncclComm_t comm) {
      return nccl.all_gather(x.data, y.data, bytes_of(x), ncclUint8, comm, stream_of(context));
    });
  }

  void reduce_scatter(const Context& context, const View& x, const View& y) override {
    check_view(x);
    check_view(y);
    BOLIDE_CHECK(x.dtype == y.dtype && x.shape.count() == y.shape.count() * size_);
    call("ncclReduceScatter", x, [&](const NcclLibrary& nccl, ncclComm_t comm) {
      return nccl.reduce_scatter(x.data, y.data, static_cast<size_t>(y.shape.count()), summable(x.dtype),
                                 ncclSum, comm, stream_of(context));
    });
  }

  void broadcast(const Context& context, const View& x, int root) override {
    check_view(x);
    call("ncclBroadcast", x, [&](const NcclLibrary& nccl, ncclComm_t comm) {
      return nccl.broadcast(x.data, x.data, bytes_of(x), ncclUint8, root, comm, stream_of(context));
    });
  }

  void send(const Context& context, const View& x, int to) override {
    check_view(x);
    call("ncclSend", x, [&](const NcclLibrary& nccl, ncclComm_t comm) {
      return nccl.send(x.data, bytes_of(x), ncclUint8, to, comm, stream_of(context));
    });
  }

  void receive(const Context& context, const View& x, int from) override {
    check_view(x);
    call("ncclRecv", x, [&](const NcclLibrary& nccl, ncclComm_t comm) {
      return nccl.recv(x.data, bytes_of(x), ncclUint8, from, comm, stream_of(context));
    });
  }

  void barrier(const Context& context) override { all_reduce(context, ones_.view().slice_rows(0, 1)); }

  void check() const override {
    const ncclComm_t comm = comm_;
    ncclResult_t state = ncclSuccess;
    if (!comm) fail_gone("it was ended");
    const ncclResult_t status = nccl_library().comm_get_async_error(comm, &state);
    if (status == ncclSuccess && (state == ncclSuccess || state == ncclInProgress)) return;
    failed_ = true;
    fail_gone(nccl_library().get_error_string(status == ncclSuccess ? state : status));
  }

  void abort() noexcept override {
    if (const ncclComm_t comm = comm_.exchange(nullptr)) nccl_library().comm_abort(comm);
  }

 private:
  [[noreturn]] void fail_gone(const char* detail) const {
    fail(ErrorCode::kResource, "NCCL's ranks lost each other, as rank {} found at {}: {}", world_.rank(),
         world_.at(), detail);
  }

  // Nothing of nothing is left out, as the other ranks leave it out.
  template <class Function>
  void call(const char* what, const View& x, const Function& function) {
    if (x.shape.count() == 0) return;
    const ncclComm_t comm = comm_;
    if (!comm) fail_gone("it was ended");
    const ncclResult_t status = function(nccl_library(), comm);
    if (status == ncclSuccess) return;
    failed_ = true;
    fail(ErrorCode::kResource, "NCCL: {} failed on rank {} at {}: {} ({})", what, world_.rank(), world_.at(),
         nccl_library().get_error_string(status), nccl_library().get_last_error(comm));
  }

  Transport& world_;
  int size_, rank_;
  std::atomic<ncclComm_t> comm_ = nullptr;
  mutable std::atomic<bool> failed_ = false;
  Tensor ones_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(const Context& context, Transport& world,
                                                     std::span<const int> group, Channel channel) {
  return std::make_unique<NcclCommunicator>(context, world, group, channel);
}

}  // namespace bolide
