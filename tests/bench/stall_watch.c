/* SPDX-License-Identifier: Apache-2.0 */
/* Prints when each processor was away: on a virtual machine the host takes them, for milliseconds,
 * and nothing in the machine can tell but by a clock that jumps.
 *
 *     stall_watch > FILE    until it is killed; a line "PROCESSOR FROM_NS TO_NS" (CLOCK_MONOTONIC)
 *
 * One thread on each processor, before every other work (SCHED_FIFO; needs root), sleeps PERIOD and
 * looks at the clock. What it finds more than SLACK late, nothing could run on its processor. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_NS = 250 * 1000, SLACK_NS = 150 * 1000, MAX_PROCESSORS = 256 };

static long long now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *watch(void *arg)
{
    long cpu = (long)(size_t)arg;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    const struct sched_param before_all = {.sched_priority = 50};
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0 ||
        pthread_setschedparam(pthread_self(), SCHED_FIFO, &before_all) != 0) {
        (void)fprintf(stderr, "stall_watch: SCHED_FIFO on processor %ld: needs root\n", cpu);
        exit(1);
    }
    long long due_ns = now_ns();
    for (;;) {
        due_ns += PERIOD_NS;
        const struct timespec due = {due_ns / 1000000000, due_ns % 1000000000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        long long woke_ns = now_ns();
        if (woke_ns - due_ns > SLACK_NS) {
            (void)printf("%ld %lld %lld\n", cpu, due_ns, woke_ns);
            due_ns = woke_ns;
        }
    }
    return NULL;
}

int main(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[MAX_PROCESSORS];
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (long i = 0; i < n && i < MAX_PROCESSORS; i++) {
        if (pthread_create(&threads[i], NULL, watch, (void *)(size_t)i) != 0) {
            return 1;
        }
    }
    return pause();
}
