# SPDX-License-Identifier: Apache-2.0
"""Upstreams over TLS and HTTP/2: nginx stands between the daemon and the server that answers."""

import concurrent.futures
import contextlib
import shutil
import socket
import subprocess
import time

import openai
import pytest
from conftest import echo_config, wait_until
from test_upstream import HELLO, chat, config, events, mock_upstream, text_of

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx")

NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log info;
events {{ worker_connections 1024; }}
http {{
  access_log {dir}/access.log combined;
  log_format combined2 '$server_protocol $ssl_session_reused $ssl_client_s_dn';
  access_log {dir}/proto.log combined2;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_timeout 60s; large_client_header_buffers 4 16k;
  server {{
    listen 127.0.0.1:{port} {how};
    {tls}
    location / {{ proxy_pass {behind}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 10s; }}
  }}
}}
"""


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """A CA, a server's certificate for models.test, an expired one, and a client's."""
    d = tmp_path_factory.mktemp("pki")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-days", "2",
        "-keyout", d / "ca.key", "-out", d / "ca.crt")
    for name, days in (("models.test", "2"), ("expired", "0"), ("client", "2")):
        (d / "ext").write_text("subjectAltName=DNS:models.test\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", d / f"{name}.key",
            "-out", d / f"{name}.csr")
        run("openssl", "x509", "-req", "-in", d / f"{name}.csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key",
            "-CAcreateserial", "-days", days, "-extfile", d / "ext", "-out", d / f"{name}.crt")
    return d


@contextlib.contextmanager
def nginx(directory, behind, how="", tls="", port=None):
    with socket.socket() as s:
        s.bind(("127.0.0.1", port or 0))
        port = s.getsockname()[1]
    directory.mkdir(exist_ok=True)
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(dir=directory, port=port, how=how, tls=tls, behind=behind))
    process = subprocess.Popen(["nginx", "-c", file, "-e", directory / "start.log"])
    try:
        def listens():
            assert process.poll() is None, (directory / "start.log").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                return True

        wait_until(listens, what="nginx listens")
        yield port, directory
    finally:
        process.terminate()
        process.wait(20)


def server_tls(pki, name="models.test", more=""):
    return f"ssl_certificate {pki}/{name}.crt; ssl_certificate_key {pki}/{name}.key; {more}"


def client_tls(pki, more=""):
    return f"tls: {{ca: {pki}/ca.crt, server_name: models.test{more}}},"


def protocols(directory):
    return [line.split()[0] for line in (directory / "proto.log").read_text().splitlines()]


@pytest.mark.parametrize("how,tls,http2,spoken", [
    ("ssl", True, "auto", "HTTP/1.1"),
    ("ssl http2", True, "auto", "HTTP/2.0"),
    ("ssl http2", True, "on", "HTTP/2.0"),
    ("ssl http2", True, "off", "HTTP/1.1"),
    ("http2", False, "on", "HTTP/2.0"),
    ("", False, "auto", "HTTP/1.1"),
])
def test_each_protocol_carries_whole_and_streamed_answers(start, pki, tmp_path, how, tls, http2, spoken):
    behind = start(echo_config())
    with nginx(tmp_path / "nginx", behind.url, how, server_tls(pki) if tls else "") as (port, directory):
        more = f"model: echo, http2: {http2}, {client_tls(pki) if tls else ''}"
        front = start(config(f"{'https' if tls else 'http'}://127.0.0.1:{port}", ["up"], more=more))
        client = openai.OpenAI(base_url=front.url + "/v1", api_key="x", max_retries=0)
        for _ in range(3):
            assert client.chat.completions.create(model="up", messages=HELLO).choices[0].message.content == "Hello"
            assert text_of(events(chat(front, "up", stream=True)[2])) == "Hello"
        big = "x" * 4000
        assert front.request("/v1/completions", {"model": "up", "prompt": big, "max_tokens": 4000})[2]["choices"][0]["text"] == big
        assert set(protocols(directory)) == {spoken}
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            got = list(pool.map(lambda i: chat(front, "up", stream=i % 2 == 0)[0], range(64)))
        assert got == [200] * 64
        wait_until(lambda: front.metric("weir_upstream_requests_total", result="ok") == 71)  # counted in groups
        if spoken == "HTTP/2.0":
            assert front.metric("weir_upstream_connections_total") <= 4


def test_sessions_are_resumed(start, pki, tmp_path):
    behind = start(echo_config())
    tls = server_tls(pki, more="ssl_session_tickets on; keepalive_requests 1;")
    with nginx(tmp_path / "nginx", behind.url, "ssl", tls) as (port, directory):
        front = start(config(f"https://127.0.0.1:{port}", ["up"], more="model: echo, " + client_tls(pki)))
        for _ in range(4):
            assert chat(front, "up")[0] == 200
        assert [line.split()[1] for line in (directory / "proto.log").read_text().splitlines()][1:].count("r") >= 2


def test_the_client_certificate_is_shown(start, pki, tmp_path):
    behind = start(echo_config())
    tls = server_tls(pki, more=f"ssl_client_certificate {pki}/ca.crt; ssl_verify_client on;")
    with nginx(tmp_path / "nginx", behind.url, "ssl", tls) as (port, directory):
        url = f"https://127.0.0.1:{port}"
        good = start(config(url, ["up"], more="model: echo, " + client_tls(pki, f", cert: {pki}/client.crt, key: {pki}/client.key")))
        assert chat(good, "up")[0] == 200
        wait_until(lambda: "CN=client" in (directory / "proto.log").read_text(), what="a line of the log")
        without = start(config(url, ["up"], more="model: echo, " + client_tls(pki)))
        status, _, body = chat(without, "up")
        assert status in (400, 502, 503) and "upstream" in body["error"]["code"] or status == 400


@pytest.mark.parametrize("case,says", [
    ("expired", "certificate has expired"), ("name", "ostname mismatch"), ("ca", "self-signed certificate"),
    ("plain", "TLS")])
def test_a_server_that_is_not_to_be_trusted_is_refused(start, pki, tmp_path, case, says):
    behind = start(echo_config())
    how = "" if case == "plain" else "ssl"
    tls = "" if case == "plain" else server_tls(pki, "expired" if case == "expired" else "models.test")
    if case == "expired":
        time.sleep(1.1)  # -days 0: it ends as it begins
    trust = {"name": f"tls: {{ca: {pki}/ca.crt, server_name: other.test}},", "ca": "tls: {server_name: models.test},"}
    with nginx(tmp_path / "nginx", behind.url, how, tls) as (port, _):
        front = start(config(f"https://127.0.0.1:{port}", ["up"], more="model: echo, " + trust.get(case, client_tls(pki))))
        for stream in (False, True):
            status, _, body = chat(front, "up", stream)
            assert status == 503 and body["error"]["code"] == "upstream_unreachable"
            assert says in body["error"]["message"] or case == "ca" and "certificate" in body["error"]["message"], body
        assert front.metric("weir_upstream_errors_total", kind="tls") == 2
        lax = start(config(f"https://127.0.0.1:{port}", ["up"], more="model: echo, tls: {verify: false},"))
        assert chat(lax, "up")[0] == (503 if case == "plain" else 200)


@pytest.mark.parametrize("stream", [False, True])
def test_every_fault_behind_http2_becomes_a_well_formed_error(start, pki, tmp_path, stream):
    with mock_upstream.Server() as mock:
        with nginx(tmp_path / "nginx", f"http://127.0.0.1:{mock.port}", "ssl http2", server_tls(pki)) as (port, directory):
            bad = [f.__name__ for f in mock_upstream.BAD]
            front = start(config(f"https://127.0.0.1:{port}", [*bad, "ok"], more=client_tls(pki)))

            def one(fault):
                status, _, body = chat(front, fault, stream)
                if stream and status == 200:
                    return "error" in events(body)[-1] or fault == "length_too_short"
                # nginx makes good what the mock got wrong where it can.
                return status in (400, 429, 502, 503, 504) and body["error"]["code"] or \
                    fault in ("length_too_short", "interim_flood") and status == 200

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                results = dict(zip(bad, pool.map(one, bad)))
            assert all(results.values()), results
            assert chat(front, "ok")[0] == 200 and set(protocols(directory)) == {"HTTP/2.0"}
            wait_until(lambda: front.metric("weir_upstream_requests_total") == len(bad) + 1, what="every request ended")
            assert front.metric("weir_requests_running") == 0


def test_cancel_resets_the_stream_and_no_other(start, pki, tmp_path):
    with mock_upstream.Server() as mock:
        with nginx(tmp_path / "nginx", f"http://127.0.0.1:{mock.port}", "http2") as (port, _):
            # One worker, so that both streams are on one connection.
            yaml = config(f"http://127.0.0.1:{port}", ["endless_stream", "ok"], "timeouts: {total: 60s}", more="http2: on,")
            front = start(yaml.replace("server: {", "server: {workers: 1, "))
            front_client = openai.OpenAI(base_url=front.url + "/v1", api_key="x", max_retries=0)
            streams = [front_client.chat.completions.create(model="endless_stream", messages=HELLO, stream=True) for _ in range(2)]
            for s in streams:
                next(iter(s))
            assert mock.n_open == 2
            streams[0].close()
            wait_until(lambda: mock.n_open == 1, what="one stream ended")
            assert chat(front, "ok")[0] == 200
            for _ in range(5):
                next(iter(streams[1]))
            streams[1].close()
            wait_until(lambda: mock.n_open <= 1, what="both ended")
            assert front.metric("weir_upstream_connections_total") <= 2


def test_haproxy_in_front_of_a_second_weir(start, tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("no haproxy")
    behind = start(echo_config())
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    file = tmp_path / "haproxy.cfg"
    file.write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend f
  bind 127.0.0.1:{port} proto h2
  default_backend b
backend b
  server s {behind.address}
""")
    process = subprocess.Popen(["haproxy", "-db", "-f", file])
    try:
        front = start(config(f"http://127.0.0.1:{port}", ["up"], more="model: echo, http2: on,"))
        wait_until(lambda: chat(front, "up")[0] == 200, what="haproxy answers")
        assert text_of(events(chat(front, "up", stream=True)[2])) == "Hello"
    finally:
        process.terminate()
        process.wait(20)
