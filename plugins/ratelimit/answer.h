/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What clients are told: headers on every admitted or refused request, and refusals as OpenAI
 * errors. Texts name the level and the limit, never another tenant. Threads: [loop]. */
#include "limiter.h"

void answer_headers(const struct limiter *l, const struct admission *a, weir_req *r);
/* ADMIT_REFUSED, ADMIT_NEVER, ADMIT_LOST. */
void answer_refusal(struct limiter *l, const struct admission *a, weir_req *r, enum admit why);
/* The adaptive limit of a model is reached. */
void answer_overload(struct limiter *l, weir_req *r);
