"""What tests of several ranks share: the command with its ranks as threads, under mpirun, and over Gloo."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

import harness
from harness import CommandTest

WAYS = ("threads", "mpi", "gloo")
# Of other launchers, should the test itself run under one.
FOREIGN = re.compile(r"^(OMPI_|PMIX?_|SLURM_|TORCHELASTIC_|(RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|MASTER_ADDR|"
                     r"MASTER_PORT|BOLIDE_MEETING)$)")
# For containers: OpenMPI refuses to run as root unless told twice, and complains where the kernel does not let processes
# read each other's memory. It keeps memory to the end, which AddressSanitizer would report.
OPENMPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
           "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


def environment(**more):
    own = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return {**own, "OMP_WAIT_POLICY": "passive", **more}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def without_leak_check():
    return {"ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "detect_leaks=0"]))}


def processes_with(mark):
    """{process id: environment} of those that have `mark`, a NAME=VALUE, in theirs"""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if mark in variables:
            found[int(entry.name)] = dict(v.split("=", 1) for v in variables if "=" in v)
    return found


class ThisHost:
    """Where the ranks run. A test may have hosts of its own, with these members."""
    address = "127.0.0.1"  # of rank 0, as the others reach it

    def command(self, rank, ranks, command):
        """What starts `command` as `rank` of `ranks`, without a launcher."""
        return command

    def mpirun(self, ranks):
        """mpirun's first words, and variables for it."""
        # It would want ssh even for one host.
        return ["mpirun", "--oversubscribe"], {"OMPI_MCA_plm": "isolated"}


class Run:
    """One run of the command over its ranks; `stdin` is rank 0's."""
    count = 0

    def __init__(self, way, commands, folder, stdin=subprocess.DEVNULL, missing=(), hosts=ThisHost(), **variables):
        Run.count += 1
        self.way, self.ranks = way, len(commands)
        self.folder = folder / f"run{Run.count}"
        self.folder.mkdir()
        self.mark = f"BOLIDE_TEST_RUN={os.getpid()}-{Run.count}"
        self.begin = time.monotonic()
        own = dict([self.mark.split("=")])
        if way == "mpi":
            words, needed = hosts.mpirun(self.ranks)
            words += ["--output-filename", str(self.folder / "files")]
            if all(command == commands[0] for command in commands):  # as people start them
                words += ["-n", str(self.ranks), *commands[0]]
            else:
                for rank, command in enumerate(commands):
                    words += [*([":"] if rank else []), "-n", "1", *command]
            self.processes = [self.popen(words, "mpirun", stdin,
                                         {**OPENMPI, **needed, **without_leak_check(), **own, **variables})]
        elif way == "gloo":
            place = {"WORLD_SIZE": str(self.ranks), "MASTER_ADDR": hosts.address, "MASTER_PORT": str(free_port())}
            self.processes = [self.popen(hosts.command(rank, self.ranks, command), f"rank{rank}",
                                         stdin if rank == 0 else subprocess.DEVNULL,
                                         {**place, "RANK": str(rank), **own, **variables})
                              for rank, command in enumerate(commands) if rank not in missing]
        else:
            self.processes = [self.popen(commands[0], "rank0", stdin, {**own, **variables})]

    def popen(self, words, name, stdin, variables):
        with open(self.folder / f"{name}.out", "wb") as out, open(self.folder / f"{name}.err", "wb") as err:
            return subprocess.Popen(words, stdin=stdin, stdout=out, stderr=err, env=environment(**variables))

    def text(self, name, rank):
        path = self.folder / (f"files/1/rank.{rank}/std{name}" if self.way == "mpi" else f"rank{rank}.{name}")
        return path.read_text(errors="replace") if path.exists() else ""

    def output(self):
        """What the user sees on standard output, of all ranks together."""
        if self.way == "mpi":
            return (self.folder / "mpirun.out").read_text()
        return "".join(self.text("out", rank) for rank in range(self.ranks))

    def errors(self, rank):
        return self.text("err", rank).splitlines()

    def all_errors(self):
        return {rank: self.text("err", rank) for rank in range(self.ranks)}

    def pid(self, rank):
        """The process of a rank."""
        if self.way != "mpi":
            return self.processes[rank].pid
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for pid, variables in processes_with(self.mark).items():
                if variables.get("OMPI_COMM_WORLD_RANK") == str(rank):
                    return pid
            time.sleep(0.02)
        raise AssertionError(f"there is no rank {rank}")

    def wait(self, seconds=100):
        """Exit codes: of each rank, or of mpirun alone. None for what still runs."""
        end = time.monotonic() + seconds
        codes = []
        for process in self.processes:
            try:
                codes.append(process.wait(max(0.05, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append(None)
        self.seconds = time.monotonic() - self.begin
        return codes

    def left(self):
        return processes_with(self.mark)

    def ranks_left(self):
        """Of the processes left those of ranks: not a launcher's."""
        return {pid: variables for pid, variables in self.left().items()
                if "RANK" in variables or "OMPI_COMM_WORLD_RANK" in variables}

    def end(self):
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self.processes:
            process.wait()


class RanksTest(CommandTest):
    refusals = {}

    def require_way(self, way):
        """Skips, and says so, what this machine or this build cannot do."""
        if way == "threads":
            return
        if way == "mpi" and not shutil.which("mpirun"):
            raise unittest.SkipTest("NOT TESTED: there is no mpirun")
        if way not in self.refusals:
            probe = Run(way, [harness.command("generate", "--model", harness.golden("heads4_fp32_lm_head_tokenizer"),
                                              "--prompt", "a", "--max-new-tokens", 1, "-tp", 2)] * 2, self.folder)
            self.addCleanup(probe.end)
            codes = probe.wait(60)
            errors = "".join(probe.all_errors().values())
            self.refusals[way] = errors if any(codes) and "build has no" in errors else ""
        if self.refusals[way]:
            raise unittest.SkipTest(f"NOT TESTED: {self.refusals[way]}")

    def start(self, way, tp, pp, *args, stdin=subprocess.DEVNULL, differing=None, missing=(), **variables):
        """Starts `bolide ARGS` on tp x pp ranks. `differing` is {rank: more arguments}."""
        self.require_way(way)
        if 0 < harness.GPUS < tp * pp:
            raise unittest.SkipTest(f"NOT TESTED: {tp} x {pp} ranks on {harness.GPUS} GPUs")
        command = harness.command(*args, "--threads", 1, "--tensor-para-size", tp, "--pipeline-para-size", pp)
        commands = [[*command, *map(str, (differing or {}).get(rank, ()))] for rank in range(tp * pp)]
        run = Run(way, commands, self.folder, stdin, missing, **variables)
        self.addCleanup(run.end)
        return run

    def ranks_ok(self, way, tp, pp, *args, **options):
        """Runs to the end, where every rank must succeed and say nothing on stderr; gives standard output."""
        run = self.start(way, tp, pp, *args, **options)
        codes = run.wait()
        self.assertEqual(set(codes), {0}, f"{way} {tp}x{pp} {args}: {codes} {run.all_errors()}")
        self.assert_silent("".join(run.all_errors().values()), f"{way} {tp}x{pp} {args}")
        self.assertEqual(run.left(), {})
        return run.output()

    def assert_same_results(self, got, expected, where):
        """Lines of `generate`: all equal, log-probabilities but for the order of sums."""
        got, expected = [[json.loads(line) for line in text.splitlines()] for text in (got, expected)]
        self.assertEqual(len(got), len(expected), where)
        for a, b in zip(got, expected):
            for x, y in zip(a.pop("log_probs", []), b.pop("log_probs", [])):
                self.assertAlmostEqual(x, y, delta=1e-4, msg=where)
            self.assertEqual(a, b, where)

    def assert_error_of(self, run, rank, *says):
        """Rank `rank` gave one error line that holds all of `says`."""
        lines = run.errors(rank)
        self.assertEqual(len(lines), 1, f"rank {rank}: {run.all_errors()}")
        self.assertTrue(lines[0].startswith("bolide: error: "), lines[0])
        for word in says:
            self.assertIn(word, lines[0])


def layouts(heads, layers, most=4):
    """Every (tensor, pipeline) that the model can have on 2 to `most` ranks."""
    return [(tp, pp) for tp in (1, 2, 3, 4) for pp in (1, 2, 3)
            if heads % tp == 0 and pp <= layers and 1 < tp * pp <= most]


def dummy_config(path, hidden=64, layers=24, heads=4, vocab=320):
    """A config.json for --load-format dummy."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({
        "architectures": ["BloomForCausalLM"], "model_type": "bloom", "hidden_size": hidden, "n_head": heads,
        "n_layer": layers, "vocab_size": vocab, "layer_norm_epsilon": 1e-05, "bos_token_id": 1, "eos_token_id": 2,
        "apply_residual_connection_post_layernorm": False, "torch_dtype": "float32"}))
    return path
