# SPDX-License-Identifier: Apache-2.0
"""TLS on the listeners: versions, ALPN, client certificates, renewal without a dropped connection."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from certificates import Authority
from conftest import wait_until
from h2_client import H2, chat

CONFIG = """
server:
  listen: ["127.0.0.1:0"]
  admin: "127.0.0.1:0"
  workers: 1
  limits: {header_timeout: 1s}
  tls: {cert: "%s", key: "%s"%s}
models:
  echo:
    targets: [{engine: {backend: echo%s}}]
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


class Served:
    """A daemon with a certificate of its own that a test may replace."""

    def __init__(self, start, authority, directory, more="", options="", days=30):
        self.authority = authority
        self.cert, self.key = directory / "served.crt", directory / "served.key"
        self.put("first", days)
        self.daemon = start(CONFIG % (self.cert, self.key, more, options))

    def put(self, name, days=30):
        cert, key = self.authority.issue(name, days, common_name=name)
        for source, target in ((cert, self.cert), (key, self.key)):  # as renewal programs do
            shutil.copy(source, str(target) + ".new")
            os.replace(str(target) + ".new", target)

    def context(self, alpn=(), **more):
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        for name, value in more.items():
            setattr(context, name, value)
        return context

    def connect(self, **more):
        return self.context(**more).wrap_socket(self.daemon.connect(), server_hostname="localhost")

    def name(self):
        with self.connect() as s:
            return dict(part[0] for part in s.getpeercert()["subject"])["commonName"]


@pytest.fixture
def serve(start, authority, tmp_path):
    return lambda **more: Served(start, authority, tmp_path, **more)


def curl(served, *arguments):
    done = subprocess.run(
        ["curl", "-sS", "--cacert", str(served.authority.cert), "-w", "\n%{http_version} %{http_code}", *arguments,
         f"{served.daemon.url}/v1/chat/completions"],
        capture_output=True, text=True, timeout=60)  # fmt: skip
    return done.stdout.splitlines()[-1] if done.returncode == 0 else done.stderr


def receive(sock):
    data = sock.recv(65536)
    assert data, "the server closed the connection"
    return data


def ask(sock):
    """One HTTP/1.1 request on a connection that stays open; status and body."""
    body = chat()
    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(sock)
    head, _, rest = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head.decode().splitlines()[1:])
    while len(rest) < int(fields["content-length"]):
        rest += receive(sock)
    return int(head.split()[1]), json.loads(rest)


def test_clients_get_what_they_speak(serve):
    served = serve()
    body = chat().decode()
    assert served.daemon.url.startswith("https://") and served.daemon.admin_url.startswith("http://")
    assert curl(served, "--http2", "-d", body) == "2 200"
    assert curl(served, "--http1.1", "-d", body) == "1.1 200"
    assert curl(served, "--tlsv1.3", "-d", body) == "2 200"
    assert curl(served, "--tls-max", "1.2", "-d", body) == "2 200"
    with served.connect() as plain:  # no ALPN at all
        assert plain.selected_alpn_protocol() is None and ask(plain)[0] == 200 and ask(plain)[0] == 200
    with served.connect(alpn=["h2", "http/1.1"]) as s:
        assert s.selected_alpn_protocol() == "h2"
        assert H2(s).ask().status == 200
    with pytest.raises(ssl.SSLError):
        served.connect(alpn=["spdy/3"])
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises((ssl.SSLError, ConnectionError)), pytest.warns(DeprecationWarning):
            served.connect(maximum_version=old, minimum_version=old)
    load = subprocess.run(["h2load", "-n", "500", "-c", "3", "-m", "10", "-d", "/dev/stdin",
                           f"{served.daemon.url}/v1/models"], input="", capture_output=True, text=True, timeout=60)
    assert load.returncode != 0 or "500 succeeded" in load.stdout


def test_s_client_sees_a_whole_chain_of_checks(serve):
    served = serve()
    done = subprocess.run(
        ["openssl", "s_client", "-connect", served.daemon.address, "-CAfile", str(served.authority.cert),
         "-verify_return_error", "-alpn", "h2", "-brief", "-verify_hostname", "localhost"],
        input=b"", capture_output=True, timeout=30)  # fmt: skip
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert "Verification: OK" in text and "TLSv1.3" in text, text


def test_only_13(serve):
    served = serve(more=', min_version: "1.3"')
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.connect(maximum_version=ssl.TLSVersion.TLSv1_2)
    with served.connect() as s:
        assert ask(s)[0] == 200


def test_clients_show_certificates(serve, authority):
    served = serve(more=f', client_ca: "{authority.cert}"')
    cert, key = authority.issue("client")
    body = chat().decode()
    assert curl(served, "--cert", str(cert), "--key", str(key), "-d", body) == "2 200"
    assert "200" not in curl(served, "-d", body)
    context = served.context()
    context.load_cert_chain(cert, key)
    for _ in range(2):  # the second time with a ticket
        with context.wrap_socket(served.daemon.connect(), server_hostname="localhost") as s:
            assert ask(s)[0] == 200


def test_the_openai_client_streams(serve):
    import httpx2
    import openai

    served = serve()
    for http2 in (False, True):
        transport = httpx2.Client(verify=served.context(), http2=http2)
        client = openai.OpenAI(base_url=f"{served.daemon.url}/v1", api_key="none", http_client=transport)
        stream = client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "hello over TLS"}], stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "hello over TLS"
        assert client.models.list().data[0].id == "echo"
        client.close()


def test_large_answers_and_slow_readers(serve):
    served = serve()
    body = json.dumps({"model": "echo", "content": "many words " * 20000}).encode()
    for alpn in ([], ["h2"]):
        with served.connect(alpn=alpn) as s:
            if alpn:
                client = H2(s)
                stream = client.open("/tokenize")
                for i in range(0, len(body), 16000):
                    piece = body[i : i + 16000]
                    client.until(lambda: client.h2.local_flow_control_window(stream) >= len(piece))
                    client.h2.send_data(stream, piece, end_stream=i + 16000 >= len(body))
                    client.flush()
                answer = client.finish(stream)[0].json()
            else:
                s.sendall(b"POST /tokenize HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                          b"Content-Length: %d\r\n\r\n" % len(body) + body)  # fmt: skip
                time.sleep(0.5)
                data = b""
                while piece := s.recv(5000):
                    data += piece
                answer = json.loads(data.partition(b"\r\n\r\n")[2])
            assert bytes(answer["tokens"][:11]) == b"many words " and len(answer["tokens"]) == 220000


def test_a_renewed_certificate_is_taken_and_no_connection_dropped(serve):
    served = serve(options=", options: {delay_us: 20000}")
    old = served.connect()
    assert ask(old)[0] == 200
    stream = served.connect(alpn=["h2"])
    client = H2(stream)
    running = client.post(chat("word " * 40, stream=True))
    client.until(lambda: client.streams[running].body)
    assert served.name() == "first"
    served.put("second")
    wait_until(lambda: served.name() == "second", what="the new certificate")
    assert ask(old)[0] == 200, "a connection of before goes on"
    assert client.finish(running)[0].body.endswith(b"data: [DONE]\n\n")
    assert served.daemon.metric("weir_tls_reloads_total", result="taken") >= 1
    stream.close()
    old.close()


def test_a_wrong_certificate_is_not_taken(serve):
    served = serve()
    end = served.daemon.metric("weir_tls_certificate_end_seconds")
    assert 29 * 86400 < end - time.time() < 31 * 86400
    served.cert.write_text("nonsense")
    wait_until(lambda: served.daemon.metric("weir_tls_reloads_total", result="refused") == 1, what="the refusal")
    assert served.name() == "first"
    assert "the old certificate stays" in served.daemon.log_text()
    other = served.authority.issue("other")[1]
    shutil.copy(other, served.key)
    served.daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: served.daemon.metric("weir_tls_reloads_total", result="refused") >= 2, what="another")
    assert served.name() == "first"
    served.put("third")
    wait_until(lambda: served.name() == "third", what="the good pair")


def test_the_end_of_a_certificate_is_told(serve):
    served = serve(days=3)
    wait_until(lambda: "the certificate expires in 7" in served.daemon.log_text(), what="the warning")


def test_a_start_with_a_wrong_certificate_fails(binary, authority, tmp_path):
    cert = authority.issue("one")[0]
    key = authority.issue("two")[1]
    file = tmp_path / "weir.yaml"
    file.write_text(CONFIG % (cert, key, "", ""))
    done = subprocess.run([binary, "serve", "-c", str(file)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "server.tls: " in done.stderr and str(key) in done.stderr


def test_handshakes_that_go_nowhere_are_ended(serve):
    served = serve()
    for start in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00" * 300):
        s = served.daemon.connect()
        s.sendall(start)
        s.settimeout(20)
        try:
            while s.recv(4096):
                pass
        except ConnectionError:
            pass
        s.close()
    with served.connect() as s:
        assert ask(s)[0] == 200


def test_connections_in_pieces(serve):
    """Every record arrives byte by byte."""
    served = serve()
    listener = socket.create_server(("127.0.0.1", 0))

    def relay():
        client, _ = listener.accept()
        server = served.daemon.connect()

        def back():
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        answers = threading.Thread(target=back, daemon=True)
        answers.start()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := client.recv(65536):
            for i in range(len(data)):
                server.sendall(data[i : i + 1])
        server.shutdown(socket.SHUT_WR)
        answers.join()
        server.close()
        client.close()

    threading.Thread(target=relay, daemon=True).start()
    raw = socket.create_connection(listener.getsockname())
    raw.settimeout(20)
    with served.context().wrap_socket(raw, server_hostname="localhost") as s:
        assert ask(s)[0] == 200
    listener.close()


def test_the_admin_listener_too(serve):
    served = serve(more=", admin: true")
    assert served.daemon.admin_url.startswith("https://")
    done = subprocess.run(["curl", "-sS", "--cacert", str(served.authority.cert), f"{served.daemon.admin_url}/metrics"],
                          capture_output=True, text=True, timeout=30)  # fmt: skip
    assert "weir_tls_certificate_end_seconds" in done.stdout
