# SPDX-License-Identifier: Apache-2.0
"""Fenced blocks of the documents, for tests that run them."""

import re

from conftest import ROOT


def blocks(page):
    """(language, text, line) of each fenced block of a document, in order."""
    found, text = [], (ROOT / page).read_text()
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M):
        found.append((match.group(1), match.group(2), text.count("\n", 0, match.start()) + 1))
    return found


def with_answers(page, language="sh"):
    """(text, line, answer's language, answer) of each block in `language`; the answer is the block
    that follows it, unless that is another command."""
    found = blocks(page)
    out = []
    for i, (kind, text, line) in enumerate(found):
        if kind == language:
            after = found[i + 1] if i + 1 < len(found) else ("", "", 0)
            is_answer = after[0] in ("json", "text")
            out.append((text, line, after[0] if is_answer else "", after[1] if is_answer else ""))
    return out


def moved(text, daemon):
    """The example with the daemon's addresses in place of the documented ones."""
    return text.replace("127.0.0.1:8080", daemon.address).replace("127.0.0.1:9090", daemon.admin)


def same_shape(shown, got, path="$"):
    """None, or where what was answered differs in keys or types from what is shown."""
    if isinstance(shown, dict):
        if not isinstance(got, dict) or set(shown) != set(got):
            return f"{path}: shown {sorted(shown)}, got {sorted(got) if isinstance(got, dict) else got}"
        return next(filter(None, (same_shape(v, got[k], f"{path}.{k}") for k, v in shown.items()
                                  if not k.startswith(" "))), None)
    if isinstance(shown, list):
        if not isinstance(got, list) or bool(shown) != bool(got):
            return f"{path}: shown {shown}, got {got}"
        return same_shape(shown[0], got[0], path + "[0]") if shown else None
    number = (int, float)
    alike = type(shown) is type(got) or (
        isinstance(shown, number) and isinstance(got, number) and not isinstance(got, bool))
    return None if alike else f"{path}: shown {shown!r}, got {got!r}"
