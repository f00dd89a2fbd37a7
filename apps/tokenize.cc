#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/json_lines.h"
#include "apps/lines.h"
#include "apps/options.h"
#include "apps/output.h"
#include "bolide/error.h"
#include "bolide/tokenizer.h"

namespace bolide::apps {
namespace {

using nlohmann::json;

struct Flags {
  std::string tokenizer;
  bool decode = false, json = false, no_special_tokens = false, keep_special_tokens = false;
};

[[noreturn]] void bad_line(const std::string& where, const json& value, const char* wanted) {
  throw Error(ErrorCode::kCorrupt, where + ": " + shown(value) + " is not " + wanted);
}

// What the tokenizer has to say of a line. The line is at fault, not a flag.
template <class Call>
auto at_line(const std::string& where, Call call) {
  try {
    return call();
  } catch (const Error& error) {
    const ErrorCode code = error.code() == ErrorCode::kUsage ? ErrorCode::kCorrupt : error.code();
    throw Error(code, where + ": " + error.what());
  }
}

// "[1,2]". A tree of a long text's tokens would take some 100 bytes for each.
template <class List, class Put>
void put_list(std::string& out, const List& list, Put put) {
  out += '[';
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) out += ',';
    put(list[i]);
  }
  out += ']';
}

template <class List>
void put_numbers(std::string& out, const List& list) {
  put_list(out, list, [&](auto value) { out += std::to_string(value); });
}

std::string to_object(const Encoding& encoding) {
  std::string out = "{\"ids\":";
  put_numbers(out, encoding.ids);
  out += ",\"offsets\":";
  put_list(out, encoding.offsets, [&](const auto& each) {
    out.append("[")
        .append(std::to_string(each.first))
        .append(",")
        .append(std::to_string(each.second))
        .append("]");
  });
  out += ",\"sequence\":";
  put_numbers(out, encoding.sequence);
  out += ",\"type_ids\":";
  put_numbers(out, encoding.type_ids);
  return out + "}";
}

// One JSON string, or a list of two for a pair.
Encoding encode_json(const Tokenizer& tokenizer, const std::string& line, const std::string& where,
                     bool add_special_tokens) {
  constexpr const char* kWanted = "a JSON string or a list of two";
  const JsonLine parsed(line, where);
  const json& value = parsed.value();
  if (value.is_string()) {
    return at_line(where, [&] { return tokenizer.encode(value.get<std::string>(), add_special_tokens); });
  }
  if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_string()) {
    bad_line(where, value, kWanted);
  }
  return at_line(where, [&] {
    return tokenizer.encode_pair(value[0].get<std::string>(), value[1].get<std::string>(),
                                 add_special_tokens);
  });
}

std::vector<int32_t> read_ids(const std::string& line, const std::string& where) {
  constexpr const char* kWanted = "a JSON list of token ids";
  const JsonLine parsed(line, where);
  const json& value = parsed.value();
  if (!value.is_array()) bad_line(where, value, kWanted);
  std::vector<int32_t> ids;
  for (const json& each : value) {
    if (!each.is_number_integer() || each < INT32_MIN || each > INT32_MAX)
      bad_line(where, each, "a token id");
    ids.push_back(each.get<int32_t>());
  }
  return ids;
}

std::string run_line(const Tokenizer& tokenizer, const Flags& flags, const std::string& line,
                     const std::string& where) {
  if (flags.decode) {
    const std::vector<int32_t> ids = read_ids(line, where);
    const std::string text =
        at_line(where, [&] { return tokenizer.decode(ids, !flags.keep_special_tokens); });
    return flags.json ? json(text).dump() : text;
  }
  if (flags.json) return to_object(encode_json(tokenizer, line, where, !flags.no_special_tokens));
  std::string out;
  put_numbers(out, at_line(where, [&] { return tokenizer.encode(line, !flags.no_special_tokens); }).ids);
  return out;
}

}  // namespace

Action add_tokenize(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option(
         "-m,--tokenizer-path,--tokenizer", flags->tokenizer,
         "folder of tokenizer.json, of a sentencepiece or tiktoken file, or of vocab.json and merges.txt, or "
         "one of these files")
      ->type_name("DIR")
      ->required();
  app.add_flag("--decode", flags->decode, "from a JSON list of ids on each line to text");
  app.add_flag(
      "--json", flags->json,
      "texts are JSON strings (a list of two is a pair), and encoding gives an object with ids, offsets "
      "(in bytes), type_ids and sequence");
  auto* no_special = app.add_flag("--no-special-tokens", flags->no_special_tokens,
                                  "encode without the special tokens that the tokenizer adds");
  auto* keep_special =
      app.add_flag("--keep-special-tokens", flags->keep_special_tokens, "decode special tokens, too");
  add_log_level(app);
  return [flags, no_special, keep_special] {
    if (flags->decode && no_special->count() > 0) {
      throw Error(ErrorCode::kUsage, "--no-special-tokens is for encoding: leave out --decode");
    }
    if (!flags->decode && keep_special->count() > 0) {
      throw Error(ErrorCode::kUsage, "--keep-special-tokens is for decoding: add --decode");
    }
    const auto tokenizer = Tokenizer::load(flags->tokenizer);
    LineReader lines("-");
    Inputs inputs{"-"};
    add_tokenizer_input(flags->tokenizer, inputs);
    Output out("-", Output::Mode::kDirect, inputs);
    try {
      for (std::string line; lines.next(line);) {
        out.write(run_line(*tokenizer, *flags, line, lines.where()) + "\n");
        if (out.is_terminal()) out.flush();
      }
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::kResource, lines.where() + ": not enough memory for a line that long: cut it");
    }
    out.commit();
    return 0;
  };
}

}  // namespace bolide::apps
