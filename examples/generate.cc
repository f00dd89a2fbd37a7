// The C++ API in one page: load a model folder, continue two texts in one batch, stream a third.
//
//   example_generate MODEL_FOLDER [PROMPT]
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "bolide/engine.h"
#include "bolide/error.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: example_generate MODEL_FOLDER [PROMPT]\n");
    return 2;
  }
  const std::string prompt = argc > 2 ? argv[2] : "Once upon a time";
  try {
    bolide::EngineConfig config;
    config.model = argv[1];  // a Hugging Face folder, or FasterTransformer's N-gpu/
    const auto engine = bolide::Engine::create(config);
    std::printf("%s on %s, %s\n", engine->info().architecture.c_str(), engine->info().device.c_str(),
                engine->info().instruction_set.c_str());

    // Two requests of one batch: greedy, and sampled with a seed. Neither changes what the other gives.
    std::vector<bolide::Request> requests(2);
    requests[0].prompt = prompt;
    requests[1].prompt = prompt;
    requests[1].sampling = {.temperature = 0.9f, .top_k = 20, .seed = 7};
    for (const bolide::Result& result : engine->generate(std::move(requests))) {
      std::printf("[%s after %zu tokens]%s\n", std::string(name_of(result.finish_reason)).c_str(),
                  result.output_ids.size(), result.text.c_str());
    }

    // One that streams: on_token runs on the engine's thread, wait() blocks until the end.
    bolide::Request streamed;
    streamed.prompt = prompt;
    streamed.max_new_tokens = 16;
    streamed.on_token = [](const bolide::StreamEvent& event) {
      std::fputs(event.text.c_str(), stdout);
      return true;  // false would cancel the request
    };
    engine->wait(engine->submit(std::move(streamed)));
    std::puts("");
    return 0;
  } catch (const bolide::Error& error) {  // the one type that the library throws
    std::fprintf(stderr, "example_generate: %s\n", error.what());
    return error.code() == bolide::ErrorCode::kUsage ? 2 : 1;
  }
}
