/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's metrics. Requests count with atomics; flush() hands the growth to the host, so that
 * no request pays for label look-ups. Threads: [main]. */
struct billing;
struct billing_metrics;

struct billing_metrics *billing_metrics_create(struct billing *b); /* NULL: no memory, or no host
                                                                      extension */
void billing_metrics_destroy(struct billing_metrics *m, struct billing *b);
void billing_metrics_flush(struct billing *b);
