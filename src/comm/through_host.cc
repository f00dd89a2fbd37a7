#include "base/error.h"
#include "comm/communicator.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

namespace bolide {
namespace {

// Brings what a GPU's ranks exchange to host memory, lets CPU ranks' collectives work there, and takes it
// back. Each call waits for the stream, so nothing of this can be captured.
class ThroughHost final : public Communicator {
 public:
  explicit ThroughHost(std::unique_ptr<Communicator> host) : host_(std::move(host)) {}

  int size() const override { return host_->size(); }
  int rank() const override { return host_->rank(); }
  std::string_view name() const override { return host_->name(); }
  bool capturable() const override { return false; }

  void all_reduce(const Context& context, const View& x) override {
    const Tensor sum = fetch_floats(context, x);
    host_->all_reduce({}, sum);
    store_floats(context, sum, x);
  }
  void all_gather(const Context& context, const View& x, const View& y) override {
    const Tensor mine = fetch(context, x), all = Tensor::allocate(y.shape, y.dtype);
    host_->all_gather({}, mine, all);
    store(context, all, y);
  }
  void reduce_scatter(const Context& context, const View& x, const View& y) override {
    const Tensor all = fetch_floats(context, x), sum = Tensor::allocate(y.shape, DType::kF32);
    host_->reduce_scatter({}, all, sum);
    store_floats(context, sum, y);
  }
  void broadcast(const Context& context, const View& x, int root) override {
    const Tensor data = fetch(context, x);
    host_->broadcast({}, data, root);
    store(context, data, x);
  }
  void send(const Context& context, const View& x, int to) override {
    host_->send({}, fetch(context, x), to);
  }
  void receive(const Context& context, const View& x, int from) override {
    const Tensor data = Tensor::allocate(x.shape, x.dtype);
    host_->receive({}, data, from);
    store(context, data, x);
  }
  void barrier(const Context& context) override {
    synchronize(context);
    host_->barrier({});
  }

 private:
  static Tensor fetch(const Context& context, const View& x) {
    BOLIDE_CHECK(x.contiguous());
    Tensor data = Tensor::allocate(x.shape, x.dtype);
    copy_to_host(context, data.view().data, x.data, data.bytes());
    synchronize(context);
    return data;
  }
  static void store(const Context& context, const Tensor& data, const View& x) {
    copy_to_device(context, x.data, data.view().data, data.bytes());
    synchronize(context);
  }
  // Sums are made in fp32.
  static Tensor fetch_floats(const Context& context, const View& x) {
    const Tensor data = fetch(context, x);
    if (x.dtype == DType::kF32) return data;
    const Tensor floats = Tensor::allocate(x.shape, DType::kF32);
    convert_elements(data.view().data, x.dtype, floats.view().data, DType::kF32,
                     static_cast<size_t>(x.shape.count()));
    return floats;
  }
  static void store_floats(const Context& context, const Tensor& floats, const View& x) {
    if (x.dtype == DType::kF32) return store(context, floats, x);
    const Tensor data = Tensor::allocate(x.shape, x.dtype);
    convert_elements(floats.view().data, DType::kF32, data.view().data, x.dtype,
                     static_cast<size_t>(x.shape.count()));
    store(context, data, x);
  }

  std::unique_ptr<Communicator> host_;
};

}  // namespace

std::unique_ptr<Communicator> make_through_host_communicator(Transport& world, std::span<const int> group,
                                                             Channel channel) {
  return std::make_unique<ThroughHost>(make_host_communicator(world, group, channel));
}

}  // namespace bolide
