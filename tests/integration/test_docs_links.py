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
