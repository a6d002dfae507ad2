/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The emulator as a struct weir_gpu_backend. Static. */
#include "backends/gpu/backend.h"

extern const struct weir_gpu_backend weir_emu_backend;
