# SPDX-License-Identifier: Apache-2.0
"""Three replicas on one Redis: what one does to tenants and keys holds on all; the store gone, hung, back.

How long a change takes to be everywhere is printed: pytest -s.
"""

import shutil
import signal
import subprocess
import threading
import time

import pytest

from conftest import echo_config, wait_until
from test_tenants import Admin, ask

OPEN = "cache: {seconds: 1, unknown_seconds: 1}"


class Redis:
    """A redis-server on a socket of its own; no port, nothing on disk."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", ""],
            cwd=self.directory, stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: self.command("ping") == "PONG", what="redis-server")

    def command(self, *words):
        done = subprocess.run(["redis-cli", "-s", self.socket, *words], capture_output=True, text=True)
        return done.stdout.strip()

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis(binary, tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory)
    file = directory / "weir.yaml"
    file.write_text(config(server))
    checked = subprocess.run([binary, "check", "-c", file], capture_output=True, text=True)
    if "is not in this build" in checked.stdout + checked.stderr:
        pytest.skip("this build has no Redis driver")
    server.start()
    yield server
    server.kill()


def config(redis, auth=OPEN, options=", options: {delay_us: 2000}"):
    return (
        f'store: {{driver: redis, url: "redis+unix://{redis.socket}"}}\n'
        + echo_config(
            extra=f"plugins: [{{auth: {{{auth}}}}}]\ntenants: {{fixed: {{keys: [{{name: k, secret: key-of-the-file}}]}}}}",
            options=options,
        )
    )


@pytest.fixture
def replicas(start, redis):
    return [start(config(redis)) for _ in range(3)]


def everywhere(replicas, what, condition):
    """Waits until it holds on each, and says how long that took."""
    began = time.monotonic()
    for daemon in replicas:
        wait_until(lambda: condition(daemon), what=what)
    print(f"{what}: everywhere after {(time.monotonic() - began) * 1000:.0f} ms")


def test_what_one_replica_makes_all_serve(replicas):
    one, two, three = replicas
    Admin(one).tenant("acme", tier="batch")
    everywhere(replicas, "a new tenant", lambda d: Admin(d)("GET", "/tenants/acme")[0] == 200)
    key = Admin(two).key("acme")
    everywhere(replicas, "a new key", lambda d: ask(d, key["key"])[0] == 200)
    status, head, _ = Admin(three)("PATCH", "/tenants/acme", {"models": ["echo"]}, "*")
    assert status == 200
    everywhere(replicas, "a change", lambda d: Admin(d)("GET", "/tenants/acme")[1]["ETag"] == head["ETag"])
    # Of two who saw the same, one wins, wherever they are.
    first = Admin(one)("PATCH", "/tenants/acme", {"tier": "critical_api"}, head["ETag"])
    second = Admin(two)("PATCH", "/tenants/acme", {"tier": "interactive_ui"}, head["ETag"])
    assert (first[0], second[0]) == (200, 412)
    Admin(one)("POST", "/tenants/acme/suspend", etag="*")
    everywhere(replicas, "a suspension", lambda d: ask(d, key["key"])[0] == 403)
    Admin(two)("POST", "/tenants/fixed/suspend", etag="*")
    everywhere(replicas, "a configured tenant's", lambda d: ask(d, "key-of-the-file")[0] == 403)
    Admin(two)("POST", "/tenants/acme/resume", etag="*")
    everywhere(replicas, "a resumption", lambda d: ask(d, key["key"])[0] == 200)


def test_a_revoked_key_ends_everywhere_under_load(replicas):
    admin = Admin(replicas[0])
    admin.tenant("acme")
    key = admin.key("acme")
    stop, seen = threading.Event(), []

    def load(daemon):
        while not stop.is_set():
            began = time.monotonic()
            body = {"model": "echo", "messages": [{"role": "user", "content": "x" * 20}], "stream": True}
            headers = {"Authorization": f"Bearer {key['key']}"}
            seen.append((began, daemon.request("/v1/chat/completions", body, headers)[0]))

    threads = [threading.Thread(target=load, args=(d,)) for d in replicas for _ in range(2)]
    for t in threads:
        t.start()
    try:
        wait_until(lambda: len(seen) > 60, what="load")
        assert Admin(replicas[1])("DELETE", f"/tenants/acme/keys/{key['id']}", etag="*")[0] == 204
        revoked = time.monotonic()
        wait_until(lambda: [s for _, s in seen[-30:]] == [401] * 30, what="the revocation")
    finally:
        stop.set()
        for t in threads:
            t.join()
    late = [t - revoked for t, status in seen if status == 200 and t > revoked]
    print(f"last request that a revoked key got through: {max(late, default=0) * 1000:.0f} ms after")
    assert {status for _, status in seen} == {200, 401}
    # Once refused everywhere it stays refused.
    assert all(ask(d, key["key"])[0] == 401 for d in replicas for _ in range(20))


def test_a_deleted_tenant_leaves_a_mark_for_a_day_in_the_store(replicas, redis):
    one, two, _ = replicas
    Admin(one).tenant("acme")
    key = Admin(one).key("acme")
    everywhere(replicas, "the key", lambda d: ask(d, key["key"])[0] == 200)
    assert "acme" in redis.command("--scan")
    assert Admin(two)("DELETE", "/tenants/acme", etag="*")[0] == 204
    everywhere(replicas, "the end of a tenant", lambda d: ask(d, key["key"])[0] == 401)
    assert [key for key in redis.command("--scan").split() if "acme" in key] == ["weir:{acme}:x:"]
    assert 86000 < int(redis.command("ttl", "weir:{acme}:x:")) <= 86400
    everywhere(replicas, "its name", lambda d: Admin(d)("GET", "/tenants/acme")[0] == 404)
    Admin(two).tenant("acme")
    everywhere(replicas, "the next of its name", lambda d: Admin(d)("GET", "/tenants/acme")[0] == 200)
    assert all(ask(d, key["key"])[0] == 401 for d in replicas)


def test_a_replica_that_comes_later_has_all(start, redis, replicas):
    admin = Admin(replicas[0])
    for i in range(300):
        admin.tenant(f"t{i:03}")
    key = admin.key("t299")["key"]
    late = start(config(redis))
    wait_until(lambda: late.request("/healthz/ready")[0] == 200, what="ready")
    assert ask(late, key)[0] == 200
    assert len(Admin(late)("GET", "/tenants?limit=1000")[2]["data"]) == 301


@pytest.mark.parametrize("policy, old, bounded", [
    ("on_store_loss: local, store_loss_seconds: 600", 200, 200),
    ("on_store_loss: local, store_loss_seconds: 0", 503, 503),
    ("on_store_loss: allow, store_loss_seconds: 0", 200, 200),
    ("on_store_loss: deny", 503, 503),
])
def test_the_store_is_gone_and_comes_back(start, redis, policy, old, bounded):
    daemon = start(config(redis, auth=f"{OPEN}, {policy}"))
    admin = Admin(daemon)
    admin.tenant("acme")
    used, unused = admin.key("acme"), admin.key("acme")
    assert ask(daemon, used["key"])[0] == 200
    redis.kill()
    # Fresh ones are good whatever the policy; it counts when they are to be read again.
    time.sleep(1.2)
    wait_until(lambda: ask(daemon, used["key"])[0] == old, what=f"{old} for a key that was read")
    for _ in range(20):
        assert ask(daemon, used["key"])[0] == old
        status, head, body = ask(daemon, unused["key"])
        assert status == 503 and body["error"]["code"] == "auth_unavailable" and head["Retry-After"]
        assert ask(daemon, "key-of-the-file")[0] == 200
        assert ask(daemon, "not-a-key-at-all")[0] == 401
    for method, path, body in (("POST", "/tenants", {"name": "x"}), ("DELETE", "/tenants/acme", None),
                               ("POST", "/tenants/acme/keys", {"name": "x"}),
                               ("DELETE", f"/tenants/acme/keys/{used['id']}", None)):
        status, _, answer = admin(method, path, body, "*")
        assert status == 503 and answer["error"]["code"] in ("store_unavailable", "store_timeout"), answer
    assert admin("GET", "/tenants/acme")[0] == 200
    redis.start()  # empty: everything that it had is gone
    wait_until(lambda: ask(daemon, used["key"])[0] == 401, timeout=40, what="the key's end")
    wait_until(lambda: admin("GET", "/tenants/acme")[0] == 404, timeout=40, what="the tenant's end")
    admin.tenant("acme")
    assert ask(daemon, admin.key("acme")["key"])[0] == 200


def test_a_revocation_that_was_missed_counts_after_the_connection_is_back(start, redis):
    """Cached for an hour: only the lost connection makes it read the key again."""
    one = start(config(redis, auth="cache: {seconds: 3600}"))
    two = start(config(redis))
    admin = Admin(two)
    admin.tenant("acme")
    key = admin.key("acme")
    wait_until(lambda: ask(one, key["key"])[0] == 200, what="the key")
    # The record goes without a word to anybody.
    record = [k for k in redis.command("--scan").split() if "acme" in k]
    redis.command("del", *record)
    assert ask(one, key["key"])[0] == 200
    redis.command("client", "kill", "type", "pubsub")
    wait_until(lambda: ask(one, key["key"])[0] == 401, what="the key's end")


def test_a_hung_store_hangs_nobody(start, redis):
    daemon = start(config(redis))
    admin = Admin(daemon)
    admin.tenant("acme")
    used, unused = admin.key("acme"), admin.key("acme")
    assert ask(daemon, used["key"])[0] == 200
    redis.process.send_signal(signal.SIGSTOP)
    time.sleep(1.2)
    began = time.monotonic()
    assert ask(daemon, unused["key"])[0] == 503
    assert ask(daemon, used["key"])[0] == 200
    assert ask(daemon, "key-of-the-file")[0] == 200
    assert admin("POST", "/tenants", {"name": "x"}, "*")[0] == 503
    assert time.monotonic() - began < 15
    redis.process.send_signal(signal.SIGCONT)
    wait_until(lambda: ask(daemon, unused["key"])[0] == 200, what="the store")


def test_without_a_store_at_the_start_unknown_is_not_wrong(start, redis):
    redis.kill()
    daemon = start(config(redis))
    assert ask(daemon, "key-of-the-file")[0] == 200
    text = "weir_acme_aaaaaaaaaaaaaaaa_" + "a" * 52
    assert ask(daemon, text)[0] == 503
    wait_until(lambda: daemon.request("/healthz/ready")[0] == 200, what="ready all the same")
    redis.start()
    wait_until(lambda: ask(daemon, text)[0] == 401, what="the store")
