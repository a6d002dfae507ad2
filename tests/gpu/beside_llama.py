#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decoding of 64 sequences from one Q4_K file, weir beside llama.cpp, in interleaved rounds.

    beside_llama.py BACKEND [--tiny] [--rounds N]

Lies beside model_check, make_model.py and llama/ (build_llama). Both programs begin at position 200 and
take 64 steps. weir's figure is of the median step, llama.cpp's its own, of all steps."""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def figure(name, value, unit):
    print(f"FIGURE {name:<44} {value:12.4f} {unit}", flush=True)


def cublas_folder(scratch):
    """Where llama.cpp finds a cuBLAS under the name it was built with; PyTorch's, of any release."""
    here = [p for root in sys.path for p in pathlib.Path(root).glob("nvidia/**/libcublas.so.*")]
    here += pathlib.Path("/usr/local/cuda").glob("lib*/libcublas.so.*")
    if not here:
        return None
    (scratch / "libcublas.so.13").symlink_to(here[0].resolve())
    return f"{scratch}:{here[0].resolve().parent}"


def llama_rate(file, tiny, libraries):
    n = 8 if tiny else 64
    run = subprocess.run(
        [HERE / "llama" / "llama-batched-bench", "-m", file, "-ngl", "99", "-fa", "on", "-c", str(n * 272),
         "-npp", "200", "-ntg", "64", "-npl", str(n), "--output-format", "jsonl"],
        capture_output=True, text=True, env={**os.environ, "LD_LIBRARY_PATH": libraries})
    rows = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode or not rows:
        sys.exit(f"llama-batched-bench ended with {run.returncode}: {run.stderr[-2000:]}")
    if not tiny and not re.search(r"offloaded \d+/\d+ layers to GPU", run.stderr):
        print("NOTE llama.cpp does not say that its layers are on the GPU")
    return json.loads(rows[-1])["speed_tg"]


def weir_rate(backend, file, tiny):
    run = subprocess.run([HERE / "model_check", backend, "batch", file, *(["tiny"] if tiny else [])],
                         capture_output=True, text=True)
    found = re.search(r"FIGURE file decode b\d+ pos \d+: tokens\s+(\S+)", run.stdout)
    if run.returncode or not found:
        sys.exit(f"model_check ended with {run.returncode}: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return float(found[1])


def compare(backend, tiny, rounds):
    with tempfile.TemporaryDirectory() as scratch:
        file = f"{scratch}/model.gguf"
        subprocess.run([sys.executable, HERE / "make_model.py", file, *(["--tiny"] if tiny else [])],
                       check=True)
        cublas = cublas_folder(pathlib.Path(scratch))
        if not cublas:
            print("NOTE no cuBLAS here: llama.cpp does not start")
            return
        libraries = f"{HERE}/llama:{cublas}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(weir_rate(backend, file, tiny))
            theirs.append(llama_rate(file, tiny, libraries))
    figure("file decode b64: weir", statistics.median(ours), "tok/s")
    figure("file decode b64: llama.cpp", statistics.median(theirs), "tok/s")
    figure("file decode b64: beside llama.cpp", statistics.median(a / b for a, b in zip(ours, theirs)), "x")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("backend")
parser.add_argument("--tiny", action="store_true", help="a model of two layers: for a test of the programs")
parser.add_argument("--rounds", type=int, default=3)
args = parser.parse_args()
compare(args.backend, args.tiny, args.rounds)
