// Text, streaming, and the ways in which a request comes to its end.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine_fixture.h"

namespace bolide {
namespace {

struct Streamed {
  std::vector<int32_t> ids;
  std::vector<std::string> pieces;
  std::string text() const {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    return all;
  }
};

// Restricts the fake vocabulary to ids that spell something.
struct TextTest : ::testing::Test {
  TextTest() { test.options.vocab = 52; }

  Result run(LocalEngine& engine, Request request, Streamed* streamed = nullptr) {
    if (streamed) {
      request.on_token = [streamed](const StreamEvent& event) {
        if (event.id >= 0) streamed->ids.push_back(event.id);
        streamed->pieces.push_back(event.text);
        return true;
      };
    }
    return engine.generate({std::move(request)}).front();
  }
  Request request(int32_t max_new_tokens = 30) { return request_of(prompt_of(3, 5, 52), max_new_tokens); }
  std::vector<int32_t> ids(int64_t count) { return test.twin().expected_ids(request().input_ids, count); }
  std::string text_of(const std::vector<int32_t>& ids) { return FakeTokenizer().decode(ids, true); }

  EngineUnderTest test;
};

TEST_F(TextTest, TextIsTheDecodedIds) {
  const auto engine = test.make();
  Streamed streamed;
  const Result result = run(*engine, request(), &streamed);
  EXPECT_EQ(result.output_ids, ids(30));
  EXPECT_EQ(result.text, text_of(ids(30)));
  EXPECT_EQ(streamed.ids, result.output_ids);
  EXPECT_EQ(streamed.text(), result.text);
}

TEST_F(TextTest, TextPromptIsEncoded) {
  const auto engine = test.make();
  Request by_text;
  by_text.prompt = "abcxyz";
  by_text.max_new_tokens = 5;
  const Result result = run(*engine, by_text);
  EXPECT_EQ(result.prompt_tokens, 6);
  EXPECT_EQ(result.output_ids, test.twin().expected_ids({0, 1, 2, 23, 24, 25}, 5));
}

TEST_F(TextTest, StopStringThatStraddlesTokens) {
  const std::string whole = text_of(ids(30));
  for (size_t length : {1, 3, 6}) {
    const auto engine = test.make();
    const std::string stop = whole.substr(12, length);
    const size_t at = whole.find(stop);
    Streamed streamed;
    Request stopping = request();
    stopping.stop = {"never", stop};
    const Result result = run(*engine, stopping, &streamed);
    EXPECT_EQ(result.finish_reason, FinishReason::kStopString) << stop;
    EXPECT_EQ(result.text, whole.substr(0, at)) << stop;
    EXPECT_EQ(streamed.text(), result.text) << stop;
    EXPECT_EQ(streamed.ids, result.output_ids) << stop;
    // It ends with the id that completes the stop string, and not later.
    EXPECT_GE(text_of(result.output_ids).size(), at + length);
    std::vector<int32_t> before = result.output_ids;
    before.pop_back();
    EXPECT_LT(text_of(before).size(), at + length);
  }
}

TEST_F(TextTest, HeldBackTextComesWithTheLastId) {
  const auto engine = test.make();
  const std::string whole = text_of(ids(8));
  Streamed streamed;
  Request open = request(8);
  open.stop = {whole.substr(whole.size() - 4) + "!"};  // its beginning is the end of the text
  const Result result = run(*engine, open, &streamed);
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  EXPECT_EQ(result.text, whole);
  EXPECT_EQ(streamed.text(), whole);
  EXPECT_EQ(streamed.pieces.size(), 8u);
  EXPECT_GE(streamed.pieces.back().size(), 4u);
}

TEST_F(TextTest, EndIdEndsAndIsNotPartOfTheOutput) {
  const std::vector<int32_t> whole = ids(30);
  const size_t at = std::find(whole.begin() + 6, whole.end(), whole[10]) - whole.begin();
  const size_t first = std::find(whole.begin(), whole.end(), whole[at]) - whole.begin();
  const std::vector<int32_t> want(whole.begin(), whole.begin() + static_cast<int64_t>(first));
  // One that does not come before and one that comes later change nothing: the first that comes ends it.
  int32_t never = 0;
  while (std::find(whole.begin(), whole.end(), never) != whole.end()) ++never;
  const std::vector<int32_t> end_ids = {never, whole[at], whole[first + 1]};
  for (bool models_own : {false, true}) {
    test.options.end_ids = models_own ? end_ids : std::vector<int32_t>();
    const auto engine = test.make();
    Request ending = request();
    if (!models_own) ending.end_ids = end_ids;
    Streamed streamed;
    const Result result = run(*engine, ending, &streamed);
    EXPECT_EQ(result.finish_reason, FinishReason::kEndId);
    EXPECT_EQ(result.output_ids, want);
    EXPECT_EQ(streamed.ids, want);
    EXPECT_EQ(result.text, text_of(want));
  }
  const auto engine = test.make();  // the model's own end id, switched off
  Request endless = request();
  endless.end_ids.emplace();
  EXPECT_EQ(run(*engine, endless).output_ids, whole);
}

TEST_F(TextTest, EndIdLetsHeldBackTextOut) {
  const std::vector<int32_t> whole = ids(30);
  const size_t at = std::find(whole.begin(), whole.end(), whole[10]) - whole.begin();
  ASSERT_GT(at, 1u);
  const std::string text = text_of({whole.begin(), whole.begin() + static_cast<int64_t>(at)});
  const auto engine = test.make();
  Request ending = request();
  ending.end_ids = {{whole[10]}};
  ending.stop = {text.substr(text.size() - 1) + "?"};
  Streamed streamed;
  const Result result = run(*engine, ending, &streamed);
  EXPECT_EQ(result.finish_reason, FinishReason::kEndId);
  EXPECT_EQ(result.text, text);
  EXPECT_EQ(streamed.text(), text);
  EXPECT_EQ(streamed.pieces.size(), at + 1);  // one event more than ids
}

TEST_F(TextTest, CallbackThatReturnsFalseCancels) {
  const auto engine = test.make();
  Request cancelling = request();
  int calls = 0;
  cancelling.on_token = [&](const StreamEvent&) { return ++calls < 4; };
  const Result result = engine->generate({cancelling}).front();
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result.output_ids, ids(4));
  EXPECT_EQ(result.text, text_of(ids(4)));
}

TEST_F(TextTest, CancellingAtTheLastIdRepeatsNoText) {
  const std::string whole = text_of(ids(8));
  const auto engine = test.make();
  Request cancelling = request(8);
  cancelling.stop = {whole.substr(whole.size() - 4) + "!"};
  int calls = 0;
  cancelling.on_token = [&](const StreamEvent&) { return ++calls < 8; };
  const Result result = engine->generate({cancelling}).front();
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result.text, whole);
}

TEST_F(TextTest, IdsThatSpellNothingGiveNoText) {
  test.options.vocab = 97;  // 52..96 are padding of the vocabulary
  const auto engine = test.make();
  const Result result = run(*engine, request());
  ASSERT_TRUE(
      std::any_of(result.output_ids.begin(), result.output_ids.end(), [](int32_t id) { return id > 51; }));
  std::vector<int32_t> spelling = result.output_ids;
  std::erase_if(spelling, [](int32_t id) { return id > 51; });
  EXPECT_EQ(result.text, text_of(spelling));
}

TEST_F(TextTest, WithoutTokenizerTextIsEmpty) {
  test.with_tokenizer = false;
  const auto engine = test.make();
  EXPECT_EQ(engine->tokenizer(), nullptr);
  Streamed streamed;
  const Result result = run(*engine, request(6), &streamed);
  EXPECT_EQ(result.output_ids, ids(6));
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(streamed.ids, ids(6));
}

TEST(FinishReasonName, IsTheCommandsWord) {
  EXPECT_EQ(name_of(FinishReason::kLength), "length");
  EXPECT_EQ(name_of(FinishReason::kEndId), "end_id");
  EXPECT_EQ(name_of(FinishReason::kStopString), "stop");
  EXPECT_EQ(name_of(FinishReason::kCancelled), "cancelled");
}

}  // namespace
}  // namespace bolide
