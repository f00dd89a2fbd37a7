#!/usr/bin/env python3
"""Checks that the documents say what is so.

    tools/check_docs.py [--root DIR] [--bolide COMMAND]

- links between documents lead to files and headings that exist;
- paths in `code` that start with a folder of ours exist (a `*` must match something; NAME is a placeholder);
- a code block that names a file behind its language (```cpp src/a.cc) stands in that file, word for word;
- README.md's table of models is the one that tools/model_table.py makes;
- every package that CMake looks for, and every Debian package that scripts/setup.sh installs, has a row in
  docs/dependencies.md, and no row is stale;
- with --bolide: each `bolide SUBCOMMAND --flag` in a code block, and each `--flag` in `code`, is one that the command
  (or one of our scripts) has, and every flag of the command is described in docs/commands.md.

Exit 0, or 1 with one line a finding. tests/tools/check_docs_test.py proves that it can fail.
"""
import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import model_table

FOLDERS = ("src/", "include/", "apps/", "examples/", "tests/", "tools/", "scripts/", "docs/", "cmake/", "bench/", "fuzz/",
           ".ci/")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"^```\w+ (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MPIRUN = {"--allow-run-as-root", "--oversubscribe"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def documents(root):
    skip = ("build", ".venv", "out", ".git")
    return sorted(p for p in root.rglob("*.md")
                  if not any(part.startswith("build") or part in skip for part in p.relative_to(root).parts[:-1]))


def anchor(heading):
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text):
    return {anchor(m) for m in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)}


def check_links(root, findings):
    for path in documents(root):
        name, text = path.relative_to(root), path.read_text(encoding="utf-8")
        prose = FENCE.sub("", text)
        for target in LINK.findall(prose):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, fragment = target.partition("#")
            to = (path.parent / file).resolve() if file else path
            if not to.exists():
                findings.append(f"{name}: link to {target}: there is no such file")
            elif fragment and to.suffix == ".md" and fragment not in anchors(to.read_text(encoding="utf-8")):
                findings.append(f"{name}: link to {target}: no such heading")


def check_paths(root, findings):
    for path in documents(root):
        name, prose = path.relative_to(root), FENCE.sub("", path.read_text(encoding="utf-8"))
        for code in CODE.findall(prose):
            word = code.split()[0].removeprefix("./").split("#")[0].rstrip(",:;")
            if not word.startswith(FOLDERS) or re.search(r"[A-Z]{3,}(?!\w*\.md)|[<>{}$]", Path(word).name):
                continue
            found = any(root.glob(word)) if "*" in word else (root / word).exists()
            if not found:
                findings.append(f"{name}: `{code}`: there is no {word}")


def check_models(root, findings):
    table = model_table.table(root)
    if table and model_table.held((root / "README.md").read_text(encoding="utf-8")) != table:
        findings.append("README.md: the table of models is not as tools/model_table.py prints it: run it with --write")


def check_quotes(root, findings):
    for document in documents(root):
        for quote in QUOTE.finditer(document.read_text()):
            source = root / quote[1]
            if not source.is_file():
                findings.append(f"{document.relative_to(root)}: quotes {quote[1]}: no such file")
            elif quote[2] not in source.read_text():
                first = quote[2].split("\n", 1)[0]
                findings.append(f"{document.relative_to(root)}: '{first}' and what follows is not so in {quote[1]}")


def cmake_dependencies(root):
    found = {}
    files = [root / "CMakeLists.txt", *root.glob("cmake/*.cmake"), *(p for f in FOLDERS for p in root.glob(f"{f}**/CMakeLists.txt"))]
    for path in files:
        if not path.is_file():
            continue
        text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
        for match in re.finditer(r"find_package\(\s*(\w+)", text):
            found.setdefault(match.group(1), path.relative_to(root))
        for match in re.finditer(r"pkg_check_modules\(\s*\w+([^)]*)\)", text):
            for word in match.group(1).split():
                if word not in ("REQUIRED", "QUIET", "IMPORTED_TARGET", "GLOBAL"):
                    found.setdefault(re.split(r"[<>=]", word)[0], path.relative_to(root))
        for match in re.finditer(r"find_program\(\s*\w+\s+(?:NAMES\s+)?([\w+-]+)", text):
            found.setdefault(match.group(1), path.relative_to(root))
    return found


def setup_packages(root):
    path = root / "scripts/setup.sh"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [word for block in re.findall(r"^\w+_PACKAGES=\(([^)]*)\)", text, re.MULTILINE) for word in block.split()]


def check_dependencies(root, findings):
    page = root / "docs/dependencies.md"
    if not page.is_file():
        findings.append("docs/dependencies.md: is missing")
        return
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in page.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("|")]
    rows = [row for row in rows if len(row) >= 2 and not set(row[0]) <= set("-: ") and "`" in row[0] + row[1]]
    listed = {name for row in rows for name in CODE.findall(row[0] + " " + row[1])}
    cmake = cmake_dependencies(root)
    packages = setup_packages(root)
    for name, where in sorted(cmake.items()):
        if name not in listed:
            findings.append(f"{where}: finds {name}, which has no row in docs/dependencies.md")
    for name in packages:
        if name not in listed:
            findings.append(f"scripts/setup.sh: installs {name}, which has no row in docs/dependencies.md")
    for name in sorted(listed - set(cmake) - set(packages)):
        findings.append(f"docs/dependencies.md: {name} is neither looked for by CMake nor installed by scripts/setup.sh")


def help_of(command, *words):
    done = subprocess.run([command, *words, "--help"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"check_docs: {' '.join([command, *words])} --help failed: {done.stderr.strip()}")
    return done.stdout


def subcommands(text):
    _, _, rest = text.partition("Subcommands:")
    return re.findall(r"^  ([a-z]+)\b", rest, re.MULTILINE)


def command_lines(text):
    """(words after `bolide`) of each use of the command in a code block, continuation lines joined; also by a launcher or
    after variables."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s*(?:\||&&|;)\s+", line):
                words = part.strip().removeprefix("$ ").split("#")[0]
                match = re.match(r"(?:(?:mpirun|torchrun|srun|\w+=\S*)\s(?:.*?\s)?)?(?:\S*/)?bolide\s+(.*)", words)
                if match:
                    try:
                        yield shlex.split(match.group(1))
                    except ValueError:
                        yield match.group(1).split()


def check_flags(root, command, findings):
    flags = {name: set(FLAG.findall(help_of(command, name))) for name in subcommands(help_of(command))}
    if not flags:
        findings.append(f"{command} --help lists no subcommand")
    every = set().union(*flags.values(), FLAG.findall(help_of(command)))
    scripts = [p for folder in ("scripts", "tools", ".ci", "bench", "examples") if (root / folder).is_dir()
               for p in (root / folder).rglob("*") if p.suffix in (".sh", ".py", "") and p.is_file()]
    foreign = {flag for p in scripts for flag in FLAG.findall(p.read_text(encoding="utf-8", errors="replace"))} | MPIRUN
    for path in documents(root):
        name, text = path.relative_to(root), path.read_text(encoding="utf-8")
        for words in command_lines(text):
            if words and words[0] in flags:
                for flag in {w.split("=")[0] for w in words[1:] if FLAG.match(w)} - flags[words[0]]:
                    findings.append(f"{name}: `bolide {words[0]} {flag}`: the command has no such flag")
            elif words and re.fullmatch(r"[a-z]+", words[0]):
                findings.append(f"{name}: `bolide {words[0]}`: there is no such subcommand")
        prose = FENCE.sub("", text)
        if path.name.startswith("coming_from_"):  # whose tables have another program's flags in their first column
            prose = re.sub(r"^\|[^|\n]*\|", "|", prose, flags=re.MULTILINE)
        for code in CODE.findall(prose):
            for flag in set(FLAG.findall(code)) - every - foreign:
                findings.append(f"{name}: `{code}`: nothing has a flag {flag}")
    page = root / "docs/commands.md"
    described = page.read_text(encoding="utf-8") if page.is_file() else ""
    for name, own in sorted(flags.items()):
        section = re.search(rf"^## .*`?bolide {name}`?.*?(?=^## |\Z)", described, re.MULTILINE | re.DOTALL)
        common = re.search(r"^## .*[Cc]ommon.*?(?=^## |\Z)", described, re.MULTILINE | re.DOTALL)
        if not section:
            findings.append(f"docs/commands.md: no section `bolide {name}`")
            continue
        known = set(FLAG.findall(section.group(0))) | set(FLAG.findall(common.group(0) if common else ""))
        for flag in sorted(own - known - {"--help"}):
            findings.append(f"docs/commands.md: section `bolide {name}` does not describe {flag}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--bolide", help="the built command, to check flags against its --help")
    args = parser.parse_args()
    findings = []
    check_links(args.root, findings)
    check_paths(args.root, findings)
    check_quotes(args.root, findings)
    check_models(args.root, findings)
    check_dependencies(args.root, findings)
    if args.bolide:
        check_flags(args.root, args.bolide, findings)
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings:
        print(f"check_docs: {len(findings)} finding(s)", file=sys.stderr)
        return 1
    print(f"check_docs: {len(documents(args.root))} documents agree with the tree"
          + (" and with the command" if args.bolide else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
