#include "apps/json_lines.h"

#include <gtest/gtest.h>

#include "bolide/json.h"
#include "support/expect_error.h"

namespace bolide::apps {
namespace {

TEST(JsonLine, KeepsWhatALineIsReadFor) {
  const JsonLine line(R"({"ids": [1, -2, 3.5, null, true, 18446744073709551615, "s", [9], {"k": 1}],
                          "o": {"k": [1], "k": 2}, "s": "é"})",
                      "F line 1");
  EXPECT_EQ(line.value(), nlohmann::json({{"ids",
                                           {1, -2, 3.5, nullptr, true, UINT64_MAX, "s",
                                            nlohmann::json::array(), nlohmann::json::object()}},
                                          {"o", nlohmann::json::object()},
                                          {"s", "é"}}));
  EXPECT_EQ(*line.find("s"), "é");
  EXPECT_EQ(line.find("k"), nullptr);
  EXPECT_EQ(JsonLine("[1, [2, [3]]]", "F").value().dump(), "[1,[2,[]]]");
  EXPECT_EQ(JsonLine("[{\"a\": 1}, [4]]", "F").value().dump(), "[{},[4]]");
  EXPECT_EQ(JsonLine("\"x\"", "F").value(), "x");
  EXPECT_EQ(JsonLine("\"x\"", "F").find("x"), nullptr);
  EXPECT_EQ(JsonLine("-7", "F").value(), -7);
}

TEST(JsonLine, WhatPythonWritesMattersWhereItIsAskedFor) {
  const JsonLine line(
      R"({"a": NaN, "b": 1, "b": [2], "c": "\ud800", "d": [-Infinity], "good": 1, "b": {"b": 2}})",
      "F line 3");
  EXPECT_EQ(*line.find("good"), 1);
  EXPECT_ERROR(line.find("a"), ErrorCode::kCorrupt, "F line 3: 'a' is NaN");
  EXPECT_ERROR(line.find("b"), ErrorCode::kCorrupt, "F line 3: 'b' is given twice");
  EXPECT_ERROR(line.find("c"), ErrorCode::kCorrupt, "F line 3: 'c' is half a surrogate pair");
  EXPECT_EQ(shown((*line.find("d"))[0]), "-Infinity");
}

TEST(JsonLine, FaultsNameTheColumn) {
  EXPECT_ERROR(JsonLine("{\"text\": tru}", "F line 3"), ErrorCode::kCorrupt,
               "F line 3: not valid JSON at column 10: expected a value, found 'tru'");
  EXPECT_ERROR(JsonLine(std::string_view("{}\0x", 4), "F line 3"), ErrorCode::kCorrupt, "a zero byte");
  EXPECT_ERROR(JsonLine(std::string(1 << 20, '['), "F line 3"), ErrorCode::kCorrupt,
               "nested deeper than 256");
  const std::string deep = std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']');
  EXPECT_EQ(JsonLine(deep, "F").value().dump(), "[[[]]]");
}

TEST(JsonLine, TakesASmallMultipleOfTheLine) {
  const auto repeated = [](const std::string& part, size_t bytes) {
    std::string text = "[";
    while (text.size() < bytes) text += part + ",";
    text.back() = ']';
    return text;
  };
  EXPECT_EQ(JsonLine(repeated("1", 1 << 20), "F").value().size(), size_t{1} << 19);
  EXPECT_NO_THROW(JsonLine(repeated("\"a word\"", 1 << 20), "F"));
  EXPECT_NO_THROW(JsonLine(repeated("[[],[],[]]", 1 << 20), "F"));  // what is deep is not kept
  EXPECT_ERROR(JsonLine(repeated("\"\"", 1 << 20), "F"), ErrorCode::kCorrupt, "would take over 20 MB");
}

TEST(JsonLine, ValuesAreShownShort) {
  const auto show = [](const char* text) { return shown(nlohmann::json::parse(text)); };
  EXPECT_EQ(show("null"), "null");
  EXPECT_EQ(show("1.5"), "1.5");
  EXPECT_EQ(show("\"a\\u001b[2J\\u202e\""), "\"a?[2J?\"");
  EXPECT_EQ(show("[]"), "[]");
  EXPECT_EQ(show("{\"a\": 1, \"b\": [1]}"), "{\"a\": 1, \"b\": ...}");
  EXPECT_EQ(shown(std::string(1000, 'x')), "\"" + std::string(40, 'x') + "... (1000 bytes)\"");
  const std::string list = shown(std::vector<int>(100'000, 5));
  EXPECT_TRUE(list.starts_with("[5, 5, 5, 5, 5")) << list;
  EXPECT_LT(list.size(), 70u);
}

}  // namespace
}  // namespace bolide::apps
