"""Every `bash` block of docs/parallel.md, run as it stands: the demo model is bloom-560m, CPU ranks are the devices.

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
        (self.folder / "lambada_test.jsonl").write_text("".join(lines[:16]))
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

    def test_every_block(self):
        page = (harness.SOURCE / "docs" / "parallel.md").read_text()
        blocks = list(BLOCK.finditer(page))
        self.assertEqual(len(blocks), page.count("```bash"), "a block is not closed")
        story, ran, told = None, 0, 0
        for block in blocks:
            commands, why = block["commands"], block["why"]
            for launcher in LAUNCHERS:
                if not why and re.search(rf"(?m)^{launcher}\b", commands) and not shutil.which(launcher):
                    why = f"there is no {launcher}"
            first = commands.splitlines()[0]
            if why:
                print(f"walkthrough: NOT RUN ({why}): {first}", flush=True)
                told += 1
                continue
            with self.subTest(first):
                done = self.run_block(commands)
                if "this build has no" in done.stderr:
                    print(f"walkthrough: NOT RUN ({done.stderr.splitlines()[0]}): {first}", flush=True)
                    told += 1
                    continue
                ran += 1
                self.assertEqual(done.returncode, 0, f"{commands}\n{done.stdout}{done.stderr}")
                if "torchrun" not in commands:  # which has words of its own
                    self.assertEqual(done.stderr, "", commands)
                if "bolide generate" in commands:
                    story = story or done.stdout
                    self.assertEqual(done.stdout, story, commands)
                elif "bolide lambada" in commands:
                    self.assertRegex(done.stdout, r"Accuracy: \d")
        self.assertTrue(story and story.strip())
        print(f"walkthrough: {ran} blocks run, {told} not run")
        self.assertGreaterEqual(ran, 5)

    def test_the_walk_says_what_it_should(self):
        """Layouts and ways of the page: a block that went missing would otherwise go unnoticed."""
        page = (harness.SOURCE / "docs" / "parallel.md").read_text()
        blocks = " ".join(block["commands"] for block in BLOCK.finditer(page) if not block["why"])
        for words in ("convert .*-tp 2", "mpirun -n 2 .*2-gpu.* --tensor-para-size 2", "1-gpu.* --pipeline-para-size 2",
                      "mpirun -n 3 .*--pipeline-para-size 3", "mpirun -n 4 .*--tensor-para-size 2 --pipeline-para-size 2",
                      "torchrun ", "MASTER_ADDR", "BOLIDE_MEETING"):
            self.assertRegex(blocks.replace("\\\n", " "), words)


if __name__ == "__main__":
    harness.main()
