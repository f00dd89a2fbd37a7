#!/usr/bin/env python3
"""Would the tests of a folder notice a wrong operator? Changes one at a time and runs them.

    python3 tools/mutants.py FOLDER... [--count 60] [--seed 1] [--jobs N] [--seconds S] [--build build] [--output FILE]
    python3 tools/mutants.py --list FOLDER

FOLDER is one of src/, or apps. A mutant is a .cc file of it with one operator changed: < <= > >= == != && || + - ++ --
break continue true false, a whole number one off, or a negation left out. Of each folder COUNT mutants are drawn, the same
ones for the same seed and sources. Each is compiled, linked with the tests of its folder (tests/FOLDER) in front of the
library that holds the sound object, and these tests are run, N mutants at a time. The tree and the build are not touched:
what is made lies in a temporary folder.

Needs an up-to-date build by Ninja of the library and these tests (it builds them first). A mutant counts as

    noticed     a test failed, crashed, took too long or too much memory
    lived       all tests passed: a test is missing, or the change makes no difference that can be seen
    same code   the compiler made the same object of it: not counted, another one is drawn
    refused     it does not compile: not counted, another one is drawn

Exit 0 when all were tried, 2 when the tests fail without a mutant. --seconds ends the sampling early.
"""
import argparse
import concurrent.futures
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<preprocessor>^[ \t]*\#(?:[^\n\\]|\\.)*)
  | (?P<string>(?:u8|[uUL])?R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)"|(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*")
  | (?P<char>(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
  | (?P<number>\.?[0-9](?:'?[\w.]|(?<=[eEpP])[+-])*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<operator><=>|<<=|>>=|\.\.\.|->|::|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%&|^]=|[-+*/%&|^!<>=?:;,.~(){}\[\]])
""", re.VERBOSE | re.MULTILINE | re.DOTALL)
CHANGES = {"<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
           "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "+=": ["-="], "-=": ["+="], "++": ["--"], "--": ["++"],
           "break": ["continue"], "continue": ["break"], "true": ["false"], "false": ["true"]}
# Of these some are not operators between two values: brackets of templates, references, signs.
SPACED = ("<", ">", "&&", "+", "-")
WHOLE = re.compile(r"(0[xX][0-9a-fA-F]+|0|[1-9][0-9']*)([uU]?[lL]{0,2})")
MOST_MEMORY = 6 << 30  # a test takes well under 1 GB


class Mutant:
    def __init__(self, path, text, begin, end, new):
        self.path, self.begin, self.end, self.new = path, begin, end, new
        self.old = text[begin:end]
        self.line = text.count("\n", 0, begin) + 1
        self.source = text[text.rfind("\n", 0, begin) + 1:].split("\n", 1)[0].strip()

    def apply(self, text):
        return text[:self.begin] + self.new + text[self.end:]

    def name(self):
        return f"{self.path}:{self.line}"

    def describe(self):
        return f"{self.name()}: '{self.old}' -> '{self.new or 'nothing'}' in: {self.source}"


def off_by_one(number):
    """The whole number and its type's letters, one more and one less."""
    found = WHOLE.fullmatch(number)
    if not found:
        return []
    value = int(found[1].replace("'", ""), 0)
    return [f"{other}{found[2]}" for other in (value + 1, value - 1) if other >= 0]


def mutants_of(path, text):
    """Every mutant of one file's text, in its order."""
    tokens = [m for m in TOKEN.finditer(text) if m.lastgroup != "comment"]
    # `mark` is the last group of a raw string.
    kinds = ["string" if m.group("string") else m.lastgroup for m in tokens]
    asserted = 0  # the bracket depth inside of a static_assert
    for i, (token, kind) in enumerate(zip(tokens, kinds)):
        word, begin, end = token[0], token.start(), token.end()
        before = tokens[i - 1][0] if i else ""
        if word == "static_assert":
            asserted = 1
        elif asserted:
            asserted += (word == "(") - (word == ")") if asserted > 1 or word == "(" else 0
            asserted = 0 if asserted == 1 and word == ")" else asserted
            continue
        if kind == "number":
            for new in off_by_one(word):
                yield Mutant(path, text, begin, end, new)
        if kind not in ("word", "operator") or before == "operator":
            continue
        if word == "!" and (text[end].isalpha() or text[end] in "_(*:"):
            yield Mutant(path, text, begin, end, "")
        spaced = text[begin - 1].isspace() and text[end].isspace()
        beside_string = "string" in (kinds[i - 1] if i else "", kinds[i + 1] if i + 1 < len(kinds) else "")
        if (word in SPACED and not spaced) or (word in ("+", "+=") and beside_string):
            continue
        for new in CHANGES.get(word, []):
            yield Mutant(path, text, begin, end, new)


def folder_mutants(folder):
    base = ROOT / ("apps" if folder == "apps" else f"src/{folder}")
    paths = sorted(p for p in base.rglob("*.cc") if "cuda" not in p.relative_to(base).parts)
    if not paths:
        sys.exit(f"mutants.py: no .cc file in {base}")
    return [m for p in paths for m in mutants_of(str(p.relative_to(ROOT)), p.read_text())]


class Limits:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds if seconds else float("inf")

    def over(self):
        return time.monotonic() > self.end


def memory_of(process):
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


def run_test(command, folder, seconds):
    """'' when it passed, or how it ended."""
    environment = {**os.environ, "TMPDIR": str(folder), "TEST_TMPDIR": str(folder), "OMP_WAIT_POLICY": "passive",
                   "OMP_NUM_THREADS": "2"}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
        end, why = time.monotonic() + seconds, ""
        while process.poll() is None and not why:
            time.sleep(0.02)
            if time.monotonic() > end:
                why = "took too long"
            elif memory_of(process) > MOST_MEMORY:
                why = "took too much memory"
        if why:
            os.killpg(process.pid, 9)
            process.wait()
            return why
    return "" if process.returncode == 0 else f"ended with {process.returncode}"


class Folder:
    """The tests of one folder, and how its objects are compiled and linked."""

    def __init__(self, name, build):
        self.name, self.build = name, build
        targets = subprocess.run(["ninja", "-C", build, "-t", "targets", "all"], capture_output=True, text=True, check=True)
        self.tests = sorted(set(re.findall(rf"(?m)^(tests/{name}/\w+_test): CXX_EXECUTABLE_LINKER", targets.stdout)))
        if not self.tests:
            sys.exit(f"mutants.py: {build} has no tests/{name}/*_test: is it a build by Ninja, with tests?")
        subprocess.run(["ninja", "-C", build, *self.tests], stdout=subprocess.DEVNULL, check=True)
        self.links = [self.link_of(test) for test in self.tests]
        self.compile = {}
        for entry in json.loads((build / "compile_commands.json").read_text()):
            path = Path(entry["file"])
            if path.is_relative_to(ROOT) and self.output_of(entry).startswith(
                    ("CMakeFiles/bolide.dir/", "apps/CMakeFiles/bolide_apps.dir/")):
                self.compile[str(path.relative_to(ROOT))] = shlex.split(entry["command"])
        self.seconds = []
        self.sound = {}
        self.lock = threading.Lock()

    @staticmethod
    def output_of(entry):
        words = shlex.split(entry["command"])
        return words[words.index("-o") + 1]

    def link_of(self, test):
        commands = subprocess.run(["ninja", "-C", self.build, "-t", "commands", test], capture_output=True, text=True,
                                  check=True).stdout.splitlines()
        link = next(c for c in reversed(commands) if f"-o {test} " in c)
        return shlex.split(next(part for part in link.split(" && ") if f"-o {test} " in part))

    def object_of(self, path, text, scratch):
        """Compiles `text` as the file `path`: the object, or None."""
        source = scratch / "sources" / Path(path).relative_to("src" if path.startswith("src/") else ".")
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        made = scratch / "mutant.o"
        words = [w for w in self.compile[path] if not w.startswith("-Werror") and w not in ("-Wall", "-Wextra")]
        if Path(words[0]).name == "ccache":
            words = words[1:]
        words[words.index("-o") + 1] = str(made)
        words[words.index("-c") + 1] = str(source)
        # Highway's kernels include their own file again, by its name below src/.
        words[1:1] = ["-I", str(scratch / "sources"), "-w", f"-ffile-prefix-map={scratch}=."]
        done = subprocess.run(words, cwd=self.build, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        source.unlink()
        return made if done.returncode == 0 else None

    def linked(self, index, path, made, scratch):
        """Test number `index` with the object in place of the library's, or None."""
        library = "libbolide_apps.a" if path.startswith("apps/") else "libbolide.a"
        out = scratch / Path(self.tests[index]).name
        words = []
        for word in self.links[index]:
            if Path(word).name == library and str(made) not in words:
                words.append(str(made))
            words.append(word)
        words[words.index("-o") + 1] = str(out)
        done = subprocess.run(words, cwd=self.build, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return out if done.returncode == 0 else None

    def baseline(self, scratch):
        """Runs the sound tests; their time bounds the mutants'."""
        for test in self.tests:
            begin = time.monotonic()
            why = run_test([str(self.build / test)], scratch, 600)
            if why:
                print((scratch / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
                print(f"mutants.py: {test} {why} without a mutant", file=sys.stderr)
                sys.exit(2)
            self.seconds.append(time.monotonic() - begin)

    def sound_object(self, path, scratch):
        """The bytes of the unchanged file's object."""
        with self.lock:
            if path not in self.sound:
                made = self.object_of(path, (ROOT / path).read_text(), scratch)
                self.sound[path] = made.read_bytes() if made else b""
            return self.sound[path]

    def judge(self, mutant, scratch):
        """'noticed by ...', 'lived', 'same code' or 'refused'."""
        sound = self.sound_object(mutant.path, scratch)
        made = self.object_of(mutant.path, mutant.apply((ROOT / mutant.path).read_text()), scratch)
        if not made:
            return "refused"
        if made.read_bytes() == sound:
            return "same code"
        for index, test in enumerate(self.tests):
            program = self.linked(index, mutant.path, made, scratch)
            if not program:
                return "refused"
            why = run_test([str(program), "--gtest_fail_fast"], scratch, 10 + 5 * self.seconds[index])
            program.unlink()
            if why:
                return f"noticed: {Path(test).name} {why}"
        return "lived"


def sample(folder, args, limits):
    """[(mutant, verdict)] of COUNT mutants that count, and of those that did not."""
    tests = Folder(folder, args.build)
    every = [m for m in folder_mutants(folder) if m.path in tests.compile]
    order = random.Random(f"{args.seed}/{folder}").sample(every, len(every))
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="bolide-mutants-") as root:
        tests.baseline(Path(root))
        free = []
        for worker in range(args.jobs):
            free.append(Path(root) / str(worker))
            free[-1].mkdir()

        def one(mutant):
            scratch = free.pop()
            try:
                return mutant, tests.judge(mutant, scratch)
            finally:
                shutil.rmtree(scratch)
                scratch.mkdir()
                free.append(scratch)

        def counted():
            return sum(not verdict.startswith(("same", "refused")) for _, verdict in verdicts)

        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            running = set()
            while (order or running) and not (limits.over() and not running):
                # No more at once than are still wanted, so that the same seed judges the same mutants.
                while order and not limits.over() and len(running) < min(args.jobs, args.count - counted()):
                    running.add(pool.submit(one, order.pop(0)))
                if not running:
                    break
                done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for each in done:
                    verdicts.append(each.result())
                    if args.verbose:
                        print(f"{verdicts[-1][1]}: {verdicts[-1][0].describe()}", flush=True)
    return len(every), sorted(verdicts, key=lambda v: (v[0].path, v[0].begin))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=0, help="for all folders together; 0: no limit")
    parser.add_argument("--build", type=lambda text: Path(text).resolve(), default=ROOT / "build")
    parser.add_argument("--output", type=Path, help="all verdicts as JSON")
    parser.add_argument("--list", action="store_true", help="print every mutant there is and try none")
    parser.add_argument("--verbose", action="store_true", help="print each verdict when it is there")
    args = parser.parse_args()
    if args.list:
        for folder in args.folders:
            for mutant in folder_mutants(folder):
                print(mutant.describe())
        return
    limits = Limits(args.seconds)
    lived, record = [], {}
    print(f"{'folder':<12}{'mutants':>8}{'tried':>7}{'noticed':>9}{'lived':>7}{'same code':>11}{'refused':>9}", flush=True)
    for folder in args.folders:
        if limits.over():
            print(f"{folder:<12}  not begun: --seconds are over")
            continue
        total, verdicts = sample(folder, args, limits)
        if not total:
            sys.exit(f"mutants.py: {args.build}/compile_commands.json names no file of {folder}")
        kinds = [verdict.split(":")[0] for _, verdict in verdicts]
        count = {kind: kinds.count(kind) for kind in ("noticed", "lived", "same code", "refused")}
        tried = count["noticed"] + count["lived"]
        print(f"{folder:<12}{total:>8}{tried:>7}{count['noticed']:>9}{count['lived']:>7}{count['same code']:>11}"
              f"{count['refused']:>9}   {100 * count['noticed'] / max(tried, 1):.0f} %", flush=True)
        lived += [mutant for mutant, verdict in verdicts if verdict == "lived"]
        record[folder] = [{"mutant": mutant.describe(), "verdict": verdict} for mutant, verdict in verdicts]
        if args.output:
            args.output.write_text(json.dumps(record, indent=1) + "\n")
    if lived:
        print("\nlived:")
        for mutant in lived:
            print(f"  {mutant.describe()}")


if __name__ == "__main__":
    main()
