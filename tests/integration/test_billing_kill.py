# SPDX-License-Identifier: Apache-2.0
"""Replicas die under load; the ledger is compared with what clients received.

WEIR_KILL_ROUNDS says how many replicas are killed (default 20)."""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

import billing
from conftest import Daemon, wait_until
from relay import Relay

ROUNDS = int(os.environ.get("WEIR_KILL_ROUNDS") or 20)
REPLICAS = 3
CLIENTS = 5  # for each replica, in each round
UNBILLED = 64  # tokens that a kill may leave unbilled
REAPED_S = 10


class Redis:
    def __init__(self, directory):
        binary = shutil.which("redis-server")
        if not binary:
            pytest.skip("redis-server is not installed")
        self.socket = pathlib.Path(directory) / "redis.sock"
        self.process = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", str(self.socket), "--save", "",
             "--appendonly", "no", "--dir", str(directory)],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.socket.exists, what="redis-server")

    def stop(self):
        self.process.kill()
        self.process.wait()


CONFIG = """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
store: {driver: redis, url: "redis+unix://%s", timeout: 2s}
models:
  echo:
    targets: [{engine: {backend: echo, options: {delay_us: 1500}}}]
plugins:
%(plugin)s
logging: {level: warn}
"""


class Cluster:
    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.sockets = tempfile.TemporaryDirectory()  # short enough for a socket's name
        self.redis = Redis(self.sockets.name)
        plugin = billing.plugin(directory)
        self.config = CONFIG.replace("%(plugin)s", plugin)
        self.n_started = 0
        self.replicas = []

    def fill(self):
        self.replicas = [self.start() for _ in range(REPLICAS)]

    def start(self, store=None):
        self.n_started += 1
        directory = self.directory / f"replica{self.n_started}"
        directory.mkdir()
        return Daemon(self.binary, directory, self.config % (store or self.redis.socket))

    def kill(self, i):
        self.replicas[i].process.kill()
        self.replicas[i].process.wait()
        at = time.time()
        self.replicas[i].log.close()
        return at

    def stop(self):
        for replica in self.replicas:
            if replica.process.poll() is None:
                replica.process.kill()
            replica.process.wait()
            replica.log.close()
        self.redis.stop()
        self.sockets.cleanup()


@pytest.fixture
def cluster(binary, tmp_path):
    c = Cluster(binary, tmp_path)
    yield c
    c.stop()


def ask(truths, address, request_id, n_tokens, stream):
    try:
        truth = billing.Truth(address, request_id, n_tokens, stream)
    except OSError:
        return  # the replica was gone before it was asked
    truths.append(truth)
    truth.run()
    truth.close()


def play_round(cluster, number, rng, victim):
    """Load on all replicas, one of which is killed. Its requests, and all; when it died."""
    truths, threads = [[] for _ in range(REPLICAS)], []
    for i, replica in enumerate(cluster.replicas):
        for k in range(CLIENTS):
            args = (truths[i], replica.address, f"r{number}-{i}-{k}", rng.randint(20, 600), k % 3 > 0)
            threads.append(threading.Thread(target=ask, args=args))
    for t in threads:
        t.start()
    time.sleep(rng.uniform(0.01, 0.9))
    killed_at = cluster.kill(victim)
    for t in threads:
        t.join()
    cluster.replicas[victim] = cluster.start()
    return truths[victim], [t for list_ in truths for t in list_], killed_at


def test_nothing_is_billed_twice_and_no_kill_costs_more_than_64_tokens(cluster):
    seed = int(os.environ.get("WEIR_KILL_SEED") or random.SystemRandom().randrange(2**31))
    rng = random.Random(seed)
    cluster.fill()
    truths, killed = [], {}
    for number in range(ROUNDS):
        of_victim, of_all, killed_at = play_round(cluster, number, rng, rng.randrange(REPLICAS))
        truths += of_all
        killed.update({t.request_id: killed_at for t in of_victim})
    time.sleep(REAPED_S)

    entries = billing.ledger(cluster.replicas[0])
    sums = billing.sums(entries)
    n_cut, n_reaped, worst, slowest, faults = 0, 0, 0, 0.0, []
    for t in truths:
        s = sums.get(t.request_id)
        billed = s["delivered"] if s else 0
        if s and s["usage"] != 1:
            faults.append(f"{t.request_id}: {s['usage']} usage entries")
        unbilled = t.tokens - billed
        if t.request_id not in killed and unbilled != 0:
            faults.append(f"{t.request_id}: got {t.tokens}, billed {billed}, and nobody was killed")
        if not 0 <= unbilled <= UNBILLED:
            faults.append(f"{t.request_id}: got {t.tokens}, billed {billed}, stream={t.stream}, "
                          f"complete={t.complete}")
        if t.request_id in killed and not t.complete:
            n_cut += 1
            worst = max(worst, unbilled)
            if not s and t.tokens:
                faults.append(f"{t.request_id}: no entry")
    for e in entries:
        if e["source"] == "reaper":
            n_reaped += 1
            slowest = max(slowest, e["ended_us"] / 1e6 - killed[e["request_id"]])
    print(f"\n{ROUNDS} kills, {len(truths)} requests, {n_cut} cut off, {n_reaped} reaped, at most "
          f"{worst} tokens unbilled, settled within {slowest:.1f} s, seed {seed}")
    assert not faults, f"seed {seed}:\n" + "\n".join(faults)
    assert slowest <= REAPED_S
    assert n_cut > 0 and n_reaped > 0

    checked = subprocess.run(
        [cluster.binary, "billing", "verify", "--tenant", "", "--admin", cluster.replicas[0].admin_url],
        capture_output=True, text=True, timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_reaper_that_dies_with_what_it_claimed_delays_no_entry_beyond_the_limit(cluster):
    first = cluster.start()
    truth = billing.Truth(first.address, "orphan", 600, True)
    claimed = threading.Event()

    def loses(piece):
        if truth.request_id.encode() in piece:
            claimed.set()
        return claimed.is_set()

    relay = Relay(cluster.redis.socket, pathlib.Path(cluster.sockets.name) / "relay.sock", loses)
    cluster.replicas = [first, cluster.start(store=relay.path)]
    truth.run(until_tokens=100)
    killed_at = cluster.kill(0)
    truth.run().close()
    assert claimed.wait(REAPED_S), "the second replica claimed nothing"
    cluster.kill(1)
    relay.close()
    cluster.replicas.append(cluster.start())

    wait_until(lambda: billing.ledger(cluster.replicas[2]), timeout=2 * REAPED_S, what="an entry")
    (entry,) = billing.ledger(cluster.replicas[2])
    assert (entry["request_id"], entry["source"]) == ("orphan", "reaper")
    assert 0 <= truth.tokens - entry["delivered_tokens"] <= UNBILLED
    assert entry["ended_us"] / 1e6 - killed_at <= REAPED_S
