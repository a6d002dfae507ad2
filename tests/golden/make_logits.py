#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/logits/<model>.json: how far llama.cpp's logits are from the exact ones.

    LLAMA_CPP_LIB_PATH=... python tests/golden/make_logits.py MODEL.gguf...

Needs numpy, gguf and llama-cpp-python. Teacher-forces the documents of logits/texts.txt through
llama.cpp (its defaults: binary16 KV, its own choice of kernels) and through exact_model.py, and
keeps token ids, the mean KL(exact || llama.cpp) over the whole vocabulary and the share of positions
whose arg-max agrees. tests/integration/test_logits.py holds weir to these figures.
"""
import ctypes
import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from exact_model import ExactModel, divergence  # noqa: E402

HERE = pathlib.Path(__file__).parent / "logits"
ROWS = 64  # positions compared at a time


def documents():
    text = (HERE / "texts.txt").read_text()
    for part in text.split("%%% ")[1:]:
        name, _, body = part.partition("\n")
        yield name, body.rstrip("\n")


def main():
    import llama_cpp
    for path in sys.argv[1:]:
        engine = llama_cpp.Llama(path, n_ctx=2048, n_batch=512, n_threads=2, logits_all=True,
                                 verbose=False)
        exact = ExactModel(path)
        kl, agree, docs = [], [], []
        for name, body in documents():
            tokens = engine.tokenize(body.encode(), add_bos=True, special=True)
            engine.reset()
            engine.eval(tokens)
            hidden = exact.hidden(tokens)
            for i in range(0, len(tokens), ROWS):
                theirs = np.array(engine.scores[i:min(i + ROWS, len(tokens))])
                k, a = divergence(exact.logits(hidden[i:i + ROWS]), theirs)
                kl.append(k)
                agree.append(a)
            docs.append({"name": name, "tokens": list(map(int, tokens))})
        kl, agree = np.concatenate(kl), np.concatenate(agree)
        stem = pathlib.Path(path).stem
        golden = {"model": pathlib.Path(path).name, "n_tokens": int(kl.size),
                  "llama_cpp": {"version": llama_cpp.__version__, "mean_kl": float(kl.mean()),
                                "top1_agreement": float(agree.mean())},
                  "documents": docs}
        (HERE / f"{stem}.json").write_text(json.dumps(golden) + "\n")
        print(stem, kl.size, "mean KL", kl.mean(), "top-1", agree.mean())


if __name__ == "__main__":
    main()
