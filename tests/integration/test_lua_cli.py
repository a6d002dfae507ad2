# SPDX-License-Identifier: Apache-2.0
"""`weir lua`: check, test, bench, repl and api, without a daemon; and the policies of lua/."""

import json
import subprocess

import pytest

from conftest import ROOT

POLICIES = sorted(p for p in (ROOT / "lua").glob("*.lua") if not p.name.endswith("_test.lua"))


@pytest.fixture
def lua(binary, tmp_path):
    def run(*words, files=None, stdin=None):
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text)
        done = subprocess.run([binary, "lua", *words], cwd=tmp_path, input=stdin,
                              capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr
    return run


def test_the_worked_policies_are_good_and_tested(lua):
    assert len(POLICIES) >= 5
    code, out, _ = lua("check", *POLICIES, *(ROOT / "lua").glob("*_test.lua"))
    assert code == 0, out
    code, out, _ = lua("test", "--json", ROOT / "lua")
    tests = json.loads(out)
    assert code == 0 and all(t["ok"] for t in tests), out
    assert {t["file"].split("/")[-1] for t in tests} == {p.stem + "_test.lua" for p in POLICIES}
    assert all(sum(t["file"].endswith(p.stem + "_test.lua") for t in tests) >= 3 for p in POLICIES)


@pytest.mark.parametrize("text, finding", [
    ("function on_request(req)\n  retrun 1\nend", "2:10: syntax error near '1'"),
    ("function on_request(req)\n    return weir.dney(400)\nend", "2:12: there is no 'weir.dney': did you mean 'deny'?"),
    ("function on_request(req)\n  local x = strin.len('x')\nend", "2:13: unknown global 'strin': did you mean 'string'?"),
    ("function on_request(req) end\nfunction on_chnk() end", "2:10: 'on_chnk' is not a hook: did you mean 'on_chunk'?"),
    ("function on_request(req)\n  count = 1\nend", "2:3: global 'count' is set in a function: hooks cannot set globals, use local"),
    ("local function f()\n return function()\n  return os.time() end end\nfunction on_request() f() end", "3:10: unknown global 'os'"),
    ("function on_request()\n return weir.kv.gett('x')\nend", None),
    ("x = 1", "1:1: policy.lua: the script defines none of on_request, on_route, on_chunk, on_complete"),
    ("while true do end", "1:1: out of instructions"),
    ("function on_request(req", "1:24: ')' expected near <eof>"),
])
def test_check_names_place_and_mistake(lua, text, finding):
    code, out, _ = lua("check", "policy.lua", files={"policy.lua": text})
    if finding is None:
        assert code == 0
        return
    line, column, words = finding.split(":", 2)
    if "defines none" in words or "expected" in words:
        assert code == 1 and words.split(": ")[-1].strip() in out
    else:
        assert (code, out) == (1, f"policy.lua:{finding}\n")
    code, out, _ = lua("check", "--json", "policy.lua")
    found = json.loads(out)
    assert code == 1 and found[0]["file"] == "policy.lua" and found[0]["line"] == int(line)


def test_check_knows_scopes(lua):
    text = """
local count = 0
local weird = {dney = 1}
limits = {a = 1}
local function helper(weir) return weir.anything, weird.dney end
function on_request(req)
    count = count + 1
    local string = {nosuch = 1}
    for k, v in pairs(limits) do count = count + v end
    return helper(string.nosuch)
end"""
    code, out, _ = lua("check", "policy.lua", files={"policy.lua": text})
    assert (code, out) == (0, "policy.lua: good\n")


POLICY = "function on_request(req) if req.user then return weir.deny(403, 'no') end end"


def test_test_says_what_passed_and_failed(lua):
    files = {
        "p.lua": POLICY,
        "p_test.lua": """
test("passes", function() request() equal(on_request().verdict, "continue") end)
test("fails", function()
    request{user = "x"}
    equal(on_request().status, 400, "status")
end)
test("breaks", function() local x = nil; x.y = 1 end)""",
    }
    code, out, _ = lua("test", "p.lua", files=files)
    assert code == 1
    assert "ok    passes" in out and "FAIL  fails" in out
    assert "p_test.lua:5: status: got 403, want 400" in out and "FAIL  breaks" in out
    assert out.endswith("3 tests, 2 failed\n")
    code, out, _ = lua("test", "--json", "p_test.lua")
    assert code == 1 and [t["ok"] for t in json.loads(out)] == [True, False, False]


@pytest.mark.parametrize("words, files, code", [
    (("test", "p.lua"), {"p.lua": POLICY, "p_test.lua": ""}, 2),
    (("test", "."), {}, 2),
    (("test", "p.txt"), {"p.txt": ""}, 2),
    (("test", "p.lua"), {"p.lua": POLICY}, 2),
    (("test", "p.lua"), {"p.lua": POLICY, "p_test.lua": "test("}, 2),
    (("test", "p.lua"), {"p.lua": "x =", "p_test.lua": "test('a', function() end)"}, 1),
    (("test",), {}, 2),
    (("check",), {}, 2),
    (("check", "nosuch.lua"), {}, 1),
    (("bench", "nosuch.lua"), {}, 1),
    (("bench",), {}, 2),
    (("bench", "p.lua"), {"p.lua": "function on_request() error('x') end"}, 1),
    (("repl", "nosuch.lua"), {}, 1),
    (("api", "x"), {}, 2),
    (("dance",), {}, 2),
])
def test_exit_codes(lua, words, files, code):
    done = lua(*words, files=files, stdin="")
    assert done[0] == code and (done[2] or done[1])


def test_a_test_sees_budgets_of_the_daemon(lua):
    files = {
        "p.lua": "function on_request() while true do end end",
        "p_test.lua": """test("stops", function()
            request()
            local v = on_request()
            equal(v.verdict, "failed")
            equal(v.error, "out of instructions")
        end)""",
    }
    assert lua("test", "p.lua", files=files)[0] == 0


def test_bench_prints_the_cost_of_each_hook(lua):
    code, out, _ = lua("bench", ROOT / "lua" / "pii_redaction.lua")
    assert code == 0 and "on_chunk" in out and "on_complete" in out and "ns/call" in out
    code, out, _ = lua("bench", "--json", ROOT / "lua" / "user_caps.lua")
    cost = json.loads(out)
    assert code == 0 and cost["hooks"][0]["hook"] == "on_request"
    assert all(cost["hooks"][0][k] > 0 for k in ("ns", "instructions"))
    assert 1000 < cost["state_bytes"] <= 64 * 1024


def test_repl_evaluates_in_the_sandbox(lua):
    lines = "1 + 1\nx = {1}\n#x, req.model\nfor i = 1, 2 do\n x[i] = i\nend\nx[2]\nnosuch.y\nload\n"
    lines += "weir.kv.set('a', 'b')\nweir.kv.get('a')\n"
    code, out, err = lua("repl", stdin=lines)
    assert code == 0, err
    assert out.splitlines() == ["2", "1\tm", "2", "input:1: attempt to index a nil value (global 'nosuch')",
                                "nil", "true", "b"]
    code, out, _ = lua("repl", stdin="while true do end\n1\n")
    assert out.splitlines()[0] == "out of instructions" and "spent" in out
    code, out, _ = lua("repl", "p.lua", files={"p.lua": "limit = 7\n" + POLICY}, stdin="limit\n")
    assert out == "7\n"


def test_api_lists_the_sandbox(lua):
    code, out, _ = lua("api", "--json")
    names = json.loads(out)
    assert code == 0 and names == sorted(names)
    assert {"weir.deny", "weir.kv.take", "req.header", "usage.status", "string.gsub"} <= set(names)
    assert not [n for n in names if n.split(".")[0] in ("io", "os", "debug", "load", "require")]
    assert lua("api")[1].split() == names


def test_help_and_completions_know_it(binary, lua):
    code, out, _ = lua("--help")
    assert code == 0 and "weir lua test --json policies/acme.lua" in out
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run([binary, "completions", shell], capture_output=True, text=True)
        assert "lua" in done.stdout and "repl" in done.stdout
