# SPDX-License-Identifier: Apache-2.0
"""tests/acceptance.md names tests that exist: files, -k selections, unit tests, folders."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from conftest import ROOT

TEXT = (ROOT / "tests" / "acceptance.md").read_text()


def shown_by():
    """The last cell of each row of a table."""
    return [line.rsplit("|", 2)[1] for line in TEXT.splitlines() if re.match(r"\| .*\|$", line)]


def selections():
    found = set()
    for cell in shown_by() + TEXT.split("\n"):
        found |= set(re.findall(r'`(test_\w+\.py)(?: -k ("[^"]+"|\w+))?`', cell))
    return sorted(found)


@pytest.fixture(scope="module")
def collected():
    """The names of all tests of each file."""
    run = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
                          "tests/integration"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    names = {}
    for line in run.stdout.splitlines():
        if "::" in line:
            file, name = line.split("::", 1)
            names.setdefault(pathlib.Path(file).name, []).append(name)
    assert names, run.stdout + run.stderr
    return names


@pytest.mark.parametrize("file,words", selections())
def test_files_and_selections_have_tests(collected, file, words):
    assert file in collected
    if not words:
        return
    # As pytest's -k reads it: words joined by and, or, not.
    terms = re.sub(r"\b(?!and\b|or\b|not\b)(\w+)", r'("\1" in name)', words.strip('"'))
    found = [name for name in collected[file] if eval(terms, {"name": f"{file}::{name}".lower()})]
    assert found, f"{file} -k {words} selects nothing"


def unit_names():
    found = set()
    for cell in shown_by():
        for segment in cell.split(";"):
            _, unit, names = segment.partition("unit ")
            if unit:
                found |= set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", names)))
        found |= set(re.findall(r"`(fuzz_\w+)`", cell))
    return found


def test_unit_names_are_tests(binary):
    tree = pathlib.Path(binary).parent
    tests = tree / "meson-info" / "intro-tests.json"
    known = {t["name"] for t in json.loads(tests.read_text())} if tests.exists() else set()
    if not known:
        pytest.skip("no build tree with tests")
    names = unit_names()
    assert len(names) > 50
    assert names <= known, names - known


def test_paths_are_there():
    for path in re.findall(r"`((?:tests|scripts|\.ci)/[\w./]+)(?: \w+)?`", TEXT):
        assert (ROOT / path).exists() or path == "tests/integration/FILE", path
    for cell in shown_by():
        for folder in re.findall(r"`(tests/corpus/\w+)`", cell):
            assert any((ROOT / folder).iterdir()), folder
