#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "apps/arguments.h"
#include "apps/bench_run.h"
#include "apps/lines.h"
#include "apps/ordered_run.h"
#include "apps/output.h"
#include "apps/request_jsonl.h"
#include "apps/safetensors_writer.h"
#include "apps/stream_printer.h"
#include "apps/terminal.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

class TemporaryFile {
 public:
  explicit TemporaryFile(const char* name) : path_(std::filesystem::path(testing::TempDir()) / name) {
    std::filesystem::remove(path_);
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

 private:
  std::filesystem::path path_;
};

// Code and message of the Error that `run` throws.
template <class Run>
std::pair<ErrorCode, std::string> fault(Run run) {
  try {
    run();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ErrorCode::kInternal, "no error"};
}

TEST(ReadAhead, FillsTheBatchWithoutReadingAllOfAFile) {
  ModelInfo info;
  info.kv_capacity_tokens = int64_t{1} << 40;
  EXPECT_EQ(read_ahead(1, info), 64);
  EXPECT_EQ(read_ahead(32, info), 128);
  EXPECT_EQ(read_ahead(1000, info), 4000);
  EXPECT_EQ(read_ahead(100000, info), 104096);
  info.kv_capacity_tokens = 4096;  // 256 pages: no more can run at once
  EXPECT_EQ(read_ahead(536870911, info), 1024);
}

// Answers at once; counts.
class CountingEngine final : public Engine {
 public:
  uint64_t submit(Request) override { return submitted++; }
  Result wait(uint64_t request) override {
    waited.insert(request);
    return {};
  }
  bool cancel(uint64_t) override { return true; }
  const ModelInfo& info() const override { return info_; }
  const Tokenizer* tokenizer() const override { return nullptr; }
  void set_step_observer(std::function<void(const StepInfo&)>) override {}

  std::atomic<uint64_t> submitted{0};
  std::set<uint64_t> waited;

 protected:
  std::vector<uint64_t> submit_all(std::vector<Request>) override { return {}; }

 private:
  ModelInfo info_;
};

TEST(OrderedRun, WaitsForAllThatItHasSubmittedHoweverItEnds) {
  CountingEngine engine;
  OrderedRun run;
  run.on_result = [&](int64_t, Result&&) {
    while (engine.submitted < 10) std::this_thread::yield();
    throw Error(ErrorCode::kResource, "the disk is full");
  };
  const auto all = [&] { run_in_order(engine, *list_source(std::vector<NamedRequest>(10)), run); };
  EXPECT_EQ(fault(all).second, "the disk is full");
  EXPECT_EQ(engine.waited.size(), 10u);
}

// The flags of a command like ours, of every kind.
std::vector<std::string> normal(const std::vector<std::string>& words) {
  CLI::App app("", "make");
  std::string text;
  int number = 0;
  std::vector<std::string> texts;
  std::vector<int> numbers;
  bool on = false;
  app.add_option("-m,--model", text)->required();
  app.add_option("-n,--max-new-tokens,--max-tokens", number);
  app.add_option("--tensor-para-size", number);
  app.add_option("-p,--prompt", texts)->allow_extra_args(false);
  app.add_option("--batch-size", numbers)->delimiter(',');
  app.add_flag("-v,--verbose", on);
  app.add_flag("-s,--stream", on);
  return normal_arguments(app, words);
}

TEST(Arguments, EveryFlagGetsItsLongName) {
  EXPECT_THAT(normal({"-tp", "2", "-m", "x", "-n=5"}),
              ElementsAre("--tensor-para-size", "2", "--model", "x", "--max-new-tokens", "5"));
  EXPECT_THAT(normal({"-tp2", "-n7", "-vs", "--model=a=b"}),
              ElementsAre("--tensor-para-size", "2", "--max-new-tokens", "7", "--verbose", "--stream",
                          "--model", "a=b"));
  EXPECT_THAT(normal({"--max-tokens", "-1", "-m", "-"}),
              ElementsAre("--max-new-tokens", "-1", "--model", "-"));
}

TEST(Arguments, ListFlagsBecomeOneFlagAValue) {
  EXPECT_THAT(normal({"-p", "-x", "[c, d]", "b", "--prompt=-n", "--batch-size", "1,2", "3"}),
              ElementsAre("--prompt", "-x", "--prompt", "[c, d]", "--prompt", "b", "--prompt", "-n",
                          "--batch-size", "1,2", "--batch-size", "3"));
}

TEST(Arguments, WhatIsWrongIsNamed) {
  const auto refused = [](const std::vector<std::string>& words, const char* says) {
    EXPECT_THAT(fault([&] { normal(words); }), testing::Pair(ErrorCode::kUsage, HasSubstr(says))) << says;
  };
  refused({"--max-new-token", "3"}, "unknown flag --max-new-token: did you mean --max-new-tokens?");
  refused({"--max_new_tokens=3"}, "unknown flag --max_new_tokens: did you mean --max-new-tokens?");
  refused({"--max-new", "3"}, "did you mean --max-new-tokens?");
  refused({"-model", "x"}, "unknown flag -model: did you mean --model?");
  refused({"-M", "x"}, "did you mean -m?");
  refused({"--frobnicate"}, "unknown flag --frobnicate (see 'bolide make --help')");
  refused({"x"}, "unexpected word 'x': each value stands behind its flag, as in --model DIR");
  refused({"-m", "x", "y"}, "unexpected word 'y'");
  refused({"-m"}, "--model needs a value");
  refused({"-m", "--stream"}, "--model needs a value");
  refused({"-p"}, "--prompt needs a value");
  refused({"-m", ""}, "--model is empty");
  refused({"--model="}, "--model is empty");
  refused({"-p", "a", ""}, "--prompt is empty");
  refused({"-n", "3", "--max-tokens", "4"}, "--max-new-tokens is given twice");
  refused({"--stream=yes"}, "--stream takes no value");
  refused({"--" + std::string(5000, 'x')}, " (5002 bytes) (see");
}

TEST(Arguments, EscapesOfStopTexts) { EXPECT_EQ(unescaped(R"(a\nb\t\r\\n\d\)"), "a\nb\t\r\\n\\d\\"); }

TEST(RequestJsonl, FieldsOverrideFlags) {
  Request defaults;
  defaults.max_new_tokens = 7;
  defaults.sampling.top_k = 3;
  const Request plain = parse_request(R"({"prompt": "hi"})", "F line 1", defaults);
  EXPECT_EQ(plain.prompt, "hi");
  EXPECT_EQ(plain.max_new_tokens, 7);
  EXPECT_EQ(plain.sampling.top_k, 3);
  const Request full = parse_request(
      R"({"input_ids": [1, 2], "output_len": 9, "temperature": 2, "top_k": 0, "top_p": 0.5,
          "seed": 18446744073709551615, "stop": ["a", "b"], "ignore_eos": true, "return_log_probs": true})",
      "F line 1", defaults);
  EXPECT_THAT(full.input_ids, ElementsAre(1, 2));
  EXPECT_EQ(full.max_new_tokens, 9);
  EXPECT_EQ(full.sampling.temperature, 2.0f);
  EXPECT_EQ(full.sampling.top_k, 0);
  EXPECT_EQ(full.sampling.top_p, 0.5f);
  EXPECT_EQ(full.sampling.seed, ~uint64_t{0});
  EXPECT_THAT(full.stop, ElementsAre("a", "b"));
  ASSERT_TRUE(full.end_ids.has_value());
  EXPECT_THAT(*full.end_ids, IsEmpty());
  EXPECT_TRUE(full.return_log_probs);
  EXPECT_THAT(parse_request(R"({"prompt": "", "stop": "x", "beam_width": 1})", "F", defaults).stop,
              ElementsAre("x"));
}

TEST(RequestJsonl, FieldsHaveTheOtherNamesOfTheirFlags) {
  for (const char* name : {"max_new_tokens", "max_tokens", "n_predict", "output_len"})
    EXPECT_EQ(
        parse_request(fmt::format(R"({{"prompt": "a", "{}": 9}})", name), "F", Request{}).max_new_tokens, 9);
  EXPECT_EQ(parse_request(R"({"prompt": "a", "temp": 2})", "F", Request{}).sampling.temperature, 2.0f);
}

TEST(RequestJsonl, EndIdsAreANumberOrAList) {
  Request defaults;
  const auto end_ids = [&](const std::string& field) {
    return parse_request(R"({"input_ids": [1], )" + field + "}", "F", defaults).end_ids;
  };
  EXPECT_THAT(end_ids(R"("end_id": 7)"), Optional(ElementsAre(7)));
  EXPECT_THAT(end_ids(R"("end_id": [7, 9])"), Optional(ElementsAre(7, 9)));
  EXPECT_THAT(end_ids(R"("end_id": -1)"), Optional(IsEmpty()));
  EXPECT_THAT(end_ids(R"("end_id": [])"), Optional(IsEmpty()));
  EXPECT_EQ(end_ids(R"("top_k": 1)"), std::nullopt);
  defaults.end_ids.emplace();  // --ignore-eos
  EXPECT_THAT(end_ids(R"("top_k": 1)"), Optional(IsEmpty()));
  EXPECT_THAT(end_ids(R"("end_id": 7)"), Optional(ElementsAre(7)));
  EXPECT_EQ(end_ids(R"("ignore_eos": false)"), std::nullopt);
  for (const char* field : {R"("end_id": true)", R"("end_id": 2.0)", R"("end_id": "2")",
                            R"("end_id": [2, null])", R"("end_id": 2, "ignore_eos": true)"})
    EXPECT_THAT(fault([&] { end_ids(field); }).second, HasSubstr("end_id")) << field;
}

TEST(RequestJsonl, FaultsNameTheLineAndTheField) {
  const auto parse = [](const char* line) {
    return fault([line] { parse_request(line, "F line 3", Request{}); });
  };
  for (const char* line : {"", "nonsense", "[1]", "{}", R"({"prompt": 5})", R"({"input_ids": [1.0]})",
                           R"({"input_ids": [2147483648]})", R"({"input_ids": [-2147483649]})",
                           R"({"prompt": "a", "prompt": "b"})", R"({"prompt": "a", "input_ids": [1]})",
                           R"({"prompt": "a", "seed": -1})", R"({"prompt": "a"} x)", "{\"prompt\": \"\xff\"}",
                           R"({"prompt": "a", "max_new_tokens": 1, "output_len": 1})",
                           R"({"prompt": "a", "max_tokens": 1, "n_predict": 1})"}) {
    const auto [code, message] = parse(line);
    EXPECT_EQ(code, ErrorCode::kCorrupt) << line << ": " << message;
    EXPECT_THAT(message, testing::StartsWith("F line 3: ")) << line;
  }
  EXPECT_THAT(parse(R"({"input_ids": [1], "tempratur": 1})"),
              testing::Pair(ErrorCode::kCorrupt, HasSubstr("'tempratur': did you mean 'temperature'?")));
  EXPECT_THAT(parse(R"({"messages": [], "prompt": "a"})"),
              testing::Pair(ErrorCode::kCorrupt, HasSubstr("'messages', see 'bolide generate --help'")));
  EXPECT_THAT(parse(R"({"input_ids": [1], "beam_width": 2})"),
              testing::Pair(ErrorCode::kCorrupt, HasSubstr("beam_width 2")));
  // A deep nest is refused without deep recursion.
  EXPECT_EQ(parse((R"({"prompt": )" + std::string(1 << 20, '[')).c_str()).first, ErrorCode::kCorrupt);
  EXPECT_EQ(
      parse((R"({"prompt": )" + std::string(1 << 16, '[') + std::string(1 << 16, ']') + "}").c_str()).first,
      ErrorCode::kCorrupt);
}

TEST(Lines, EndsNumbersAndALastLineWithoutNewline) {
  TemporaryFile file("lines.txt");
  const std::string longer_than_a_read(200000, 'x');
  std::ofstream(file.path(), std::ios::binary) << "a\r\n\n" << longer_than_a_read << "\nlast";
  LineReader lines(file.path());
  std::vector<std::string> got;
  for (std::string line; lines.next(line);) got.push_back(line);
  EXPECT_THAT(got, ElementsAre("a", "", longer_than_a_read, "last"));
  EXPECT_THAT(lines.where(), testing::EndsWith("lines.txt line 4"));
  EXPECT_EQ(fault([] { LineReader("/nowhere/at/all"); }).first, ErrorCode::kNotFound);
}

TEST(Output, WholeFilesAppearOnCommitOnly) {
  TemporaryFile file("whole.txt");
  {
    Output out(file.path(), Output::Mode::kWhole);
    out.write("half");
    out.flush();
    EXPECT_FALSE(std::filesystem::exists(file.path()));
  }
  EXPECT_FALSE(std::filesystem::exists(file.path()));
  Output out(file.path(), Output::Mode::kWhole);
  const std::string large(1 << 18, 'y');
  out.write("all of it");
  out.write(large);
  out.commit();
  EXPECT_EQ(file.content(), "all of it" + large);
}

TEST(Output, AnEarlierFileGoesWithTheFirstWriteOnly) {
  TemporaryFile file("earlier.txt");
  std::ofstream(file.path()) << "a longer earlier result";
  { Output out(file.path()); }
  EXPECT_EQ(file.content(), "a longer earlier result");
  {
    Output out(file.path());
    out.write("new");
  }
  EXPECT_EQ(file.content(), "new");
  Output(file.path()).commit();  // a result of nothing
  EXPECT_EQ(file.content(), "");
}

TEST(Output, AFullDiskIsNamed) {
  Output out("/dev/full", Output::Mode::kWhole);
  out.write("x");
  const auto [code, message] = fault([&] { out.commit(); });
  EXPECT_EQ(code, ErrorCode::kResource);
  EXPECT_THAT(message, HasSubstr("/dev/full"));
}

TEST(SafetensorsWriter, LaysTensorsOutAsItsHeadSays) {
  TemporaryFile file("out.safetensors");
  Output out(file.path(), Output::Mode::kWhole);
  SafetensorsWriter writer(out, {{"0", {1, 2}}, {"1", {2, 2}}});
  const std::vector<float> first{1, 2}, second{3, 4, 5, 6};
  writer.write(first);
  EXPECT_EQ(fault([&] { writer.finish(); }).first, ErrorCode::kInternal);
  EXPECT_EQ(fault([&] { writer.write(first); }).first, ErrorCode::kInternal);
  writer.write(second);
  writer.finish();
  out.commit();
  const std::string bytes = file.content();
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), 8);
  EXPECT_EQ(size % 8, 0u);
  const auto header = nlohmann::json::parse(bytes.substr(8, size));
  EXPECT_EQ(header["1"]["data_offsets"], (std::vector<int64_t>{8, 24}));
  EXPECT_EQ(header["1"]["shape"], (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(header["0"]["dtype"], "F32");
  float value = 0;
  std::memcpy(&value, bytes.data() + 8 + size + 8 + 12, 4);
  EXPECT_EQ(value, 6);
  EXPECT_EQ(bytes.size(), 8 + size + 24);
}

TEST(StreamPrinter, LaterTextWaitsForItsTurn) {
  TemporaryFile file("stream.txt");
  Output out(file.path());
  StreamPrinter printer(out);
  EXPECT_TRUE(printer.push(1, "two"));
  EXPECT_TRUE(printer.push(0, "on"));
  EXPECT_EQ(file.content(), "on");
  EXPECT_TRUE(printer.push(0, "e"));
  printer.finish(0, "one!");  // the end came with the result alone
  EXPECT_EQ(file.content(), "one!\ntwo");
  printer.finish(1, "two");
  printer.finish(2, "three");
  EXPECT_EQ(file.content(), "one!\ntwo\nthree\n");
}

TEST(StreamPrinter, ABrokenOutputCancelsAndIsReportedOnce) {
  Output out("/dev/full");
  StreamPrinter printer(out);
  EXPECT_FALSE(printer.push(0, "x"));
  EXPECT_FALSE(printer.push(1, "y"));
  EXPECT_EQ(fault([&] { printer.finish(0, "x"); }).first, ErrorCode::kResource);
}

TEST(Terminal, NumbersAndTables) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1234567), "1.23 MB");
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(-123456), "-123,456");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  Table table({"name", "n"});
  table.add({"é", "10"});
  EXPECT_EQ(table.text(-1), "name   n\né     10\n");
}

TEST(BenchRun, WorkOfAKnownShape) {
  ModelInfo info;
  info.data_type = "bf16";
  info.vocab_size = 100, info.hidden_size = 8, info.layers = 2, info.heads = 2, info.kv_heads = 2,
  info.head_size = 4;
  info.inter_size = 32, info.kv_bytes_per_token = 2 * 2 * 8 * 2;
  info.gemm_parameters = 2 * (8 * 24 + 8 * 8 + 2 * 8 * 32) + 800, info.gemm_bytes = 2 * info.gemm_parameters,
  info.head_parameters = 800;
  const double layers = 2 * (8 * 24 + 8 * 8 + 2 * 8 * 32), head = 800;
  const Work decode = decode_work(info, 3, 10, 4);
  EXPECT_DOUBLE_EQ(decode.bytes, 2 * (layers + head) + 3 * 12 * 64);
  EXPECT_DOUBLE_EQ(decode.flops, 3 * 2 * (layers + head) + 3 * 4 * 2 * 8 * 12);
  const Work prefill = prefill_work(info, 3, 10);
  EXPECT_DOUBLE_EQ(prefill.flops, 2 * layers * 30 + 2 * head * 3 + 3 * 4 * 2 * 8 * 55);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(median({}), 0);
}

}  // namespace
}  // namespace bolide::apps
