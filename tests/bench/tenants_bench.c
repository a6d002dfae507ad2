/* SPDX-License-Identifier: Apache-2.0 */
/* What a look-up of a tenant costs: alone, and with a thread that changes tenants all the time.
 * Usage: tenants_bench [tenants] [readers] [look-ups]. Prints JSON. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/tenants/tenants.h"

enum { MAX_TENANTS = 100000, MAX_READERS = 64 };
static const char record[] = "{\"tenant\":{\"state\":\"active\",\"tier\":\"batch\"}}";

static struct weir_tenants *tenants;
static long n_tenants = 10000, n_readers = 2, n_lookups = 5000000;
static char names[MAX_TENANTS][16];
static atomic_bool stop;

struct reader {
    struct weir_tenants_reader *reader;
    double ns;
    uint64_t found;
};

static void *read_tenants(void *arg)
{
    struct reader *r = arg;
    uint64_t began_us = weir_clock_mono_us();
    uint32_t at = 12345;
    for (long i = 0; i < n_lookups; i++) {
        at = at * 1664525u + 1013904223u;
        weir_str name = weir_str_from(names[at % (uint32_t)n_tenants]);
        r->found += weir_tenants_find(tenants, name) != NULL;
        if (i % 1024 == 0) { /* as a worker's tick */
            weir_tenants_reader_turn(r->reader);
        }
    }
    r->ns = (double)(weir_clock_mono_us() - began_us) * 1000.0 / (double)n_lookups;
    return NULL;
}

/* All readers at once; the slowest one's time. */
static double measure(struct reader *readers)
{
    pthread_t threads[MAX_READERS];
    double worst = 0;
    for (long i = 0; i < n_readers; i++) {
        (void)pthread_create(&threads[i], NULL, read_tenants, &readers[i]);
    }
    for (long i = 0; i < n_readers; i++) {
        (void)pthread_join(threads[i], NULL);
        worst = readers[i].ns > worst ? readers[i].ns : worst;
    }
    return worst;
}

static void *write_tenants(void *arg)
{
    uint64_t *n = arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        (void)weir_tenants_set_record(tenants, weir_str_from(names[*n % (uint64_t)n_tenants]),
                                      weir_str_from(record), 1000000 + *n);
        (*n)++;
    }
    return NULL;
}

static long number(int argc, char **argv, int i, long fallback, long max)
{
    long n = argc > i ? strtol(argv[i], NULL, 10) : fallback;
    return n < 1 ? 1 : n > max ? max : n;
}

int main(int argc, char **argv)
{
    static struct reader readers[MAX_READERS];
    n_tenants = number(argc, argv, 1, n_tenants, MAX_TENANTS);
    n_readers = number(argc, argv, 2, n_readers, MAX_READERS);
    n_lookups = number(argc, argv, 3, n_lookups, 1000000000);
    if (weir_tenants_create(&tenants) < 0) {
        return 1;
    }
    for (long i = 0; i < n_tenants; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "tenant-%ld", i);
        if (weir_tenants_set_record(tenants, weir_str_from(names[i]), weir_str_from(record),
                                    (uint64_t)i + 1) < 0) {
            return 1;
        }
    }
    for (long i = 0; i < n_readers; i++) {
        if (weir_tenants_reader_add(tenants, &readers[i].reader) < 0) {
            return 1;
        }
    }
    double alone = measure(readers);
    pthread_t writer;
    uint64_t n_writes = 0;
    (void)pthread_create(&writer, NULL, write_tenants, &n_writes);
    double beside = measure(readers);
    atomic_store(&stop, true);
    (void)pthread_join(writer, NULL);
    printf("{\"tenants\":%ld,\"readers\":%ld,\"lookup_ns\":%.1f,\"lookup_ns_beside_writer\":%.1f,"
           "\"writes\":%llu}\n",
           n_tenants, n_readers, alone, beside, (unsigned long long)n_writes);
    weir_tenants_destroy(tenants);
    return 0;
}
