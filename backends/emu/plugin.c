/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator as a backend: the GPU's kernels on the CPU. For tests: it is slow. */
#include "weir/plugin.h"
#include "backends/emu/backend.h"
#include "backends/gpu/plugin_table.h"

WEIR_GPU_PLUGIN(weir_emu_backend, "emu",
                "Runs GGUF models with the GPU kernels on an emulator: slow, for tests")
