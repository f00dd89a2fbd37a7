#include "checkpoint/torch_pickle.h"

#include <deque>
#include <optional>

#include "base/utf8.h"
#include "checkpoint/diagnostics.h"
#include "checkpoint/pickle.h"

namespace bolide {
namespace {

struct Storage {
  std::string key;
  std::optional<DType> dtype;  // none: untyped, its numel counts bytes
  int64_t numel;
};

std::optional<DType> dtype_of_storage(std::string_view global) {
  constexpr std::pair<std::string_view, DType> kNames[] = {
      {"torch.FloatStorage", DType::kF32},     {"torch.HalfStorage", DType::kF16},
      {"torch.BFloat16Storage", DType::kBF16}, {"torch.DoubleStorage", DType::kF64},
      {"torch.LongStorage", DType::kI64},      {"torch.IntStorage", DType::kI32},
      {"torch.ShortStorage", DType::kI16},     {"torch.CharStorage", DType::kI8},
      {"torch.ByteStorage", DType::kU8},       {"torch.BoolStorage", DType::kBool}};
  for (const auto& [name, dtype] : kNames)
    if (name == global) return dtype;
  return std::nullopt;
}

std::optional<DType> dtype_of_global(std::string_view global) {
  constexpr std::pair<std::string_view, DType> kNames[] = {
      {"torch.float32", DType::kF32}, {"torch.float16", DType::kF16}, {"torch.bfloat16", DType::kBF16},
      {"torch.float64", DType::kF64}, {"torch.int64", DType::kI64},   {"torch.int32", DType::kI32},
      {"torch.int16", DType::kI16},   {"torch.int8", DType::kI8},     {"torch.uint8", DType::kU8},
      {"torch.bool", DType::kBool}};
  for (const auto& [name, dtype] : kNames)
    if (name == global) return dtype;
  return std::nullopt;
}

// Gives torch's names their meaning: storages and tensors become records in two tables.
class TorchHost final : public PickleHost {
 public:
  explicit TorchHost(std::string_view where) : where_(where) {}

  PickleValue call(Unpickler& unpickler, const std::string& global,
                   std::span<const PickleValue> args) override {
    if (global == "torch._utils._rebuild_tensor_v2") return tensor(unpickler, args, false);
    if (global == "torch._utils._rebuild_tensor_v3") return tensor(unpickler, args, true);
    if (global == "torch._utils._rebuild_parameter" ||
        global == "torch._utils._rebuild_parameter_with_state") {
      if (args.empty() || !is_tensor(args[0])) unpickler.corrupt("a parameter is built from no tensor");
      return args[0];
    }
    if (global == "collections.OrderedDict") return ordered_dict(unpickler, args);
    // Plain data that state dicts carry beside their tensors.
    if (global == "torch.Size" && args.size() == 1 &&
        (args[0].is(PickleKind::kTuple) || args[0].is(PickleKind::kList)))
      return unpickler.make(PickleKind::kTuple, {}, args[0].node->items);
    if (global == "torch.device") return object(unpickler, kNothing);
    unpickler.refuse_call(global);
  }

  // ("storage", type, key, location, numel)
  PickleValue persistent(Unpickler& unpickler, const PickleValue& id) override {
    const auto* items = id.is(PickleKind::kTuple) ? &id.node->items : nullptr;
    if (!items || items->size() < 5 || !(*items)[0].is(PickleKind::kString) ||
        (*items)[0].node->text != "storage" || !(*items)[1].is(PickleKind::kGlobal) ||
        !(*items)[2].is(PickleKind::kString) || !(*items)[4].is(PickleKind::kInt))
      unpickler.corrupt("a persistent id is not a storage");
    const std::string& type = (*items)[1].node->text;
    const std::string& key = (*items)[2].node->text;
    unpickler.charge(sizeof(Storage) + Unpickler::kDequeShare);
    unpickler.charge_text(key.size());
    Storage storage{key, dtype_of_storage(type), (*items)[4].integer};
    if (!storage.dtype && type != "torch.storage.UntypedStorage" && type != "torch.UntypedStorage") {
      fail(ErrorCode::kUnsupported, "{}: a tensor has the unknown storage type '{}'", where_,
           printable(type));
    }
    if (storage.numel < 0) unpickler.corrupt("a storage has a negative size");
    storages_.push_back(std::move(storage));
    return object(unpickler, static_cast<int64_t>(storages_.size()) - 1);
  }

  std::vector<PickledTensor> state_dict(Unpickler& unpickler, const PickleValue& root) {
    if (!root.is(PickleKind::kDict)) {
      fail(ErrorCode::kUnsupported, "{}: it holds {}, not a state dict (a dict of names and tensors)", where_,
           noun_of(root.kind));
    }
    std::vector<PickledTensor> state;
    const std::vector<PickleValue>& items = root.node->items;
    unpickler.charge(items.size() / 2 * sizeof(PickledTensor));
    state.reserve(items.size() / 2);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (!items[i].is(PickleKind::kString)) {
        fail(ErrorCode::kUnsupported, "{}: its dict has {} as a key: it is not a state dict", where_,
             noun_of(items[i].kind));
      }
      const std::string& name = items[i].node->text;
      unpickler.charge_text(name.size());
      check_name(name);
      if (!is_tensor(items[i + 1])) {
        fail(ErrorCode::kUnsupported,
             "{}: '{}' is {}, not a tensor: save the model's state dict alone "
             "(torch.save(model.state_dict()))",
             where_, printable(name), noun_of(items[i + 1].kind));
      }
      const PickledTensor& tensor = tensors_[static_cast<size_t>(-1 - items[i + 1].node->handle)];
      unpickler.charge_text(tensor.storage.size());
      state.push_back(tensor);
      state.back().name = name;
    }
    return state;
  }

 private:
  // Storages have handles from 0 up, tensors from -1 down; objects without a meaning keep kNothing.
  static constexpr int64_t kNothing = INT64_MIN;
  static PickleValue object(Unpickler& unpickler, int64_t handle) {
    PickleValue value = unpickler.make(PickleKind::kObject);
    value.node->handle = handle;
    return value;
  }
  static bool is_tensor(const PickleValue& value) {
    return value.is(PickleKind::kObject) && value.node->handle < 0 && value.node->handle != kNothing;
  }

  static PickleValue ordered_dict(Unpickler& unpickler, std::span<const PickleValue> args) {
    const PickleValue dict = unpickler.make(PickleKind::kDict);
    if (args.empty()) return dict;
    if (!args[0].is(PickleKind::kList)) unpickler.corrupt("an ordered dict is built from no list");
    std::vector<PickleValue>& items = dict.node->items;
    unpickler.make_room(items, 2 * args[0].node->items.size());
    for (const PickleValue& pair : args[0].node->items) {
      if (!(pair.is(PickleKind::kList) || pair.is(PickleKind::kTuple)) || pair.node->items.size() != 2)
        unpickler.corrupt("an ordered dict is built from something else than pairs");
      items.insert(items.end(), pair.node->items.begin(), pair.node->items.end());
    }
    return dict;
  }

  // (storage, offset, size, stride, requires_grad, hooks[, dtype in version 3][, metadata])
  PickleValue tensor(Unpickler& unpickler, std::span<const PickleValue> args, bool has_dtype) {
    if (args.size() < (has_dtype ? 7u : 6u) || !args[0].is(PickleKind::kObject) || args[0].node->handle < 0 ||
        !args[1].is(PickleKind::kInt) || !args[2].is(PickleKind::kTuple) || !args[3].is(PickleKind::kTuple) ||
        args[2].node->items.size() != args[3].node->items.size())
      unpickler.corrupt("a tensor is built from the wrong things");
    const Storage& storage = storages_[static_cast<size_t>(args[0].node->handle)];
    std::optional<DType> dtype = storage.dtype;
    if (has_dtype) {
      const bool named = args[6].is(PickleKind::kGlobal);
      dtype = named ? dtype_of_global(args[6].node->text) : std::nullopt;
      if (!dtype) {
        fail(ErrorCode::kUnsupported, "{}: a tensor has the unknown dtype '{}'", where_,
             printable(named ? std::string_view(args[6].node->text) : name_of(args[6].kind)));
      }
    }
    if (!dtype) unpickler.corrupt("a tensor lies in an untyped storage without saying its dtype");
    const std::vector<PickleValue>&sizes = args[2].node->items, &strides = args[3].node->items;
    if (sizes.size() > Shape::kMaxRank) {
      fail(ErrorCode::kUnsupported, "{}: a tensor has {} dimensions, more than the {} that Bolide reads",
           where_, sizes.size(), Shape::kMaxRank);
    }
    unpickler.charge(sizeof(PickledTensor) + 32);  // 32: as kDequeShare, for some two in a block
    unpickler.charge_text(storage.key.size());
    PickledTensor tensor{{}, storage.key, storage.numel, *dtype, args[1].integer, {}, {}};
    if (storage.dtype && __builtin_mul_overflow(storage.numel, static_cast<int64_t>(size_of(*storage.dtype)),
                                                &tensor.storage_bytes))
      unpickler.corrupt("a storage has an impossible size");
    std::array<int64_t, Shape::kMaxRank> extents{};
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (!sizes[i].is(PickleKind::kInt) || !strides[i].is(PickleKind::kInt))
        unpickler.corrupt("a tensor's shape holds something else than numbers");
      extents[i] = sizes[i].integer;
      tensor.strides[i] = strides[i].integer;
    }
    tensor.shape = Shape(std::span<const int64_t>(extents.data(), sizes.size()));
    tensors_.push_back(std::move(tensor));
    return object(unpickler, -static_cast<int64_t>(tensors_.size()));
  }

  // Names go into messages and JSON, which must be UTF-8.
  void check_name(const std::string& name) const {
    if (!is_utf8(name)) fail(ErrorCode::kCorrupt, "{}: a tensor's name is not valid UTF-8", where_);
  }

  std::string_view where_;
  std::deque<Storage> storages_;  // deques never hold more room than what is in them
  std::deque<PickledTensor> tensors_;
};

}  // namespace

std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle, std::string_view where) {
  TorchHost host(where);
  Unpickler unpickler(pickle, where, host);
  const PickleValue root = unpickler.run();
  return host.state_dict(unpickler, root);
}

}  // namespace bolide
