# SPDX-License-Identifier: Apache-2.0
"""scripts/: help, wrong words, and what they say on a machine without a network."""

import os
import shutil
import subprocess

import pytest

from conftest import ROOT


@pytest.mark.parametrize("name", ["setup", "run", "test"])
def test_scripts_have_help_with_examples(name):
    run = subprocess.run([ROOT / "scripts" / name, "--help"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0 and "usage: scripts/" + name in run.stdout and "examples:" in run.stdout


@pytest.mark.parametrize("name", ["setup", "test", "config-docs"])
def test_wrong_words_are_usage(name):
    run = subprocess.run([ROOT / "scripts" / name, "--nonsense"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 2 and "usage: scripts/" + name in run.stdout + run.stderr


def offline(tmp_path, **programs):
    """scripts/setup in a tree of its own, with programs in front of the machine's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"sudo": 'exec "$@"', "apt-get": "echo 'E: Temporary failure resolving' >&2; exit 100",
                       "apt-cache": "exit 1", "pkg-config": "exit 1", **programs}.items():
        (folder / name).write_text("#!/bin/sh\n" + text + "\n")
        (folder / name).chmod(0o755)
    (tmp_path / "scripts").mkdir()
    for name in ("setup", "lib.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    return subprocess.run([tmp_path / "scripts" / "setup"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})


def test_setup_offline_names_the_packages_that_are_missing(tmp_path):
    run = offline(tmp_path, **{"dpkg-query": '[ "$3" = ninja-build ] || echo "install ok installed"'})
    assert run.returncode == 1
    assert "missing: ninja-build." in run.stderr and "docs/operations.md#offline" in run.stderr
    assert "E: Temporary failure resolving" in run.stderr


def test_setup_offline_names_the_libraries_that_are_missing(tmp_path):
    if not os.path.exists("/etc/apt/sources.list.d/debian.sources"):
        pytest.skip("not Debian 12")
    run = offline(tmp_path, **{"dpkg-query": 'echo "install ok installed"'})
    assert run.returncode == 1
    assert "yyjson and llhttp" in run.stderr and "docs/operations.md#offline" in run.stderr
