# SPDX-License-Identifier: Apache-2.0
"""The daemon as operators see it: start, probes, signals, reload, metrics, plugins."""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import openai
import pytest

from conftest import ROOT, Daemon, echo_config, require_model, wait_until

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
SLOW = ", options: {delay_us: 20000}"


def stream(daemon, text="x" * 50, **extra):
    client = openai.OpenAI(base_url=daemon.url + "/v1", api_key="k", max_retries=0)
    return client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": text}], stream=True, **extra
    )


def test_probes_tell_the_truth(echo):
    for probe in ("live", "ready", "startup"):
        for admin in (False, True):
            assert echo.request(f"/healthz/{probe}", admin=admin)[0] == 200


def test_not_ready_when_the_model_cannot_be_loaded(start, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    daemon = start(
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  bad:
    targets: [{{engine: {{backend: cpu, file: {tmp_path}/bad.gguf}}}}]
"""
    )
    assert daemon.request("/healthz/live")[0] == 200
    status, _, body = daemon.request("/healthz/ready")
    assert status == 503 and "bad" in body["reason"]
    status, headers, body = daemon.request("/v1/chat/completions", HELLO)
    assert status == 503 and float(headers["retry-after"]) > 0


def refuses(daemon):
    try:
        daemon.connect().close()
        return False
    except OSError:
        return True


def test_sigterm_finishes_streams(start):
    daemon = start(echo_config(options=SLOW))
    chunks = stream(daemon)
    first = next(iter(chunks))
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in daemon.log_text(), what="drain")
    status, _, _ = daemon.request("/healthz/ready", admin=True)
    assert status == 503
    wait_until(lambda: refuses(daemon), what="the listener closed")
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert first.choices and text == "x" * 50
    assert daemon.process.wait(20) == 0


def test_drain_timeout_ends_what_is_left(start):
    config = echo_config(options=", options: {delay_us: 200000}").replace(
        "server: {", "server: {drain_timeout: 300ms, "
    )
    daemon = start(config)
    chunks = stream(daemon, "x" * 1000)
    next(iter(chunks))
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    with pytest.raises(Exception):
        list(chunks)
    assert daemon.process.wait(20) == 0
    assert time.monotonic() - began < 15


def test_second_signal_ends_at_once(start):
    daemon = start(echo_config(options=", options: {delay_us: 200000}"))
    chunks = stream(daemon, "x" * 1000)
    next(iter(chunks))
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in daemon.log_text(), what="drain")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0


def test_a_plugin_that_hangs_at_its_end_does_not_keep_the_process(binary, tmp_path):
    plugin = pathlib.Path(binary).parent / "tests/integration/plugins/never_ends.so"
    daemon = Daemon(binary, tmp_path, echo_config(f"plugins: [{plugin}]"))
    assert daemon.stop() == 1
    assert "a loop, target or plugin does not end: leaving as is" in daemon.log_text()


def test_sighup_keeps_the_old_configuration_when_the_new_is_wrong(start):
    daemon = start(echo_config())
    good = daemon.file.read_text()
    daemon.file.write_text(good + "plugins: [header_stamp]\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in daemon.log_text(), what="reload")
    assert daemon.request("/v1/models")[1]["x-served-by"] == "weir"
    daemon.file.write_text(good + "plugins: [{header_stamp: {nonsense: 1}}]\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in daemon.log_text(), what="refusal")
    assert "weir.yaml:" in daemon.log_text() and "nonsense" in daemon.log_text()
    assert daemon.request("/v1/models")[1]["x-served-by"] == "weir"
    daemon.file.write_text("models: [")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("reload failed") == 2, what="second refusal")
    daemon.file.write_text(good)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("configuration reloaded") == 2, what="reload")
    assert "x-served-by" not in daemon.request("/v1/models")[1]


def test_broken_configuration_exits_78(binary, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("server: {listen: 5}\nmodells: {}\n")
    run = subprocess.run([binary, "serve", "-c", str(file)], capture_output=True, text=True, timeout=30)
    assert run.returncode == 78
    assert f"{file}:1:" in run.stderr and f"{file}:2:1: modells" in run.stderr


def test_missing_plugin_is_named(binary, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(echo_config("plugins: [nosuchplugin]"))
    run = subprocess.run([binary, "serve", "-c", str(file)], capture_output=True, text=True, timeout=30)
    assert run.returncode == 78
    assert "nosuchplugin" in run.stderr


def test_daemon_and_pidfile(binary, tmp_path):
    file, pid = tmp_path / "weir.yaml", tmp_path / "weir.pid"
    file.write_text(echo_config())
    run = subprocess.run(
        [binary, "serve", "-c", str(file), "--daemon", "--pidfile", str(pid)],
        stdout=open(tmp_path / "out", "w"), stderr=subprocess.STDOUT, timeout=60,
    )
    assert run.returncode == 0, (tmp_path / "out").read_text()
    number = int(pid.read_text())
    os.kill(number, signal.SIGTERM)
    wait_until(lambda: not pid.exists(), what="exit of the daemon")


def test_a_terminal_sees_how_far_a_model_is_loaded(binary, tmp_path):
    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    require_model(file)
    name = "a-name-that-would-not-fit-beside-the-bar"
    (tmp_path / "weir.yaml").write_text(f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  {name}: {{targets: [{{engine: {{backend: cpu, file: {file}}}}}]}}
""")
    master, slave = pty.openpty()
    daemon = subprocess.Popen([binary, "serve", "-c", str(tmp_path / "weir.yaml")], stderr=slave,
                              stdout=subprocess.PIPE, text=True)
    os.close(slave)
    seen = ""
    while "serving 1 model" not in seen:
        seen += os.read(master, 4096).decode()
    assert "weir is ready" in daemon.stdout.readline()
    daemon.terminate()
    assert daemon.wait(60) == 0
    os.close(master)
    bars = re.findall(r"\r(loading [^\r]*)", seen)
    assert bars and all(len(b) < 80 and b.startswith(f"loading {name[:20]} [") for b in bars), seen
    percents = [int(b[-4:-1]) for b in bars]
    assert percents == sorted(percents) and percents[-1] <= 100
    assert re.search(r"\r {76}\r", seen), "the bar is wiped away"


def test_sd_notify(start, tmp_path):
    path = str(tmp_path / "notify")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(path)
    server.settimeout(20)
    daemon = start(echo_config(), {"NOTIFY_SOCKET": path})
    assert server.recv(100) == b"READY=1"
    daemon.process.send_signal(signal.SIGTERM)
    assert server.recv(100) == b"STOPPING=1"


def test_metrics_pass_promtool(echo):
    assert echo.request("/v1/chat/completions", HELLO)[0] == 200
    status, _, text = echo.request("/metrics", admin=True)
    assert status == 200
    for name in (
        "weir_time_to_first_token_seconds", "weir_inter_token_seconds", "weir_queue_seconds",
        "weir_request_seconds", "weir_requests_running", "weir_requests_waiting", "weir_kv_pages",
        "weir_prefix_cache_hit_tokens_total", "weir_prompt_tokens_total", "weir_steps_total",
        "weir_batch_sequences", "weir_memory_bytes",
    ):
        assert f"# TYPE {name} " in text, name
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (package prometheus)")
    run = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_vllm_names_are_there_when_asked_for(start):
    daemon = start(echo_config("metrics: {compat: [vllm]}"))
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    wait_until(lambda: daemon.metric("vllm:generation_tokens_total", model_name="echo") == 6, what="tokens")
    assert daemon.metric("vllm:request_success_total", finished_reason="stop") == 1
    assert daemon.metric("vllm:time_to_first_token_seconds_count") == 1


@pytest.mark.parametrize(
    "extra,says",
    [("  up:\n    targets: [{upstream: {url: \"http://h/?q\"}}]", ":7:15: models.up.targets[0]: target up/0: url: it may have no"),
     ("  up:\n    targets: [{upstream: {url: \"http://h\", backend: echo}}]", ":7:15: models.up.targets[0]: plugin echo is no stream"),
     ("  gpu:\n    targets: [{engine: {backend: nosuch}}]", ":7:15: models.gpu.targets[0]: no plugin named"),
     ("  cpu:\n    targets: [{engine: {backend: cpu}}]", ":7:15: models.cpu.targets[0]: engine.file is missing"),
     ("  tiny:\n    targets: [{engine: {backend: echo, step_budget: 4}}]", "step_budget: 4 is below max_batch (16)")],
)
def test_what_this_build_cannot_do_is_refused(binary, tmp_path, extra, says):
    file = tmp_path / "weir.yaml"
    file.write_text(echo_config(extra))
    run = subprocess.run([binary, "serve", "-c", str(file)], capture_output=True, text=True, timeout=30)
    assert run.returncode == 78 and says in run.stderr
    check = subprocess.run([binary, "check", "-c", str(file)], capture_output=True, text=True, timeout=30)
    assert check.returncode == 0


def test_a_missing_model_is_said_with_what_to_do(start, binary, tmp_path):
    daemon = start(
        f"""
server: {{listen: "127.0.0.1:0", admin: "127.0.0.1:0"}}
models_dir: {tmp_path}
models:
  smollm2: {{targets: [{{engine: {{file: SmolLM2-135M-Instruct.Q4_1.gguf}}}}]}}
"""
    )
    assert "up, but a model failed; not ready" in daemon.ready_line
    assert "`weir model get smollm2` fetches it" in daemon.log_text()
    assert daemon.request("/healthz/ready")[2]["reason"] == "model smollm2 is failed"
    check = subprocess.run([binary, "check", daemon.file], capture_output=True, text=True, timeout=30)
    assert check.returncode == 0
    assert f"{daemon.file}:5:" in check.stdout and "weir model get smollm2" in check.stdout


def test_an_address_in_use_is_named(binary, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        file = tmp_path / "weir.yaml"
        file.write_text(f'server: {{listen: "127.0.0.1:0", admin: "{address}"}}\n')
        run = subprocess.run([binary, "serve", "-c", file], capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert f"server.admin: {address}: address already in use" in run.stderr


def test_requests_are_conserved(echo):
    for i in range(5):
        echo.request("/v1/chat/completions", HELLO)
        echo.request("/v1/chat/completions", {"bogus": i})
    chunks = stream(echo)
    chunks.close()
    wait_until(lambda: echo.metric("weir_requests_total") == 11, what="all requests counted")
    assert echo.metric("weir_requests_running") == 0


def test_client_gone_stops_work(start):
    daemon = start(echo_config(options=", options: {delay_us: 5000}"))
    chunks = stream(daemon, "x" * 4000)
    next(iter(chunks))
    chunks.close()
    wait_until(lambda: daemon.metric("weir_batch_sequences") == 0, 5, "the sequence left the batch")
    wait_until(lambda: "client_gone" in daemon.log_text(), what="log line")
    assert daemon.metric("weir_completion_tokens_total") < 2000
    assert daemon.metric("weir_kv_pages", state="used") == 0


def test_queue_is_bounded_and_says_when_to_come_again(start):
    config = echo_config(options=", max_batch: 1, options: {delay_us: 20000}").replace(
        "    targets:", "    queue: {size: 2, timeout: 30s}\n    targets:"
    )
    daemon = start(config)
    results, threads = [], []

    def ask():
        results.append(daemon.request("/v1/chat/completions", HELLO))

    for _ in range(8):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for t in threads:
        t.join()
    refused = [r for r in results if r[0] == 429]
    assert len([r for r in results if r[0] == 200]) >= 3 and refused
    for _, headers, body in refused:
        assert body["error"]["code"] == "queue_full"
        assert float(headers["retry-after"]) >= 1 and int(headers["retry-after-ms"]) > 0
    assert daemon.metric("weir_requests_rejected_total", reason="queue_full") == len(refused)


def test_queue_timeout_answers_503(start):
    config = echo_config(options=", max_batch: 1, options: {delay_us: 50000}").replace(
        "    targets:", "    queue: {size: 9, timeout: 300ms}\n    targets:"
    )
    daemon = start(config)
    first = stream(daemon, "x" * 2000)  # holds the one place of the batch to the end of the test
    next(iter(first))
    places = int(daemon.request("/admin/v1/models", admin=True)[2][0]["queue"]["places"]["interactive_ui"])
    others = [threading.Thread(target=daemon.request, args=("/v1/chat/completions", HELLO)) for _ in range(places - 1)]
    for t in others:
        t.start()
    wait_until(lambda: daemon.metric("weir_requests_running") == places, what="all places taken")
    status, headers, body = daemon.request("/v1/chat/completions", HELLO)
    assert (status, body["error"]["code"]) == (503, "queue_timeout")
    assert int(headers["retry-after-ms"]) > 0
    first.close()
    for t in others:
        t.join()


def test_slow_reader_is_paused_then_ended(start):
    config = echo_config(options=", context: 200000").replace(
        "server: {", "server: {limits: {write_timeout: 1s}, "
    )
    daemon = start(config)
    with daemon.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "x" * 150000}]})
        s.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        s.recv(1000)
        wait_until(lambda: "client_stalled" in daemon.log_text(), 30, "the stalled client is ended")
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    wait_until(lambda: daemon.metric("weir_requests_running") == 0, what="place given back")


def test_plugins_change_streams_and_deny(start):
    daemon = start(
        echo_config("plugins:\n  - header_stamp\n  - async_deny: {users: [mallory]}\n  - chunk_redact: {word: secret}\n")
    )
    client = openai.OpenAI(base_url=daemon.url + "/v1", api_key="k", max_retries=0)
    messages = [{"role": "user", "content": "my secret is secre"}]
    whole = client.chat.completions.create(model="echo", messages=messages)
    text = "".join(
        c.choices[0].delta.content or ""
        for c in client.chat.completions.create(model="echo", messages=messages, stream=True)
        if c.choices
    )
    assert whole.choices[0].message.content == text
    assert "secret" not in text and text.endswith("secre")
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="echo", messages=messages, user="mallory")
    status, _, plugins = daemon.request("/admin/v1/plugins", admin=True)
    assert status == 200 and [p["name"] for p in plugins] == ["header_stamp", "async_deny", "chunk_redact"]


def test_auth_needs_a_key(start):
    daemon = start(
        echo_config(
            """
plugins: [auth]
tenants:
  acme:
    keys: [{name: ci, secret: sk-acme-1, user: robot}]
"""
        )
    )
    status, headers, body = daemon.request("/v1/chat/completions", HELLO)
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert headers["www-authenticate"].startswith("Bearer")
    good = {"Authorization": "Bearer sk-acme-1"}
    assert daemon.request("/v1/chat/completions", HELLO, good)[0] == 200
    assert daemon.request("/v1/chat/completions", HELLO, {"Authorization": "Bearer sk-acme-2"})[0] == 401
    assert daemon.request("/healthz/ready")[0] == 200
    wait_until(lambda: "tenant=acme" in daemon.log_text(), what="the tenant in the access log")
    assert "hello" not in daemon.log_text()


def test_deadline_ends_what_comes_too_late(start):
    daemon = start(echo_config(options=", options: {delay_us: 50000}"))
    late = {"x-weir-deadline-ms": "300"}
    long = {"messages": [{"role": "user", "content": "x" * 200}]}
    status, _, body = daemon.request("/v1/chat/completions", long, late)
    assert (status, body["error"]["code"]) == (504, "deadline_exceeded")
    status, _, text = daemon.request("/v1/chat/completions", {**long, "stream": True}, late)
    assert status == 200 and "deadline_exceeded" in text and "[DONE]" not in text
    wait_until(lambda: daemon.metric("weir_batch_sequences") == 0, what="the work stopped")
    assert daemon.request("/v1/chat/completions", HELLO, {"x-weir-deadline-ms": "soon"})[0] == 400
    assert daemon.request("/v1/chat/completions", HELLO, {"x-weir-deadline-ms": "60000"})[0] == 200


def test_tenants_see_their_models_only(start):
    daemon = start(
        """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
models:
  one: {targets: [{engine: {backend: echo}}]}
  two: {targets: [{engine: {backend: echo}}], class: batch}
plugins: [auth]
tenants:
  acme: {tier: critical_api, models: [one], keys: [{name: a, secret: sk-acme-key}]}
  beta: {keys: [{name: b, secret: sk-beta-key}]}
"""
    )
    acme, beta = ({"Authorization": f"Bearer sk-{t}-key"} for t in ("acme", "beta"))
    assert [m["id"] for m in daemon.request("/v1/models", headers=acme)[2]["data"]] == ["one"]
    assert len(daemon.request("/v1/models", headers=beta)[2]["data"]) == 2
    assert daemon.request("/v1/models/two", headers=acme)[0] == 404
    assert daemon.request("/v1/chat/completions", {**HELLO, "model": "one"}, acme)[0] == 200
    status, _, body = daemon.request("/v1/chat/completions", {**HELLO, "model": "two"}, acme)
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    assert daemon.request("/v1/chat/completions", {**HELLO, "model": "two"}, beta)[0] == 200
    assert daemon.request("/tokenize", {"model": "two", "content": "a"}, acme)[0] == 404
    wait_until(lambda: "class=critical_api" in daemon.log_text(), what="the tenant's class")
    wait_until(lambda: "class=batch" in daemon.log_text(), what="the model's class")


def test_pipelined_requests_are_answered_in_order(echo):
    with echo.connect() as s:
        parts = []
        for text in ("one", "two", "three"):
            body = json.dumps({"messages": [{"role": "user", "content": text}]})
            parts.append(
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
        s.sendall("".join(parts).encode())
        data = b""
        while data.count(b'"finish_reason"') < 3:
            piece = s.recv(65536)
            assert piece, "the connection ended early"
            data += piece
    order = [data.index(w) for w in (b'"content":"one"', b'"content":"two"', b'"content":"three"')]
    assert order == sorted(order)


def test_health_answers_while_the_config_file_is_gone(echo):
    echo.file.unlink()
    echo.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in echo.log_text(), what="refusal")
    assert echo.request("/healthz/ready")[0] == 200
