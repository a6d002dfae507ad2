/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Is a call within the bounds of weir/store.h? 0, WEIR_E_ARG or WEIR_E_TOOBIG. [any] */
#include "core/store/store.h"

int weir_store_check(const struct weir_store_call *call);
