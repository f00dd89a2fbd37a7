#include "checkpoint/pickle.h"

#include <bit>
#include <cstring>

#include "checkpoint/diagnostics.h"

namespace bolide {
namespace {

// Opcodes of Python's pickletools, by their names there.
enum Op : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNoneOp = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobalOp = 'c',
  kDictOp = 'd',
  kEmptyDict = '}',
  kAppends = 'e',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kListOp = 'l',
  kEmptyList = ']',
  kObj = 'o',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTupleOp = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kExt1 = 0x82,
  kExt2 = 0x83,
  kExt4 = 0x84,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8A,
  kLong4 = 0x8B,
  kShortBinUnicode = 0x8C,
  kBinUnicode8 = 0x8D,
  kBinBytes8 = 0x8E,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

}  // namespace

std::string_view noun_of(PickleKind kind) {
  constexpr std::string_view kNouns[] = {"None",    "a bool", "an int", "a float",     "a str",    "bytes",
                                         "a tuple", "a list", "a dict", "a reference", "an object"};
  return kNouns[static_cast<int>(kind)];
}

std::string_view name_of(PickleKind kind) {
  const std::string_view noun = noun_of(kind);
  return noun.substr(noun.find(' ') + 1);
}

void Unpickler::corrupt(std::string_view what) const {
  fail(ErrorCode::kCorrupt, "{}: damaged pickle at byte {}: {}", where_, at_, what);
}

void Unpickler::refuse_call(std::string_view global) const {
  fail(
      ErrorCode::kCorrupt,
      "{}: its pickle tries to call '{}': Bolide builds tensors and runs nothing that a checkpoint asks for; "
      "if you trust the file, re-save its state dict as safetensors",
      where_, printable(global));
}

std::string_view Unpickler::take(uint64_t size) {
  if (size > bytes_.size() - at_) corrupt("it ends early");
  const char* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
  at_ += static_cast<size_t>(size);
  return {begin, static_cast<size_t>(size)};
}

std::string_view Unpickler::take_line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes_.size() - at_);
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) corrupt("it ends early");
  at_ += end + 1;
  return rest.substr(0, end);
}

template <class T>
T Unpickler::get() {
  T value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

PickleValue Unpickler::make(PickleKind kind, std::string_view text, std::span<const PickleValue> items) {
  charge(sizeof(PickleNode) + kDequeShare);
  charge_text(text.size());
  PickleValue value;
  value.kind = kind;
  value.node = &nodes_.emplace_back();
  value.node->text = text;
  make_room(value.node->items, items.size());
  value.node->items.assign(items.begin(), items.end());
  return value;
}

void Unpickler::charge(size_t bytes) {
  if (bytes > left_) corrupt("it builds more than a state dict of its size has");
  left_ -= bytes;
}

void Unpickler::make_room(std::vector<PickleValue>& items, size_t count) {
  const auto cost = [](size_t room) { return room ? room * sizeof(PickleValue) + 16 : 0; };
  const size_t old = items.capacity(), wanted = items.size() + count;
  if (wanted <= old) return;
  const size_t room = std::max(2 * old, wanted);
  charge(cost(room));  // both are there while one is copied to the other
  items.reserve(room);
  left_ += cost(old);
}

void Unpickler::push(PickleValue value) {
  if (stack_.size() >= kMaxStack) corrupt("its stack grows beyond any state dict's");
  stack_.push_back(value);
}

PickleValue& Unpickler::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) corrupt("its stack runs empty");
  return stack_.back();
}

PickleValue Unpickler::pop() {
  const PickleValue value = top();
  stack_.pop_back();
  return value;
}

size_t Unpickler::pop_mark() {
  if (marks_.empty()) corrupt("a mark is missing");
  const size_t mark = marks_.back();
  marks_.pop_back();
  return mark;
}

// The stack's values from `begin` on become one that holds them.
void Unpickler::push_container(PickleKind kind, size_t begin) {
  const std::span<const PickleValue> items = std::span(stack_).subspan(begin);
  if (kind == PickleKind::kDict && items.size() % 2) corrupt("a dict has a key without a value");
  const PickleValue made = make(kind, {}, items);
  stack_.resize(begin);
  push(made);
}

void Unpickler::push_global(std::string_view module, std::string_view attribute) {
  charge_text(module.size() + 1 + attribute.size());
  const PickleValue global = make(PickleKind::kGlobal);
  std::string& name = global.node->text;
  name.reserve(module.size() + 1 + attribute.size());
  name.append(module).append(".").append(attribute);
  push(global);
}

void Unpickler::add_integer(std::string_view little_endian) {
  if (little_endian.size() > sizeof(int64_t)) corrupt("an integer has over 64 bits");
  uint64_t bits = 0;
  for (size_t i = 0; i < little_endian.size(); ++i)
    bits |= uint64_t{static_cast<uint8_t>(little_endian[i])} << (8 * i);
  if (const size_t unused = 64 - 8 * little_endian.size(); unused > 0 && unused < 64)  // extend the sign
    bits = static_cast<uint64_t>(static_cast<int64_t>(bits << unused) >> unused);
  PickleValue value;
  value.kind = PickleKind::kInt;
  value.integer = static_cast<int64_t>(bits);
  push(value);
}

void Unpickler::memoize(uint64_t index) {
  // A pickler numbers its memo upwards, at least two bytes an entry: a larger number would only cost memory.
  if (index > bytes_.size()) corrupt("its memo grows beyond any state dict's");
  if (index >= memo_.size()) {
    charge((static_cast<size_t>(index) + 1 - memo_.size()) * (sizeof(memo_[0]) + kDequeShare));
    memo_.resize(static_cast<size_t>(index) + 1);
  }
  memo_[static_cast<size_t>(index)] = {true, top()};
}

void Unpickler::recall(uint64_t index) {
  if (index >= memo_.size() || !memo_[static_cast<size_t>(index)].first)
    corrupt("it refers to a value that it has not stored");
  push(memo_[static_cast<size_t>(index)].second);
}

// Appends the stack's values from `begin` on to the list or dict below them.
void Unpickler::fill(PickleKind kind, size_t begin) {
  if (begin > stack_.size()) corrupt("its stack runs empty");
  if (begin > stack_.size() || begin <= (marks_.empty() ? 0 : marks_.back())) corrupt("its stack runs empty");
  const PickleValue container = stack_[begin - 1];
  const std::span<const PickleValue> values = std::span(stack_).subspan(begin);
  if (!container.is(kind)) corrupt(fmt::format("it adds items to {}", noun_of(container.kind)));
  if (kind == PickleKind::kDict && values.size() % 2) corrupt("a dict has a key without a value");
  make_room(container.node->items, values.size());
  container.node->items.insert(container.node->items.end(), values.begin(), values.end());
  stack_.resize(begin);
}

void Unpickler::reduce() {
  const PickleValue args = pop(), function = pop();
  if (!function.is(PickleKind::kGlobal)) corrupt(fmt::format("it calls {}", noun_of(function.kind)));
  if (!args.is(PickleKind::kTuple)) refuse_call(function.node->text);
  push(host_.call(*this, function.node->text, args.node->items));
}

// State dicts carry their version table as an attribute of the OrderedDict: state for a dict is dropped,
// state for anything else would be a method call.
void Unpickler::build() {
  pop();
  const PickleValue& object = top();
  if (!object.is(PickleKind::kDict))
    refuse_call(fmt::format("{}.__setstate__", object.is(PickleKind::kGlobal)
                                                   ? object.node->text
                                                   : std::string(name_of(object.kind))));
}

bool Unpickler::step_scalar(uint8_t op) {
  PickleValue value;
  switch (op) {
    case kNoneOp:
      return push(value), true;
    case kNewTrue:
    case kNewFalse:
      value.kind = PickleKind::kBool;
      value.boolean = op == kNewTrue;
      return push(value), true;
    case kBinInt:
      return add_integer(take(4)), true;
    case kBinInt1:  // unsigned: a zero byte above keeps it so
    case kBinInt2:
      value.kind = PickleKind::kInt;
      value.integer = op == kBinInt1 ? get<uint8_t>() : get<uint16_t>();
      return push(value), true;
    case kLong1:
      return add_integer(take(get<uint8_t>())), true;
    case kLong4:
      return add_integer(take(get<uint32_t>())), true;
    case kBinFloat:
      value.kind = PickleKind::kFloat;
      value.real = std::bit_cast<double>(__builtin_bswap64(get<uint64_t>()));
      return push(value), true;
    case kShortBinString:
    case kShortBinUnicode:
      return push(make(PickleKind::kString, take(get<uint8_t>()))), true;
    case kBinString:
    case kBinUnicode:
      return push(make(PickleKind::kString, take(get<uint32_t>()))), true;
    case kBinUnicode8:
      return push(make(PickleKind::kString, take(get<uint64_t>()))), true;
    case kShortBinBytes:
      return push(make(PickleKind::kBytes, take(get<uint8_t>()))), true;
    case kBinBytes:
      return push(make(PickleKind::kBytes, take(get<uint32_t>()))), true;
    case kBinBytes8:
      return push(make(PickleKind::kBytes, take(get<uint64_t>()))), true;
    default:
      return false;
  }
}

bool Unpickler::step_container(uint8_t op) {
  auto tuple_of = [&](size_t count) {
    if (stack_.size() < (marks_.empty() ? 0 : marks_.back()) + count) corrupt("its stack runs empty");
    push_container(PickleKind::kTuple, stack_.size() - count);
  };
  switch (op) {
    case kMark:
      if (marks_.size() >= kMaxStack) corrupt("its stack grows beyond any state dict's");
      return marks_.push_back(stack_.size()), true;
    case kPop:
      if (!marks_.empty() && marks_.back() == stack_.size()) return marks_.pop_back(), true;
      return pop(), true;
    case kPopMark:
      return stack_.resize(pop_mark()), true;
    case kDup:
      return push(PickleValue(top())), true;
    case kEmptyTuple:
      return push(make(PickleKind::kTuple)), true;
    case kEmptyList:
      return push(make(PickleKind::kList)), true;
    case kEmptyDict:
      return push(make(PickleKind::kDict)), true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      return tuple_of(1 + op - kTuple1), true;
    case kTupleOp:
      return push_container(PickleKind::kTuple, pop_mark()), true;
    case kListOp:
      return push_container(PickleKind::kList, pop_mark()), true;
    case kDictOp:
      return push_container(PickleKind::kDict, pop_mark()), true;
    case kAppend:
      return top(), fill(PickleKind::kList, stack_.size() - 1), true;
    case kAppends:
      return fill(PickleKind::kList, pop_mark()), true;
    case kSetItem:
      return fill(PickleKind::kDict, stack_.size() < 2 ? SIZE_MAX : stack_.size() - 2), true;
    case kSetItems:
      return fill(PickleKind::kDict, pop_mark()), true;
    default:
      return false;
  }
}

bool Unpickler::step_memo(uint8_t op) {
  switch (op) {
    case kBinGet:
      return recall(get<uint8_t>()), true;
    case kLongBinGet:
      return recall(get<uint32_t>()), true;
    case kBinPut:
      return memoize(get<uint8_t>()), true;
    case kLongBinPut:
      return memoize(get<uint32_t>()), true;
    case kMemoize:
      return memoize(memo_.size()), true;
    case kProto:
      if (const auto version = get<uint8_t>(); version < 2 || version > 5)
        corrupt(fmt::format("protocol {} is none of 2 to 5", version));
      return true;
    case kFrame:
      if (get<uint64_t>() > bytes_.size() - at_) corrupt("a frame ends after the file");
      return true;
    default:
      return false;
  }
}

bool Unpickler::step_call(uint8_t op) {
  // The class that OBJ, NEWOBJ and NEWOBJ_EX would call, `depth` below the top of the stack.
  auto refuse_class = [&](size_t index) {
    if (index >= stack_.size()) corrupt("its stack runs empty");
    const PickleValue& type = stack_[index];
    refuse_call(type.is(PickleKind::kGlobal) ? std::string_view(type.node->text) : name_of(type.kind));
  };
  switch (op) {
    case kGlobalOp: {
      const std::string_view module = take_line();
      return push_global(module, take_line()), true;
    }
    case kStackGlobal: {
      const PickleValue attribute = pop(), module = pop();
      if (!attribute.is(PickleKind::kString) || !module.is(PickleKind::kString))
        corrupt("a reference is not named by strings");
      return push_global(module.node->text, attribute.node->text), true;
    }
    case kReduce:
      return reduce(), true;
    case kBuild:
      return build(), true;
    case kBinPersId:
      return push(host_.persistent(*this, pop())), true;
    case kInst: {
      std::string name(take_line());
      name += '.';
      name += take_line();
      refuse_call(name);
    }
    case kObj:
      refuse_class(pop_mark());
      return true;
    case kNewObj:
      refuse_class(stack_.size() - 2);
      return true;
    case kNewObjEx:
      refuse_class(stack_.size() - 3);
      return true;
    case kExt1:
    case kExt2:
    case kExt4:
      refuse_call("an extension of copyreg");
    default:
      return false;
  }
}

bool Unpickler::step() {
  const auto op = get<uint8_t>();
  if (op == kStop) return false;
  if (!step_scalar(op) && !step_container(op) && !step_memo(op) && !step_call(op))
    corrupt(fmt::format("opcode 0x{:02x} has no place in a state dict", op));
  return true;
}

PickleValue Unpickler::run() {
  if (bytes_.size() < 2 || static_cast<uint8_t>(bytes_[0]) != kProto)
    corrupt("it does not begin with a protocol");
  while (step()) {
  }
  if (!marks_.empty()) corrupt("a mark is left over");
  const PickleValue value = pop();
  if (!stack_.empty()) corrupt("values are left over");
  return value;
}

}  // namespace bolide
