/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "cli/command.h"
#include "cli/open_engine.h"

enum { MAX_PATH_BYTES = 4096 };

/* An address that a person on this machine can use. */
static void reachable(const char *address, uint16_t port, char *out, size_t cap)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;
    if (n == 0 || strncmp(address, "0.0.0.0", n) == 0 || strncmp(address, "[::]", n) == 0) {
        (void)snprintf(out, cap, "127.0.0.1:%u", port);
    } else {
        (void)snprintf(out, cap, "%.*s:%u", (int)n, address, port);
    }
}

static void say_ready(void *arg, const struct weir_config *config, uint16_t port,
                      uint16_t admin_port, bool all_ready)
{
    (void)arg;
    char public[300], admin[300];
    const char *scheme = config->server.tls_cert ? "https" : "http";
    reachable(config->server.listen.items[0], port, public, sizeof(public));
    reachable(config->server.admin, admin_port, admin, sizeof(admin));
    printf("weir is %s: %s://%s (admin and metrics: %s://%s)\n",
           all_ready ? "ready" : "up, but a model failed; not ready", scheme, public,
           config->server.tls_admin ? scheme : "http", admin);
    if (config->n_models && all_ready) {
        printf(
            "try: curl %s://%s/v1/chat/completions -H 'Content-Type: application/json' -d "
            "'{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}'\n",
            scheme, public, config->models[0].name);
    }
    (void)fflush(stdout);
}

/* Goes to the background; the parent waits until the daemon answers or has failed, so that its exit
 * status tells. Returns the pipe to report on in the child. */
static int go_background(int *ret_pipe)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        return -1;
    }
    if (pid > 0) {
        (void)close(fds[1]);
        char good = 0;
        ssize_t n = read(fds[0], &good, 1);
        _exit(n == 1 ? WEIR_EXIT_OK : WEIR_EXIT_BAD);
    }
    (void)close(fds[0]);
    (void)setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
    }
    *ret_pipe = fds[1];
    return 0;
}

static void report_ready(void *arg, const struct weir_config *config, uint16_t port,
                         uint16_t admin_port, bool all_ready)
{
    int *pipe = arg;
    say_ready(NULL, config, port, admin_port, all_ready);
    (void)!write(*pipe, "y", 1);
    (void)close(*pipe);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) {
        (void)dup2(null, STDOUT_FILENO);
    }
}

static int run(const struct weir_args *args)
{
    const char *file = weir_args_value(args, "config");
    if (!file && args->n_operands == 1) {
        file = args->operands[0];
    }
    if (!file) {
        fputs("weir serve: name the configuration: weir serve -c FILE\n", stderr);
        return WEIR_EXIT_USAGE;
    }
    bool daemon = weir_args_has(args, "daemon");
    int pipe = -1;
    if (daemon && go_background(&pipe) < 0) {
        perror("weir serve: cannot go to the background");
        return WEIR_EXIT_BAD;
    }
    weir_heap_prepare();
    struct weir_open_engines engines = {.n = 0};
    const struct weir_server_options options = {
        .config_file = file,
        .pid_file = weir_args_value(args, "pidfile"),
        .show_progress = !daemon && isatty(STDERR_FILENO),
        .open_engine = weir_open_engine,
        .close_engines = weir_open_engines_finish,
        .engine_arg = &engines,
        .ready = daemon ? report_ready : say_ready,
        .ready_arg = &pipe,
    };
    struct weir_findings findings;
    struct weir_error err = {0};
    weir_findings_init(&findings, file);
    int r = weir_server_run(&options, &findings, &err);
    int code = r < 0 ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
    weir_findings_print(&findings, stderr);
    if (weir_findings_malformed(&findings)) {
        code = WEIR_EXIT_CONFIG;
    }
    if (r < 0) {
        fprintf(stderr, "weir serve: %s\n", err.message);
    }
    weir_findings_finish(&findings);
    return code;
}

static const struct weir_option options[] = {
    {"config", 'c', "FILE", "the configuration to serve"},
    {"daemon", 'd', NULL, "run in the background; returns once it answers"},
    {"pidfile", 0, "FILE", "write the process id there, remove it at the end"},
    {0},
};

extern const struct weir_command weir_cmd_serve;
const struct weir_command weir_cmd_serve = {
    .name = "serve",
    .summary = "Run the daemon",
    .operands = "[FILE]",
    .max_operands = 1,
    .options = options,
    .details =
        "SIGTERM and SIGINT: not ready, finish what runs (up to server.drain_timeout), exit 0;\n"
        "a second signal ends at once. SIGHUP: read the configuration again; a wrong one is\n"
        "reported and the old one stays. With NOTIFY_SOCKET set it speaks sd_notify.\n",
    .examples = "  weir serve -c config/quickstart.yaml\n"
                "  weir serve -c /etc/weir/weir.yaml --daemon --pidfile /run/weir.pid\n",
    .run = run,
};
