# SPDX-License-Identifier: Apache-2.0
"""Hundreds of clients at once, most of them bad: afterwards nothing is left of them.

Every client must come to an end, the counters must add up, and places, pages and descriptors must be
as they were before."""

import asyncio
import dataclasses
import json
import os
import pathlib
import random
import signal
import socket
import time

import pytest

import raw_http
from conftest import require_model, wait_until

HANG_S = 240  # far above what a slow machine with sanitizers needs; only a hang takes longer
# All clients share one Python thread, which beside other work may not come to one of them for longer
# than the daemon's own limits: these tests are not about those.
LIMITS = f"limits: {{header_timeout: {HANG_S}s, body_timeout: {HANG_S}s, write_timeout: {HANG_S}s}}"
CHAT = "/v1/chat/completions"


@dataclasses.dataclass
class Storm:
    """What all clients of a storm share."""

    daemon: object
    prompt: object  # (random, n) -> text of about n tokens
    exact: bool  # the answer is the prompt
    long: int  # tokens of an answer that no socket buffer holds
    path: object = None  # of a Unix socket to use
    sent: int = 0  # requests whose head was sent whole
    outcomes: dict = dataclasses.field(default_factory=dict)

    def count(self, outcome):
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def request(self, rng, n_tokens, headers=(), **extra):
        text = self.prompt(rng, n_tokens)
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": n_tokens + 50, **extra}
        suspended = "".join(p for p in "1234" if rng.random() < 0.15)
        marks = [f"x-storm: {suspended}"] if suspended else []
        return text, raw_http.post(CHAT, body, [*headers, *marks])


class Client:
    """One connection, with a buffer of what was read and not yet looked at."""

    def __init__(self, storm, rng):
        self.storm, self.rng, self.data, self.at_end = storm, rng, b"", False

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        if self.storm.path:  # what the kernel keeps for it is little and fixed, so it is soon full
            self.socket, address = socket.socket(socket.AF_UNIX), str(self.storm.path)
        else:
            self.socket, (host, port) = socket.socket(), self.storm.daemon.address.rsplit(":", 1)
            address = (host, int(port))
        self.socket.setblocking(False)
        await self.loop.sock_connect(self.socket, address)
        return self

    async def __aexit__(self, *_):
        if self.rng.random() < 0.3:  # as a reset, not as an end
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    async def send(self, data, requests=1):
        self.storm.sent += requests
        await self.loop.sock_sendall(self.socket, data)

    async def more(self, size=65536):
        piece = await self.loop.sock_recv(self.socket, size)
        self.data += piece
        self.at_end = not piece
        return bool(piece)

    async def response(self):
        while True:
            # A stream is long; it is looked at when it may have ended.
            open_stream = b"chunked" in self.data[:2000] and b"0\r\n\r\n" not in self.data[-4096:]
            whole = None if open_stream else raw_http.take_response(self.data, self.at_end)
            if whole:
                self.data = whole[1]
                return whole[0]
            assert not self.at_end, f"the connection ended inside a response: {self.data[-300:]}"
            await self.more()


def check_shed(response):
    """Busy answers are allowed, races inside the daemon are not."""
    assert response.error() in ("queue_full", "queue_timeout"), response.body
    assert float(response.headers["retry-after"]) > 0
    assert int(response.headers["retry-after-ms"]) > 0


def check_answer(storm, response, text, stream, n=1):
    assert response.headers["x-request-id"]
    if response.status != 200:
        check_shed(response)
        storm.count("shed")
        return
    if stream:
        assert response.events()[-1] == "[DONE]", response.body[-300:]
        texts = [response.text(i) for i in range(n)]
    else:
        choices = response.json()["choices"]
        assert len(choices) == n
        texts = [c["message"]["content"] for c in choices]
    if storm.exact:
        assert texts == [text] * n
    storm.count("answered")


async def patient(storm, client, rng):
    n, stream = rng.choice([1, 1, 1, 3]), rng.random() < 0.5
    text, data = storm.request(rng, rng.randrange(1, 60), n=n, stream=stream)
    await client.send(data)
    check_answer(storm, await client.response(), text, stream, n)


async def slow_reader(storm, client, rng):
    text, data = storm.request(rng, storm.long // 8, stream=True)
    await client.send(data)
    for _ in range(40):
        if raw_http.take_response(client.data):
            break
        await client.more(512)
        await asyncio.sleep(0.01)
    check_answer(storm, await client.response(), text, True)


async def pauser(storm, client, rng):
    """Stops reading for so long that everything on the way is full, then goes on."""
    text, data = storm.request(rng, storm.long, stream=rng.random() < 0.8)
    stream = b'"stream": true' in data
    await client.send(data)
    await client.more(100)
    await asyncio.sleep(rng.choice([0.5, 2, 4]))
    check_answer(storm, await client.response(), text, stream)


async def vanisher(storm, client, rng):
    """Leaves at a random point of a request or of its response."""
    n = rng.choice([20, storm.long])
    n = n if n < 100 else rng.randrange(n // 4, n)
    _, data = storm.request(rng, n, stream=rng.random() < 0.7, n=rng.choice([1, 2]))
    head = data.index(b"\r\n\r\n") + 4
    cut = rng.choice([0, rng.randrange(head), head, rng.randrange(head, len(data)), *[len(data)] * 6])
    await client.send(data[:cut], requests=cut >= head)
    if cut == len(data):
        await asyncio.sleep(rng.choice([0, 0, 0.001, 0.02, 0.1, 1]))
        for _ in range(rng.choice([0, 0, 1, 30])):
            try:
                if not await asyncio.wait_for(client.more(2000), 1):
                    break
            except asyncio.TimeoutError:
                break  # all is read
        if n >= 100:
            await asyncio.sleep(rng.choice([0, 1, 3]))
    storm.count("vanished")


async def half_closer(storm, client, rng):
    _, data = storm.request(rng, 10)
    await client.send(data)
    client.socket.shutdown(socket.SHUT_WR)
    try:
        while await client.more():
            pass
    except ConnectionResetError:
        pass
    storm.count("half closed")


async def pipeliner(storm, client, rng):
    requests = [storm.request(rng, rng.randrange(1, 40), stream=i == 1) for i in range(4)]
    await client.send(b"".join(data for _, data in requests), requests=4)
    for i, (text, _) in enumerate(requests):
        check_answer(storm, await client.response(), text, i == 1)


async def hasty(storm, client, rng):
    """Names a deadline, which may pass in the queue, in the run, or while it does not read."""
    stream = rng.random() < 0.7
    n = rng.choice([10, storm.long])
    _, data = storm.request(rng, n, [f"x-weir-deadline-ms: {rng.choice([1, 20, 200, 1500])}"],
                            stream=stream)
    await client.send(data)
    if rng.random() < 0.5:
        await client.more(100)
        await asyncio.sleep(2)
    response = await client.response()
    if response.status == 200:
        last = response.events()[-1] if stream else ""
        late = "deadline_exceeded" in last
        assert late or not stream or last == "[DONE]", last
        storm.count("late" if late else "answered")
    elif response.status == 504:
        assert response.error() == "deadline_exceeded"
        storm.count("late")
    else:
        check_shed(response)
        storm.count("shed")


async def denied(storm, client, rng):
    _, data = storm.request(rng, 5, user="mallory", stream=rng.random() < 0.5)
    await client.send(data)
    response = await client.response()
    assert (response.status, response.error()) == (403, "user_denied")
    storm.count("denied")


async def redacted(storm, client, rng):
    _, data = storm.request(rng, 5, stream=True)
    data = raw_http.post(CHAT, {"messages": [{"role": "user", "content": "a secret in a secre"}],
                                "stream": True, "max_tokens": 40})
    await client.send(data)
    response = await client.response()
    if response.status == 200:
        assert "secret" not in response.text()
        if storm.exact:
            assert response.text().endswith("in a secre")
        storm.count("answered")
    else:
        check_shed(response)
        storm.count("shed")


KINDS = [patient] * 4 + [slow_reader, pauser, pauser, vanisher, vanisher, vanisher, half_closer,
                         pipeliner, hasty, hasty, denied, redacted]


async def run_client(storm, seed):
    rng = random.Random(seed)
    kind = rng.choice(KINDS)
    await asyncio.sleep(rng.random() * 3)
    async with Client(storm, rng) as client:
        try:
            await asyncio.wait_for(kind(storm, client, rng), HANG_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"client {seed}, a {kind.__name__}, hangs: {client.data[-200:]}")
        except ConnectionError:
            assert kind is vanisher, f"client {seed}, a {kind.__name__}, lost its connection"


async def reload_meanwhile(daemon):
    for _ in range(3):
        await asyncio.sleep(0.8)
        daemon.process.send_signal(signal.SIGHUP)


async def run_storm(storm, seeds):
    results = await asyncio.gather(
        reload_meanwhile(storm.daemon), *(run_client(storm, s) for s in seeds),
        return_exceptions=True,
    )
    failures = [r for r in results if isinstance(r, BaseException)]
    assert not failures, f"{len(failures)} clients failed, the first: {failures[0]!r}"


def descriptors(daemon):
    """What each of the daemon's descriptors is: {kind: how many}. But for pipes: a sanitizer talks to
    its symbolizer through some."""
    kinds = {}
    directory = f"/proc/{daemon.process.pid}/fd"
    for name in os.listdir(directory):
        try:
            kind = os.readlink(f"{directory}/{name}").split(":")[0]
        except FileNotFoundError:
            continue  # closed meanwhile
        if kind != "pipe":
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def gauges(daemon):
    queue = daemon.request("/admin/v1/models", admin=True)[2][0]["queue"]
    return {
        "running": daemon.metric("weir_requests_running"),
        "waiting": daemon.metric("weir_requests_waiting"),
        "batch": daemon.metric("weir_batch_sequences"),
        "used pages": daemon.metric("weir_kv_pages", state="used"),
        "used places": queue["used"],
        "queued": queue["waiting"],
        "in progress": daemon.metric("weir_requests_received_total")
        - daemon.metric("weir_requests_total"),
    }


def check_aftermath(storm, before, n_reloads=3):
    daemon = storm.daemon
    wait_until(lambda: not any(gauges(daemon).values()), 60, lambda: f"all zero: {gauges(daemon)}")
    wait_until(lambda: descriptors(daemon) == before, 60,
               lambda: f"descriptors given back: {before} before, {descriptors(daemon)} now")
    received = daemon.metric("weir_requests_received_total")
    assert received <= storm.sent
    begun = daemon.metric("weir_storm_probe_begun_total")
    assert begun == received
    assert daemon.metric("weir_storm_probe_completed_total") == begun
    assert daemon.metric("weir_storm_probe_completed_again_total") == 0
    pages = [daemon.metric("weir_kv_pages", state=s) for s in ("free", "cached")]
    assert sum(pages) > 0
    text, data = storm.request(random.Random(1), 20)
    status, _, body = daemon.request(CHAT, data.split(b"\r\n\r\n", 1)[1])
    assert status == 200, body
    assert daemon.log_text().count("configuration reloaded") == n_reloads
    print(json.dumps(storm.outcomes))


def plugins(binary):
    probe = pathlib.Path(binary).resolve().parent / "tests/integration/plugins/storm_probe.so"
    if not probe.exists():
        pytest.skip(f"{probe} is not built (meson option tests)")
    return f"""
plugins:
  - {probe}
  - async_deny: {{users: [mallory]}}
  - chunk_redact: {{word: secret}}
"""


def seeds(count):
    """WEIR_STORM_SEED moves the storm elsewhere; WEIR_STORM_CLIENTS makes it larger."""
    first = int(os.environ.get("WEIR_STORM_SEED", "1"))
    return range(first, first + int(os.environ.get("WEIR_STORM_CLIENTS", count)))


def echo_prompt(rng, n):
    return "".join(rng.choice("abcdefgh ") for _ in range(n))


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_storm_on_echo(start, binary, tmp_path, over):
    path = tmp_path / "socket" if over == "unix" else None
    listen = f'["127.0.0.1:0", "unix:{path}"], workers: 2' if path else '["127.0.0.1:0"], workers: 2'
    daemon = start(f"""
server: {{listen: {listen}, admin: "127.0.0.1:0", {LIMITS}}}
models:
  echo:
    queue: {{size: 400, timeout: 300s}}
    targets: [{{engine: {{backend: echo, max_batch: 8, context: 20000}}}}]
{plugins(binary)}
""")
    storm = Storm(daemon, echo_prompt, exact=True, long=4000, path=path)
    before = descriptors(daemon)
    asyncio.run(run_storm(storm, seeds(400)))
    check_aftermath(storm, before)


def stands_still(daemon):
    before = daemon.metric("weir_steps_total")
    time.sleep(0.5)
    return daemon.metric("weir_steps_total") == before > 0


@pytest.mark.parametrize("ended_by", ["the client", "the deadline"])
def test_a_stream_that_ended_behind_a_full_socket_is_let_go(start, binary, tmp_path, ended_by):
    """Lengths in steps that are smaller than a flow, so that for some of them the generation ends
    while its last chunks lie in the flow and the client takes nothing."""
    path = tmp_path / "socket"
    daemon = start(f"""
server: {{listen: ["127.0.0.1:0", "unix:{path}"], workers: 2, admin: "127.0.0.1:0", {LIMITS}}}
models:
  echo:
    targets: [{{engine: {{backend: echo, max_batch: 100, context: 6000}}}}]
{plugins(binary)}
""")
    storm = Storm(daemon, echo_prompt, exact=True, long=4000, path=path)
    headers = ["x-weir-deadline-ms: 5000"] if ended_by == "the deadline" else []
    before = descriptors(daemon)
    clients = []
    for n in range(1000, 4000, 40):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(str(path))
        clients[-1].sendall(storm.request(random.Random(n), n, headers, stream=True)[1])
        storm.sent += 1
    wait_until(lambda: daemon.metric("weir_requests_received_total") == storm.sent, what="arrival")
    wait_until(lambda: stands_still(daemon), what="nothing can go on")
    if ended_by == "the deadline":
        wait_until(lambda: daemon.metric("weir_requests_running") == 0, 60, "all have ended")
    for c in clients:
        c.close()
    check_aftermath(storm, before, n_reloads=0)


def test_a_small_queue_sheds_and_nothing_is_lost(start, binary, tmp_path):
    path = tmp_path / "socket"
    daemon = start(f"""
server: {{listen: ["127.0.0.1:0", "unix:{path}"], workers: 2, admin: "127.0.0.1:0", {LIMITS}}}
models:
  echo:
    queue: {{size: 8, timeout: 500ms}}
    targets: [{{engine: {{backend: echo, max_batch: 2, context: 20000, options: {{delay_us: 100}}}}}}]
{plugins(binary)}
""")
    storm = Storm(daemon, echo_prompt, exact=True, long=4000, path=path)
    before = descriptors(daemon)
    asyncio.run(run_storm(storm, seeds(200)))
    check_aftermath(storm, before)
    assert storm.outcomes["shed"] > 10 and storm.outcomes["answered"] > 0
    reasons = ("queue_full", "queue_timeout")
    assert sum(daemon.metric("weir_requests_rejected_total", reason=r) for r in reasons) >= storm.outcomes["shed"]


def test_storm_on_a_real_model(start, binary):
    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    require_model(file)
    daemon = start(f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", {LIMITS}}}
models:
  smollm2:
    queue: {{size: 200, timeout: 40s}}
    targets: [{{engine: {{backend: cpu, file: {file}, max_batch: 4, context: 2048, kv_memory: 64MiB}}}}]
{plugins(binary)}
""")

    def prompt(rng, n):
        return " ".join(rng.choice(["one", "two", "tree", "house"]) for _ in range(n))

    storm = Storm(daemon, prompt, exact=False, long=64)
    before = descriptors(daemon)
    asyncio.run(run_storm(storm, seeds(80)))
    check_aftermath(storm, before)
