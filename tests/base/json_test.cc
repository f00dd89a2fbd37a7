#include "base/json.h"

#include <gmock/gmock.h>

#include <fstream>

#include "support/expect_error.h"

namespace bolide {
namespace {

using ::testing::HasSubstr;

TEST(Json, ParsesWhatIsWellFormed) {
  const Json value = parse_json(R"({"a": {"k": [1, 2.5, null]}, "b": {"k": "é"}})", "test");
  EXPECT_EQ(value["a"]["k"][1], 2.5);
  EXPECT_EQ(value["b"]["k"], "é");  // the same key in two objects is no duplicate
}

TEST(Json, RefusesMalformedTextNamingItsOrigin) {
  for (const char* text : {"", "{", "{\"a\": 1,}", "[1 2]", "nul", "{\"a\": 1} x", "\"\xff\"", "'a'"}) {
    EXPECT_ERROR(parse_json(text, "config.json"), ErrorCode::kCorrupt, "config.json: not valid JSON") << text;
  }
}

TEST(Json, RefusesDuplicateKeys) {
  EXPECT_ERROR(parse_json(R"({"a": 1, "a": 2})", "x"), ErrorCode::kCorrupt, "duplicate JSON key 'a'");
  EXPECT_ERROR(parse_json(R"([{"o": {"k": 1, "n": {}, "k": 2}}])", "x"), ErrorCode::kCorrupt,
               "duplicate JSON key 'k'");
}

TEST(Json, RefusesDeepNestingWithoutExhaustingTheStack) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(200), "x"));
  EXPECT_ERROR(parse_json(nested(300), "x"), ErrorCode::kCorrupt, "nested deeper");
  EXPECT_ERROR(parse_json(nested(1000000), "x"), ErrorCode::kCorrupt, "nested deeper");
  std::string objects;
  for (int i = 0; i < 300; ++i) objects += "{\"a\":";
  EXPECT_ERROR(parse_json(objects + "1" + std::string(300, '}'), "x"), ErrorCode::kCorrupt, "nested deeper");
}

TEST(Json, GetNamesTheKeyThatIsMissingOrOfAnotherType) {
  const Json object = parse_json(R"({"n": 3, "s": "x", "z": null})", "test");
  EXPECT_EQ(json_get<int>(object, "n", "c"), 3);
  EXPECT_ERROR(json_get<int>(object, "m", "c"), ErrorCode::kCorrupt, "c: key 'm' is missing");
  EXPECT_ERROR(json_get<int>(object, "s", "c"), ErrorCode::kCorrupt, "key 's' has the wrong type (string)");
  EXPECT_ERROR(json_get<int>(Json::array(), "n", "c"), ErrorCode::kCorrupt, "'n' is missing");
}

TEST(Json, GetOrFallsBackOnMissingAndNullOnly) {
  const Json object = parse_json(R"({"n": 3, "s": "x", "z": null})", "test");
  EXPECT_EQ(json_get_or<int>(object, "n", 7, "c"), 3);
  EXPECT_EQ(json_get_or<int>(object, "m", 7, "c"), 7);
  EXPECT_EQ(json_get_or<int>(object, "z", 7, "c"), 7);
  EXPECT_ERROR(json_get_or<int>(object, "s", 7, "c"), ErrorCode::kCorrupt, "wrong type");
}

TEST(Json, ReadsFilesUpToTheirBound) {
  const auto path = std::filesystem::path(testing::TempDir()) / "bolide_json_test.json";
  std::ofstream(path) << R"({"k": 1})";
  EXPECT_EQ(read_json_file(path)["k"], 1);
  EXPECT_ERROR(read_json_file(path, 4), ErrorCode::kCorrupt, "bolide_json_test.json");
  std::filesystem::remove(path);
  EXPECT_ERROR(read_json_file(path), ErrorCode::kNotFound, "bolide_json_test.json");
}

}  // namespace
}  // namespace bolide
