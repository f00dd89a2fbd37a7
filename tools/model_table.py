#!/usr/bin/env python3
"""Prints the table of models that README.md holds: the families of src/models/registry.cc, and how many models of each
Hugging Face's logits and ids are compared with (tests/golden/manifest.json).

    tools/model_table.py [--root DIR] [--write]

--write puts it into README.md, between the lines that tools/check_docs.py compares with it.
"""
import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

BEGIN, END = "<!-- models: tools/model_table.py -->\n", "<!-- end of models -->\n"
ROW = re.compile(r'const Family (k\w+) = \{\s*"(\w+)",\s*"(\w+)",\s*\w+,\s*\w+,\s*(nullptr|&\w+),')


def table(root):
    """The lines of the table, or "" for a tree without a registry."""
    registry = root / "src/models/registry.cc"
    if not registry.exists():
        return ""
    listed = re.findall(r"&(k\w+)", re.search(r"kFamilies\[\] = \{(.*?)\}", registry.read_text(), re.DOTALL)[1])
    rows = {}
    for path in sorted((root / "src/models").glob("*.cc")):
        for name, architecture, model_type, ft in ROW.findall(path.read_text(encoding="utf-8")):
            rows[name] = (architecture, model_type, "read and written" if ft != "nullptr" else "not read")
    manifest = json.loads((root / "tests/golden/manifest.json").read_text(encoding="utf-8"))
    goldens = Counter(case.get("model_class", "BloomForCausalLM") for case in [*manifest["cases"], *manifest["families"]])
    lines = ["| Architecture | `model_type` | Hugging Face folders | FasterTransformer folders | Models compared with Hugging Face |",
             "|---|---|---|---|---|"]
    lines += [f"| {rows[name][0]} | `{rows[name][1]}` | read | {rows[name][2]} | {goldens[rows[name][0]]} |" for name in listed]
    return "".join(line + "\n" for line in lines)


def held(readme):
    """What stands between the lines, or None."""
    found = re.search(re.escape(BEGIN) + "(.*?)" + re.escape(END), readme, re.DOTALL)
    return found and found[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    text = table(args.root)
    if args.write:
        path = args.root / "README.md"
        readme = path.read_text(encoding="utf-8")
        if held(readme) is None:
            sys.exit(f"model_table: README.md has no place for it: {BEGIN.strip()}")
        path.write_text(readme.replace(BEGIN + held(readme) + END, BEGIN + text + END), encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
