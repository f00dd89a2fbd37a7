#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <new>

#include "support/expect_error.h"
#include "support/heap_use.h"
#include "support/limited_child.h"

namespace bolide {
namespace {

using namespace std::string_literals;

// A list of at least so many bytes.
std::string repeated(const std::string& part, size_t bytes) {
  std::string text = "[";
  while (text.size() < bytes) text += part + ",";
  text.back() = ']';
  return text;
}

// In a process of its own, whose memory ends while a tree is built or taken down. It comes first, for
// what other cases freed would be there.
TEST(Json, EndsWithAnErrorWhereMemoryEnds) {
  if (!kCanLimitMemory) GTEST_SKIP() << "no limit on memory under a sanitizer";
  const std::string text =
      repeated("[[[[100,100,100,100,100,100,100,100,100,100]]]],{\"a\":\"0123456789abcdef\"}", 1 << 20);
  const auto run = [&](size_t room) {
    return in_limited_child(room, [&] {
      try {
        const JsonTree tree = parse_json(text, "x");
      } catch (const std::bad_alloc&) {
        return "memory ended";
      }
      return "";
    });
  };
  ASSERT_EQ(run(size_t{1} << 40), "");
  int failed = 0;
  for (size_t megabytes = 1; megabytes < 32; megabytes += 2) {
    const std::string end = run(megabytes << 20);
    ASSERT_TRUE(end.empty() || end == "memory ended") << end << " at " << megabytes << " MB";
    failed += !end.empty();
  }
  EXPECT_GT(failed, 0);
}

// A value as its only event.
Json value_of(const std::string& text) { return (*parse_json("[" + text + "]", "x"))[0]; }

TEST(Json, ParsesWhatIsWellFormed) {
  const JsonTree tree = parse_json(
      " {\"a\": {\"k\": [1, 2.5, null,\r\n\tfalse]}, \"b\" :{\"k\":\"é\", \"e\":{},\"l\":[ ]}} ", "test");
  EXPECT_EQ(*tree, Json({{"a", {{"k", {1, 2.5, nullptr, false}}}},
                         {"b", {{"k", "é"}, {"e", Json::object()}, {"l", Json::array()}}}}));
  for (const char* scalar : {"null", "true", "0", "\"\"", "[]", "{}"})
    EXPECT_EQ(parse_json(scalar, "x")->dump(), scalar);
}

TEST(Json, NumbersKeepTheirKind) {
  EXPECT_TRUE(value_of("0").is_number_unsigned());
  EXPECT_TRUE(value_of("-1").is_number_integer() && !value_of("-1").is_number_unsigned());
  EXPECT_EQ(value_of("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(value_of("9223372036854775808").get<uint64_t>(), uint64_t{1} << 63);
  EXPECT_EQ(value_of("18446744073709551615").get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(value_of("-9223372036854775808"), INT64_MIN);
  for (const char* real : {"18446744073709551616", "-9223372036854775809", "1.0", "1e0", "-0.5E+2", "1E-2"}) {
    EXPECT_TRUE(value_of(real).is_number_float()) << real;
    EXPECT_EQ(value_of(real).get<double>(), std::strtod(real, nullptr)) << real;
  }
  EXPECT_EQ(value_of("1e-999"), 0.0);
  EXPECT_EQ(value_of("1.7976931348623157e308"), std::numeric_limits<double>::max());
}

TEST(Json, StringsAreUnescaped) {
  EXPECT_EQ(value_of(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(value_of(R"("\u0041\u00e9\u20AC\ud83d\uDE00\u0000x")"), std::string("Aé€😀\0x", 12));
  EXPECT_EQ(value_of(R"("\uD7FF\uE000\uD800\uDC00\uDBFF\uDFFF")"), "\uD7FF\uE000\U00010000\U0010FFFF");
  EXPECT_EQ(value_of("\"\x7F é€😀\""), "\x7F é€😀");
  EXPECT_EQ(value_of("\"" + std::string(5000, 'y') + "\""), std::string(5000, 'y'));
}

TEST(Json, AMarkOfByteOrderIsRead) {
  EXPECT_EQ(*parse_json("\xEF\xBB\xBF[1]", "x"), Json({1}));
  EXPECT_ERROR(parse_json("\xEF\xBB\xBF", "x"), ErrorCode::kCorrupt, "line 1, column 1: expected a value");
  EXPECT_ERROR(parse_json("[\xEF\xBB\xBF]", "x"), ErrorCode::kCorrupt, "expected a value");
}

TEST(Json, SaysWhereAndWhatWasExpected) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "line 1, column 1: expected a value, found the end of the text"},
      {"{", "column 2: expected a key in double quotes or '}', found the end"},
      {"[", "column 2: expected a value, found the end"},
      {"{\"a\": 1,}", "line 1, column 9: expected a key in double quotes, found '}'"},
      {"[1,]", "column 4: expected a value, found ']'"},
      {"[1 2]", "column 4: expected ',' or ']', found '2'"},
      {"{\"a\": 1\n  \"b\": 2}", "line 2, column 3: expected ',' or '}', found '\"'"},
      {"{\"é\" 1}", "line 1, column 6: expected ':', found '1'"},
      {"{'a': 1}", "column 2: expected a key in double quotes or '}', found"},
      {"{a_9 : 1}", "found 'a_9'"},
      {"[True]", "expected a value, found 'True'"},
      {"nul", "expected a value, found 'nul'"},
      {"nullx", "column 5: expected nothing more, found 'x'"},
      {"{\"a\": 1} // x", "column 10: expected nothing more, found '/'"},
      {std::string("{}\0{}", 5), "column 3: expected nothing more, found a zero byte"},
      {std::string("[1\0]", 4), "expected ',' or ']', found a zero byte"},
      {std::string("\"a\0b\"", 5), "expected a string without control characters"},
      {"\"a\nb\"", "line 1, column 3: expected a string without control characters"},
      {"\"a\x1F\"", "control characters"},
      {"\"abc", "column 5: expected '\"' at the end of a string, found the end"},
      {"\"abc\\", "behind a backslash, found the end"},
      {"\"\\x41\"", "expected one of \" \\ / b f n r t u behind a backslash, found 'x41'"},
      {"\"\\u00g0\"", "expected four hexadecimal digits behind \\u, found 'g0'"},
      {"\"\\u00`0\"", "four hexadecimal digits"},
      {"\"\\u12", "four hexadecimal digits"},
      {"\"\xFF\"", "column 2: expected UTF-8, found a byte that is not UTF-8"},
      {"\xFF", "expected a value, found a byte that is not UTF-8"},
      {"-", "expected a digit, found the end"},
      {"-x", "expected a digit"},
      {"1.", "expected a digit"},
      {"1.e5", "expected a digit"},
      {"1e", "expected a digit"},
      {"1e+", "expected a digit"},
      {"1e+-1", "expected a digit"},
      {".5", "expected a value, found '.'"},
      {"+1", "expected a value, found '+'"},
      {"012", "column 1: expected a number without a zero at its begin, found '012'"},
      {"-012", "without a zero"},
      {"]", "expected a value, found ']'"},
      {"[1}", "expected ',' or ']', found '}'"},
      {"{]", "expected a key in double quotes or '}', found ']'"},
      {"[1]]", "expected nothing more"},
      {"{\"\\ud800\": 1}", "a key holds half a surrogate pair"},
      {"[" + std::string(50, 'z'), "found 'zzzzzzzzzzzzzzzzzzzz'"},
      {"[\xE2\x80\xAE]", "found '?'"}};
  for (const auto& [text, part] : cases) {
    const std::string copy = text;
    EXPECT_ERROR(parse_json(copy, "config.json"), ErrorCode::kCorrupt, part) << copy;
    EXPECT_ERROR(parse_json(copy, "config.json"), ErrorCode::kCorrupt,
                 "config.json: not valid JSON at line ");
  }
}

TEST(Json, ALineHasAColumnAlone) {
  struct Nothing final : JsonEvents {
    void begin(bool) override {}
    void end() override {}
    void key(std::string&) override {}
    void string(std::string&) override {}
    void integer(int64_t) override {}
    void real(double v) override { last = v; }
    void other(const char*) override {}
    double last = 0;
  } events;
  EXPECT_ERROR(scan_json("[x", "F line 3", events, true), ErrorCode::kCorrupt,
               "F line 3: not valid JSON at column 2: ");
  scan_json("18446744073709551615", "x", events);  // large() is real() unless somebody wants it
  EXPECT_EQ(events.last, 0x1p64);
}

TEST(Json, WhatPythonWritesIsReadWhereNobodyNeedsIt) {
  const JsonTree tree = parse_json(
      R"({"a": NaN, "b": [0.0, Infinity], "c": -Infinity, "d": 1e999, "e": -1e999, "s": "\ud800",
          "t": "\udc00x", "u": "\ud83d\u0041", "v": "\ud83d\ud83d", "w": "\udfff",
          "x": "\ud7ff\udc00", "y": "\ud83d\ue000", "z": "\udc00\udc00", "good": 1})",
      "c");
  const Json& json = *tree;
  EXPECT_EQ(json_get<int>(json, "good", "c"), 1);
  EXPECT_ERROR(json_get<double>(json, "a", "c"), ErrorCode::kCorrupt, "c: key 'a' is NaN, not a number");
  EXPECT_ERROR(json_get_or<double>(json, "a", 1, "c"), ErrorCode::kCorrupt, "key 'a' is NaN, not a number");
  EXPECT_ERROR(json_get<std::vector<double>>(json, "b", "c"), ErrorCode::kCorrupt,
               "c: within key 'b' a value is Infinity, not a number");
  EXPECT_ERROR(json_get<int>(json, "c", "c"), ErrorCode::kCorrupt, "is -Infinity, not a number");
  EXPECT_ERROR(json_get<float>(json, "d", "c"), ErrorCode::kCorrupt, "is Infinity, not a number");
  EXPECT_ERROR(json_get<float>(json, "e", "c"), ErrorCode::kCorrupt, "is -Infinity, not a number");
  for (const char* key : {"s", "t", "u", "v", "w", "x", "y", "z"})
    EXPECT_ERROR(json_get<std::string>(json, key, "c"), ErrorCode::kCorrupt,
                 "half a surrogate pair, not Unicode");
  EXPECT_ERROR(json_get<int>(json["a"], "x", "c"), ErrorCode::kCorrupt,
               "c: what should have a key 'x' is NaN");
  EXPECT_EQ(json_remark(json["a"]), "is NaN, not a number");
  EXPECT_EQ(json_remark(json["good"]), "");
  for (const char* bad : {"nan", "inf", "-NaN", "+Infinity", "Inf", "-I"})
    EXPECT_ERROR(parse_json(bad, "c"), ErrorCode::kCorrupt, "expected") << bad;
}

TEST(Json, KeysGivenTwiceAreReadWhereNobodyNeedsThem) {
  for (const char* second :
       {"2", "\"s\"", "null", "NaN", "{}", "[]", "{\"x\": {\"x\": 1, \"x\": [2]}}", "[[1], {}]"}) {
    for (const char* first : {"1", "{\"q\": [1]}"}) {
      const JsonTree tree = parse_json(
          fmt::format("{{\"o\": {{\"a\": {}, \"a\": {}, \"b\": [3]}}, \"a\": 4}}", first, second), "c");
      EXPECT_EQ(json_get<int>(*tree, "a", "c"), 4) << second;  // the same key in two objects is fine
      const Json& object = (*tree)["o"];
      EXPECT_EQ(object.size(), 2u) << second;
      EXPECT_EQ(object["b"], Json({3})) << second;
      EXPECT_ERROR(json_find(object, "a", "c"), ErrorCode::kCorrupt, "c: key 'a' is given twice");
    }
  }
  EXPECT_EQ(json_remark((*parse_json(R"({"a": 1, "a": 2, "a": {}})", "c"))["a"]), "is given twice");
  const JsonTree map = parse_json(R"({"m": {"k": "1", "k": "2"}})", "c");
  EXPECT_ERROR((json_get<std::map<std::string, std::string>>(*map, "m", "c")), ErrorCode::kCorrupt,
               "c: within key 'm' a value is given twice");
}

// Writes its events down.
struct Written final : JsonTable {
  void begin(bool is_object) override { text += is_object ? "{" : "["; }
  void end() override { text += ") "; }
  void key(std::string& key) override { text += key + "="; }
  void string(std::string& value) override { text += "'" + value + "' "; }
  void integer(int64_t value) override { text += std::to_string(value) + " "; }
  void real(double value) override { text += fmt::format("{:g} ", value); }
  void other(const char* what) override { text += std::string(what) + " "; }
  std::string text;
};

TEST(Json, TablesGetTheEventsAndTheTreeTheRest) {
  Written table;
  const auto at = [&](const std::vector<std::string>& path) {
    return path == std::vector<std::string>{"m", "v"} ? &table : nullptr;
  };
  const JsonTree tree = parse_json(
      R"({"m": {"u": [{"v": 1}], "v": {"a": 1, "a": -2, "b": [0.5, null, true, NaN, 18446744073709551615, {}],
          "c": "\ud800", "d": "s"}, "w": 3}, "v": []})",
      "c", at);
  EXPECT_EQ(table.text, "{a=1 a=-2 b=[0.5 null true NaN 1.84467e+19 {) ) c=half a surrogate pair d='s' ) ");
  EXPECT_EQ(*tree, Json({{"m", {{"u", Json::array({{{"v", 1}}})}, {"v", nullptr}, {"w", 3}}},
                         {"v", Json::array()}}));
  for (const char* twice :
       {R"({"m": {"v": [], "v": 1}})", R"({"m": {"v": 1, "v": []}})", R"({"m": {"v": [], "v": []}})"})
    EXPECT_ERROR(parse_json(twice, "c", at), ErrorCode::kCorrupt, "c: key 'v' is given twice");
  const JsonTree later = parse_json(R"({"m": {"v": [1]}, "m": {"v": [2]}})", "c", at);
  EXPECT_ERROR(json_find(*later, "m", "c"), ErrorCode::kCorrupt, "key 'm' is given twice");
}

TEST(Json, RefusesDeepNestingWithoutExhaustingTheStack) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth), "x"));
  EXPECT_ERROR(parse_json(nested(kMaxJsonDepth + 1), "x"), ErrorCode::kCorrupt,
               "nested deeper than 256 at line 1, column 257");
  EXPECT_ERROR(parse_json(nested(1000000), "x"), ErrorCode::kCorrupt, "nested deeper");
  std::string objects;
  for (int i = 0; i < 300; ++i) objects += "{\"a\":";
  EXPECT_ERROR(parse_json(objects + "1" + std::string(300, '}'), "x"), ErrorCode::kCorrupt, "nested deeper");
}

TEST(Json, ATreeIsAtMostASmallMultipleOfItsText) {
  // What real files hold passes whatever its size.
  for (const char* part :
       {"{\"id\": 3, \"content\": \"<pad>\", \"special\": true}", "\"a token\"", "12", "3", "{\"k\": 1.5}"})
    EXPECT_NO_THROW(parse_json(repeated(part, 1 << 20), "x")) << part;
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  for (const std::string& part : {std::string("[]"), std::string("{}"), deep, std::string("\"\"")}) {
    EXPECT_NO_THROW(parse_json(repeated(part, 50 << 10), "x")) << part;  // 4 MiB are there for all
    EXPECT_ERROR(parse_json(repeated(part, 6 << 20), "x"), ErrorCode::kCorrupt,
                 "of JSON would take over 100 MB")
        << part;
  }
  std::string keys = "{";
  for (int i = 0; i < 100'000; ++i) keys += fmt::format("\"{:x}\":0,", i);
  keys.back() = '}';
  EXPECT_NO_THROW(parse_json(keys, "x"));
}

TEST(Json, TheHeapHoldsNoMoreThanTheBound) {
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  for (const std::string& part :
       {"3"s, "12"s, "-1"s, "1.5"s, "null"s, "NaN"s, "[]"s, "{}"s, "\"\""s, "\"0123456789abcdef\""s, "[3]"s,
        "[1,2]"s, "{\"k\":1}"s, "{\"0123456789abcdef\":[NaN]}"s, "{\"k\":1,\"k\":2}"s, deep}) {
    for (const size_t size : {10'000, 3'000'000}) {
      const std::string text = repeated(part, size);
      const int64_t peak = test::heap_peak([&] {
        try {
          const JsonTree tree = parse_json(text, "x");
        } catch (const Error&) {
        }
      });
      EXPECT_LE(peak, static_cast<int64_t>(max_json_tree_bytes(text.size()))) << part.substr(0, 30) << size;
    }
  }
}

TEST(Json, GetNamesTheKeyThatIsMissingOrOfAnotherType) {
  const JsonTree tree = parse_json(R"({"n": 3, "s": "x", "z": null, "b": true, "l": [1]})", "test");
  const Json& object = *tree;
  EXPECT_EQ(json_get<int>(object, "n", "c"), 3);
  EXPECT_EQ(json_get<double>(object, "n", "c"), 3.0);
  EXPECT_EQ(json_get<bool>(object, "b", "c"), true);
  EXPECT_ERROR(json_get<int>(object, "m", "c"), ErrorCode::kCorrupt, "c: key 'm' is missing");
  EXPECT_ERROR(json_get<int>(object, "s", "c"), ErrorCode::kCorrupt,
               "key 's' is \"x\" instead of a whole number of 32 bits");
  EXPECT_ERROR(json_get<int>(object, "l", "c"), ErrorCode::kCorrupt,
               "key 'l' is an array instead of a whole");
  EXPECT_ERROR(json_get<double>(object, "b", "c"), ErrorCode::kCorrupt,
               "key 'b' is true instead of a number");
  EXPECT_ERROR(json_get<int>(object, "b", "c"), ErrorCode::kCorrupt, "key 'b' is true instead of a whole");
  EXPECT_ERROR(json_get<bool>(object, "n", "c"), ErrorCode::kCorrupt, "key 'n' has the wrong type (number)");
  EXPECT_ERROR(json_get<std::string>(object, "z", "c"), ErrorCode::kCorrupt, "wrong type (null)");
  using Texts = std::vector<std::string>;
  EXPECT_ERROR(json_get<Texts>(object, "l", "c"), ErrorCode::kCorrupt,
               "key 'l' has the wrong type (array), or holds a value of one");
  EXPECT_ERROR(json_get<int>(Json::array(), "n", "c"), ErrorCode::kCorrupt, "'n' is missing");
}

TEST(Json, WholeNumbersAreNeitherCutNorWrapped) {
  const JsonTree tree = parse_json(
      R"({"f": 2.9, "one": 1.0, "big": 4294967459, "top": 2147483647, "over": 2147483648, "low": -2147483648,
          "under": -2147483649, "huge": 18446744073709551615, "long": 9223372036854775807})",
      "c");
  for (const char* key : {"f", "one", "big", "over", "under", "huge"})
    EXPECT_ERROR(json_get<int32_t>(*tree, key, "c"), ErrorCode::kCorrupt,
                 "instead of a whole number of 32 bits")
        << key;
  EXPECT_EQ(json_get<int32_t>(*tree, "top", "c"), INT32_MAX);
  EXPECT_EQ(json_get<int32_t>(*tree, "low", "c"), INT32_MIN);
  EXPECT_EQ(json_get<int64_t>(*tree, "long", "c"), INT64_MAX);
  EXPECT_ERROR(json_get<int64_t>(*tree, "huge", "c"), ErrorCode::kCorrupt, "of 64 bits");
  EXPECT_EQ(json_get<uint64_t>(*tree, "huge", "c"), UINT64_MAX);
  EXPECT_ERROR(json_get<uint64_t>(*tree, "low", "c"), ErrorCode::kCorrupt, "is -2147483648 instead of");
}

TEST(Json, GetOrFallsBackOnMissingAndNullOnly) {
  const JsonTree tree = parse_json(R"({"n": 3, "s": "x", "z": null})", "test");
  const Json& object = *tree;
  EXPECT_EQ(json_get_or<int>(object, "n", 7, "c"), 3);
  EXPECT_EQ(json_get_or<int>(object, "m", 7, "c"), 7);
  EXPECT_EQ(json_get_or<int>(object, "z", 7, "c"), 7);
  EXPECT_ERROR(json_get_or<int>(object, "s", 7, "c"), ErrorCode::kCorrupt, "instead of a whole number");
}

TEST(Json, ReadsFilesUpToTheirBound) {
  const auto path = std::filesystem::path(testing::TempDir()) / "bolide_json_test.json";
  std::ofstream(path) << R"({"k": 1})";
  EXPECT_EQ((*read_json_file(path))["k"], 1);
  EXPECT_EQ((*read_json_file(path, 8))["k"], 1);
  EXPECT_ERROR(read_json_file(path, 4), ErrorCode::kCorrupt, "bolide_json_test.json");
  std::filesystem::remove(path);
  EXPECT_ERROR(read_json_file(path), ErrorCode::kNotFound, "bolide_json_test.json");
}

}  // namespace
}  // namespace bolide
