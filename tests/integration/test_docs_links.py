# SPDX-License-Identifier: Apache-2.0
"""Every relative link and anchor of every document leads somewhere."""

import pathlib
import re
import subprocess

import pytest

from conftest import ROOT


def pages():
    run = subprocess.run(["git", "ls-files", "--", "*.md"], cwd=ROOT, capture_output=True, text=True)
    listed = run.stdout.split() if run.returncode == 0 else [
        str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/**/*.md")]]
    return sorted(listed)


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def anchors(text):
    """The ids that a forge gives to headings."""
    found = set()
    for title in re.findall(r"^#+ (.*)$", without_code(text), re.M):
        plain = re.sub(r"[`*]|\[|\]\([^)]*\)", "", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while anchor + (f"-{number}" if number else "") in found:
            number += 1
        found.add(anchor + (f"-{number}" if number else ""))
    return found


def links(text):
    prose = re.sub(r"`[^`\n]*`", "", without_code(text))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert ROOT in target.resolve().parents or target.resolve() == ROOT, f"{page}: {link} leads outside"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{page}: {link}"


def test_every_document_is_reached_from_the_readme():
    seen, todo = set(), [pathlib.Path("README.md")]
    while todo:
        page = todo.pop()
        if str(page) in seen or page.suffix != ".md":
            continue
        seen.add(str(page))
        for link in links((ROOT / page).read_text()):
            path = link.partition("#")[0]
            if path and ":" not in path:
                todo.append((ROOT / page.parent / path).resolve().relative_to(ROOT))
    documents = {p for p in pages() if not p.startswith("sdk/template/")}
    assert documents <= seen, documents - seen


def code_words(text):
    return set(re.findall(r"`([^`\n]+)`", without_code(text)))


def expand(word):
    """`a/{b,c}.c` as both."""
    match = re.search(r"\{([^}]*)\}", word)
    return [word] if not match else [word.replace(match.group(0), part) for part in match.group(1).split(",")]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "README.md",
                                  "docs/plugins.md", "docs/operations.md", "docs/rules.md", "docs/store.md"])
def test_paths_and_names_of_the_code_are_there(page):
    text = (ROOT / page).read_text()
    top = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(("build", "."))}
    for word in code_words(text):
        path = word.rstrip("/")
        if path.split("/")[0] in top and re.fullmatch(r"[\w./{},*-]+", path) and "/" in word:
            if re.search(r"NAME|FILE|STAGE", path):
                continue
            for one in expand(path):
                assert list(ROOT.glob(one)), f"{page}: {one}"
    names = {n for word in code_words(text) for n in re.findall(r"\bweir_[a-z0-9_]+(?=\(|`|$)", word)}
    names -= {n for n in names if re.search(r"weir_(noun|auth|billing|breaker|lua|token_cap|plugin_(hook|errors|quar|mem))", n)}
    sources = "".join(p.read_text() for d in ("base", "core", "engine", "sdk", "cli", "backends")
                      for p in (ROOT / d).rglob("*.[ch]"))
    for name in names:
        assert name in sources, f"{page}: {name}"
