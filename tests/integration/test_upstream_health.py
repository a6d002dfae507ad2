# SPDX-License-Identifier: Apache-2.0
"""Active checks, ejection, retries and failover over real upstream servers."""

import collections
import concurrent.futures
import http.server
import json
import threading

import pytest

from conftest import echo_config, wait_until

CHAT = "/v1/chat/completions"
ANSWER = {"id": "x", "object": "chat.completion", "created": 1, "model": "echo",
          "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
          "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


class Upstream:
    """An OpenAI server that does as it is told: `status` for chats, `healthy` for checks."""

    def __init__(self):
        self.status, self.healthy, self.headers = 200, True, {}
        self.chats, self.checks = 0, collections.Counter()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body, headers=()):
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                outer.checks[self.path] += 1
                self.answer(200 if outer.healthy else 503, {"data": []})

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.chats += 1
                if outer.status == "drop":
                    self.close_connection = True
                    self.connection.close()
                elif outer.status == 200:
                    self.answer(200, ANSWER)
                else:
                    self.answer(outer.status, {"error": {"message": "no", "code": "x"}}, outer.headers)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream():
    made = []

    def make():
        made.append(Upstream())
        return made[-1]

    yield make
    for u in made:
        u.stop()


def gateway(ports, extra="", more="", server="", model=""):
    lines = "".join(f"      - {{upstream: {{url: 'http://127.0.0.1:{p}/v1'}}{more if isinstance(more, str) else more[i]}}}\n"
                    for i, p in enumerate(ports))
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", workers: 2{server}}}
models:
  echo:
{model}    targets:
{lines}{extra}"""


CHECKS = ("load_balancing: {health_checks: {readiness: {enabled: true, timeout: 1s, interval: 50ms, failures: 2%s}}}\n")


def ask(daemon, **extra):
    return daemon.request(CHAT, {"model": "echo", "messages": [{"role": "user", "content": "hi"}], **extra}, timeout=60)


def ask_many(daemon, n, at_a_time=8):
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        return collections.Counter(s for s, _, _ in pool.map(lambda _: ask(daemon), range(n)))


def states(daemon):
    targets = daemon.request("/admin/v1/models", admin=True)[2][0]["targets"]
    return [t["health"]["state"] for t in targets]


def test_nothing_before_the_first_good_check(start, upstream):
    a, b = upstream(), upstream()
    b.healthy = False
    daemon = start(gateway([a.port, b.port], CHECKS % "" + "gateway: {slow_start: 1ms}\n"))
    wait_until(lambda: states(daemon) == ["ready", "unchecked"], what=lambda: states(daemon))
    assert ask_many(daemon, 20) == {200: 20}
    assert (a.chats, b.chats) == (20, 0) and b.checks["/v1/models"] > 0
    b.healthy = True
    wait_until(lambda: states(daemon) == ["ready", "ready"], what=lambda: states(daemon))
    a.healthy = False
    wait_until(lambda: states(daemon) == ["unhealthy", "ready"], what=lambda: states(daemon))
    assert ask_many(daemon, 20) == {200: 20} and b.chats == 20
    a.healthy = True
    wait_until(lambda: states(daemon) == ["ready", "ready"], what=lambda: states(daemon))


def test_startup_comes_before_the_other_checks(start, upstream):
    a = upstream()
    a.healthy = False
    text = """load_balancing:
  health_checks:
    startup: {enabled: true, path: /up, interval: 30ms}
    liveness: {enabled: true, path: /live, interval: 30ms}
    readiness: {enabled: true, path: /ready, interval: 30ms}
"""
    daemon = start(gateway([a.port, a.port], text, more=["", ", health_checks: {readiness: {enabled: true, path: /own}}"]))
    wait_until(lambda: a.checks["/up"] >= 3, what="startup checks")
    assert a.checks["/live"] == a.checks["/ready"] == 0
    assert ask(daemon)[0] == 503
    a.healthy = True
    wait_until(lambda: states(daemon)[0] == "ready", what=lambda: states(daemon))
    assert a.checks["/live"] > 0 and a.checks["/ready"] > 0 and a.checks["/own"] > 0


@pytest.mark.parametrize("status", [500, 503, "drop"])
def test_what_fails_is_ejected_and_clients_see_nothing_of_it(start, upstream, status):
    a, b = upstream(), upstream()
    a.status = status
    daemon = start(gateway([a.port, b.port], "gateway: {retries: {budget_percent: 100}, ejection: {consecutive_errors: 3, time: 60s}}\n"))
    assert ask_many(daemon, 60) == {200: 60}
    assert states(daemon)[0] == "ejected" and a.chats <= 3 + 8


def test_a_wrong_request_is_nobodys_fault(start, upstream):
    a, b = upstream(), upstream()
    a.status = b.status = 400
    daemon = start(gateway([a.port, b.port]))
    assert ask_many(daemon, 20) == {400: 20}
    assert a.chats + b.chats == 20  # not tried again
    assert states(daemon) == ["ready", "ready"]


def test_retry_after_is_obeyed(start, upstream):
    a, b = upstream(), upstream()
    a.status, a.headers = 429, {"Retry-After": "30"}
    daemon = start(gateway([a.port, b.port], "gateway: {retries: {budget_percent: 100}}\n"))
    assert ask_many(daemon, 30, at_a_time=1) == {200: 30}
    assert a.chats <= 1 and (a.chats == 0 or states(daemon)[0] == "postponed")
    b.status, b.headers = 429, {"Retry-After": "30"}
    status, headers, _ = ask(daemon)
    assert status in (429, 503) and int(headers["retry-after"]) > 0
    before = a.chats + b.chats
    for _ in range(5):
        assert ask(daemon)[0] in (429, 503)
    assert a.chats + b.chats == before


def test_half_of_the_targets_die_under_load(start, upstream):
    """Four other weirs; two are killed while requests run: every client has a whole answer."""
    peers = [start(echo_config(options=", options: {delay_us: 500}")) for _ in range(4)]
    ports = [p.address.rsplit(":", 1)[1] for p in peers]
    daemon = start(gateway(ports, CHECKS % "" + "gateway: {retries: {attempts: 3, budget_percent: 100}, slow_start: 1ms}\n"))
    wait_until(lambda: states(daemon) == ["ready"] * 4, what=lambda: states(daemon))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, daemon) for _ in range(400)]
        for p in peers[:2]:
            p.process.terminate()
        counts = collections.Counter(a.result()[0] for a in answers)
    assert counts == {200: 400}, counts
    wait_until(lambda: states(daemon)[2:] == ["ready", "ready"] and "ready" not in states(daemon)[:2],
               what=lambda: states(daemon))
    assert ask_many(daemon, 40) == {200: 40}


def test_a_flapping_target_costs_no_answer(start, upstream):
    a, b = upstream(), upstream()
    daemon = start(gateway([a.port, b.port], "gateway: {retries: {budget_percent: 100}, ejection: {consecutive_errors: 2, time: 100ms}, slow_start: 50ms}\n"))
    for i in range(10):
        a.status = 500 if i % 2 else 200
        assert ask_many(daemon, 20, at_a_time=4) == {200: 20}


def test_the_fallback_chain_crosses_to_another_server(start, upstream):
    a, b = upstream(), upstream()
    a.status = 500
    daemon = start(gateway([a.port], f"""  spare:
    targets: [{{upstream: {{url: 'http://127.0.0.1:{b.port}/v1'}}}}]
gateway: {{retries: {{budget_percent: 100}}}}
""", model="    fallback: [spare]\n"))
    for _ in range(10):
        status, headers, body = ask(daemon)
        assert status == 200 and body["model"] == "spare"
    assert b.chats == 10


def test_the_daemon_stays_ready_while_one_upstream_model_is_away(start, upstream):
    a, b = upstream(), upstream()
    daemon = start(gateway([a.port], f"""  other:
    targets: [{{upstream: {{url: 'http://127.0.0.1:{b.port}/v1'}}}}]
""" + CHECKS % ""))
    wait_until(lambda: states(daemon) == ["ready"], what="checked")
    a.healthy = False
    wait_until(lambda: states(daemon) == ["unhealthy"], what="unhealthy")
    assert daemon.request("/healthz/ready")[0] == 200
    b.healthy = False
    wait_until(lambda: daemon.request("/healthz/ready")[0] == 503, what="no model at all")
