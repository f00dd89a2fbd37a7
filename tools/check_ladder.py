#!/usr/bin/env python3
"""Proves that #include lines point only down the ladder of modules, that no call of std::filesystem can throw, and
that no family of models, weight scheme or kind of rotary positions is named outside its own file and its row.

    tools/check_ladder.py [--root DIR]

Exit 0 when every include in src/, include/bolide/, apps/ and examples/ keeps the rules below, 1 with one line
a finding otherwise. tests/tools/check_ladder_test.py plants violations and proves that this file reports them.
"""
import argparse
import re
import sys
from pathlib import Path

# Lowest first. A module includes itself and what stands left of it.
LADDER = ["base", "tensor", "checkpoint", "ops", "quant", "comm", "weights", "cache", "layers", "models", "decode",
          "sched", "worker", "engine", "tools"]
# Beside the ladder: the modules that such a module may include, and the ladder modules that may include it.
BESIDE = {"machine": {"includes": {"base"}, "included_by": {"worker", "engine", "tools"}},
          "text": {"includes": {"base"}, "included_by": {"worker", "engine"}}}

# Public headers that hold plain data or error types serve every module; these are the top of the ladder.
API_HEADERS = {"bolide/engine.h": {"engine", "tools"}, "bolide/tune.h": {"tools"}}

# Where a third-party header may appear. A prefix ending in "/" covers a folder. A dependency that is not here
# is refused: it needs a row in docs/dependencies.md first.
THIRD_PARTY = {
    "fmt/": {*LADDER, *BESIDE, "apps"},
    "spdlog/": {"base"},
    "nlohmann/": {"base", "apps"},
    "hwy/": {"tensor", "ops"},
    "oniguruma.h": {"text"},
    "unicode/": {"text"},
    "CLI/": {"apps"},
    "mpi.h": {"comm"},
    "gloo/": {"comm"},
}
CUDA_HEADER = re.compile(r"^(cuda|cublas|cudnn|curand|cusparse|nccl|nvtx|cub/|cute/|cutlass/|thrust/|mma\.h|cooperative_groups)")
CUDA_PLACES = ("src/ops/cuda/", "src/tensor/", "src/comm/")
FEATURE_CONDITION = re.compile(r"^[ \t]*#[ \t]*(?:el)?if.*(?:CUDA|BOLIDE_HAS_)", re.MULTILINE)

# Without a std::error_code at their end these throw "filesystem error: status: ...", which no user should read; the
# functions of src/base/file.h say it in plain words. A range-for over a folder throws when it steps, whatever it got.
THROWING = {"absolute", "canonical", "copy", "copy_file", "copy_symlink", "create_directories", "create_directory",
            "create_directory_symlink", "create_hard_link", "create_symlink", "current_path", "directory_entry",
            "directory_iterator", "equivalent", "exists", "file_size", "hard_link_count", "is_block_file",
            "is_character_file", "is_directory", "is_empty", "is_fifo", "is_other", "is_regular_file", "is_socket",
            "is_symlink", "last_write_time", "permissions", "proximate", "read_symlink", "recursive_directory_iterator",
            "relative", "remove", "remove_all", "rename", "resize_file", "space", "status", "symlink_status",
            "temp_directory_path", "weakly_canonical"}
# Words that mean something else where they stand alone, or with a dot before them.
COMMON = {"absolute", "copy", "equivalent", "is_other", "permissions", "proximate", "relative", "remove", "rename", "space", "status"}
FILESYSTEM_CALL = re.compile(r"(?P<before>::|\.|->|)[ \t]*\b(?P<name>" + "|".join(sorted(THROWING)) +
                             r")\b[ \t]*(?:\w+[ \t]*)?(?P<open>[({])")
FOLDER_LOOP = re.compile(r"(?<!:):[ \t]*(?:\w+::)*(?:recursive_)?directory_iterator\b")
FILESYSTEM_ALIAS = re.compile(r"namespace\s+(\w+)\s*=\s*(?:::)?std::filesystem\b")
FILESYSTEM_USING = re.compile(r"\busing\s+(?:namespace\s+)?(?:::)?std::filesystem\b(?!::path\b)")
ERROR_CODE = re.compile(r"std::error_code\s*&?\s*(\w+)")

# Headers of the C library, POSIX and the compiler that end in .h or hold a slash.
SYSTEM = re.compile(r"^(sys/[a-z]+\.h|linux/[a-z]+\.h|asm/[a-z]+\.h|net(inet)?/[a-z]+\.h|(netdb|dirent|ifaddrs|fcntl|poll|unistd|dlfcn|pthread|sched|signal|errno|"
                    r"omp|immintrin|x86intrin|arm_neon|arm_sve|cpuid)\.h)$")
STANDARD = re.compile(r"^[a-z0-9_]+$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">\n]+)[">]', re.MULTILINE)
SUFFIXES = {".h", ".cc", ".cpp", ".cu", ".cuh", ".inc"}


def strip_comments(text):
    """Blanks block and line comments, so that a commented-out include is not one; keeps line numbers."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"""'(?:\\.|[^'\\\n])'|"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*""",
                  lambda m: m.group(0) if m.group(0)[0] in "'\"" else blank(m), text, flags=re.DOTALL)


def third_party_key(name):
    for key in THIRD_PARTY:
        if name == key or (key.endswith("/") and name.startswith(key)):
            return key
    return None


def last_argument(text, opened):
    """The last argument of a call whose parenthesis opens at `opened`."""
    depth, begin = 0, opened + 1
    for at in range(opened, len(text)):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
            if depth == 0:
                return text[begin:at].strip()
        elif text[at] == "," and depth == 1:
            begin = at + 1
    return ""


class Checker:
    def __init__(self, root):
        self.root = root
        self.findings = []
        self.graph = {}  # file -> [(file, line)], own files only

    def report(self, file, line, text):
        self.findings.append(f"{file}:{line}: {text}")

    def files(self, folder):
        base = self.root / folder
        return sorted(p for p in base.rglob("*") if p.suffix in SUFFIXES) if base.is_dir() else []

    def run(self):
        for folder in sorted(p for p in (self.root / "src").iterdir() if p.is_dir()):
            if folder.name not in LADDER and folder.name not in BESIDE:
                self.report(f"src/{folder.name}", 1, "is not a module of the ladder (tools/check_ladder.py)")
        for top in ("src", "include", "apps", "examples"):
            for path in self.files(top):
                self.check_file(path, top)
        self.find_cycles()
        self.check_families()
        self.check_schemes()
        self.check_rope_types()
        return self.findings

    def rows(self, table, pattern):
        """What a table lists. None at all would mean that nothing is checked: a finding, where the file exists."""
        path = self.root / table
        if not path.is_file():
            return []
        found = re.findall(pattern, strip_comments(path.read_text()))
        if not found:
            self.report(table, 1, f"has no rows that look like {pattern}: tools/check_ladder.py reads them")
        return sorted(set(found))

    def report_names(self, tops, own, word, name, home):
        """Findings for `word` in the code under `tops` but the files that begin with one of `own`. Comments may name it."""
        for path in (path for top in tops for path in self.files(top)):
            file = path.relative_to(self.root).as_posix()
            if file.startswith(tuple(own)):
                continue
            text = strip_comments(path.read_text(encoding="utf-8", errors="replace"))
            for match in re.finditer(word, text):
                self.report(file, text.count("\n", 0, match.start()) + 1, f"names {name}, which belongs into {home}")

    def check_families(self):
        """A family is what src/models/registry.cc lists: `kNameFamily` of models/name.h. Tokenizers have parts that are called
        after one, and a script of FasterTransformer's is. The name is a whole word of an identifier: neither rope's llama3 nor
        an option's."""
        for family in self.rows("src/models/registry.cc", r"&k(\w+)Family\b"):
            lower, upper = family.lower(), family.upper()
            word = (rf"(?<![A-Za-z]){lower}(?![a-z\d])(?!_lambada\.py)|(?<![A-Z]){family}(?![a-z\d])|"
                    rf"(?<![A-Z]){upper}(?=$|[^A-Z\d]|[A-Z]+[a-z])")
            self.report_names(("src", "include", "apps"), ("src/text/", "src/models/registry.", f"src/models/{lower}."), word, family,
                              f"src/models/{lower}.cc")

    def check_schemes(self):
        """A weight scheme is a row `&kNameScheme` of src/quant/weight_scheme.cc, and its folder src/quant/name/. What stands
        below cannot know of one: kernels take the type of its numbers, which may be called as it is. Above, neither its object
        nor a text may name it."""
        above = [f"src/{module}" for module in (*LADDER[LADDER.index("quant"):], *BESIDE)]
        for scheme in self.rows("src/quant/weight_scheme.cc", r"&k(\w+)Scheme\b"):
            lower = scheme.lower()
            word = rf'\bk{scheme}Scheme\b|(?<=")(?:[^"\n]*[ =])?{lower}(?:[ ,:;|][^"\n]*)?(?=")'
            self.report_names((*above, "include", "apps"), (f"src/quant/{lower}/", "src/quant/weight_scheme."), word, scheme,
                              f"src/quant/{lower}/")

    def check_rope_types(self):
        """A kind of rotary positions is a row of the table in src/models/rope_config.cc, and its angles are src/layers/rotary.cc's."""
        own = ("src/models/rope_config.", "src/layers/rotary.")
        for name, kind in self.rows("src/models/rope_config.cc", r'\{"(\w+)", RopeType::(k\w+)\}'):
            self.report_names(("src", "include", "apps"), own, rf"\bRopeType::{kind}\b", f"RopeType::{kind}", own[0] + "cc")
            self.report_names(("src/layers", "src/models"), own, rf'"{name}"', f'"{name}"', own[0] + "cc")

    def check_file(self, path, top):
        name = path.relative_to(self.root).as_posix()
        edges = self.graph.setdefault(name, [])
        text = strip_comments(path.read_text(encoding="utf-8", errors="replace"))
        if not name.startswith(CUDA_PLACES):
            for match in FEATURE_CONDITION.finditer(text):
                self.report(name, text.count("\n", 0, match.start()) + 1,
                            f"{match.group(0).strip()}: use `if constexpr` with kHasCuda and its like, or move this to one of {', '.join(CUDA_PLACES)}")
        if top != "include":
            self.check_filesystem(name, text)
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            own = self.resolve(match.group(2), top)
            if CUDA_HEADER.match(match.group(2)) and not name.startswith(CUDA_PLACES):
                self.report(name, line, f"<{match.group(2)}>: CUDA headers stay inside {', '.join(CUDA_PLACES)}")
            elif own:
                edges.append((own, line))
                self.check_own(name, line, top, match.group(2))
            elif match.group(1) == '"' and third_party_key(match.group(2)) is None:
                self.report(name, line, f'"{match.group(2)}" is no file under src/, include/ or {top}/: write the '
                            "path from there")
            else:
                self.check_foreign(name, line, top, match.group(2))

    def check_filesystem(self, name, text):
        text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
        aliases = {"filesystem", *FILESYSTEM_ALIAS.findall(text)}
        codes = set(ERROR_CODE.findall(text))

        def refuse(match, what):
            self.report(name, text.count("\n", 0, match.start()) + 1,
                        f"{what} may throw a filesystem_error: use src/base/file.h, or give it a std::error_code")

        for match in FILESYSTEM_CALL.finditer(text):
            call, before = match.group("name"), match.group("before")
            if before == "::":
                if re.search(r"(\w*)$", text[:match.start()]).group(1) not in aliases:
                    continue
            elif call in COMMON:
                continue
            if last_argument(text, match.start("open")) not in codes:
                refuse(match, call)
        for match in FOLDER_LOOP.finditer(text):
            refuse(match, "a loop over a folder")
        for match in FILESYSTEM_USING.finditer(text):
            refuse(match, "what hides the name std::filesystem")

    def resolve(self, include, top):
        """The repository's file that an include names, or None."""
        if ".." in Path(include).parts:
            return None
        for base in {"src": ("src", "include"), "include": ("include",)}.get(top, ("src", "include", ".")):
            if (self.root / base / include).is_file():
                return (Path(base) / include).as_posix()
        return None

    def check_own(self, name, line, top, include):
        module = include.split("/")[0]
        if top in ("include", "apps", "examples"):
            allowed = {"include": ["bolide"], "apps": ["bolide", "apps"], "examples": ["bolide", "examples"]}[top]
            if module not in allowed:
                self.report(name, line, f'"{include}": {top}/ may include only {" and ".join(a + "/" for a in allowed)}')
            return
        me = name.split("/")[1]
        if module == "bolide":
            users = API_HEADERS.get(include)
            if users and me not in users:
                self.report(name, line, f'"{include}" is the top of the ladder: only {", ".join(sorted(users))} and apps/ use it')
        elif module != me and module not in self.below(me):
            self.report(name, line, f'"{include}": {me} stands below {module} on the ladder ({" -> ".join(LADDER)})'
                        if module in LADDER and me in LADDER else f'"{include}": {me} may not include {module}')

    @staticmethod
    def below(module):
        if module in BESIDE:
            return BESIDE[module]["includes"]
        reachable = set(LADDER[:LADDER.index(module)]) if module in LADDER else set()
        return reachable | {m for m, rule in BESIDE.items() if module in rule["included_by"]}

    def check_foreign(self, name, line, top, include):
        if STANDARD.match(include):
            return
        if top == "include":
            self.report(name, line, f"<{include}>: public headers use the C++ standard library alone")
        elif not SYSTEM.match(include) and not CUDA_HEADER.match(include):
            key = third_party_key(include)
            place = name.split("/")[1] if top == "src" else top
            if key is None:
                self.report(name, line, f"<{include}> is a new dependency: give it a row in docs/dependencies.md and in "
                            "THIRD_PARTY of tools/check_ladder.py")
            elif place not in THIRD_PARTY[key]:
                self.report(name, line, f"<{include}> belongs to {', '.join(sorted(THIRD_PARTY[key]))} only")

    def find_cycles(self):
        state = {}  # file -> 1 on the stack, 2 done

        def visit(file, path):
            state[file] = 1
            for target, line in self.graph.get(file, []):
                if state.get(target) == 1:
                    if target != file:  # Highway's foreach_target.h makes a file include itself
                        loop = path[path.index(target):] + [target]
                        self.report(file, line, "includes form a cycle: " + " -> ".join(loop))
                elif target not in state:
                    visit(target, path + [target])
            state[file] = 2

        for file in sorted(self.graph):
            if file not in state:
                visit(file, [file])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    checker = Checker(root)
    findings = checker.run()
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings:
        print(f"check_ladder: {len(findings)} finding(s)", file=sys.stderr)
        return 1
    print(f"check_ladder: {len(checker.graph)} files keep the ladder")
    return 0


if __name__ == "__main__":
    sys.exit(main())
