"""Every `bash` block of README.md and of the pages of docs/, run as it stands: the demo model is bloom-560m, CPU ranks are
the devices.

A block after `<!-- not run: REASON -->`, or whose launcher is not here, is not run, and the reason is printed.
"""
import os
import re
import shutil
import subprocess

import harness
from harness import CommandTest
from ranks import OPENMPI, environment, free_port, without_leak_check

BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^\n]*) -->\n)?```bash\n(?P<commands>.*?)```", re.DOTALL)
# What a block may lean on, besides bolide and a shell.
LAUNCHERS = ("mpirun", "torchrun")


class Walkthrough(CommandTest):
    def setUp(self):
        super().setUp()
        demo = harness.SOURCE / "examples" / "demo"
        (self.folder / "bloom-560m").symlink_to(demo / "model")
        lines = (demo / "lambada.jsonl").read_text().splitlines(keepends=True)
        # As in a clone, with fewer texts to score.
        (self.folder / "examples" / "demo").mkdir(parents=True)
        (self.folder / "examples" / "demo" / "model").symlink_to(demo / "model")
        for path in (self.folder / "lambada_test.jsonl", self.folder / "examples" / "demo" / "lambada.jsonl"):
            path.write_text("".join(lines[:16]))
        (self.folder / "meeting").mkdir()
        bin_ = self.folder / "bin"
        bin_.mkdir()
        (bin_ / "bolide").symlink_to(harness.BOLIDE)
        self.environment = environment(PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}", OMP_NUM_THREADS="1",
                                       OMPI_MCA_rmaps_base_oversubscribe="1", **OPENMPI)

    def run_block(self, commands):
        # The port of the page may be taken here.
        commands = re.sub(r"MASTER_PORT=\d+", f"MASTER_PORT={free_port()}", commands)
        leaks = without_leak_check() if "mpirun" in commands else {}
        return subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=self.folder, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env={**self.environment, **leaks}, timeout=200)

    def blocks_of(self, page):
        text = (harness.SOURCE / page).read_text()
        blocks = list(BLOCK.finditer(text))
        self.assertEqual(len(blocks), text.count("```bash"), f"{page}: a block is not closed")
        return blocks

    def walk(self, page, check=lambda commands, done: None):
        """Runs the blocks of a page one after the other; how many could run."""
        ran, told = 0, 0
        for block in self.blocks_of(page):
            commands, why = block["commands"], block["why"]
            for launcher in LAUNCHERS:
                if not why and re.search(rf"(?m)^{launcher}\b", commands) and not shutil.which(launcher):
                    why = f"there is no {launcher}"
            first = commands.splitlines()[0]
            if why:
                print(f"walkthrough: {page}: NOT RUN ({why}): {first}", flush=True)
                told += 1
                continue
            with self.subTest(page=page, block=first):
                done = self.run_block(commands)
                if "this build has no" in done.stderr:
                    print(f"walkthrough: {page}: NOT RUN ({done.stderr.splitlines()[0]}): {first}", flush=True)
                    told += 1
                    continue
                ran += 1
                self.assertEqual(done.returncode, 0, f"{commands}\n{done.stdout}{done.stderr}")
                if "torchrun" not in commands:  # which has words of its own
                    self.assertEqual(done.stderr, "", commands)
                if "bolide lambada" in commands:
                    self.assertRegex(done.stdout, r"Accuracy: \d")
                check(commands, done)
        print(f"walkthrough: {page}: {ran} blocks run, {told} not run")
        return ran

    def test_parallel(self):
        stories = []

        def same_story(commands, done):
            if "bolide generate" in commands:
                stories.append(done.stdout)
                self.assertEqual(done.stdout, stories[0], commands)

        self.assertGreaterEqual(self.walk("docs/parallel.md", same_story), 5)
        self.assertTrue(stories and stories[0].strip())

    def test_readme(self):
        self.assertGreaterEqual(self.walk("README.md"), 8)

    def test_faq(self):
        self.assertGreaterEqual(self.walk("docs/faq.md"), 4)

    def test_coming_from_others(self):
        for page, least in (("ft", 5), ("vllm", 3), ("llama_cpp", 4)):
            self.assertGreaterEqual(self.walk(f"docs/coming_from_{page}.md"), least)

    def test_every_page_with_commands_is_walked(self):
        pages = {page.relative_to(harness.SOURCE).as_posix() for page in
                 [harness.SOURCE / "README.md", *(harness.SOURCE / "docs").glob("*.md")] if "```bash" in page.read_text()}
        self.assertEqual(pages, {"README.md", "docs/parallel.md", "docs/faq.md", "docs/coming_from_ft.md",
                                 "docs/coming_from_vllm.md", "docs/coming_from_llama_cpp.md"})

    def test_the_walk_says_what_it_should(self):
        """Layouts and ways of the page: a block that went missing would otherwise go unnoticed."""
        blocks = " ".join(block["commands"] for block in self.blocks_of("docs/parallel.md") if not block["why"])
        for words in ("convert .*-tp 2", "mpirun -n 2 .*2-gpu.* --tensor-para-size 2", "1-gpu.* --pipeline-para-size 2",
                      "mpirun -n 3 .*--pipeline-para-size 3", "mpirun -n 4 .*--tensor-para-size 2 --pipeline-para-size 2",
                      "torchrun ", "MASTER_ADDR", "BOLIDE_MEETING"):
            self.assertRegex(blocks.replace("\\\n", " "), words)


if __name__ == "__main__":
    harness.main()
