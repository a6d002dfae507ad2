# SPDX-License-Identifier: Apache-2.0
"""A store that fails over or is emptied while limits, budgets and billing work on it."""

import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import billing
from conftest import echo_config, wait_until
from test_store import redis  # noqa: F401 (a fixture)

PLUGINS = """plugins:
  - ratelimit: {limits: {tenant: {requests_per_second: {limit: 200, burst: 400}}}}
  - quota: {budgets: {tenant: {requests_per_day: 1000000}}}
  %s
"""


def config(url, directory):
    return f'store: {{driver: redis, url: "{url}", timeout: 500ms}}\n' + echo_config(PLUGINS % billing.plugin(directory), ", options: {delay_us: 2000}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Group:
    """A master, a replica of it and three Sentinels, on ports of their own."""

    def __init__(self, directory):
        self.directory, self.processes = directory, {}
        self.ports = [free_port() for _ in range(2)]
        self.sentinels = [free_port() for _ in range(3)]
        self.redis(0)
        self.redis(1, "--replicaof", "127.0.0.1", str(self.ports[0]))
        for port in self.sentinels:
            file = directory / f"sentinel-{port}.conf"
            file.write_text(
                f"port {port}\ndir {directory}\nsentinel monitor weir 127.0.0.1 {self.ports[0]} 2\n"
                "sentinel down-after-milliseconds weir 1000\nsentinel failover-timeout weir 5000\n"
            )
            self.run(port, file, "--sentinel")
        wait_until(lambda: "num-slaves\n1\n" in self.about() and "num-other-sentinels\n2\n" in self.about(), what="the group")
        wait_until(lambda: "master_link_status:up" in self.cli(self.ports[1], "info", "replication"), what="the replica")

    def run(self, port, *arguments):
        self.processes[port] = subprocess.Popen(["redis-server", *map(str, arguments)], cwd=self.directory, stdout=subprocess.DEVNULL)

    def redis(self, index, *arguments):
        directory = self.directory / f"redis{index}"
        directory.mkdir()
        self.run(self.ports[index], "--port", self.ports[index], "--dir", directory, "--save", "", "--repl-diskless-sync-delay", 0, *arguments)
        wait_until(lambda: "PONG" in self.cli(self.ports[index], "ping"), what="redis-server")

    def cli(self, port, *words):
        return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True).stdout

    def about(self):
        return self.cli(self.sentinels[0], "sentinel", "master", "weir")

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{p}" for p in self.sentinels) + "/weir"

    def master(self):
        return int(self.cli(self.sentinels[0], "sentinel", "get-master-addr-by-name", "weir").split()[1])

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def group(tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    (tmp_path / "group").mkdir()
    group = Group(tmp_path / "group")
    yield group
    group.end()


class Clients:
    """Truthful clients, one request after another, until told to stop; each answer must come in time."""

    def __init__(self, daemons, n_each=3):
        self.answers, self.longest_s, self.stopped = [], 0.0, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(d, i)) for d in daemons for i in range(n_each)]
        for thread in self.threads:
            thread.start()

    def run(self, daemon, index):
        n = 0
        while not self.stopped.is_set():
            n += 1
            began = time.monotonic()
            client = billing.Truth(daemon.address, f"{daemon.address}-{index}-{n}", 12, stream=n % 2 == 0).run()
            client.close()
            client.began_s = began
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            self.answers.append(client)

    def end(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return self.answers


def admitted_again(daemon):
    return billing.Truth(daemon.address, "again", 3, stream=False).run().status == 200


@pytest.mark.parametrize("how", ["planned", "killed"])
def test_a_failover_under_load_bills_nothing_twice(start, group, tmp_path, how):
    daemons = [start(config(group.url, tmp_path)) for _ in range(2)]
    clients = Clients(daemons)
    time.sleep(2)
    old = group.master()
    failed_s = time.monotonic()
    if how == "planned":
        assert "OK" in group.cli(group.sentinels[0], "sentinel", "failover", "weir")
    else:
        group.processes[old].send_signal(signal.SIGKILL)
    wait_until(lambda: group.master() != old, timeout=40, what="another master")
    if how == "planned":  # until then the old one takes writes that it passes on to nobody
        wait_until(lambda: "role:slave" in group.cli(old, "info", "replication"), timeout=40, what="the old master is a replica")
    for daemon in daemons:
        wait_until(lambda: admitted_again(daemon), timeout=40, what="requests are admitted again")
    back_s = time.monotonic()
    time.sleep(2)
    answers = clients.end()
    assert clients.longest_s < 20
    assert {c.status for c in answers} <= {200, 429, 503, None}, {c.status for c in answers}
    for daemon in daemons:
        wait_until(lambda: daemon.metric("weir_billing_backlog") == 0, timeout=40, what="the backlog is written")
    time.sleep(8)  # what a reaper would settle
    billed = billing.sums(billing.ledger(daemons[0]))
    before, after = 0, 0
    for c in answers:
        entry = billed.get(c.request_id, {"delivered": 0, "usage": 0})
        assert entry["usage"] <= 1 and entry["delivered"] <= c.tokens, (c.request_id, entry, c.tokens)
        if c.status == 200 and c.complete and c.began_s > back_s:
            assert entry["delivered"] == c.tokens, (c.request_id, entry, c.tokens)
            after += 1
        before += c.status == 200 and c.began_s < failed_s - 1 and entry["delivered"] == c.tokens
    assert before > 10 and after > 10


def test_a_store_that_is_emptied_under_load_is_used_on(start, redis, tmp_path):  # noqa: F811
    """What was in it is gone, and declared so: limits and budgets begin anew, the ledger has what came after.
    Requests that run are billed, since their replica knows them; nothing hangs and nothing is billed twice."""
    redis.start()
    daemons = [start(config(f"redis+unix://{redis.socket}", tmp_path)) for _ in range(2)]
    clients = Clients(daemons)
    time.sleep(1)
    for _ in range(5):
        redis.command("flushall")
        redis.command("script", "flush")
        time.sleep(0.3)
    flushed_s = time.monotonic()
    time.sleep(2)
    answers = clients.end()
    assert clients.longest_s < 20
    assert {c.status for c in answers} <= {200, 429, 503}
    for daemon in daemons:
        wait_until(lambda: daemon.metric("weir_billing_backlog") == 0, timeout=40, what="the backlog is written")
    billed = billing.sums(billing.ledger(daemons[0]))
    n_after = 0
    for c in answers:
        entry = billed.get(c.request_id, {"delivered": 0, "usage": 0})
        assert entry["usage"] <= 1 and entry["delivered"] <= c.tokens
        if c.status == 200 and c.began_s > flushed_s:
            assert entry["delivered"] == c.tokens, (c.request_id, entry, c.tokens)
            n_after += 1
    assert n_after > 10
