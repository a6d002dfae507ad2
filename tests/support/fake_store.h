/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Between the fake world's files. */
#include "tests/support/fake_host.h"

extern const weir_ext_store fake_store_template; /* without flags */
void fake_store_drop(struct fake_world *w, const struct fake_host *h);
void fake_store_finish(struct fake_world *w);
