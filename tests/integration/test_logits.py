# SPDX-License-Identifier: Apache-2.0
"""weir's logits are at least as near to the exact computation as llama.cpp's.

Exact means tests/golden/exact_model.py: f32 numpy over the file's dequantised weights. What
llama.cpp reaches on the same tokens is in tests/golden/logits/ (make_logits.py).
"""
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


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda p: p.stem)
def test_logits_are_no_further_from_exact_than_llama_cpp(golden, tmp_path):
    want = json.loads(golden.read_text())
    path = MODELS / want["model"]
    if not path.exists():
        pytest.skip(f"{path} is not there")
    tokens = np.concatenate([np.append(d["tokens"], -1) for d in want["documents"]])
    tokens.astype(np.int32).tofile(tmp_path / "tokens")
    exact = ExactModel(path)
    kl, agree = [], []
    with subprocess.Popen([BUILD / "tests/tools/weir_logits", path, tmp_path / "tokens"],
                          stdout=subprocess.PIPE) as weir:
        for document in want["documents"]:
            hidden = exact.hidden(document["tokens"])
            for i in range(0, len(hidden), ROWS):
                rows = exact.logits(hidden[i:i + ROWS])
                ours = np.frombuffer(weir.stdout.read(rows.nbytes), np.float32)
                k, a = divergence(rows, ours.reshape(rows.shape))
                kl.append(k)
                agree.append(a)
    assert weir.returncode == 0
    kl, agree = np.concatenate(kl), np.concatenate(agree)
    theirs = want["llama_cpp"]
    print(f"\n{golden.stem}: {kl.size} tokens, mean KL weir {kl.mean():.6f} llama.cpp "
          f"{theirs['mean_kl']:.6f}, top-1 weir {agree.mean():.4f} llama.cpp "
          f"{theirs['top1_agreement']:.4f}")
    assert kl.size == want["n_tokens"] >= 2000
    assert kl.mean() <= theirs["mean_kl"]
    assert agree.mean() >= theirs["top1_agreement"]
