#!/usr/bin/env python3
"""Draws what `bolide bench --json` measured beside its roof, as an SVG.

    tools/plot_roof.py FILE.json ... -o OUT.svg

One bar a phase and batch: its length is the share of the roof that was reached, and the text has the time and
what bounds it. A file holds one object or a list of them, as bench writes it.
"""
import argparse
import json
from pathlib import Path
from xml.sax.saxutils import escape

ROW, LEFT, WIDTH, RIGHT, TOP = 26, 250, 420, 190, 40
COLOURS = {"memory": "#3b78b0", "arithmetic": "#c0763a"}


def bars(entry):
    """(label, share, milliseconds, bound) of both phases of a bench object."""
    model = Path(entry["model"]).stem
    phases = [("prefill of {}".format(entry["input_len"]), "prefill", entry["prefill_ms"])]
    if entry["decode_ms_per_step"] > 0:
        phases.append(("decode step", "decode", entry["decode_ms_per_step"]))
    for name, key, milliseconds in phases:
        yield (f"{model}, {name}, batch {entry['batch_size']}", entry[f"{key}_roof_share"], milliseconds,
               entry[f"{key}_bound"])


def svg(rows, title):
    height = TOP + ROW * len(rows) + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" '
           'font-family="sans-serif" font-size="13">',
           f'<rect width="100%" height="100%" fill="white"/><text x="8" y="22" font-size="15">{escape(title)}</text>']
    for share in range(0, 101, 20):
        x = LEFT + WIDTH * share / 100
        out.append(f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 28}" stroke="#ddd"/>'
                   f'<text x="{x}" y="{height - 12}" text-anchor="middle" fill="#555">{share} %</text>')
    for i, (label, share, milliseconds, bound) in enumerate(rows):
        y = TOP + ROW * i
        out.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>'
                   f'<rect x="{LEFT}" y="{y + 2}" width="{WIDTH * min(share, 1):.1f}" height="{ROW - 8}" '
                   f'fill="{COLOURS.get(bound, "#777")}"/>'
                   f'<text x="{LEFT + WIDTH + 8}" y="{y + 15}">{milliseconds:.2f} ms, {100 * share:.0f} % of '
                   f'{escape(bound)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    args = parser.parse_args()
    entries = []
    for path in args.files:
        content = json.loads(path.read_text())
        entries += content if isinstance(content, list) else [content]
    rows = [row for entry in entries for row in bars(entry)]
    machine = entries[0].get("instruction_set") or entries[0]["device"]
    args.output.write_text(svg(rows, f"Share of the roof on {machine}, {entries[0]['data_type']}"))


if __name__ == "__main__":
    main()
