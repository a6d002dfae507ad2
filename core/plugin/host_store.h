/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Host extension "weir.store/1": hands a plugin's calls to the daemon's store. */
#include "weir/store.h"

extern const weir_ext_store weir_host_store;
