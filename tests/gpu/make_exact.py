#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes exact logits for tests/gpu/model_check: make_exact.py MODEL.gguf OUT

Exact means tests/golden/exact_model.py. u32 n_tokens, n_rows, n_vocab; i32 tokens; u32 rows; f32
logits[n_rows][n_vocab]. The first rows are reached in pieces of several tokens, the last ones token by
token."""
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden"))
from exact_model import ExactModel  # noqa: E402

model, out = map(pathlib.Path, sys.argv[1:])
golden = json.loads((ROOT / "tests" / "golden" / "logits" / f"{model.stem}.json").read_text())
tokens = max((d["tokens"] for d in golden["documents"]), key=len)[:112]
rows = [15, 40, 63, 79, 95] + list(range(96, 112))
exact = ExactModel(model)
logits = exact.logits(exact.hidden(tokens)[rows]).astype(np.float32)
with out.open("wb") as f:
    np.array([len(tokens), len(rows), logits.shape[1]], np.uint32).tofile(f)
    np.array(tokens, np.int32).tofile(f)
    np.array(rows, np.uint32).tofile(f)
    logits.tofile(f)
