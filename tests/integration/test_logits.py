# SPDX-License-Identifier: Apache-2.0
"""weir's logits are at least as near to the exact computation as llama.cpp's.

Exact means tests/golden/exact_model.py: f32 numpy over the file's dequantised weights. What
llama.cpp reaches on the same tokens is in tests/golden/logits/ (make_logits.py).
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden"))
from exact_model import ExactModel, divergence  # noqa: E402

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
MODELS = pathlib.Path(os.environ.get("WEIR_MODELS", pathlib.Path.home() / ".cache/weir/models"))
GOLDEN = sorted((ROOT / "tests" / "golden" / "logits").glob("*.json"))
ROWS = 64
INT8_KL = 0.01  # nats that int8 keys and values may cost


@contextlib.contextmanager
def logits_of(model, documents, directory, kv_type):
    """What weir says after each token: a function that reads an array of a given shape."""
    tokens = directory / kv_type
    np.concatenate([np.append(d["tokens"], -1) for d in documents]).astype(np.int32).tofile(tokens)
    command = [BUILD / "tests/tools/weir_logits", model, tokens, json.dumps({"kv_type": kv_type})]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as weir:
        yield lambda shape: np.frombuffer(weir.stdout.read(4 * shape[0] * shape[1]), np.float32).reshape(shape)
    assert weir.returncode == 0


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda p: p.stem)
def test_logits_are_no_further_from_exact_than_llama_cpp(golden, tmp_path):
    want = json.loads(golden.read_text())
    path = MODELS / want["model"]
    if not path.exists():
        pytest.skip(f"{path} is not there")
    exact = ExactModel(path)
    kl, agree, kl_int8 = [], [], []
    first = want["documents"][0]
    with (logits_of(path, want["documents"], tmp_path, "f16") as read,
          logits_of(path, [first], tmp_path, "int8") as read_int8):
        for document in want["documents"]:
            hidden = exact.hidden(document["tokens"])
            for i in range(0, len(hidden), ROWS):
                rows = exact.logits(hidden[i:i + ROWS])
                k, a = divergence(rows, read(rows.shape))
                kl.append(k)
                agree.append(a)
                if document is first:
                    kl_int8.append(divergence(rows, read_int8(rows.shape))[0])
    kl, agree, kl_int8 = np.concatenate(kl), np.concatenate(agree), np.concatenate(kl_int8)
    theirs = want["llama_cpp"]
    print(f"\n{golden.stem}: {kl.size} tokens, mean KL weir {kl.mean():.6f} llama.cpp {theirs['mean_kl']:.6f}, top-1 weir "
          f"{agree.mean():.4f} llama.cpp {theirs['top1_agreement']:.4f}; {kl_int8.size} tokens with int8 keys and values: "
          f"{kl_int8.mean():.6f}, with binary16 {kl[:kl_int8.size].mean():.6f}")
    assert kl.size == want["n_tokens"] >= 2000
    assert kl.mean() <= theirs["mean_kl"]
    assert agree.mean() >= theirs["top1_agreement"]
    assert kl_int8.mean() < INT8_KL
