"""Two network namespaces with a cable between them play two hosts, with ranks on both, over Gloo and over MPI."""
import os
import shutil
import subprocess
import time
import unittest

import harness
from ranks import RanksTest, ThisHost

TIMEOUT = 3
# What ending takes beyond the time-out, on a machine that is busy with other tests.
MARGIN = 20


def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)


class TwoHosts(ThisHost):
    """The first half of the ranks runs on one, the rest on the other, which also numbers its processes by itself: no rank
    can look from here whether one over there is alive."""
    count = 0

    def __init__(self, folder):
        TwoHosts.count += 1
        mark = f"{os.getpid() % 100000}n{TwoHosts.count}"
        self.folder = folder
        self.names = [f"bolide{mark}h{i}" for i in range(2)]
        self.cable = [f"bol{mark}e{i}" for i in range(2)]
        self.addresses = ["10.213.77.1", "10.213.77.2"]
        self.address = self.addresses[0]

    def build(self):
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", self.cable[0], "netns", self.names[0], "type", "veth", "peer", "name", self.cable[1], "netns",
           self.names[1])
        for name, end, address in zip(self.names, self.cable, self.addresses):
            # Without IPv6, whose addresses take seconds to be ready.
            ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", end, "up")
        for host in range(2):
            subprocess.run(self.on(host, ["true"]), capture_output=True, text=True, check=True)

    def remove(self):
        for name in self.names:
            ip("netns", "del", name, check=False)

    def cut(self):
        ip("-n", self.names[0], "link", "set", self.cable[0], "down")

    def give_up_soon(self):
        """Has the kernels of both end connections that nobody answers on within seconds, not a quarter of an hour."""
        for name in self.names:
            subprocess.run(["ip", "netns", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_retries2"], check=True)

    def on(self, host, command):
        name = self.names[host]
        # The shell stays as process 1 of what counts by itself, so that no rank is that one.
        own, last = (["--pid", "--fork", "--mount-proc"], "") if host else ([], "exec ")
        return ["ip", "netns", "exec", name, "unshare", "--uts", *own, "sh", "-c", f'hostname {name} && {last}"$@"', "sh",
                *command]

    def command(self, rank, ranks, command):
        return self.on(rank * 2 // ranks, command)

    def mpirun(self, ranks):
        agent, hostfile = self.folder / "agent", self.folder / "hosts"
        # mpirun calls it as it would call ssh: with the host, and the command of the daemon as a shell reads it.
        agent.write_text("#!/bin/sh\nshift\nexec " + " ".join(f"'{word}'" for word in self.on(1, ["sh", "-c"])) + ' "$*"\n')
        agent.chmod(0o755)
        hostfile.write_text("".join(f"{address} slots={ranks // 2}\n" for address in self.addresses))
        network = self.address.rsplit(".", 1)[0] + ".0/24"
        words = ["mpirun", "--hostfile", str(hostfile), "--mca", "plm_rsh_agent", str(agent), "--mca", "oob_tcp_if_include",
                 network, "--mca", "btl_tcp_if_include", network]
        # Daemons whose mpirun is out of reach leave their files behind.
        return self.on(0, words), {"OMPI_MCA_plm": "rsh", "TMPDIR": str(self.folder)}


class OverGloo(RanksTest):
    way = "gloo"

    def setUp(self):
        super().setUp()
        for tool in ("ip", "unshare"):
            if not shutil.which(tool):
                raise unittest.SkipTest(f"NOT TESTED: there is no {tool}")
        self.require_way(self.way)
        self.hosts = TwoHosts(self.folder)
        self.addCleanup(self.hosts.remove)
        try:
            self.hosts.build()
        except subprocess.CalledProcessError as error:
            raise unittest.SkipTest(f"NOT TESTED: this user cannot make namespaces: {error.stderr.strip()}")
        self.generate = ["generate", "--model", harness.SOURCE / "examples/demo/model"]

    def meetings(self):
        return {"tcp": {}, "file": {"BOLIDE_MEETING": f"file:{self.folder / 'meeting'}"}}

    def test_ids_of_one_rank(self):
        flags = [*self.generate, "--prompt", "Hello", "--prompt", "There was", "--max-new-tokens", "12"]
        alone = self.ok(*flags, "--threads", 1)
        self.assertTrue(alone.strip())
        for name, meeting in self.meetings().items():
            for tp, pp in [(2, 1), (1, 2), (2, 2)]:
                with self.subTest(name, tp=tp, pp=pp):
                    self.assertEqual(self.ranks_ok(self.way, tp, pp, *flags, hosts=self.hosts, **meeting), alone)

    def begin(self, tp, pp):
        """Starts a run, and gives it once its first results are written."""
        lines = self.jsonl("lines.jsonl", [{"prompt": "There was a smell"}] * 3000)
        run = self.start(self.way, tp, pp, *self.generate, "--input", lines, "--max-new-tokens", 64, "--comm-timeout",
                         TIMEOUT, hosts=self.hosts)
        end = time.monotonic() + 60
        while not run.output():
            self.assertLess(time.monotonic(), end, run.all_errors())
            time.sleep(0.02)
        self.assertEqual(run.wait(0), [None] * len(run.processes), run.all_errors())
        return run

    def wait_until_left(self, run, still, seconds):
        end = time.monotonic() + seconds
        while left := still():
            self.assertLess(time.monotonic(), end, f"{list(left)} {run.all_errors()}")
            time.sleep(0.02)

    def test_cable_cut(self):
        for tp, pp in [(2, 1), (1, 2)]:
            with self.subTest(tp=tp, pp=pp):
                run = self.begin(tp, pp)
                self.hosts.cut()
                self.wait_until_left(run, run.ranks_left, TIMEOUT + MARGIN)
                for rank in range(2):
                    self.assert_error_of(run, rank, f"rank {1 - rank} ", "step ")
                self.assertTrue(any("did not answer" in run.errors(rank)[0] for rank in range(2)), run.all_errors())
                # A launcher and its daemons do not end before their own connection does.
                self.hosts.give_up_soon()
                self.wait_until_left(run, run.left, 60)
                self.assertTrue(all(run.wait(10)), run.all_errors())
            self.hosts.remove()
            self.hosts.build()


class OverMpi(OverGloo):
    way = "mpi"

    def meetings(self):
        return {"mpirun": {}}


if __name__ == "__main__":
    harness.main()
