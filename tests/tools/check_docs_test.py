"""Plants wrong statements in a scratch tree's documents and expects tools/check_docs.py to name each."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_docs.py"

HELP = """#!/bin/sh
case "$1" in
  --help) printf 'Usage: bolide\\n\\nOptions:\\n  --version  x\\n\\nSubcommands:\\n  run   runs\\n' ;;
  run) printf 'Options:\\n  --model TEXT  the model\\n  --help\\n' ;;
  *) exit 2 ;;
esac
"""
GOOD = {
    "README.md": "# Top\n[page](docs/commands.md#common-flags) and [here](#top), `src/base/error.h`, `src/*/error.h`,\n"
                 "`src/ops/NAME.h`, `--model`\n```\nbolide run --model x  # a comment with --nothing\n```\n",
    "docs/commands.md": "## Common flags\n## `bolide run`\n`--model DIR` the model\n",
    "docs/dependencies.md": "| Name | CMake | For |\n|---|---|---|\n| fmt (`libfmt-dev`) | `fmt` | text |\n"
                            "| Highway (`libhwy-dev`) | `libhwy` | SIMD |\n",
    "src/base/error.h": "",
    "CMakeLists.txt": "find_package(fmt REQUIRED)\npkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)\n# find_package(Gone)\n",
    "scripts/setup.sh": "BUILD_PACKAGES=(libfmt-dev\n  libhwy-dev)\n",
}


class CheckDocsTest(unittest.TestCase):
    def check(self, files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**GOOD, **files}.items():
                path = Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            command = Path(root) / "bolide"
            command.write_text(HELP)
            command.chmod(0o755)
            done = subprocess.run([sys.executable, str(TOOL), "--root", root, "--bolide", str(command)],
                                  capture_output=True, text=True)
            return done.returncode, done.stderr

    def expect_finding(self, name, extra, *words):
        code, findings = self.check({name: GOOD.get(name, "") + extra})
        self.assertEqual(code, 1, f"{extra!r} was not reported")
        for word in words:
            self.assertIn(word, findings)

    def test_good_tree_passes(self):
        self.assertEqual(self.check({}), (0, ""))

    def test_dead_links(self):
        self.expect_finding("README.md", "[x](docs/none.md)\n", "docs/none.md", "no such file")
        self.expect_finding("README.md", "[x](docs/commands.md#none)\n", "no such heading")

    def test_models(self):
        tree = {"src/models/registry.cc": "const Family* const kFamilies[] = {&kAFamily};\n",
                "src/models/a.cc": 'const Family kAFamily = {"AForCausalLM", "a", read, kNames, &kFt, build};\n',
                "tests/golden/manifest.json": '{"cases": [], "families": [{"model_class": "AForCausalLM"}]}'}
        row = "| AForCausalLM | `a` | read | read and written | {} |\n"
        place = GOOD["README.md"] + (
            "<!-- models: tools/model_table.py -->\n"
            "| Architecture | `model_type` | Hugging Face folders | FasterTransformer folders | Models compared with Hugging Face |\n"
            "|---|---|---|---|---|\n" + row + "<!-- end of models -->\n")
        self.assertEqual(self.check({**tree, "README.md": place.format(1)}), (0, ""))
        for readme in (place.format(2), GOOD["README.md"]):
            code, findings = self.check({**tree, "README.md": readme})
            self.assertEqual(code, 1)
            self.assertIn("table of models", findings)

    def test_quotes(self):
        self.assertEqual(self.check({"src/a.cc": "int a;\nint b;\n", "docs/a.md": "```cpp src/a.cc\nint b;\n```\n"}), (0, ""))
        self.expect_finding("docs/a.md", "```cpp src/base/error.h\nint c;\n```\n", "docs/a.md", "int c;", "is not so in")
        self.expect_finding("docs/a.md", "```cpp src/none.cc\nint c;\n```\n", "quotes src/none.cc: no such file")

    def test_paths(self):
        self.expect_finding("README.md", "see `src/base/none.h`\n", "src/base/none.h")
        self.expect_finding("README.md", "see `./tools/none.py --all`\n", "tools/none.py")
        self.expect_finding("README.md", "see `src/*/none.h`\n", "src/*/none.h")

    def test_dependencies(self):
        self.expect_finding("CMakeLists.txt", "find_package(ZLIB REQUIRED)\n", "finds ZLIB")
        self.expect_finding("CMakeLists.txt", "pkg_check_modules(ONIG REQUIRED IMPORTED_TARGET oniguruma>=6)\n", "finds oniguruma")
        self.expect_finding("scripts/setup.sh", "TEST_PACKAGES=(libgtest-dev)\n", "installs libgtest-dev")
        self.expect_finding("docs/dependencies.md", "| x | `Stale` | y |\n", "Stale is neither")

    def test_flags(self):
        self.expect_finding("README.md", "```\nbolide run --models x\n```\n", "run --models")
        self.expect_finding("README.md", "```\ncat f | build/apps/bolide run \\\n  --models x\n```\n", "run --models")
        for launched in ("mpirun -n 2 bolide", "RANK=0 bolide", "torchrun --nproc-per-node 2 \\\n  bolide"):
            self.expect_finding("README.md", f"```bash\n{launched} run --models x\n```\n", "run --models")
        self.expect_finding("README.md", "```\nbolide walk\n```\n", "bolide walk")
        self.expect_finding("README.md", "use `--nothing`\n", "--nothing")
        self.expect_finding("docs/coming_from_x.md", "| `--theirs` | `--nothing` |\n", "--nothing")
        self.assertNotIn("--theirs", self.check({"docs/coming_from_x.md": "| `--theirs` | `--model` |\n"})[1])

    def test_every_flag_is_described(self):
        code, findings = self.check({"docs/commands.md": "## Common flags\n## `bolide run`\n"})
        self.assertEqual(code, 1)
        self.assertIn("does not describe --model", findings)
        code, findings = self.check({"docs/commands.md": "## Common flags\n"})
        self.assertIn("no section `bolide run`", findings)


if __name__ == "__main__":
    unittest.main()
