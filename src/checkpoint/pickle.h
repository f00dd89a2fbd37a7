#pragma once

// A restricted unpickler for protocols 2 to 5: plain Python data and nothing else. It looks no name up and
// calls nothing; what a pickle asks to call goes to PickleHost, which knows a fixed list.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bolide {

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kBytes,
  kTuple,
  kList,
  kDict,
  kGlobal,  // a module's attribute by name, never resolved
  kObject   // something that the host built
};
std::string_view noun_of(PickleKind kind);  // "an int", as a sentence wants it
std::string_view name_of(PickleKind kind);  // "int"

struct PickleNode;
// Small values inline, the rest by reference into the unpickler's arena.
struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
    PickleNode* node;  // kString and above
  };
  bool is(PickleKind wanted) const { return kind == wanted; }
};

struct PickleNode {
  std::string text;                // string, bytes, or a global as "module.attribute"
  std::vector<PickleValue> items;  // of a tuple or list; of a dict key, value, key, value, ...
  int64_t handle = 0;              // the host's own number for a kObject
};

class Unpickler;

// Says what calls and persistent ids mean. Both throw for what they do not know.
class PickleHost {
 public:
  virtual ~PickleHost() = default;
  virtual PickleValue call(Unpickler& unpickler, const std::string& global,
                           std::span<const PickleValue> args) = 0;
  virtual PickleValue persistent(Unpickler& unpickler, const PickleValue& id) = 0;
};

// Runs one pickle. Values live as long as the Unpickler. Nothing recurses, and what is built is counted in
// bytes of the heap before it is built, with the texts and lists that it copies by its memo, the host's
// records and the pickle itself: at most kMaxBytes a byte of the pickle, and 4 MiB (kCorrupt beyond). So a
// hostile pickle costs no more memory or time than its length allows.
class Unpickler {
 public:
  // torch.save's take 15 to 26, the most with names of two letters over one storage: some 100 bytes of pickle
  // a tensor make 10 nodes, 25 items, 10 places in the memo and the host's records.
  static constexpr size_t kMaxBytes = 48;
  // What an element of a deque has of the allocator's and the deque's own records, at most.
  static constexpr size_t kDequeShare = 6;

  Unpickler(std::span<const std::byte> pickle, std::string_view where, PickleHost& host)
      : bytes_(pickle),
        where_(where),
        host_(host),
        left_((kMaxBytes - 1) * pickle.size() + (size_t{4} << 20) - kStackBytes) {}
  PickleValue run();

  // Counts memory that something takes which is about to be built, by the host too.
  void charge(size_t bytes);
  void charge_text(size_t size) { charge(size > 15 ? size + 32 : 0); }  // a shorter one needs no heap
  // Makes room for `count` more values, of a list that grows.
  void make_room(std::vector<PickleValue>& items, size_t count);

  // For the host: a new string, tuple, list, dict or object.
  PickleValue make(PickleKind kind, std::string_view text = {}, std::span<const PickleValue> items = {});
  [[noreturn]] void corrupt(std::string_view what) const;
  [[noreturn]] void refuse_call(std::string_view global) const;

 private:
  // Picklers put a dict's items in a thousand at a time, so a state dict takes a stack of some two thousand.
  static constexpr size_t kMaxStack = size_t{1} << 16;
  // Of the values and of the marks, at worst: a vector that grows holds its old half, too.
  static constexpr size_t kStackBytes = kMaxStack * (sizeof(PickleValue) + sizeof(size_t)) * 3 / 2;

  bool step();  // one opcode; false at STOP
  bool step_scalar(uint8_t op);
  bool step_container(uint8_t op);
  bool step_memo(uint8_t op);
  bool step_call(uint8_t op);

  template <class T>
  T get();
  std::string_view take(uint64_t size);
  std::string_view take_line();
  void push(PickleValue value);
  PickleValue pop();
  PickleValue& top();
  size_t pop_mark();
  void push_container(PickleKind kind, size_t begin);
  void push_global(std::string_view module, std::string_view attribute);
  void add_integer(std::string_view little_endian);
  void memoize(uint64_t index);
  void recall(uint64_t index);
  void fill(PickleKind kind, size_t begin);
  void reduce();
  void build();

  std::span<const std::byte> bytes_;
  std::string_view where_;
  PickleHost& host_;
  size_t at_ = 0;
  std::deque<PickleNode> nodes_;
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;                      // stack sizes at open MARKs
  std::deque<std::pair<bool, PickleValue>> memo_;  // a deque never holds more room than what is in it
  size_t left_;                                    // bytes that may still be built
};

}  // namespace bolide
