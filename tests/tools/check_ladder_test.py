"""Plants violations of the include ladder in a scratch tree and expects tools/check_ladder.py to name each."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_ladder.py"

GOOD = {
    "include/bolide/error.h": "#include <string>\n",
    "include/bolide/engine.h": '#include "bolide/error.h"\n',
    "src/base/error.h": '#include <fmt/format.h>\n#include "bolide/error.h"\n',
    "src/tensor/view.h": '#include <sys/mman.h>\n#include "base/error.h"\n',
    "src/ops/matmul.h": '#include "tensor/view.h"\n',
    "src/text/bpe.h": '#include "base/error.h"\n',
    "src/models/registry.cc": '#include "models/llama.h"\nFamily* kFamilies[] = {&kLlamaFamily};\n',
    "src/models/llama.h": "extern Family kLlamaFamily;  // LLaMA\n",
    "src/layers/rope.h": "// LLaMA's\nfloat llama3();\n",
    "src/quant/weight_scheme.cc": "Scheme* kSchemes[] = {&kInt8Scheme};\n",
    "src/quant/int8/int8.cc": 'Scheme kInt8Scheme = {"int8"};\n',
    "src/ops/int8.cc": 'name_of("int8"); bool int8;\n',
    "src/models/rope_config.cc": 'Kind kTypes[] = {{"yarn", RopeType::kYarn}};\n',
    "src/layers/rotary.cc": "if (type == RopeType::kYarn) {}\n",
    "src/engine/engine.cc": '#include "bolide/engine.h"\n#include "ops/matmul.h"\n#include "text/bpe.h"\n',
    "apps/main.cc": '#include <CLI/CLI.hpp>\n#include "bolide/engine.h"\n',
}


class CheckLadderTest(unittest.TestCase):
    def check(self, **planted):
        """Runs the tool on the good tree with files added or replaced; returns (exit code, stderr)."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**GOOD, **planted.get("files", {})}.items():
                path = Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, str(TOOL), "--root", root], capture_output=True, text=True)
            return done.returncode, done.stderr

    def expect_finding(self, name, text, *words):
        code, findings = self.check(files={name: text})
        self.assertEqual(code, 1, f"{text!r} in {name} was not reported")
        self.assertIn(f"{name}:", findings)
        for word in words:
            self.assertIn(word, findings)

    def test_good_tree_passes(self):
        self.assertEqual(self.check(), (0, ""))

    def test_include_up_the_ladder(self):
        self.expect_finding("src/tensor/bad.h", '#pragma once\n#include "ops/matmul.h"\n', ":2:", "tensor stands below ops")

    def test_include_up_in_angle_brackets_and_with_blanks(self):
        self.expect_finding("src/tensor/bad.h", " #  include <ops/matmul.h>\n", "tensor stands below ops")

    def test_text_uses_base_only(self):
        self.expect_finding("src/text/bad.h", '#include "tensor/view.h"\n', "text may not include tensor")

    def test_only_the_top_uses_text(self):
        self.expect_finding("src/ops/bad.h", '#include "text/bpe.h"\n', "ops may not include text")

    def test_only_the_top_sees_the_engine_api(self):
        self.expect_finding("src/ops/bad.h", '#include "bolide/engine.h"\n', "top of the ladder")

    def test_public_header_takes_nothing_of_ours_or_of_others(self):
        self.expect_finding("include/bolide/bad.h", '#include "base/error.h"\n', "base/error.h")
        self.expect_finding("include/bolide/bad.h", "#include <fmt/format.h>\n", "standard library alone")
        self.expect_finding("include/bolide/bad.h", "#include <cuda_runtime.h>\n", "CUDA")

    def test_apps_see_the_public_api_only(self):
        self.expect_finding("apps/bad.cc", '#include "ops/matmul.h"\n', "ops/matmul.h")

    def test_cuda_stays_in_its_places(self):
        self.expect_finding("src/ops/matmul.cc", "#include <cublasLt.h>\n", "CUDA headers stay inside")
        self.expect_finding("src/ops/matmul.cc", "# ifdef BOLIDE_HAS_CUDA\n#endif\n", "use `if constexpr")
        self.expect_finding("apps/main.cc", "#if 1\n#elif defined(__CUDACC__)\n#endif\n", "use `if constexpr")
        self.expect_finding("src/machine/resources.cc", "#if defined(BOLIDE_HAS_MPI)\n#endif\n", "use `if constexpr")
        code, _ = self.check(files={"src/ops/cuda/matmul.cu": "#include <cublasLt.h>\n#ifdef __CUDA_ARCH__\n#endif\n"})
        self.assertEqual(code, 0)

    def test_third_party_stays_in_its_module(self):
        self.expect_finding("src/ops/bad.cc", "#include <oniguruma.h>\n", "belongs to text only")
        self.expect_finding("src/text/bad.cc", '#include "hwy/highway.h"\n', "belongs to ops")

    def test_unknown_dependency(self):
        self.expect_finding("src/ops/bad.cc", "#include <boost/any.hpp>\n", "docs/dependencies.md")

    def test_file_outside_the_tree(self):
        self.expect_finding("src/ops/bad.cc", '#include "../../apps/main.cc"\n', "no file under")
        self.expect_finding("src/ops/bad.cc", '#include "missing.h"\n', "no file under")

    def test_unknown_module(self):
        code, findings = self.check(files={"src/utils/misc.h": "#include <string>\n"})
        self.assertEqual(code, 1)
        self.assertIn("src/utils:1: is not a module of the ladder", findings)

    def test_cycle(self):
        code, findings = self.check(files={"src/ops/a.h": '#include "ops/b.h"\n', "src/ops/b.h": '#include "ops/a.h"\n'})
        self.assertEqual(code, 1)
        self.assertIn("cycle: src/ops/a.h -> src/ops/b.h -> src/ops/a.h", findings)

    def test_filesystem_calls_that_throw(self):
        begin = "namespace fs = std::filesystem;\nstd::error_code error;\n"
        for call in ("fs::exists(path);", "std::filesystem::is_directory(a / b);", "fs::rename(a, f(b, error));",
                     "fs::file_size(path, other);", "is_regular_file(path);", "entry.is_regular_file();", "fs::current_path();",
                     "for (const auto& each : fs::directory_iterator(path, error)) use(each);",
                     "fs::directory_iterator at(path);", "using std::filesystem::exists;", "using namespace std::filesystem;"):
            for name in ("src/base/bad.cc", "apps/bad.cc"):
                self.expect_finding(name, begin + call + "\n", ":3:", "filesystem_error")
        code, findings = self.check(files={"src/base/ok.cc": begin + """
            fs::exists(path, error); fs::rename(f(a, b), c, error); fs::path("exists(x)").filename();
            fs::directory_iterator at(path, error); ::rename(a, b); std::remove(a); link.status(); using std::filesystem::path;
            // fs::exists(path)
            """})
        self.assertEqual((code, findings), (0, ""))

    def test_a_family_outside_its_file(self):
        self.expect_finding("apps/bad.cc", "kLlamaFamily;\n", "names Llama")
        self.expect_finding("src/engine/bad.cc", '\nif (name == "LlamaForCausalLM") {}\n', ":2:", "names Llama")
        self.expect_finding("src/models/other.cc", "run(kLlamaFamily);\n", "belongs into src/models/llama.cc")
        for name in ("is_llama", "LLAMAForCausalLM", "LLAMA", "a.llama", "kLlama"):
            self.expect_finding("src/engine/bad.cc", f"{name};\n", ":1:", "names Llama")
        code, findings = self.check(files={"src/engine/ok.cc": "llama3; llamas; Llamas; LLAMAS_OF; collama;\n"})
        self.assertEqual((code, findings), (0, ""))

    def test_a_weight_scheme_outside_its_folder(self):
        for name in ("src/engine/bad.cc", "src/weights/bad.cc", "apps/bad.cc", "include/bolide/bad.h", "src/quant/dense/bad.cc"):
            for text in ('if (scheme == "int8") {}\n', "use(kInt8Scheme);\n", 'fail("use --weight-scheme int8, or");\n', 'f("int8|a");\n'):
                self.expect_finding(name, text, ":1:", "names Int8", "src/quant/int8/")
        code, findings = self.check(files={"src/engine/ok.cc": 'int8_t a; f("--int8_mode"); // "int8"\n',
                                           "src/tensor/ok.cc": 'f("int8");\n'})
        self.assertEqual((code, findings), (0, ""))

    def test_a_kind_of_positions_outside_its_file(self):
        self.expect_finding("src/models/bad.cc", 'if (type == "yarn") {}\n', ":1:", '"yarn"', "rope_config.cc")
        self.expect_finding("src/engine/bad.cc", "\nf(RopeType::kYarn);\n", ":2:", "RopeType::kYarn")
        code, findings = self.check(files={"src/engine/ok.cc": 'f("yarn");  // RopeType::kYarn\n'})
        self.assertEqual((code, findings), (0, ""))

    def test_a_table_that_cannot_be_read_is_a_finding(self):
        for table in ("src/models/registry.cc", "src/quant/weight_scheme.cc", "src/models/rope_config.cc"):
            self.expect_finding(table, "// {&kInt8Scheme, &kLlamaFamily}\n", "has no rows")

    def test_comments_are_not_includes(self):
        code, findings = self.check(files={
            "src/tensor/ok.h": '// #include "ops/matmul.h"\n/*\n#include "ops/matmul.h"\n*/\nconst char* k = "*/*";\n'})
        self.assertEqual((code, findings), (0, ""))
        self.expect_finding("src/tensor/bad.h", 'const char* k = "src/*";\n#include "ops/matmul.h"\n// */\n', ":2:")


if __name__ == "__main__":
    unittest.main()
