#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the last table of `dev gpu-check` from its log: report.py LOG"""
import pathlib
import re
import sys

figures, lines = {}, []
for line in pathlib.Path(sys.argv[1]).read_text(errors="replace").splitlines():
    match = re.match(r"FIGURE (.+?)\s{2,}(\S+) (\S.*)$", line)
    if match:
        figures[match[1].strip()] = (float(match[2]), match[3])
    elif re.match(r"(FAILED|PASSED|STAGE|NOTE|DEVICE)\b", line):
        lines.append(line)


def get(name):
    return figures.get(name, (None, ""))[0]


rows = []


def row(name, value, unit, limit=None, good=None):
    rows.append((name, "-" if value is None else f"{value:.4g}", unit, limit or "",
                 "" if good is None or value is None else "ok" if good else "BELOW"))


copy, gemm = get("device: copy bandwidth"), get("device: f16 GEMM rate")
row("copy bandwidth", copy, "GB/s")
row("read bandwidth", get("device: read bandwidth"), "GB/s")
row("f16 GEMM rate", gemm, "TFLOP/s")
for kind in ("prefill", "decode"):
    value = get(f"{kind}: mean KL from exact")
    row(f"KL from exact, {kind}", value, "nats", "< 0.001", value is not None and value < 1e-3)
    row(f"KL from the CPU backend, {kind}", get(f"{kind}: mean KL from the CPU backend"), "nats")
same, of = get("greedy tokens equal to the CPU backend's"), get("greedy tokens compared")
row("greedy tokens as on the CPU", same, f"of {of:.0f}" if of else "")
for kind, share in (("F16", 75), ("Q8_0", 75), ("Q4_K", 60), ("Q4_0", 60)):
    for batch, pos in ((1, 100), (8, 100), (64, 200)):
        base = f"{kind} decode b{batch} pos {pos}"
        row(f"{base}", get(f"{base}: tokens"), "tok/s")
        if batch == 1 and copy and get(f"{base}: bytes read"):
            value = 100 * get(f"{base}: bytes read") / copy
            row(f"{base}: share of copy bandwidth", value, "%", f">= {share} %", value >= share)
        if batch == 64:
            value = get(f"{base}: host gap")
            row(f"{base}: host gap", value, "%", "< 5 %", value is not None and value < 5)
            row(f"{base}: host work hidden", get(f"{base}: host work hidden"), "%")
            # A step takes at least what its bytes or what its products take.
            if copy and gemm and get(f"{base}: bytes read"):
                value = 100 * max(get(f"{base}: bytes read") / copy, get(f"{base}: rate") / gemm)
                limit = 70 if kind == "Q4_K" else None
                row(f"{base}: share of the roofline", value, "%", f">= {limit} %" if limit else None,
                    value >= limit if limit else None)
    base = f"{kind} prefill 4096"
    row(base, get(f"{base}: tokens"), "tok/s")
    if gemm and get(f"{base}: rate"):
        value = 100 * get(f"{base}: rate") / gemm
        row(f"{base}: share of the GEMM rate", value, "%", ">= 55 %", value >= 55)
    for batch in (1, 4):
        value = get(f"{kind} attention b{batch} at 32768: bytes read")
        if copy and value:
            value = 100 * value / copy
            row(f"{kind} attention b{batch} at 32768: share of copy bandwidth", value, "%",
                ">= 70 %", value >= 70)

ratio = get("file decode b64: beside llama.cpp")
if ratio is not None:
    row("Q4_K file decode b64", get("file decode b64: weir"), "tok/s")
    row("Q4_K file decode b64: llama.cpp", get("file decode b64: llama.cpp"), "tok/s")
    row("Q4_K file decode b64: beside llama.cpp", ratio, "x", ">= 4 x", ratio >= 4)

for batch, pos in ((1, 100), (64, 200)):
    base = f"Q8_0 on two decode b{batch} pos {pos}"
    if get(f"{base}: tokens"):
        row(base, get(f"{base}: tokens"), "tok/s")

print()
for line in lines:
    print(line)
print()
width = max(len(r[0]) for r in rows)
for name, value, unit, limit, verdict in rows:
    print(f"{name:<{width}}  {value:>10} {unit:<8} {limit:<10} {verdict}")
sys.exit(any(line.startswith("FAILED") for line in lines))
