/* SPDX-License-Identifier: Apache-2.0 */
#include "sdk/kit/conformance.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "weir/backend_step.h"
#include "weir/policy.h"

static const struct weir_kit_check policy_checks[] = {
    {"life", "can be created and destroyed again and again, and leaves nothing behind",
     weir_kit_check_life},
    {"requests", "answers every phase of ordinary and odd requests", weir_kit_check_requests},
    {"threads", "serves two workers at a time", weir_kit_check_threads},
    {"timeout", "copes when nobody answers a suspended request", weir_kit_check_timeout},
    {"stranger", "copes with a resume that it did not send, and with its own coming second",
     weir_kit_check_stranger},
    {"leaving", "copes with a client that leaves while the request is suspended",
     weir_kit_check_leaving},
    {"newer-host", "runs on a host whose tables have grown", weir_kit_check_newer_host},
    {"bare-host", "runs on a host without the extensions that it only wants",
     weir_kit_check_bare_host},
    {"policy-sizes", "is understood by hosts that know more or fewer hooks",
     weir_kit_check_policy_sizes},
    {"config", "takes or refuses whatever its schema allows, and never crashes",
     weir_kit_check_config},
    {"chunks", "treats output alike however it is cut", weir_kit_check_chunks},
    {"output", "lets paused output go on, and copes when its client leaves or others resume it",
     weir_kit_check_output},
    {0},
};

static const struct weir_kit_check step_checks[] = {
    {"devices", "lists its devices within the room given", weir_kit_check_devices},
    {"load", "loads, reports and unloads again and again", weir_kit_check_load},
    {"steps", "gives the same tokens alone, in a batch, in chunks and in a used slot",
     weir_kit_check_steps},
    {0},
};

const struct weir_kit_check *weir_kit_checks(const char *interface)
{
    if (strcmp(interface, WEIR_EXT_POLICY) == 0) {
        return policy_checks;
    }
    return strcmp(interface, WEIR_EXT_BACKEND_STEP) == 0 ? step_checks : NULL;
}

/* One record through the pipe: its kind, then the text, of fixed size so that it is atomic. */
struct record {
    char kind; /* 'F' finding, 'S' skipped */
    char text[WEIR_KIT_FINDING_BYTES];
};

__attribute__((format(printf, 3, 0))) static void send_record(struct weir_kit_probe *p, char kind,
                                                              const char *fmt, va_list ap)
{
    struct record r = {.kind = kind};
    (void)vsnprintf(r.text, sizeof(r.text), fmt, ap);
    (void)!write(p->fd, &r, sizeof(r)); /* the parent counts the exit status too */
}

void weir_kit_find(struct weir_kit_probe *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    send_record(p, 'F', fmt, ap);
    va_end(ap);
}

void weir_kit_skip(struct weir_kit_probe *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    send_record(p, 'S', fmt, ap);
    va_end(ap);
}

uint32_t weir_kit_random(struct weir_kit_probe *p, uint32_t n)
{
    p->random ^= p->random >> 12;
    p->random ^= p->random << 25;
    p->random ^= p->random >> 27;
    return n ? (uint32_t)((p->random * UINT64_C(2685821657736338717)) >> 33) % n : 0;
}

static void add(struct weir_kit_result *result, const char *text)
{
    if (result->n < WEIR_KIT_MAX_FINDINGS) {
        (void)snprintf(result->text[result->n++], WEIR_KIT_FINDING_BYTES, "%s", text);
    }
}

static void read_records(int fd, struct weir_kit_result *result)
{
    struct record r;
    for (;;) {
        ssize_t n = read(fd, &r, sizeof(r));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n != (ssize_t)sizeof(r)) {
            return;
        }
        r.text[sizeof(r.text) - 1] = '\0';
        if (r.kind == 'F' || result->verdict != WEIR_KIT_FAILED) {
            result->verdict = r.kind == 'F' ? WEIR_KIT_FAILED : WEIR_KIT_SKIPPED;
        }
        add(result, r.text);
    }
}

static void judge_exit(int status, struct weir_kit_result *result)
{
    char text[WEIR_KIT_FINDING_BYTES];
    if (WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        (void)snprintf(text, sizeof(text),
                       sig == SIGALRM ? "it hung: no end after %d s" : "it crashed: signal %d",
                       sig == SIGALRM ? WEIR_KIT_TIME_LIMIT_S : sig);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        (void)snprintf(text, sizeof(text), "it ended the process with exit status %d",
                       WEXITSTATUS(status));
    } else {
        return;
    }
    result->verdict = WEIR_KIT_FAILED;
    add(result, text);
}

int weir_kit_run(const struct weir_kit_check *check, const struct weir_kit_target *target,
                 struct weir_kit_result *ret_result)
{
    int fds[2];
    *ret_result = (struct weir_kit_result){.verdict = WEIR_KIT_PASSED};
    if (pipe(fds) < 0) {
        return WEIR_E_IO;
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return WEIR_E_IO;
    }
    if (pid == 0) {
        close(fds[0]);
        (void)alarm(WEIR_KIT_TIME_LIMIT_S);
        weir_log_configure(WEIR_LOG_ERROR, false); /* hundreds of instances would all warn */
        struct weir_kit_probe probe = {
            .target = target, .fd = fds[1], .random = target->seed * 2 + 1};
        check->run(&probe);
        (void)fflush(NULL);
        _exit(0); /* no exit handlers of the parent's */
    }
    close(fds[1]);
    read_records(fds[0], ret_result);
    close(fds[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    judge_exit(status, ret_result);
    return 0;
}
