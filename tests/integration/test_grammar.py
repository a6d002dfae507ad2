# SPDX-License-Identifier: Apache-2.0
"""Texts made by chance under a schema's masks, judged by the jsonschema package."""

import decimal
import json
import pathlib
import subprocess

import pytest

from conftest import models_dir

jsonschema = pytest.importorskip("jsonschema")

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 30},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": {"type": ["string", "null"]},
        "score": {"type": "number", "exclusiveMinimum": -1.5, "maximum": 2.25},
        "tags": {"type": "array", "items": {"enum": ["a", "ab", 1, None]}, "maxItems": 3},
    },
    "required": ["name", "age", "score"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"anyOf": [{"type": "integer"}, {"const": "leaf"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
    },
}
SCHEMAS = {
    "person": PERSON,
    "tree": TREE,
    "any": True,
    "patterns": {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3,5}(\\.[a-f]+)?$"},
            "word": {"type": "string", "pattern": "^[^\\s\"\\\\]{1,8}$"},
            "plate": {"type": "string", "pattern": "^(?:é|[α-ω]|中){2}$"},
            "at": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "from": {"type": "string", "format": "ipv6"},
            "to": {"type": "string", "format": "ipv4"},
            "id": {"type": "string", "format": "uuid"},
        },
        "required": ["code", "word", "plate", "at", "day", "from", "to", "id"],
        "additionalProperties": False,
    },
    "open": {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "né": {"type": "boolean"}},
        "additionalProperties": {"type": "string"},
    },
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "boolean"}, PERSON],
        "items": {"type": "integer", "maximum": -7},
        "minItems": 2,
        "maxItems": 5,
    },
    "steps": {
        "type": "object",
        "properties": {
            "price": {"type": "number", "multipleOf": 0.05, "minimum": 0.2, "maximum": 99.9},
            "seconds": {"type": "integer", "multipleOf": 15, "minimum": -600, "maximum": 86400},
            "free": {"multipleOf": 7},
            "days": {
                "type": "array",
                "items": {"enum": ["mon", "tue", "wed", "thu", "fri", 6, None]},
                "uniqueItems": True,
                "minItems": 1,
            },
        },
        "required": ["price", "seconds", "free", "days"],
        "additionalProperties": False,
    },
    "merged": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "string"}}},
        ]
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_whatever_the_masks_allow_is_valid(request, name):
    build = pathlib.Path(request.config.getoption("--weir")).parent
    walk = build / "tests" / "tools" / "weir_grammar_walk"
    model = models_dir() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not walk.exists() or not model.exists():
        pytest.skip("needs the tests' tools and SmolLM2")
    out = subprocess.run(
        [walk, model, json.dumps(SCHEMAS[name]), "60"], capture_output=True, check=True, timeout=120
    )
    # Decimal: a double is hardly ever a multiple of another.
    schema = json.loads(json.dumps(SCHEMAS[name]), parse_float=decimal.Decimal)
    validator = jsonschema.Draft202012Validator(schema)
    lines = out.stdout.decode().split("\n")[:-1]
    assert len(lines) == 60
    for line in lines:
        validator.validate(json.loads(line, parse_float=decimal.Decimal))


SMOLLM = """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
models:
  smollm:
    targets: [{engine: {backend: cpu, file: SmolLM2-135M-Instruct.Q4_1.gguf}}]
"""


def ask(daemon, response_format, temperature):
    body = {
        "model": "smollm",
        "messages": [{"role": "user", "content": "Describe a person as JSON."}],
        "response_format": response_format,
        "temperature": temperature,
        "seed": 7,
        "max_tokens": 300,
    }
    return daemon.request("/v1/chat/completions", body, timeout=120)


def test_a_model_answers_in_the_form_asked_for(start):
    if not (models_dir() / "SmolLM2-135M-Instruct.Q4_1.gguf").exists():
        pytest.skip("needs SmolLM2")
    daemon = start(SMOLLM)
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    for temperature in (0, 1.2):
        status, _, answer = ask(daemon, schema, temperature)
        assert status == 200, answer
        choice = answer["choices"][0]
        assert choice["finish_reason"] == "stop"
        jsonschema.validate(json.loads(choice["message"]["content"]), PERSON)
    status, _, answer = ask(daemon, {"type": "json_object"}, 0)
    assert status == 200, answer
    choice = answer["choices"][0]
    if choice["finish_reason"] == "stop":  # JSON mode itself has no end that must come
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}
    status, _, answer = ask(daemon, bad, 0)
    assert status == 400 and "keyword 'not'" in answer["error"]["message"]
