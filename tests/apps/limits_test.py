"""What the command takes of a machine that gives little: threads and memory; and variables that it does not follow."""
import os
import resource
import subprocess
import unittest

import harness
from harness import CommandTest, golden


class Limits(CommandTest):
    def generate(self, *flags):
        return ["generate", "--model", golden("heads3_fp32"), "--input",
                self.jsonl("one.jsonl", [{"input_ids": [5, 6], "max_new_tokens": 3}]), *flags]

    def test_threads(self):
        """However few threads a user may start: a result, or one error line. OpenMP by itself would end the process."""
        if os.geteuid() != 0:
            self.skipTest("NOT RUN: only root can become a user without other processes")
        self.folder.chmod(0o755)
        want = self.ok(*self.generate())
        ended = set()
        for flags in ([], ["--threads", 3], ["-tp", 3]):
            for limit in (1, 2, 3, 5, 6, 7, 8, 12, 40):
                with self.subTest(flags=flags, limit=limit):
                    try:
                        done = self.run_bolide(*self.generate(*flags), user=64321, group=64321, extra_groups=[],
                                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit)))
                    except PermissionError:
                        self.skipTest("NOT RUN: another user cannot read this folder")
                    ended.add(done.returncode)
                    if done.returncode == 0:
                        self.assertEqual(done.stdout, want)
                        self.assertIn(len(done.stderr.splitlines()), (0, 1))
                        if done.stderr:
                            self.assertRegex(done.stderr, r"warning.*this process may start \d+ threads .*: \d+ compute")
                            self.assertEqual(flags != ["--threads", 3], True)
                    else:
                        self.assert_one_error(done, [1], "this process may start")
        self.assertEqual(ended, {0, 1})

    def test_memory_of_a_batch_size_that_nobody_fills(self):
        def peak(size):
            with open(os.devnull, "w") as nowhere:
                process = subprocess.Popen(harness.command(*self.generate("--batch-size", size)), stdout=nowhere)
                _, status, usage = os.wait4(process.pid, 0)
            self.assertEqual(status, 0)
            process.returncode = 0
            return usage.ru_maxrss * 1024

        self.assertLess(peak(536870911), peak(1) + (64 << 20))

    def test_variables_that_are_not_followed(self):
        """A warning of each, once, unless its value asks for what is done anyway."""
        def said(**variables):
            done = self.run_bolide(*self.generate("-tp", 3), env={**os.environ, **variables})
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stderr

        self.assertEqual(said(FMHA_ENABLE="ON", FT_NVTX="OFF", FT_DEBUG_LEVEL=""), "")
        for name, value in [("FMHA_ENABLE", "x"), ("FMHA_ENABLE", "OFF"), ("FT_NVTX", "ON"), ("FT_DEBUG_LEVEL", "DEBUG"),
                            ("CONTEXT_ATTENTION_BMM1_HALF_ACCUM", "ON")]:
            with self.subTest(name, value=value):
                lines = said(**{name: value}).splitlines()
                self.assertEqual(len(lines), 1, lines)
                self.assertIn(f"{name}={value} is ignored: ", lines[0])


if __name__ == "__main__":
    harness.main()
