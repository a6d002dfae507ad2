# SPDX-License-Identifier: Apache-2.0
"""Tenants and keys made at run time: the admin API, the auth plugin, `weir tenant`."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import ROOT, echo_config, wait_until

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
ROOT_KEY = "root-key-of-the-operator"
TENANTS = f"""
plugins: [auth]
tenants:
  ops: {{keys: [{{name: root, secret: {ROOT_KEY}, scopes: [admin]}},
                {{name: scrape, secret: scrape-key-of-prometheus, scopes: [metrics]}}]}}
  fixed: {{models: [echo], keys: [{{name: k, secret: fixed-key-of-the-file}}]}}
"""


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class Admin:
    """The admin API as one caller sees it."""

    def __init__(self, daemon, key=None):
        self.daemon, self.headers = daemon, bearer(key) if key else {}

    def __call__(self, method, path, body=None, etag=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if etag:
            headers["If-Match"] = etag
        return self.daemon.request(
            "/admin/v1" + path, body, {**self.headers, **headers}, admin=True, method=method
        )

    def tenant(self, name, **entry):
        status, head, body = self("POST", "/tenants", {"name": name, **entry})
        assert status == 201, body
        return head["ETag"]

    def key(self, tenant, name="web", **entry):
        status, _, body = self("POST", f"/tenants/{tenant}/keys", {"name": name, **entry})
        assert status == 201, body
        return body


def ask(daemon, key, **headers):
    return daemon.request("/v1/chat/completions", HELLO, {**bearer(key), **headers})


@pytest.fixture
def daemon(start):
    return start(echo_config(extra=TENANTS))


@pytest.fixture
def admin(daemon):
    return Admin(daemon)


# ---- tenants ----


def test_a_tenant_lives_from_post_to_delete(daemon, admin):
    status, head, body = admin("POST", "/tenants", {"name": "acme", "tier": "batch"})
    assert status == 201 and head["Location"] == "/admin/v1/tenants/acme"
    assert body["source"] == "api" and body["state"] == "active" and body["tier"] == "batch"
    key = admin.key("acme")["key"]
    assert ask(daemon, key)[0] == 200
    wait_until(lambda: "class=batch" in daemon.log_text(), what="the access line")
    status, head, body = admin("GET", "/tenants/acme")
    assert status == 200
    status, head, body = admin("PATCH", "/tenants/acme", {"models": ["echo"]}, head["ETag"])
    assert status == 200 and body["models"] == ["echo"] and body["tier"] == "batch"
    status, head, body = admin("PUT", "/tenants/acme", {**body, "tier": "critical_api"}, head["ETag"])
    assert status == 200 and body["tier"] == "critical_api" and body["models"] == ["echo"]
    assert admin("DELETE", "/tenants/acme", etag=head["ETag"])[0] == 204
    assert admin("GET", "/tenants/acme")[0] == 404
    assert ask(daemon, key)[0] == 401
    # Who takes the name gets nothing of what the old one had.
    admin.tenant("acme")
    assert ask(daemon, key)[0] == 401
    assert admin("GET", "/tenants/acme/keys")[2]["data"] == []


def test_changes_need_the_etag_of_what_was_seen(admin):
    first = admin.tenant("acme")
    for method, path, body in (
        ("PUT", "", {}),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/suspend", None),
        ("POST", "/resume", None),
    ):
        status, _, answer = admin(method, "/tenants/acme" + path, body)
        assert status == 428 and answer["error"]["code"] == "if_match_required"
        status, head, answer = admin(method, "/tenants/acme" + path, body, '"77"')
        assert status == 412 and answer["error"]["code"] == "changed_meanwhile"
        assert head["ETag"] == first
    status, head, _ = admin("PATCH", "/tenants/acme", {"tier": "batch"}, first)
    assert status == 200 and head["ETag"] != first
    assert admin("PATCH", "/tenants/acme", {}, first)[0] == 412
    assert admin("PATCH", "/tenants/acme", {}, f'"x", {head["ETag"]}')[0] == 200
    assert admin("PATCH", "/tenants/acme", {}, "*")[0] == 200


@pytest.mark.parametrize(
    "entry, param",
    [
        ({"limits": {"concurrent": 0}}, "limits.concurrent"),
        ({"limits": {"concurent": 1}}, "limits.concurent"),
        ({"models": ["nope"]}, "models[0]"),
        ({"tier": "gold"}, "tier"),
        ({"state": "deleting"}, "state"),
        ({"resources": {"kv_memory": "lots"}}, "resources.kv_memory"),
        ({"keys": []}, "keys"),
        ({"policy": "${file:/etc/passwd}", "regions": [1]}, "regions[0]"),
    ],
)
def test_wrong_entries_name_the_field(admin, entry, param):
    status, _, body = admin("POST", "/tenants", {"name": "acme", **entry})
    assert status == 400 and body["error"]["param"] == param, body
    admin.tenant("acme")
    status, _, body = admin("PATCH", "/tenants/acme", entry, "*")
    assert status == 400 and body["error"]["param"] == param, body


def test_a_body_is_no_way_to_the_daemons_files(admin):
    admin.tenant("acme", policy="${file:/etc/hostname}", regions=["${env:PATH}"])
    body = admin("GET", "/tenants/acme")[2]
    assert body["policy"] == "${file:/etc/hostname}" and body["regions"] == ["${env:PATH}"]


@pytest.mark.parametrize("name", ["", "a b", "../x", ".a", "x" * 65, "ä", 7, None])
def test_wrong_names_are_refused(admin, name):
    assert admin("POST", "/tenants", {"name": name})[0] == 400


def test_bodies_must_be_json_objects_of_that_type(daemon, admin):
    assert admin("POST", "/tenants", b"{")[0] == 400
    assert admin("POST", "/tenants", b'{"name":"a","name":"b"}')[0] == 400
    assert admin("POST", "/tenants", b"[]")[0] == 400
    assert admin("POST", "/tenants", {"name": "a"}, Content_Type="text/plain")[0] == 415
    assert admin("GET", "/tenants/%zz")[0] == 400
    assert admin("GET", "/tenants/%00")[0] == 400
    assert admin("POST", "/tenants", {"name": "a"}, Origin="http://evil.example")[0] == 403
    assert admin("GET", "/tenants/a")[0] == 404


def test_suspension_holds_for_both_sources(daemon, admin):
    admin.tenant("acme")
    key = admin.key("acme")["key"]
    for name, key in (("acme", key), ("fixed", "fixed-key-of-the-file")):
        assert ask(daemon, key)[0] == 200
        status, head, body = admin("POST", f"/tenants/{name}/suspend", etag="*")
        assert status == 200 and body["state"] == "suspended"
        status, _, body = ask(daemon, key)
        assert status == 403 and body["error"]["code"] == "tenant_suspended"
        assert daemon.request("/v1/models", headers=bearer(key))[0] == 403
        assert admin("POST", f"/tenants/{name}/suspend", etag=head["ETag"])[0] == 200
        assert admin("POST", f"/tenants/{name}/resume", etag="*")[2]["state"] == "active"
        assert ask(daemon, key)[0] == 200
    # PUT keeps the state that it does not name.
    admin("POST", "/tenants/acme/suspend", etag="*")
    assert admin("PUT", "/tenants/acme", {}, "*")[2]["state"] == "suspended"


def test_configured_tenants_are_changed_in_the_file(daemon, admin):
    status, head, body = admin("GET", "/tenants/fixed")
    assert status == 200 and body["source"] == "config" and "keys" not in body
    for method in ("PUT", "PATCH", "DELETE"):
        status, _, body = admin(method, "/tenants/fixed", {} if method != "DELETE" else None, "*")
        assert status == 409 and body["error"]["code"] == "tenant_is_configured"
    assert admin("POST", "/tenants", {"name": "fixed"})[0] == 409
    admin("POST", "/tenants/fixed/suspend", etag="*")
    assert ask(daemon, "fixed-key-of-the-file")[0] == 403
    # Out of the file and in again: still suspended. Out: the name is free.
    text = daemon.file.read_text()
    shorter = "\n".join(l for l in text.splitlines() if not l.startswith("  fixed:"))
    daemon.file.write_text(shorter)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("configuration reloaded") == 1, what="reload")
    assert admin("GET", "/tenants/fixed")[0] == 404
    assert ask(daemon, "fixed-key-of-the-file")[0] == 401
    daemon.file.write_text(text)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("configuration reloaded") == 2, what="reload")
    assert admin("GET", "/tenants/fixed")[2]["state"] == "suspended"
    daemon.file.write_text(shorter)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("configuration reloaded") == 3, what="reload")
    admin.tenant("fixed")
    assert admin("GET", "/tenants/fixed")[2]["source"] == "api"


def test_lists_come_in_pages_in_order(admin):
    names = sorted(["ops", "fixed"] + [f"t{i:03}" for i in range(120)])
    for name in names:
        if name not in ("ops", "fixed"):
            admin.tenant(name)
    got, after = [], ""
    while True:
        body = admin("GET", f"/tenants?limit=50&after={after}")[2]
        got += [t["name"] for t in body["data"]]
        if not body["has_more"]:
            break
        after = body["next"]
    assert got == names
    assert len(admin("GET", "/tenants")[2]["data"]) == 100
    for limit in ("0", "1001", "x", "-1", ""):
        assert admin("GET", f"/tenants?limit={limit}")[0] == 400


def test_export_has_everything_but_secrets(admin):
    admin.tenant("acme", tier="batch")
    key = admin.key("acme", name="web", scopes=["inference"])
    status, _, body = admin("GET", "/tenants/acme/export")
    assert status == 200 and body["tenant"]["tier"] == "batch"
    (record,) = body["collections"]["keys"]
    assert record["id"] == key["id"] and record["record"]["name"] == "web"
    assert "sha256" not in json.dumps(body) and key["key"][-20:] not in json.dumps(body)
    assert admin("GET", "/tenants/none/export")[0] == 404


# ---- keys ----


def test_revocation_and_rotation_take_effect_at_once(daemon, admin):
    admin.tenant("acme")
    key = admin.key("acme")
    assert ask(daemon, key["key"])[0] == 200
    path = f"/tenants/acme/keys/{key['id']}"
    status, _, fresh = admin("POST", path + "/rotate", {"grace_seconds": 1}, "*")
    assert status == 200 and fresh["key"] != key["key"] and fresh["id"] == key["id"]
    assert ask(daemon, key["key"])[0] == 200 and ask(daemon, fresh["key"])[0] == 200
    wait_until(lambda: ask(daemon, key["key"])[0] == 401, what="end of the grace period")
    assert ask(daemon, fresh["key"])[0] == 200
    assert admin("DELETE", path, etag="*")[0] == 204
    assert ask(daemon, fresh["key"])[0] == 401


def test_a_key_made_after_a_failed_try_works(daemon, admin):
    """Unknown keys are remembered; making one must not wait for that."""
    admin.tenant("acme")
    key = admin.key("acme")
    admin("DELETE", f"/tenants/acme/keys/{key['id']}", etag="*")
    assert ask(daemon, key["key"])[0] == 401
    assert ask(daemon, admin.key("acme")["key"])[0] == 200


def test_key_models_narrow_the_tenants(start):
    daemon = start(
        """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
models:
  echo: {targets: [{engine: {backend: echo}}]}
  other: {targets: [{engine: {backend: echo}}]}
plugins: [auth]
"""
    )
    admin = Admin(daemon)
    admin.tenant("acme", models=["echo", "other"])
    narrow = admin.key("acme", models=["other"])["key"]
    wide = admin.key("acme")["key"]
    admin.tenant("small", models=["echo"])
    small = admin.key("small", models=["echo", "other"])["key"]
    for key, model, status in (
        (narrow, "other", 200),
        (narrow, "echo", 404),
        (wide, "echo", 200),
        (small, "echo", 200),
        (small, "other", 404),
    ):
        body = {**HELLO, "model": model}
        assert daemon.request("/v1/chat/completions", body, bearer(key))[0] == status, (model, status)
    listed = daemon.request("/v1/models", headers=bearer(narrow))[2]["data"]
    assert [m["id"] for m in listed] == ["other"]


def test_key_models_hold_for_fallbacks(start):
    daemon = start(
        """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
models:
  echo: {targets: [{engine: {backend: echo, options: {fail_after: 1}}}], fallback: [other]}
  other: {targets: [{engine: {backend: echo}}]}
plugins: [auth]
"""
    )
    admin = Admin(daemon)
    admin.tenant("acme")
    narrow, wide = admin.key("acme", models=["echo"])["key"], admin.key("acme")["key"]

    def models_that_served(key):
        answers = [daemon.request("/v1/chat/completions", {**HELLO, "model": "echo"}, bearer(key)) for _ in range(10)]
        return {a[2]["model"] for a in answers if a[0] == 200}

    wait_until(lambda: "other" in models_that_served(wide), what="a fallback")
    assert "other" not in models_that_served(narrow)


def test_secrets_come_from_the_environment_and_from_files(start, binary, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret-of-a-file\n")
    config = echo_config(
        extra=f"""
plugins: [auth]
tenants:
  acme: {{keys: [{{name: e, secret: "${{env:WEIR_TEST_SECRET}}"}},
                 {{name: f, secret: "${{file:{secret}}}"}}]}}
"""
    )
    daemon = start(config, env={"WEIR_TEST_SECRET": "secret-of-the-environment"})
    assert ask(daemon, "secret-of-the-environment")[0] == 200
    assert ask(daemon, "secret-of-a-file")[0] == 200
    assert ask(daemon, "${env:WEIR_TEST_SECRET}")[0] == 401
    file = tmp_path / "weir.yaml"
    file.write_text(config)
    for env, says in (({}, "the environment has no WEIR_TEST_SECRET"), ({"WEIR_TEST_SECRET": "shrt-1"}, "8 characters")):
        done = subprocess.run(
            [binary, "check", "-c", str(file)],
            env={**{k: v for k, v in os.environ.items() if k != "WEIR_TEST_SECRET"}, **env},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 78 and says in done.stdout + done.stderr
        assert "shrt-1" not in done.stdout + done.stderr


def test_a_signed_header_names_the_user(start):
    config = echo_config(
        extra=TENANTS.replace("[auth]", "[{auth: {user_header: {secret: 0123456789abcdef}}}]")
    )
    daemon = start(config)
    admin = Admin(daemon)
    admin.tenant("acme")
    key = admin.key("acme")

    def signed(user, seconds=None, key_id=key["id"], secret=b"0123456789abcdef"):
        text = f"v1.{int(seconds or time.time())}.{base64.urlsafe_b64encode(user.encode()).decode().rstrip('=')}"
        mac = hmac.new(secret, f"{text}\nacme/{key_id}".encode(), hashlib.sha256).hexdigest()
        return {"x-weir-user": f"{text}.{mac}"}

    assert ask(daemon, key["key"], **signed("alice"))[0] == 200
    for bad in (
        signed("alice", time.time() - 400),
        signed("alice", time.time() + 400),
        signed("alice", key_id="aaaaaaaaaaaaaaaa"),
        signed("alice", secret=b"fedcba9876543210"),
        {"x-weir-user": "alice"},
    ):
        status, _, body = ask(daemon, key["key"], **bad)
        assert status == 401 and body["error"]["code"] == "invalid_user_signature"
    assert ask(daemon, key["key"])[0] == 200


# ---- default deny ----


def raw(daemon, lines, admin=False):
    """The status of a request with exactly these header lines."""
    import socket

    host, port = (daemon.admin if admin else daemon.address).rsplit(":", 1)
    path = "/admin/v1/tenants" if admin else "/v1/models"
    with socket.create_connection((host, int(port)), timeout=30) as s:
        s.sendall(
            "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode("latin-1")
        )
        text = b""
        while piece := s.recv(65536):
            text += piece
    return int(text.split(b" ", 2)[1])


@pytest.mark.parametrize("where", ["authorization", "x-api-key"])
def test_every_combination_of_headers_but_the_right_one_is_refused(start, where):
    plugins = "[auth]" if where == "authorization" else "[{auth: {header: x-api-key}}]"
    daemon = start(echo_config(extra=TENANTS.replace("[auth]", plugins)))
    admin = Admin(daemon)
    admin.tenant("acme")
    good = admin.key("acme")["key"]
    revoked = admin.key("acme")
    admin("DELETE", f"/tenants/acme/keys/{revoked['id']}", etag="*")
    other = "x-api-key" if where == "authorization" else "authorization"
    schemes = ["", "Bearer ", "bearer ", "Bearer  ", "Basic ", "Token ", "Bearer", "Bearer,", "Digest "]
    keys = {
        "good": good,
        "none": "",
        "revoked": revoked["key"],
        "cut": good[:-1],
        "longer": good + "a",
        "case": good.upper(),
        "changed": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "other tenant": good.replace("weir_acme_", "weir_fixed_"),
        "no tenant": good.replace("weir_acme_", "weir_nobody_"),
        "other id": good[:10] + "aaaaaaaaaaaaaaaa" + good[26:],
        "twice": f"{good}, {good}",
        "spaced": f"{good} {good}",
        "hash": hashlib.sha256(good.encode()).hexdigest(),
        "sql": "' OR 1=1 --",
        "long": "x" * 5000,
        "star": "*",
        "null": "null",
    }
    for scheme, (name, key) in itertools.product(schemes, keys.items()):
        right = name == "good" and (
            scheme in ("Bearer ", "bearer ", "Bearer  ")
            or (scheme == "" and where == "x-api-key")
        )
        status = raw(daemon, [f"{where}: {scheme}{key}"])
        assert status == (200 if right else 401), (scheme, name, status)
        # The same in a header that carries no credentials here changes nothing.
        assert raw(daemon, [f"{other}: {scheme}{key}"]) == 401, (scheme, name)
        assert raw(daemon, [f"{where}: Bearer wrong-key-1", f"{other}: {scheme}{key}"]) == 401
        assert raw(daemon, [f"x-{where}: {scheme}{key}", f"cookie: {where}={key}"]) == 401
    # Two of them are no better than one.
    for first, second in itertools.product([good, "wrong-key-1"], repeat=2):
        status = raw(daemon, [f"{where}: Bearer {first}", f"{where}: Bearer {second}"])
        assert status == (400 if where == "authorization" else 401)
    for folded in (f"{where}:\r\n Bearer {good}", f"{where} : Bearer {good}"):
        assert raw(daemon, [folded]) == 400


def test_every_route_asks_for_a_key(daemon):
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/v1/models/echo"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
    ):
        body = None if method == "GET" else {"model": "echo"}
        assert daemon.request(path, body)[0] == 401, path
        assert daemon.request(path, body, bearer("wrong-key-123"))[0] == 401, path


# ---- the admin listener's own keys ----


def test_off_loopback_the_admin_api_asks_for_a_key(start):
    daemon = start(echo_config(extra=TENANTS).replace('admin: "127.0.0.1:0"', 'admin: "0.0.0.0:0"'))
    daemon.admin_url = daemon.admin_url.replace("0.0.0.0", "127.0.0.1")
    for probe in ("live", "ready", "startup"):
        assert daemon.request(f"/healthz/{probe}", admin=True)[0] == 200
    paths = ["/metrics", "/admin", "/admin/", "/admin/v1/tenants", "/admin/v1/openapi.json",
             "/admin/v1/models", "/admin/v1/plugins", "/admin/v1/keys", "/admin/v1/nothing"]
    for path in paths:
        for headers in ({}, bearer("wrong-key-12345"), {"x-api-key": ROOT_KEY},
                        {"Authorization": f"Basic {ROOT_KEY}"}):
            status, head, _ = daemon.request(path, headers=headers, admin=True)
            assert status == 401 and head["WWW-Authenticate"] == "Bearer", (path, headers)
    for path in paths[:-1]:
        assert daemon.request(path, headers=bearer(ROOT_KEY), admin=True)[0] == 200, path
    scrape, user = bearer("scrape-key-of-prometheus"), bearer("fixed-key-of-the-file")
    assert daemon.request("/metrics", headers=scrape, admin=True)[0] == 200
    assert daemon.request("/admin/v1/tenants", headers=scrape, admin=True)[0] == 404
    assert daemon.request("/metrics", headers=user, admin=True)[0] == 404
    assert daemon.request("/admin/v1/models", headers=user, admin=True)[0] == 404


def test_without_auth_an_open_admin_listener_serves_probes_only(start):
    daemon = start(echo_config().replace('admin: "127.0.0.1:0"', 'admin: "0.0.0.0:0"'))
    daemon.admin_url = daemon.admin_url.replace("0.0.0.0", "127.0.0.1")
    assert "no plugin checks keys" in daemon.log_text()
    assert daemon.request("/healthz/live", admin=True)[0] == 200
    for headers in ({}, bearer("x" * 20)):
        assert daemon.request("/admin/v1/tenants", headers=headers, admin=True)[0] == 401
        assert daemon.request("/metrics", headers=headers, admin=True)[0] == 401


@pytest.mark.parametrize("keys, open_status", [("required", 401), ("optional", 200)])
def test_admin_keys_can_be_configured(start, keys, open_status):
    config = echo_config(extra=TENANTS).replace("server: {", f"server: {{admin_keys: {keys}, ")
    daemon = start(config)
    assert daemon.request("/admin/v1/tenants", admin=True)[0] == open_status
    assert daemon.request("/admin/v1/tenants", headers=bearer(ROOT_KEY), admin=True)[0] == 200
    assert daemon.request("/admin/v1/tenants", headers=bearer("wrong-key-12345"), admin=True)[0] == 401


def test_a_tenants_admin_sees_its_own_tenant_only(daemon, admin):
    for name in ("acme", "beta"):
        admin.tenant(name)
    boss = Admin(daemon, admin.key("acme", scopes=["tenant_admin"])["key"])
    foreign = admin.key("beta")
    assert [t["name"] for t in boss("GET", "/tenants")[2]["data"]] == ["acme"]
    assert boss("GET", "/tenants/acme")[0] == 200
    assert boss("GET", "/tenants/acme/export")[0] == 200
    own = boss.key("acme", name="mine")
    assert ask(daemon, own["key"])[0] == 200
    assert {k["id"] for k in boss("GET", "/keys")[2]["data"]} >= {own["id"]}

    def same(method, path, other, body=None):
        """Another's tenant and none at all give the same answer, byte for byte but the name."""
        first = boss(method, path, body, "*")
        second = boss(method, other, body, "*")
        assert first[0] == second[0] == 404, (method, path, first, second)
        assert json.dumps(first[2]).replace("beta", "nope") == json.dumps(second[2])
        names = lambda r: sorted(k for k in r[1].keys() if k.lower() not in ("x-request-id", "date"))
        assert names(first) == names(second)

    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {}),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/suspend", None),
        ("POST", "/resume", None),
        ("GET", "/export", None),
        ("GET", "/keys", None),
        ("POST", "/keys", {"name": "x"}),
        ("GET", f"/keys/{foreign['id']}", None),
        ("PATCH", f"/keys/{foreign['id']}", {}),
        ("DELETE", f"/keys/{foreign['id']}", None),
        ("POST", f"/keys/{foreign['id']}/rotate", {}),
        ("GET", "/usage", None),
    ):
        same(method, "/tenants/beta" + path, "/tenants/nope" + path, body)
    for method, path in (("POST", "/tenants"), ("GET", "/models"), ("GET", "/plugins"),
                         ("PUT", "/tenants/acme"), ("DELETE", "/tenants/acme"),
                         ("POST", "/tenants/acme/suspend")):
        assert boss(method, path, None if method in ("GET", "DELETE") else {"name": "x"}, "*")[0] == 404
    assert boss("POST", "/keys", {"name": "x", "tenant": "beta"})[0] == 404
    assert daemon.request("/metrics", headers=boss.headers, admin=True)[0] == 404
    assert ask(daemon, foreign["key"])[0] == 200
    assert admin("GET", "/tenants/beta")[2]["state"] == "active"


def test_changes_are_in_the_audit_log(daemon, admin):
    root = Admin(daemon, ROOT_KEY)
    root.tenant("acme")
    key = root.key("acme")
    root("DELETE", f"/tenants/acme/keys/{key['id']}", etag="*")
    admin("POST", "/tenants", {"name": "acme"})
    audit = lambda: [l for l in daemon.log_text().splitlines() if " audit: " in l]
    wait_until(lambda: len(audit()) == 4, what="four audit lines")
    lines = audit()
    assert 'POST /admin/v1/tenants status=201 key="root" tenant="ops" made="/admin/v1/tenants/acme"' in lines[0]
    assert f'made="/admin/v1/tenants/acme/keys/{key["id"]}"' in lines[1]
    assert f'DELETE /admin/v1/tenants/acme/keys/{key["id"]} status=204 key="root"' in lines[2]
    assert 'status=409 key="none"' in lines[3]
    assert all('peer="127.0.0.1"' in l and "request_id=" in l for l in lines)


# ---- secrets ----


def test_secrets_are_nowhere_but_in_their_one_answer(start):
    env_secret = "canary-of-the-environment"
    config = echo_config(
        extra=f"""
logging: {{level: trace}}
plugins: [{{auth: {{user_header: {{secret: canary-of-the-signature}}}}}}]
tenants:
  ops: {{keys: [{{name: root, secret: canary-of-the-operator, scopes: [admin]}}]}}
  acme: {{keys: [{{name: e, secret: "${{env:WEIR_TEST_SECRET}}"}}]}}
"""
    )
    daemon = start(config, env={"WEIR_TEST_SECRET": env_secret})
    root = Admin(daemon, "canary-of-the-operator")
    root.tenant("beta")
    made = root.key("beta")
    fresh = root("POST", f"/tenants/beta/keys/{made['id']}/rotate", {}, "*")[2]["key"]
    canaries = [env_secret, "canary-of-the-signature", "canary-of-the-operator", made["key"], fresh,
                "canary-wrong-bearer", "canary-in-x-api-key", "canary-in-query", "canary-in-basic",
                "canary-in-body-key"]
    canaries += [hashlib.sha256(c.encode()).hexdigest() for c in canaries[:5]]
    # As an answer or a log would cut it.
    canaries += [made["key"].rsplit("_", 1)[1][:20], fresh.rsplit("_", 1)[1][:20]]
    seen = []

    def call(*args, **kw):
        status, head, body = daemon.request(*args, **kw)
        seen.append(str(head) + json.dumps(body))
        return status

    for key in canaries[:5]:
        call("/v1/chat/completions", HELLO, bearer(key))
        call("/v1/chat/completions", HELLO, bearer(key + "x"))
        call("/admin/v1/tenants", headers=bearer(key), admin=True)
        call("/admin/v1/tenants/beta/keys", headers=bearer(key), admin=True)
    call("/v1/models", headers=bearer("canary-wrong-bearer"))
    call("/v1/models", headers={"x-api-key": "canary-in-x-api-key"})
    call("/v1/models?api_key=canary-in-query")
    call("/admin/v1/tenants?key=canary-in-query", admin=True)
    call("/v1/models", headers={"Authorization": "Basic canary-in-basic"})
    call("/v1/models", headers={**bearer(made["key"]), "x-weir-user": made["key"]})
    call("/admin/v1/tenants/beta/keys", {"name": "x", "secret": "canary-in-body-key"}, admin=True)
    call("/admin/v1/tenants/beta/keys", {"name": "x", "canary": "canary-in-body-key"}, admin=True)
    for path in ("/metrics", "/admin/v1/plugins", "/admin/v1/openapi.json", "/admin/v1/keys",
                 "/admin/v1/tenants", "/admin/v1/tenants/beta/export",
                 f"/admin/v1/tenants/beta/keys/{made['id']}", "/admin/v1/tenants/acme"):
        assert call(path, admin=True, headers=bearer("canary-of-the-operator")) == 200
    everything = daemon.log_text() + "\n".join(seen)
    for canary in canaries:
        assert canary not in everything, canary


# ---- the description ----


def test_the_description_is_openapi_and_complete(daemon, admin):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    spec = admin("GET", "/openapi.json")[2]
    OpenAPIV31SpecValidator(spec).validate()
    operations = {(m.upper(), p) for p, item in spec["paths"].items() for m in item if m != "parameters"}
    plugin_routes = {
        (r["method"], r["path"]) for p in admin("GET", "/plugins")[2] for r in p["routes"]
    }
    assert plugin_routes and plugin_routes <= operations
    # Every operation is served, and nothing that is not described.
    for method, path in operations:
        concrete = re.sub(r"\{\w+\}", "x", path)
        status, _, body = daemon.request(concrete, admin=True, method=method)
        assert status != 405 and not (
            status == 404 and body["error"]["code"] == "unknown_url"
        ), (method, path, status)
    for path in spec["paths"]:
        if path.startswith("/admin/v1"):
            allow = daemon.request(re.sub(r"\{\w+\}", "x", path), admin=True, method="OPTIONS")[1]["Allow"]
            assert set(allow.split(", ")) - {"OPTIONS", "HEAD"} == {m for m, p in operations if p == path}
    sources = [p.read_text() for p in (ROOT / "core/admin").glob("*_api.c")]
    written = {
        (m, p) for text in sources for m, p in re.findall(r'\{"([A-Z]+)", "(/[^"]+)"', text)
    }
    assert written and written <= operations


def test_schemathesis_finds_no_breach_of_the_description(start, tmp_path):
    daemon = start(echo_config(extra=TENANTS))
    tool = ROOT / ".venv/bin/schemathesis"
    if not tool.exists():
        pytest.skip("schemathesis is not installed: tests/requirements.txt")
    done = subprocess.run(
        [tool, "run", f"{daemon.admin_url}/admin/v1/openapi.json", "--url", daemon.admin_url,
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
         "--max-examples", "20", "--phases", "fuzzing", "--seed", "7",
         "--suppress-health-check", "all", "--generation-database", "none",
         "--exclude-path-regex", "^/healthz|^/metrics"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


# ---- weir tenant ----


def weir(binary, daemon, *words, env=None, code=0, data=None):
    done = subprocess.run(
        [binary, "tenant", *words],
        env={**os.environ, "WEIR_ADMIN": daemon.admin_url, **(env or {})},
        capture_output=True, text=True, timeout=60, input=data,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_command_does_all_that_the_api_does(binary, daemon, tmp_path):
    run = lambda *words, **kw: weir(binary, daemon, *words, **kw)
    assert json.loads(run("create", "acme", "--data", '{"tier": "batch"}'))["tier"] == "batch"
    assert "already" in run("create", "acme", code=1)
    assert "limits.concurrent" in run("create", "b", "--data", '{"limits":{"concurrent":0}}', code=1)
    assert re.search(r"^acme +active +batch +api$", run("list"), re.M)
    assert {t["name"] for t in json.loads(run("list", "--json"))} == {"acme", "fixed", "ops"}
    entry = tmp_path / "entry.json"
    entry.write_text('{"models": ["echo"]}')
    assert json.loads(run("edit", "acme", "--file", str(entry)))["models"] == ["echo"]
    assert json.loads(run("edit", "acme", "--file", "-", data='{"tier": null}')).get("tier") is None
    editor = {"EDITOR": "sed -i s/active/suspended/"}
    assert json.loads(run("edit", "acme", env=editor))["state"] == "suspended"
    assert "unchanged" in run("edit", "acme", env={"EDITOR": "true"})
    assert "no JSON" in run("edit", "acme", env={"EDITOR": "truncate -s 3"}, code=1)
    assert json.loads(run("resume", "acme"))["state"] == "active"
    key = run("key", "create", "acme", "--name", "web").strip()
    assert ask(daemon, key)[0] == 200
    (listed,) = json.loads(run("key", "list", "acme", "--json"))
    fresh = run("key", "rotate", "acme", listed["id"], "--grace", "0").strip()
    assert ask(daemon, key)[0] == 401 and ask(daemon, fresh)[0] == 200
    assert json.loads(run("suspend", "acme"))["state"] == "suspended"
    assert ask(daemon, fresh)[0] == 403
    assert json.loads(run("show", "acme"))["name"] == "acme"
    assert json.loads(run("export", "acme"))["collections"]["keys"][0]["id"] == listed["id"]
    run("resume", "acme")
    run("key", "revoke", "acme", listed["id"])
    assert ask(daemon, fresh)[0] == 401
    assert "no keys" in run("key", "list", "acme")
    assert "--yes" in run("delete", "acme", code=1)
    run("delete", "acme", "--yes")
    assert "no tenant" in run("show", "acme", code=1)
    assert "usage" in run("key", "create", code=2)
    assert "usage" in run("show", code=2)
    assert "cannot reach" in run("list", "--admin", "http://127.0.0.1:1", code=1)


def test_the_command_takes_its_key_from_the_environment(binary, start):
    daemon = start(echo_config(extra=TENANTS).replace("server: {", "server: {admin_keys: required, "))
    assert "WEIR_ADMIN_KEY" in weir(binary, daemon, "list", code=1)
    assert "ops" in weir(binary, daemon, "list", env={"WEIR_ADMIN_KEY": ROOT_KEY})


def test_help_and_completions_name_every_verb(binary):
    text = subprocess.run([binary, "tenant", "--help"], capture_output=True, text=True).stdout
    for verb in ("list", "create", "show", "edit", "suspend", "resume", "export", "delete", "key"):
        assert f"weir tenant {verb}" in text
    assert "examples:" in text and "WEIR_ADMIN_KEY" in text
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run([binary, "completions", shell], capture_output=True, text=True).stdout
        assert "tenant" in done and "suspend" in done
    assert "rotate" in subprocess.run([binary, "completions", "bash"], capture_output=True, text=True).stdout
