#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/corpus/template and tests/corpus/tool: seeds for the two fuzz targets.

usage: make_templates.py (the golden file tests/golden/templates.json must be there)
"""
import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent
MESSAGES = json.dumps([{"role": "system", "content": "s"},
                       {"role": "user", "content": [{"type": "text", "text": "Grüße"}]},
                       {"role": "assistant", "content": None, "tool_calls": [
                           {"function": {"name": "f", "arguments": {"a": [1, 2.5, "x", {}]}}}]}],
                      ensure_ascii=False)
HOSTILE = {
    "deep-parens": "{{ " + "(" * 500,
    "deep-ifs": "{% if 1 %}" * 500,
    "deep-values": "{% set n = namespace(l=[]) %}{% for i in range(500) %}{% set n.l = [n.l] %}"
                   "{% endfor %}{{ n.l|tojson }}",
    "endless-macro": "{% macro m(a) %}{{ m(a ~ a) }}{% endmacro %}{{ m('x') }}",
    "self-namespace": "{% set n = namespace() %}{% set n.a = n %}{{ n }}{{ [n] == [n] }}",
    "huge-repeat": "{{ 'ab' * 999999999999 }}",
    "huge-range": "{{ range(10 ** 18)|list }}",
    "huge-width": "{{ '%999999999s' % 'x' ~ '{:>999999}'.format(1) }}",
    "nested-map": "{{ 'a'|map(" + ", ".join(["'map'"] * 600) + ")|list }}",
    "split-empty": "{{ 'abc'.split('') }}",
    "open-string": "{{ 'abc\\",
    "open-raw": "{% raw %}{% endra %}",
}
OUTPUTS = [
    "\0Hi <tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": \"}\\\"\"}}\n</tool_call> x",
    "\0<tool_call>{\"arguments\":{},\"name\":\"get\"}</tool_call>\n<tool_call>{\"x\":[1]}",
    "\1[TOOL_CALLS] [{\"name\":\"get\",\"arguments\":{}}, {\"name\":\"a\",\"arguments\":\"{}\"}]",
    "\1[TOOL_CALLS]get[ARGS]{\"a\":[{}]}[TOOL_CALLS]",
    "\2{\"name\": \"get\", \"parameters\": {}}; {\"name\": \"get\"}",
    "\2<|python_tag|>{\"name\": \"b\", \"parameters\": {\"a\": 1",
    "\4<TOOLCALL>[{\"name\":\"get\",\"arguments\":{}}]</TOOLCALL>",
    "\5[{\"name\":\"get\",\"arguments\":{}},{\"name\":\"no\"}]",
]


def main():
    folder = HERE / "template"
    folder.mkdir(exist_ok=True)
    cases = json.loads((HERE.parent / "golden" / "templates.json").read_text())["cases"]
    blocks = [c for c in cases if not c["name"].startswith("expression") and ":" not in c["name"]]
    for c in blocks:
        name = re.sub(r"[^a-z0-9]+", "-", c["name"].lower()).strip("-")
        (folder / name).write_text(c["template"] + "\0" + MESSAGES, newline="")
    expressions = [c["template"] for c in cases if c["name"].startswith("expression")]
    for i in range(0, len(expressions), 40):
        text = "".join("{% if messages %}" + e + "{% endif %}" for e in expressions[i:i + 40])
        (folder / f"expressions-{i // 40}").write_text(text + "\0" + MESSAGES)
    for i, e in enumerate(expressions[::12]):
        (folder / f"expression-{i}").write_text(e + "\0" + MESSAGES)
    for name, text in HOSTILE.items():
        (folder / f"hostile-{name}").write_text(text)
    folder = HERE / "tool"
    folder.mkdir(exist_ok=True)
    for i, text in enumerate(OUTPUTS):
        (folder / f"output-{i}").write_text(text)


if __name__ == "__main__":
    main()
