#!/usr/bin/env python3
"""Two network namespaces with a cable between them play two hosts, a rank on each, which meet over Gloo.

    two_hosts_test.py --bolide COMMAND --source DIR

Exit 77 (skipped, and why) where this user may not make namespaces.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SKIP = 77
HOSTS = [f"bolide{os.getpid()}h{i}" for i in range(2)]
CABLE = [f"bol{os.getpid() % 100000}e{i}" for i in range(2)]
ADDRESS = "10.213.77.{}"


def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)


def build_hosts():
    for host in HOSTS:
        ip("netns", "add", host)
    ip("link", "add", CABLE[0], "netns", HOSTS[0], "type", "veth", "peer", "name", CABLE[1], "netns", HOSTS[1])
    for i, host in enumerate(HOSTS):
        # Without IPv6, whose addresses take seconds to be ready.
        ip("-n", host, "addr", "add", f"{ADDRESS.format(i + 1)}/24", "dev", CABLE[i])
        ip("-n", host, "link", "set", "lo", "up")
        ip("-n", host, "link", "set", CABLE[i], "up")


def remove_hosts():
    for host in HOSTS:
        ip("netns", "del", host, check=False)


def start(command, folder, meeting):
    ranks = []
    for rank, host in enumerate(HOSTS):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_WAIT_POLICY": "passive", **meeting}
        with open(folder / f"out{rank}", "wb") as out, open(folder / f"err{rank}", "wb") as err:
            ranks.append(subprocess.Popen(["ip", "netns", "exec", host, *command], env=environment, stdout=out,
                                          stderr=err, stdin=subprocess.DEVNULL))
    return ranks


def finish(ranks, folder, seconds):
    end = time.monotonic() + seconds
    try:
        codes = [rank.wait(max(0.1, end - time.monotonic())) for rank in ranks]
    except subprocess.TimeoutExpired:
        sys.exit(f"two_hosts: a rank still runs after {seconds} s: {texts(folder, 'err')}")
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.wait()
    return codes


def texts(folder, name):
    return [(folder / f"{name}{rank}").read_text(errors="replace") for rank in range(2)]


def require(holds, what):
    if not holds:
        sys.exit(f"two_hosts: {what}")


def check_ids(generate, folder):
    alone = subprocess.run(generate, capture_output=True, text=True, check=True).stdout
    require(alone.strip(), "one rank generates nothing")
    ways = {"tcp": {"MASTER_ADDR": ADDRESS.format(1), "MASTER_PORT": "29511"},
            "file": {"BOLIDE_MEETING": f"file:{folder / 'meeting'}"}}
    for way, meeting in ways.items():
        for flag in ("--tensor-para-size", "--pipeline-para-size"):
            codes = finish(start([*generate, flag, "2"], folder, meeting), folder, 60)
            require(codes == [0, 0], f"{way} {flag}: exit codes {codes}: {texts(folder, 'err')}")
            require(texts(folder, "out") == [alone, ""], f"{way} {flag}: {texts(folder, 'out')}, alone {alone!r}")
        print(f"two_hosts: {way}: the ids of one rank, tensor and pipeline parallel")


def check_cut_cable(generate, folder):
    timeout = 3
    meeting = {"MASTER_ADDR": ADDRESS.format(1), "MASTER_PORT": "29512"}
    long = [*generate, "--tensor-para-size", "2", "--comm-timeout", str(timeout)]
    ranks = start(long, folder, meeting)
    time.sleep(1.5)
    require([rank.poll() for rank in ranks] == [None, None], f"over before the cut: {texts(folder, 'err')}")
    ip("-n", HOSTS[0], "link", "set", CABLE[0], "down")
    begin = time.monotonic()
    codes = finish(ranks, folder, 30)
    took = time.monotonic() - begin
    errors = texts(folder, "err")
    require(all(codes), f"exit codes {codes} after the cut: {errors}")
    require(took < timeout + 5, f"the ranks took {took:.1f} s to find the cut cable: {errors}")
    for rank, error in enumerate(errors):
        lines = [line for line in error.splitlines() if line.startswith("bolide: error: ")]
        require(len(lines) == 1 and f"rank {1 - rank}" in lines[0], f"rank {rank} says {error!r}")
    require(any("did not answer" in error for error in errors), f"{errors}")
    print(f"two_hosts: cable cut: both ranks ended after {took:.1f} s: {errors}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bolide", required=True)
    parser.add_argument("--source", required=True, type=Path)
    args = parser.parse_args()
    if not shutil.which("ip"):
        print("two_hosts: NOT TESTED: there is no ip (iproute2)")
        return SKIP
    try:
        build_hosts()
    except subprocess.CalledProcessError as error:
        remove_hosts()
        print(f"two_hosts: NOT TESTED: this user cannot make network namespaces: {error.stderr.strip()}")
        return SKIP
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = ["--model", str(args.source / "examples/demo/model"), "--threads", "1"]
            generate = [args.bolide, "generate", *model]
            check_ids([*generate, "--prompt", "Hello", "--prompt", "There was", "--max-new-tokens", "12"], folder)
            lines = folder / "lines.jsonl"
            lines.write_text('{"prompt": "There was a smell"}\n' * 3000)
            check_cut_cable([*generate, "--input", str(lines), "--max-new-tokens", "64"], folder)
    finally:
        remove_hosts()
    return 0


if __name__ == "__main__":
    sys.exit(main())
