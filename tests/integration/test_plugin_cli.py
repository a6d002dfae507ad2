# SPDX-License-Identifier: Apache-2.0
"""weir plugin: a new plugin builds and passes untouched, and what is wrong with one is said.

The program is $WEIR, or build/weir of this tree; its SDK is the weir-sdk.pc beside it."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = os.environ.get("WEIR", str(ROOT / "build" / "weir"))
PC_DIR = pathlib.Path(WEIR).resolve().parent / "sdk"


def run(*words, cwd=None):
    env = {**os.environ, "PKG_CONFIG_PATH": str(PC_DIR)}
    env.pop("MAKEFLAGS", None)
    return subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=cwd, env=env)


def weir(*words, cwd=None):
    return run(WEIR, "plugin", *words, cwd=cwd)


def test_pkg_config_names_the_sdk():
    if not (PC_DIR / "weir-sdk.pc").exists():
        pytest.skip("no build tree")
    for name, value in {"abi_major": "1", "weir": str(pathlib.Path(WEIR).resolve())}.items():
        assert run("pkg-config", f"--variable={name}", "weir-sdk").stdout.strip() == value
    assert run("pkg-config", "--variable=plugindir", "weir-sdk").stdout.strip()


@pytest.mark.parametrize("options", [[], ["--backend"]])
def test_a_new_plugin_builds_and_passes_untouched(tmp_path, options):
    if not (PC_DIR / "weir-sdk.pc").exists() or not shutil.which("make"):
        pytest.skip("needs a build tree and make")
    made = weir("new", *options, "my-own_1", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "my-own_1"
    assert {"Makefile", "README.md", "schema.json", "my-own_1.c",
            "test_my-own_1"} <= {p.name for p in folder.iterdir()}
    for words in (["make"], ["make", "test"]):
        done = run(*words, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stderr
    about = json.loads(weir("info", "--json", "./my-own_1.so", cwd=folder).stdout)
    assert about["name"] == "my-own_1"
    again = weir("new", "my-own_1", cwd=tmp_path)
    assert again.returncode == 1 and "my-own_1" in again.stderr


def test_bad_names_are_refused(tmp_path):
    for name in ("9x", "../x", "Upper", "a b", ""):
        assert weir("new", name, cwd=tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_list_finds_the_examples():
    found = json.loads(weir("list", "--json").stdout)
    names = [p["name"] for p in found]
    assert {"auth", "lua", "echo", "header_stamp"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["auth", "lua", "echo", "header_stamp", "async_deny",
                                  "chunk_redact"])
def test_our_own_plugins_pass_the_kit(name):
    done = weir("test", "--json", "--seed", "3", name)
    verdict = json.loads(done.stdout)
    assert done.returncode == 0, verdict
    assert verdict["failed"] == 0 and verdict["seed"] == 3


def test_why_names_the_step_that_failed(tmp_path):
    text = tmp_path / "text.so"
    text.write_text("not a shared object")
    done = weir("why", str(text))
    assert done.returncode == 1
    assert "FAILED" in done.stdout and "no ELF header" in done.stdout

    source = tmp_path / "x.c"
    source.write_text("extern void nowhere(void); void f(void); void f(void) { nowhere(); }\n")
    broken = tmp_path / "broken.so"
    if run("cc", "-shared", "-fPIC", "-o", str(broken), str(source)).returncode == 0:
        done = weir("why", str(broken))
        assert "undefined symbol: nowhere" in done.stdout

    source.write_text("int answer(void); int answer(void) { return 42; }\n")
    if run("cc", "-shared", "-fPIC", "-o", str(broken), str(source)).returncode == 0:
        done = weir("why", str(broken))
        assert "does not export weir_plugin_entry_v1" in done.stdout

    source.write_text("#include <stdlib.h>\n"
                      "__attribute__((constructor)) static void f(void) { abort(); }\n")
    if run("cc", "-shared", "-fPIC", "-o", str(broken), str(source)).returncode == 0:
        done = weir("why", str(broken))
        assert done.returncode == 1 and "crashed" in done.stdout
        listed = weir("list", "--dir", str(tmp_path))
        assert listed.returncode == 0 and "crashed" in listed.stderr
