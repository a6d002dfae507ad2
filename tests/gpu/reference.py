#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What this device can do at most: copy and read bandwidth, f16 GEMM rate. Needs PyTorch; says so and
exits 0 without it."""
import statistics

try:
    import torch
except ImportError:
    print("NOTE no PyTorch: the ratios to bandwidth and GEMM rate are left out")
    raise SystemExit(0)


def seconds(fn, n=20):
    for _ in range(3):
        fn()
    torch.cuda.synchronize()
    times = []
    for _ in range(n):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        fn()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times)


def figure(name, value, unit):
    print(f"FIGURE {name:<44} {value:12.4f} {unit}", flush=True)


N_BYTES = 4 << 30
a = torch.empty(N_BYTES // 4, dtype=torch.float32, device="cuda").fill_(1)
b = torch.empty_like(a)
figure("device: copy bandwidth", 2 * N_BYTES / seconds(lambda: b.copy_(a)) * 1e-9, "GB/s")
figure("device: read bandwidth", N_BYTES / seconds(lambda: a.sum()) * 1e-9, "GB/s")
del a, b
rates = []
for m, n, k in ((2048, 4096, 4096), (2048, 28672, 4096), (2048, 4096, 14336), (8192, 8192, 8192)):
    x = torch.randn(m, k, device="cuda", dtype=torch.float16)
    w = torch.randn(n, k, device="cuda", dtype=torch.float16)
    rate = 2 * m * n * k / seconds(lambda: x @ w.T) * 1e-12
    figure(f"device: f16 GEMM {m}x{n}x{k}", rate, "TFLOP/s")
    rates.append(rate)
figure("device: f16 GEMM rate", statistics.mean(rates[:3]), "TFLOP/s")
