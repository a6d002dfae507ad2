/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin_describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "core/plugin/library.h"
#include "weir/answer.h"
#include "weir/store.h"
#include "weir/targets.h"

enum { MAX_DESCRIPTION_BYTES = 1024 * 1024, MAX_IDS = 64 };

/* All that this version's host can have. */
static const char *const ext_ids[] = {
    WEIR_EXT_METRICS, WEIR_EXT_ADMIN, WEIR_EXT_ANSWER, WEIR_EXT_TARGETS,
    WEIR_EXT_TENANTS, WEIR_EXT_SLAS,  WEIR_EXT_STORE,  NULL};
static const struct weir_plugin_offer offer = {WEIR_ABI_MINOR, ext_ids};

static void add_text(struct weir_buf *out, const char *key, const char *text)
{
    weir_buf_printf(out, ",\"%s\":", key);
    weir_buf_add_json_str(out, weir_str_from(text ? text : ""));
}

static void add_list(struct weir_buf *out, const char *key, const char *const *list)
{
    weir_buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; list && i < MAX_IDS && list[i]; i++) {
        weir_buf_add_text(out, i ? "," : "");
        weir_buf_add_json_str(out, weir_str_from(list[i]));
    }
    weir_buf_add_char(out, ']');
}

static void add_hooks(struct weir_buf *out, const struct weir_plugin_library *lib)
{
    static const char *const phases[] = {"headers", "body", "route", "admit"};
    const char *hooks[10] = {NULL};
    size_t n = 0;
    for (int i = 0; i < 4 && lib->is_policy; i++) {
        if (lib->policy.on_phase && lib->policy.phases & WEIR_PHASE_BIT(i + WEIR_PHASE_HEADERS)) {
            hooks[n++] = phases[i];
        }
    }
    if (lib->is_policy && lib->policy.on_phase &&
        lib->policy.phases & WEIR_PHASE_BIT(WEIR_PHASE_REPLAY)) {
        hooks[n++] = "replay";
    }
    if (lib->policy.on_chunk) {
        hooks[n++] = "chunk";
    }
    if (lib->policy.on_delivered) {
        hooks[n++] = "delivered";
    }
    if (lib->policy.on_complete) {
        hooks[n++] = "complete";
    }
    add_list(out, "hooks", hooks);
}

static void describe(const struct weir_plugin_library *lib, struct weir_buf *out)
{
    const weir_plugin *a = &lib->about;
    weir_buf_add_text(out, "{\"name\":");
    weir_buf_add_json_str(out, weir_str_from(a->name));
    add_text(out, "version", a->version);
    add_text(out, "license", a->license);
    add_text(out, "description", a->description);
    add_text(out, "build_id", a->build_id);
    add_text(out, "path", lib->path);
    add_text(out, "sha256", lib->sha256);
    weir_buf_printf(out, ",\"abi\":\"%u.%u\",\"min_host_minor\":%u", a->abi_major, a->abi_minor,
                    a->min_host_minor);
    add_list(out, "provides", a->provides);
    add_list(out, "needs", a->needs);
    add_list(out, "wants", a->wants);
    add_list(out, "after", a->after);
    add_list(out, "before", a->before);
    add_hooks(out, lib);
    weir_buf_printf(out, ",\"req_state_bytes\":%u,\"unloadable\":%s", lib->policy.req_state_size,
                    a->flags & WEIR_PLUGIN_UNLOADABLE ? "true" : "false");
    add_text(out, "schema", a->config_schema);
    weir_buf_add_char(out, '}');
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return;
        }
        p += done;
        n -= (size_t)done;
    }
}

/* In the child: '+' and the description, or '-' and the sentence. */
static void describe_to(const char *path, int fd)
{
    struct weir_plugin_library *lib = NULL;
    struct weir_error err = {0};
    if (weir_plugin_library_open(path, &offer, NULL, &lib, &err) < 0) {
        write_all(fd, "-", 1);
        write_all(fd, err.message, strlen(err.message));
        return;
    }
    struct weir_buf out;
    weir_buf_init(&out, MAX_DESCRIPTION_BYTES);
    describe(lib, &out);
    write_all(fd, "+", 1);
    write_all(fd, out.data, out.failed ? 0 : out.len);
}

static void read_all(int fd, struct weir_buf *in)
{
    for (;;) {
        char *at = weir_buf_reserve(in, 4096);
        ssize_t n = at ? read(fd, at, 4096) : 0;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return;
        }
        weir_buf_commit(in, (size_t)n);
    }
}

static int judge(const char *path, int status, const struct weir_buf *in, yyjson_doc **ret_json,
                 struct weir_error *err)
{
    if (WIFSIGNALED(status)) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s crashed while it was loaded (signal %d)",
                              path, WTERMSIG(status));
    }
    if (in->len > 0 && in->data[0] == '-') {
        return weir_error_set(err, WEIR_E_FORMAT, "%s", in->data + 1);
    }
    yyjson_doc *json = in->len > 1 ? yyjson_read(in->data + 1, in->len - 1, 0) : NULL;
    if (!json) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s gave no description", path);
    }
    *ret_json = json;
    return 0;
}

int weir_plugin_describe(const char *path, yyjson_doc **ret_json, struct weir_error *err)
{
    int fds[2];
    if (pipe(fds) < 0) {
        return weir_error_set(err, WEIR_E_IO, "pipe: %s", strerror(errno));
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return weir_error_set(err, WEIR_E_IO, "fork: %s", strerror(errno));
    }
    if (pid == 0) {
        close(fds[0]);
        describe_to(path, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    struct weir_buf in;
    weir_buf_init(&in, MAX_DESCRIPTION_BYTES + 4096);
    read_all(fds[0], &in);
    close(fds[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    int rc = judge(path, status, &in, ret_json, err);
    weir_buf_finish(&in);
    return rc;
}

static void print_step(void *arg, const char *step, bool ok, const char *detail)
{
    (void)arg;
    printf("%-7s %-34s %s\n", ok ? "ok" : "FAILED", step, detail);
    (void)fflush(stdout);
}

int weir_plugin_why(const char *path)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        const struct weir_plugin_tracer tracer = {print_step, NULL};
        struct weir_plugin_library *lib = NULL;
        int rc = weir_plugin_library_open(path, &offer, &tracer, &lib, NULL);
        (void)fflush(stdout);
        _exit(rc < 0);
    }
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        printf("FAILED  it crashed in the step behind the last one shown (signal %d)\n",
               WTERMSIG(status));
    }
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : WEIR_E_FORMAT;
}
