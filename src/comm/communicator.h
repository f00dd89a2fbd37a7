#pragma once

#include <memory>
#include <span>

#include "comm/transport.h"
#include "tensor/context.h"

namespace bolide {

// What a group of ranks does together: the tensor ranks of a stage, or a tensor rank of all stages. Every
// rank of the group calls the same methods with the same shapes in the same order; send and receive pair up.
// On a GPU the calls are put on context.stream and can be captured in a graph. Views are contiguous. One
// thread at a time. Errors as in Transport.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int size() const = 0;
  virtual int rank() const = 0;  // in the group
  virtual std::string_view name() const = 0;
  // x = the ranks' sum of x, fp32 or context.activation; element by element in rank order, in fp32, so that
  // every rank has the same bits and a run repeats (NCCL: in an order of its own, the same for each run).
  virtual void all_reduce(const Context& context, const View& x) = 0;
  // y [size(), ...] = every rank's x [...] in rank order; any dtype.
  virtual void all_gather(const Context& context, const View& x, const View& y) = 0;
  // y [...] = this rank's part of the sum over ranks of x [size(), ...]; as all_reduce.
  virtual void reduce_scatter(const Context& context, const View& x, const View& y) = 0;
  // x = the root's x.
  virtual void broadcast(const Context& context, const View& x, int root) = 0;
  // On the CPU send() returns at once, whether or not the other rank receives.
  virtual void send(const Context& context, const View& x, int to) = 0;
  virtual void receive(const Context& context, const View& x, int from) = 0;
  // Returns (on a GPU: the stream goes on) once every rank has called it.
  virtual void barrier(const Context& context) = 0;
  // y += the ranks' sum of delta, + bias: what follows a row-parallel linear. delta [tokens, hidden] of
  // context.activation, and of no use afterwards; bias [hidden] fp32 or empty, the same on every rank; y
  // [tokens, hidden] fp32. Here all_reduce() and add(); a communicator may do better.
  virtual void reduce_add(const Context& context, const View& delta, const View& bias, const View& y);
  // Whether the calls can be captured in a graph.
  virtual bool capturable() const { return true; }
  // On a GPU calls only queue work, and a rank that does not come shows later: once the stream has passed
  // them, this throws for a fault of any, and what they made is then of no use.
  virtual void check() const {}
  // Ends what waits on the device for other ranks, with results of no use; afterwards every call throws. May
  // be called by another thread.
  virtual void abort() noexcept {}
};

// CPU ranks, over any transport: `group` are the world's ranks that belong, in order. Sums are in rank order.
std::unique_ptr<Communicator> make_host_communicator(Transport& world, std::span<const int> group,
                                                     Channel channel);
// GPU ranks by way of host memory, over any transport: slow, and where nothing else can be: without NCCL, or
// for several ranks on one GPU.
std::unique_ptr<Communicator> make_through_host_communicator(Transport& world, std::span<const int> group,
                                                             Channel channel);
// GPU ranks over NCCL, each with a GPU of its own (context.device_index); `world` carries the unique id.
// kUnsupported without NCCL; in builds with CUDA only.
std::unique_ptr<Communicator> make_nccl_communicator(const Context& context, Transport& world,
                                                     std::span<const int> group, Channel channel);
// GPU ranks of one host whose GPUs reach each other's memory: reductions by our own kernels up to the size
// where they win, and all_gather() of what fits into the memory that these share; all else by `library`,
// which is an NCCL communicator of the same group. Returns `library` itself, and logs why, where the GPUs
// cannot do it.
std::unique_ptr<Communicator> make_one_shot_communicator(const Context& context, Transport& world,
                                                         std::span<const int> group, Channel channel,
                                                         std::unique_ptr<Communicator> library);

// x = sum over the ranks of context.tensor_comm.
inline void all_reduce(const Context& context, const View& x) {
  if (context.tensor_comm) context.tensor_comm->all_reduce(context, x);
}

}  // namespace bolide
