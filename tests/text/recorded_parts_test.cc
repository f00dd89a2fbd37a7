// What tools/make_tokenizer_parts.py recorded from the Python package, part by part.
#include <gtest/gtest.h>

#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_files.h"

namespace bolide::text {
namespace {

using Strings = std::vector<std::string>;
using Spans = std::vector<std::pair<int64_t, int64_t>>;

const Json& recorded() {
  static const JsonTree tree =
      read_json_file(std::filesystem::path(BOLIDE_SOURCE_DIR) / "tests/text/tokenizer_parts.json");
  return (*tree)["parts"];
}

// Calls check(part, case) for all cases of a kind.
template <class Check>
void for_each(const std::string& kind, size_t least, Check check) {
  size_t count = 0;
  for (const Json& part : recorded()) {
    if (part["kind"] != kind) continue;
    for (const Json& one : part["cases"]) {
      SCOPED_TRACE(part["part"].dump().substr(0, 300) + " " + one.dump().substr(0, 200));
      check(part["part"], one);
      ++count;
    }
  }
  EXPECT_GE(count, least);
}

TEST(Recorded, Normalizers) {
  for_each("normalizer", 200, [](const Json& part, const Json& one) {
    const auto normalizer = make_normalizer(part, "test");
    const auto text = one["text"].get<std::string>();
    Work work(text.size());
    const NormalizedString aligned(text, work);
    std::vector<AlignedChar> chars;
    aligned.explode(aligned.pieces[0], chars);
    normalizer->apply(chars, {0, max_rewritten(text.size()), work});
    Strings got;
    Spans offsets;
    std::string all;
    for (const AlignedChar& each : chars) {
      got.push_back(to_string(each.c));
      offsets.emplace_back(each.from.begin, each.from.end);
      all += got.back();
    }
    EXPECT_EQ(got, one["chars"].get<Strings>());
    EXPECT_EQ(offsets, one["offsets"].get<Spans>());
    EXPECT_EQ(normalized(normalizer.get(), text), all);
    // A part of the text that it says it leaves, it must leave.
    for (size_t begin = 0; begin < text.size(); begin += char_size(text[begin])) {
      for (size_t end = begin; end < text.size();) {
        end += char_size(text[end]);
        const std::string cut = text.substr(begin, end - begin);
        if (normalizer->leaves(cut, work)) {
          ASSERT_EQ(normalized(normalizer.get(), cut), cut);
        }
      }
    }
  });
}

TEST(Recorded, PreTokenizers) {
  for_each("pre_tokenizer", 400, [](const Json& part, const Json& one) {
    const auto text = one["text"].get<std::string>();
    Work work(text.size());
    NormalizedString aligned(text, work);
    make_pre_tokenizer(part, "test")->apply(aligned);
    Strings words;
    Spans offsets;
    for (const Piece& piece : aligned.pieces) {
      words.emplace_back(aligned.text(piece));
      const Span span = aligned.span(piece.begin, piece.end);
      offsets.emplace_back(span.begin, span.end);
    }
    EXPECT_EQ(words, one["words"].get<Strings>());
    EXPECT_EQ(offsets, one["offsets"].get<Spans>());
  });
}

TEST(Recorded, Decoders) {
  struct Text : TokenSink {
    std::string text;
    void put(std::string_view part) override { text += part; }
    void end_token() override {}
    void finish() override {}
  };
  for_each("decoder", 160, [](const Json& part, const Json& one) {
    Text out;
    DecodeLimits limits{Work(1000)};
    const auto decoder = make_decoder(part, "test");  // which the steps refer to
    const auto steps = decoder->start(out, limits);
    for (const auto& token : one["tokens"].get<Strings>()) {
      limits.spelled += token.size();
      steps->put(token);
      steps->end_token();
    }
    steps->finish();
    EXPECT_EQ(out.text, one["text"].get<std::string>());
  });
}

TEST(Recorded, ModelsAndPostProcessors) {
  for_each("whole", 400, [](const Json& part, const Json& one) {
    const auto tokenizer = tokenizer_of(part);
    const auto texts = one["texts"].get<Strings>();
    const bool special = one["special"];
    const Encoding got = texts.size() == 1 ? tokenizer->encode(texts[0], special)
                                           : tokenizer->encode_pair(texts[0], texts[1], special);
    EXPECT_EQ(got.ids, one["ids"].get<std::vector<int32_t>>());
    if (one.contains("offsets")) {
      EXPECT_EQ(got.offsets, one["offsets"].get<Spans>());
    }
    EXPECT_EQ(got.type_ids, one["type_ids"].get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer->decode(got.ids), one["decoded"].get<std::string>());
  });
}

}  // namespace
}  // namespace bolide::text
