# SPDX-License-Identifier: Apache-2.0
"""docs/config.md: made from the schema, complete, and its examples are good."""

import json
import re
import subprocess

import jsonschema
import pytest

from conftest import ROOT

SCHEMA = json.loads((ROOT / "config" / "schema" / "weir.schema.json").read_text())
PAGE = (ROOT / "docs" / "config.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)


def test_the_committed_page_is_what_the_script_writes():
    run = subprocess.run([ROOT / "scripts" / "config-docs", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def properties(node):
    """Every (name, schema) below `properties`, of the definitions too."""
    if isinstance(node, dict):
        for name, child in node.get("properties", {}).items():
            yield name, child
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from properties(child)


def words(node):
    if "description" in node or "$ref" not in node:
        return node.get("description")
    return words(SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]])


def test_every_key_is_described_and_on_the_page():
    found = list(properties(SCHEMA))
    assert len(found) > 80
    for name, node in found:
        assert words(node), f"{name} has no description"
        assert re.search(rf"(`([A-Za-z0-9_.\[\]]+\.)?{name}`|## {name}\n)", PAGE), f"{name} is not on the page"


def test_every_example_is_valid():
    n = 0
    validator = jsonschema.validators.validator_for(SCHEMA)
    validator.check_schema(SCHEMA)
    for name, node in properties(SCHEMA):
        for example in node.get("examples", []):
            validator({**node, "$defs": SCHEMA["$defs"]}).validate(example)
            n += 1
    assert n > 80


def test_every_top_level_key_has_a_block():
    assert [block.split(":")[0] for block in BLOCKS] == list(SCHEMA["properties"])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split(":")[0])
def test_every_block_can_be_served(binary, tmp_path, block):
    """What its values name has to be there as well: a model for `tenants`, a store."""
    file = tmp_path / "weir.yaml"
    extra = "" if block.startswith("models:") else "models: {smollm2: {targets: [{engine: {backend: echo}}]}}\n"
    file.write_text(block + extra)
    run = subprocess.run([binary, "check", "-c", file], capture_output=True, text=True, timeout=30)
    assert run.returncode in (0, 1), run.stderr
