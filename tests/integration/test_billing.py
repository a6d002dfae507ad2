# SPDX-License-Identifier: Apache-2.0
"""The billing plugin over HTTP: what is billed is what a client got."""

import csv
import hashlib
import hmac
import http.server
import io
import json
import os
import subprocess
import threading

import pytest

import billing
from conftest import echo_config, wait_until


@pytest.fixture
def paced(start, tmp_path):
    """start(more, plugins) -> a daemon whose model takes 2 ms for a token."""

    def run(more="", extra=""):
        plugins = f"plugins:\n{billing.plugin(tmp_path, more)}\n{extra}"
        return start(echo_config(plugins, ", options: {delay_us: 2000}"))

    return run


def entry_of(daemon, request_id):
    found = [e for e in billing.ledger(daemon) if e["request_id"] == request_id]
    assert len(found) <= 1, found
    return found[0] if found else None


def wait_for_entry(daemon, request_id):
    wait_until(lambda: entry_of(daemon, request_id), what=f"the entry of {request_id}")
    return entry_of(daemon, request_id)


def ask(daemon, request_id, stream=False, headers=None, **body):
    payload = {"model": "echo", "messages": [{"role": "user", "content": "x" * 200}], **body}
    if stream:
        payload["stream"] = True
    return daemon.request(
        "/v1/chat/completions", payload, {"x-request-id": request_id, **(headers or {})}
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n_tokens", [1, 63, 64, 65, 300])
def test_a_finished_answer_is_billed_as_the_client_counts_it(paced, stream, n_tokens):
    daemon = paced()
    truth = billing.Truth(daemon.address, "r1", n_tokens, stream).run()
    assert truth.complete and truth.tokens == n_tokens + 1
    e = wait_for_entry(daemon, "r1")
    assert e["delivered_tokens"] == e["completion_tokens"] == truth.tokens
    assert e["type"] == "usage" and e["status"] == 200 and e["finish"] == "stop"
    assert e["prompt_tokens"] == n_tokens and e["stream"] is stream
    cached = e["cached_tokens"]
    assert e["amount_micro"] == -(-(4 * (n_tokens - cached) + cached) // 4) + 4 * truth.tokens + 100
    assert e["gpu_us"] > 0
    assert daemon.metric("weir_billing_lost_total") == 0


def test_a_fallback_is_billed_as_the_model_that_answered(start, tmp_path):
    book = tmp_path / "two.yaml"
    book.write_text("currency: EUR\nmodels: {echo: [{from: 2020-01-01, completion: 1000}], "
                    "spare: [{from: 2020-01-01, completion: 7}]}\n")
    daemon = start(f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", workers: 1}}
models:
  echo:
    fallback: [spare]
    targets: [{{engine: {{backend: echo, options: {{delay_us: 500000}}}}}}]
  spare: {{targets: [{{engine: {{backend: echo}}}}]}}
timeouts: {{first_token: 200ms}}
gateway: {{retries: {{budget_percent: 100}}}}
plugins: [{{billing: {{price_book: {book}}}}}]
""")
    e = None
    for i in range(20):  # the slow one may be left out already
        status, _, body = ask(daemon, f"r{i}", max_tokens=5)
        assert status == 200
        e = wait_for_entry(daemon, f"r{i}")
        price = {"echo": 1000, "spare": 7}[body["model"]]
        assert e["model"] == body["model"] and e["target"] == body["model"] + "/0"
        assert e["amount_micro"] == price * e["delivered_tokens"] > 0
        if e["attempts"] == 1 and e["model"] == "spare":
            return
    pytest.fail(f"nothing was tried again: {e}")


def test_a_client_that_leaves_pays_for_what_it_got(paced):
    daemon = paced()
    truth = billing.Truth(daemon.address, "gone", 2000, True).run(until_tokens=150)
    truth.close()
    e = wait_for_entry(daemon, "gone")
    assert truth.tokens <= e["delivered_tokens"] <= truth.tokens + 40 < 2000
    assert e["error"] == "client_gone"
    whole = billing.Truth(daemon.address, "gone2", 2000, False)
    wait_until(lambda: daemon.metric("weir_requests_running") == 1, what="running")
    whole.close()
    e = wait_for_entry(daemon, "gone2")
    assert e["delivered_tokens"] == e["amount_micro"] == e["requests"] == 0


def test_a_slow_client_is_billed_exactly(paced):
    daemon = paced()
    truth = billing.Truth(daemon.address, "slow", 1500, True)
    total = 0
    while not truth.complete:
        piece = truth.socket.recv(700)
        assert piece
        total += len(piece)
        truth.take(piece)
    e = wait_for_entry(daemon, "slow")
    assert e["delivered_tokens"] == truth.tokens == 1501


def test_every_choice_is_billed(paced):
    daemon = paced()
    for stream in (True, False):
        name = f"n{stream}"
        truth = billing.Truth(daemon.address, name, 40, stream, {"n": 3}).run()
        assert truth.complete
        e = wait_for_entry(daemon, name)
        assert e["delivered_tokens"] == e["completion_tokens"] == truth.tokens == 3 * 41


def test_text_that_a_plugin_cuts_off_is_not_billed(start, tmp_path):
    """chunk_redact holds text back behind which billing must not wait for ever."""
    plugins = f"plugins:\n- chunk_redact\n{billing.plugin(tmp_path)}\n"
    daemon = start(echo_config(plugins))
    truth = billing.Truth(daemon.address, "held", 300, True).run()
    assert truth.complete
    e = wait_for_entry(daemon, "held")
    assert e["delivered_tokens"] == truth.tokens == 301


def test_errors_cost_nothing_and_refusals_are_not_written(paced):
    daemon = paced()
    status, _, _ = ask(daemon, "bad", temperature="hot")
    assert status == 400
    status, _, _ = ask(daemon, "none", model="other")
    assert status == 404
    assert ask(daemon, "good")[0] == 200
    wait_for_entry(daemon, "good")
    assert {e["request_id"] for e in billing.ledger(daemon)} == {"good"}


def test_a_model_that_fails_in_the_middle_bills_what_came(start, tmp_path):
    plugins = f"plugins:\n{billing.plugin(tmp_path)}\n"
    daemon = start(echo_config(plugins, ", options: {delay_us: 1000, fail_after: 100}"))
    closing = {"Connection": "close"}  # what is counted is read to the end
    truth = billing.Truth(daemon.address, "broken", 500, True, headers=closing).run()
    e = wait_for_entry(daemon, "broken")
    assert 0 < truth.tokens == e["delivered_tokens"] < 500
    assert e["error"] == "model_failed"


def test_idempotency_keys_over_http(paced):
    daemon = paced()
    key = {"Idempotency-Key": "order-17"}
    truth = billing.Truth(daemon.address, "first", 400, True, headers=key).run(until_tokens=5)
    status, _, body = daemon.request(
        "/v1/chat/completions",
        {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "x" * 400}]},
        key,
    )
    assert (status, body["error"]["code"]) == (409, "idempotency_key_in_use")
    assert truth.run().complete
    wait_for_entry(daemon, "first")
    again = billing.Truth(daemon.address, "second", 400, True, headers=key).run()
    assert again.complete and b"x-weir-idempotent-replay: true" in again.received
    status, _, body = ask(daemon, "third", headers=key)
    assert (status, body["error"]["code"]) == (422, "idempotency_key_reused")
    assert ask(daemon, "fourth")[0] == 200
    wait_for_entry(daemon, "fourth")
    entries = [e for e in billing.ledger(daemon) if e["idempotency_key"] == "order-17"]
    assert sum(e["delivered_tokens"] for e in entries) == 401


def test_suspended_tenants_and_keys_are_in_the_entry(start, tmp_path):
    plugins = f"""plugins:
- auth
{billing.plugin(tmp_path)}
tenants:
  acme: {{keys: [{{name: web, secret: sk-acme-1, user: alice}}]}}
  other: {{keys: [{{name: app, secret: sk-other-1}}]}}
"""
    daemon = start(echo_config(plugins))
    for secret, name in (("sk-acme-1", "a"), ("sk-other-1", "b"), ("sk-acme-1", "c")):
        status, _, body = ask(daemon, name, headers={"Authorization": f"Bearer {secret}"})
        assert status == 200, body
    wait_until(lambda: len(billing.ledger(daemon, "acme")) == 2, what="two entries")
    acme = billing.ledger(daemon, "acme")
    assert {(e["tenant"], e["key"], e["user"]) for e in acme} == {("acme", "web", "alice")}
    assert [e["request_id"] for e in billing.ledger(daemon, "other")] == ["b"]


# ---- export ----


def test_pages_and_spans(paced):
    daemon = paced()
    for i in range(7):
        assert ask(daemon, f"r{i}")[0] == 200
    wait_until(lambda: len(billing.ledger(daemon)) == 7, what="seven entries")
    entries = billing.ledger(daemon)
    assert [e["place"] for e in entries] == list(range(1, 8))
    status, _, body = daemon.request("/admin/v1/usage?tenant=&limit=3", admin=True)
    assert status == 200 and len(body.splitlines()) == 3
    month = entries[0]["month"]
    status, _, body = daemon.request(f"/admin/v1/usage?tenant=&limit=3&after={month}:5", admin=True)
    assert [json.loads(x)["request_id"] for x in body.splitlines()] == ["r5", "r6"]
    assert billing.ledger(daemon, month="2020-01") == []
    assert len(billing.ledger(daemon, **{"from": "2020-01-01", "to": "2099-01-01"})) == 7
    assert billing.ledger(daemon, **{"from": "2020-01-01", "to": "2020-02-01"}) == []
    assert len(billing.ledger(daemon, **{"from": "1970-01-01", "to": "9999-12-31"})) == 7
    assert billing.ledger(daemon, **{"from": "9999-01-01", "to": "9999-12-31"}) == []
    for bad in ("month=2020", "month=2020-13", "from=yesterday", "format=xml", "limit=1001",
                "after=x", "month=2026-01&from=2026-01-01", "from=2026-02-01&to=2026-01-01"):
        status, _, _ = daemon.request(f"/admin/v1/usage?tenant=&{bad}", admin=True)
        assert status == 400, bad
    status, _, body = daemon.request("/admin/v1/openapi.json", admin=True)
    assert "/admin/v1/usage" in body["paths"] and "/admin/v1/tenants/{tenant}/usage" in body["paths"]


def test_a_tenants_admin_reads_its_usage_and_what_policies_said_of_it(start, tmp_path):
    policy = tmp_path / "policy.lua"
    policy.write_text("function on_request(req) weir.tag('team', 'blue'); weir.tag('ticket', req.header('x-ticket') or '') end")
    keys = "{name: k, secret: %s-key-of-tenant}, {name: a, secret: %s-key-of-admin, scopes: [tenant_admin]}"
    extra = f"""
plugins: [auth, lua, {billing.plugin(tmp_path)[2:]}]
tenants:
  acme: {{policy: {policy}, keys: [{keys % ("acme", "acme")}]}}
  other: {{keys: [{keys % ("other", "other")}]}}
"""
    daemon = start(echo_config(extra=extra))
    body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    for tenant in ("acme", "other"):
        headers = {"Authorization": f"Bearer {tenant}-key-of-tenant", "x-ticket": '=7, x'}
        assert daemon.request("/v1/chat/completions", body, headers)[0] == 200

    def usage(tenant, key, more=""):
        return daemon.request(f"/admin/v1/tenants/{tenant}/usage{more}", headers={"Authorization": f"Bearer {key}"}, admin=True)

    wait_until(lambda: usage("acme", "acme-key-of-admin")[2] and usage("other", "other-key-of-admin")[2], what="the entries")
    entry = usage("acme", "acme-key-of-admin")[2]
    assert entry["tenant"] == "acme" and entry["tags"] == {"team": "blue", "ticket": '=7, x'}
    assert "tags" not in usage("other", "other-key-of-admin")[2]
    rows = list(csv.DictReader(io.StringIO(usage("acme", "acme-key-of-admin", "?format=csv")[2], newline="")))
    assert json.loads(rows[0]["tags"]) == entry["tags"]
    assert usage("other", "acme-key-of-admin")[0] == 404
    assert usage("acme", "acme-key-of-tenant")[0] in (403, 404)
    assert usage("acme", "acme-key-of-admin", "?limit=0")[0] == 400


def test_csv_is_safe_for_spreadsheets(paced):
    daemon = paced()
    assert ask(daemon, "r1", user='=1+1,"x"\nnext')[0] == 200
    wait_for_entry(daemon, "r1")
    _, head, text = daemon.request("/admin/v1/usage?tenant=&format=csv", admin=True)
    assert head["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 1
    assert rows[0]["user"] == '\'=1+1,"x"\nnext'
    e = billing.ledger(daemon)[0]
    assert rows[0]["amount"] == f"{e['amount_micro'] // 10**6}.{e['amount_micro'] % 10**6:06}"
    assert rows[0]["started"].endswith("Z") and rows[0]["price"] == "2020-01-01"


def weir(binary, daemon, *words):
    return subprocess.run(
        [binary, "billing", *words, "--admin", daemon.admin_url],
        capture_output=True, text=True, timeout=60, env={**os.environ, "WEIR_ADMIN_KEY": ""},
    )


def test_report_export_and_verify_agree(binary, paced):
    daemon = paced()
    for i in range(5):
        assert ask(daemon, f"r{i}", user=f"u{i % 2}")[0] == 200
    wait_until(lambda: len(billing.ledger(daemon)) == 5, what="five entries")
    entries = billing.ledger(daemon)
    amount = sum(e["amount_micro"] for e in entries)

    got = weir(binary, daemon, "report", "--tenant", "", "--json")
    assert got.returncode == 0, got.stderr
    rows = {(r["group"], r["name"]): r for r in json.loads(got.stdout)}
    assert rows["total", ""]["amount_micro"] == amount
    assert rows["total", ""]["requests"] == rows["model", "echo"]["requests"] == 5
    assert rows["user", "u0"]["requests"] == 3 and rows["user", "u1"]["requests"] == 2
    table = weir(binary, daemon, "report", "--tenant", "").stdout
    assert f"{amount // 10**6}.{amount % 10**6:06} EUR" in table
    sheet = csv.DictReader(io.StringIO(weir(binary, daemon, "report", "--tenant", "", "--csv").stdout))
    assert {r["group"] for r in sheet} == {"total", "model", "key", "user"}

    lines = weir(binary, daemon, "export", "--tenant", "").stdout.splitlines()
    assert [json.loads(x) for x in lines] == entries
    sheet = weir(binary, daemon, "export", "--tenant", "", "--csv").stdout
    assert len(list(csv.DictReader(io.StringIO(sheet, newline="")))) == 5
    got = weir(binary, daemon, "verify", "--tenant", "")
    assert got.returncode == 0 and got.stdout.startswith("good"), got.stdout
    assert weir(binary, daemon, "verify", "--tenant", "", "--from", "2026-01-01").returncode == 2
    assert weir(binary, daemon, "report").returncode == 2
    assert "no entries" in weir(binary, daemon, "report", "--tenant", "nobody").stdout


class FakeLedger(http.server.BaseHTTPRequestHandler):
    """A daemon whose ledger is wrong."""

    lines = []

    def do_GET(self):
        body = b"" if "after=" in self.path else "".join(self.lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def fake_entry(place, name, seq=0, **changes):
    price = {"version": "v", "prompt": 0, "cached": 0, "completion": 1000000, "request": 0,
             "gpu_second": 0}
    entry = {"place": place, "month": "2026-01", "id": name, "seq": seq, "requests": int(seq == 0),
             "type": "usage", "currency": "EUR", "price": price, "prompt_tokens": 0,
             "cached_tokens": 0, "completion_tokens": 5, "delivered_tokens": 5, "gpu_us": 0,
             "amount_micro": 5, **changes}
    return json.dumps(entry) + "\n"


@pytest.mark.parametrize(
    "lines, says",
    [
        ([fake_entry(1, "a"), fake_entry(2, "b")], "good"),
        ([fake_entry(1, "a"), fake_entry(2, "a", 1)], "good"),
        ([fake_entry(1, "a"), fake_entry(3, "b")], "place 3 follows where 2 is due"),
        ([fake_entry(2, "a")], "place 2 follows where 1 is due"),
        ([fake_entry(1, "a"), fake_entry(2, "a")], "1 entries are there twice"),
        ([fake_entry(1, "a", amount_micro=4)], "its tokens and price make 5"),
        ([fake_entry(1, "a", delivered_tokens=6, amount_micro=6)], "cannot be"),
        ([fake_entry(1, "a"), fake_entry(2, "a", 2)], "entry 2 follows where 1 is due"),
        ([fake_entry(1, "a"), fake_entry(2, "a", 1, delivered_tokens=-6, completion_tokens=0,
                                         amount_micro=-6)], "cannot be"),
        ([fake_entry(1, "a"), fake_entry(2, "a", 1, amount_micro=4)], "make 10"),
    ],
)
def test_verify_finds_what_is_wrong(binary, lines, says):
    handler = type("Handler", (FakeLedger,), {"lines": lines})
    server = serve(handler)
    try:
        got = subprocess.run(
            [binary, "billing", "verify", "--tenant", "t", "--admin",
             f"http://127.0.0.1:{server.server_port}"],
            capture_output=True, text=True, timeout=60,
        )
    finally:
        server.shutdown()
    assert says in got.stdout, got.stdout + got.stderr
    assert got.returncode == (0 if says == "good" else 1)


# ---- webhook ----

SECRET = "whsec_0123456789abcdef"


class Receiver:
    """Checks signatures; refuses the first `failures` posts."""

    def __init__(self, failures=0):
        self.failures, self.posts, self.events, self.bad = failures, 0, {}, 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.headers["Weir-Signature"], body)
                self.send_response(500 if receiver.posts <= receiver.failures else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = serve(Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def take(self, signature, body):
        parts = dict(p.split("=", 1) for p in signature.split(","))
        text = parts["t"].encode() + b"." + body
        good = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
        self.bad += not hmac.compare_digest(good, parts["v1"])
        self.posts += 1
        if self.posts > self.failures:
            for event in json.loads(body)["events"]:
                self.events.setdefault(event["id"], []).append(event["data"])


@pytest.mark.parametrize("failures", [0, 2])
def test_the_webhook_gets_every_entry_signed_and_is_tried_again(paced, failures):
    receiver = Receiver(failures)
    daemon = paced(f", webhook: {{url: '{receiver.url}', secret: {SECRET}}}")
    for i in range(4):
        assert ask(daemon, f"r{i}")[0] == 200
    wait_until(lambda: len(receiver.events) == 4, what="four events")
    assert receiver.bad == 0
    got = sorted((d for data in receiver.events.values() for d in data), key=lambda d: d["id"])
    want = [{k: v for k, v in e.items() if k != "place"} for e in billing.ledger(daemon)]
    assert got == sorted(want, key=lambda d: d["id"])
    assert {f"{d['id']}/{d['seq']}" for d in want} == set(receiver.events)
    wait_until(
        lambda: daemon.metric("weir_billing_webhook_events_total", result="delivered") == 4,
        what="metrics",
    )
    retried = daemon.metric("weir_billing_webhook_events_total", result="retried")
    assert (retried > 0) == (failures > 0)
    receiver.server.shutdown()


def test_an_entry_that_cannot_be_delivered_is_put_aside(paced):
    receiver = Receiver(10**6)
    daemon = paced(f", webhook: {{url: '{receiver.url}', secret: {SECRET}, attempts: 2}}")
    assert ask(daemon, "r")[0] == 200
    wait_until(
        lambda: daemon.metric("weir_billing_webhook_events_total", result="dead") == 1, what="dead"
    )
    assert receiver.posts == 2
    assert "could not be delivered in 2 tries" in daemon.log_text()
    receiver.server.shutdown()


def test_an_outage_of_the_receiver_spends_no_more_tries(paced):
    receiver = Receiver(3)
    daemon = paced(f", webhook: {{url: '{receiver.url}', secret: {SECRET}, attempts: 4, "
                   "failure_threshold: 2, open_ms: 3000}")
    state = lambda: daemon.metric("weir_billing_breaker_state", dependency="webhook")  # noqa: E731
    assert ask(daemon, "r0")[0] == 200
    wait_until(lambda: state() == 1, what="an open circuit")
    for i in range(1, 4):
        assert ask(daemon, f"r{i}")[0] == 200
    assert receiver.posts == 2  # nothing is posted while it is open
    wait_until(lambda: receiver.posts == 3, what="the trial")  # which fails
    wait_until(lambda: len(receiver.events) == 4, timeout=40, what="four events")
    assert receiver.posts == 4  # the next trial brought them all
    wait_until(lambda: state() == 0, what="a closed circuit")
    assert daemon.metric("weir_billing_webhook_events_total", result="dead") == 0
    assert daemon.metric("weir_billing_breaker_transitions_total", dependency="webhook", to="open") == 2
    assert "webhook: circuit closed (the trial went well)" in daemon.log_text()
    receiver.server.shutdown()


def test_a_receiver_that_hangs_does_not_hold_up_the_end(paced):
    listener = __import__("socket").socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    daemon = paced(f", webhook: {{url: '{url}', secret: {SECRET}, timeout_ms: 60000}}")
    assert ask(daemon, "r")[0] == 200
    listener.settimeout(20)
    listener.accept()
    assert ask(daemon, "r2")[0] == 200  # and the fixture stops the daemon


def test_wrong_configurations_are_named(binary, tmp_path):
    file = tmp_path / "weir.yaml"
    for entry, says in (
        ("{price_book: /none/there.yaml}", "there.yaml"),
        ("{on_store_loss: sometimes}", "on_store_loss"),
        ("{webhook: {url: 'ftp://x', secret: 0123456789abcdef}}", "url"),
        ("{webhook: {url: 'http://x/', secret: short}}", "secret"),
        ("{backlog: 0}", "backlog"),
    ):
        file.write_text(echo_config(f"plugins:\n- billing: {entry}\n"))
        got = subprocess.run([binary, "serve", "-c", str(file)], capture_output=True, text=True,
                             timeout=60)
        assert got.returncode == 78 and says in got.stderr, got.stderr
