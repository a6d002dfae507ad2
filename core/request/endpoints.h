/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The small endpoints: probes, models, tokens. Threads: [loop-thread]. */
struct weir_request;

void weir_endpoint_live(struct weir_request *r);    /* the loops turn */
void weir_endpoint_ready(struct weir_request *r);   /* every model can run and we do not drain */
void weir_endpoint_startup(struct weir_request *r); /* every model was loaded once */
void weir_endpoint_models(struct weir_request *r);
void weir_endpoint_model(struct weir_request *r);
void weir_endpoint_tokenize(struct weir_request *r);
void weir_endpoint_detokenize(struct weir_request *r);
