#include "models/registry.h"

#include "base/printable.h"
#include "models/bloom.h"
#include "models/codegen.h"
#include "models/falcon.h"
#include "models/gemma.h"
#include "models/gemma2.h"
#include "models/gemma3.h"
#include "models/gpt2.h"
#include "models/gptbigcode.h"
#include "models/gptj.h"
#include "models/gptneox.h"
#include "models/llama.h"
#include "models/mistral.h"
#include "models/mpt.h"
#include "models/olmo2.h"
#include "models/opt.h"
#include "models/phi.h"
#include "models/phi3.h"
#include "models/qwen2.h"
#include "models/qwen3.h"
#include "models/smollm3.h"
#include "models/stablelm.h"

namespace bolide {
namespace {

const Family* const kFamilies[] = {
    &kBloomFamily, &kCodegenFamily,    &kFalconFamily,  &kGemmaFamily, &kGemma2Family, &kGemma3Family,
    &kGpt2Family,  &kGptBigCodeFamily, &kGptNeoxFamily, &kGptjFamily,  &kLlamaFamily,  &kMistralFamily,
    &kMptFamily,   &kOlmo2Family,      &kOptFamily,     &kPhiFamily,   &kPhi3Family,   &kQwen2Family,
    &kQwen3Family, &kSmolLm3Family,    &kStableLmFamily};

std::string known_architectures(bool with_ft = false) {
  std::string names;
  for (const Family* family : kFamilies)
    if (!with_ft || family->ft) names += fmt::format("{}{}", names.empty() ? "" : ", ", family->architecture);
  return names;
}

}  // namespace

const Family& find_family(const Json& config, std::string_view where) {
  if (!config.is_object())
    fail(ErrorCode::kCorrupt, "{}: not an object of settings, but of type {}", where, config.type_name());
  // The model's type decides, as in transformers; where it is not given, the first architecture.
  std::string named = json_get_or<std::string>(config, "model_type", "", where);
  for (const Family* family : kFamilies)
    if (named == family->model_type) return *family;
  if (named.empty()) {
    const auto architectures = json_get_or<std::vector<std::string>>(config, "architectures", {}, where);
    for (const std::string& name : architectures)
      for (const Family* family : kFamilies)
        if (name == family->architecture) return *family;
    if (!architectures.empty()) named = architectures.front();
  }
  if (named.empty()) {
    fail(ErrorCode::kCorrupt, "{} names no architecture: it has neither 'architectures' nor 'model_type'",
         where);
  }
  fail(ErrorCode::kUnsupported, "{}: architecture '{}' is not one that this version has (it has {})", where,
       printable(named), known_architectures());
}

const Family& find_family(const Ini& config, std::string_view where) {
  for (const Family* family : kFamilies)
    if (family->ft && family->ft->matches(config)) return *family;
  fail(ErrorCode::kUnsupported, "{}: not an FT model that this version has (it has {})", where,
       known_architectures(true));
}

}  // namespace bolide
