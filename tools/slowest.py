#!/usr/bin/env python3
"""What took longest in a build folder: files to compile, and tests.

    python3 tools/slowest.py BUILD... [--count 10]

Reads what Ninja and CTest have noted of their last runs; of a file the latest compilation counts, and one that ccache had
takes next to nothing.
"""
import argparse
import sys
from pathlib import Path


def compiled(build):
    """Seconds by object."""
    log, times = build / ".ninja_log", {}
    if not log.is_file():
        return times
    for line in log.read_text().splitlines():
        fields = line.split("\t")
        if len(fields) >= 4 and fields[3].endswith(".o"):
            times[fields[3].split(".dir/")[-1].removesuffix(".o")] = (int(fields[1]) - int(fields[0])) / 1000
    return times


def tested(build):
    """Seconds by test."""
    data, times = build / "Testing/Temporary/CTestCostData.txt", {}
    if not data.is_file():
        return times
    for line in data.read_text().splitlines():
        fields = line.rsplit(" ", 2)
        if len(fields) == 3:
            times[fields[0]] = float(fields[2])
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", nargs="+", type=Path, metavar="BUILD")
    parser.add_argument("--count", type=int, default=10)
    args = parser.parse_args()
    for build in args.builds:
        for what, times in (("files to compile", compiled(build)), ("tests", tested(build))):
            print(f"{build}: slowest of {len(times)} {what}, {sum(times.values()):.0f} s in all")
            for name, seconds in sorted(times.items(), key=lambda item: -item[1])[:args.count]:
                print(f"  {seconds:7.1f} s  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
