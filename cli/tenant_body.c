/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

enum { MAX_BODY_BYTES = 8 * 1024 * 1024 };

static int read_stream(FILE *f, const char *name, char **ret_text, struct weir_error *err)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_BODY_BYTES);
    char bytes[4096];
    size_t n;
    while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0) {
        weir_buf_add(&b, bytes, n);
    }
    if (ferror(f) || b.failed) {
        weir_buf_finish(&b);
        return weir_error_set(err, WEIR_E_IO, "%s cannot be read, or is larger than 8 MiB", name);
    }
    weir_buf_add_text(&b, "");
    *ret_text = b.data ? weir_buf_take(&b, NULL) : strdup("");
    return *ret_text ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
}

static int read_file(const char *name, char **ret_text, struct weir_error *err)
{
    bool standard = strcmp(name, "-") == 0;
    FILE *f = standard ? stdin : fopen(name, "re");
    if (!f) {
        return weir_error_set(err, WEIR_E_IO, "%s: %s", name, strerror(errno));
    }
    int r = read_stream(f, name, ret_text, err);
    if (!standard) {
        (void)fclose(f);
    }
    return r;
}

static int check(const char *text, const char *name, struct weir_error *err)
{
    yyjson_read_err why = {0};
    yyjson_doc *doc = yyjson_read_opts((char *)text, strlen(text), 0, NULL, &why);
    bool object = yyjson_is_obj(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return object ? 0
                  : weir_error_set(err, WEIR_E_FORMAT, "%s is no JSON object%s%s", name,
                                   why.msg ? ": " : "", why.msg ? why.msg : "");
}

int weir_tenant_body_read(const struct weir_args *args, char **ret_text, struct weir_error *err)
{
    const char *data = weir_args_value(args, "data"), *file = weir_args_value(args, "file");
    *ret_text = NULL;
    if (data && file) {
        return weir_error_set(err, WEIR_E_ARG, "give either --data or --file");
    }
    if (!data && !file) {
        return 0;
    }
    int r = 0;
    if (file) {
        r = read_file(file, ret_text, err);
    } else {
        *ret_text = strdup(data);
        r = *ret_text ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    r = r < 0 ? r : check(*ret_text, data ? "--data" : file, err);
    if (r < 0) {
        free(*ret_text);
        *ret_text = NULL;
    }
    return r;
}

char *weir_tenant_body_with(const char *text, const char *name, const char *value)
{
    yyjson_doc *in = yyjson_read(text, strlen(text), 0);
    yyjson_mut_doc *doc = in ? yyjson_doc_mut_copy(in, NULL) : NULL;
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *key = yyjson_mut_strcpy(doc, name), *v = yyjson_mut_strcpy(doc, value);
    char *out = root && yyjson_mut_obj_put(root, key, v) ? yyjson_mut_write(doc, 0, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(in);
    return out;
}

/* $EDITOR may have words of its own, so a shell takes it apart; the name is an argument. */
static int run_editor(const char *path, struct weir_error *err)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", "${VISUAL:-${EDITOR:-vi}} \"$1\"", "weir", path,
                    (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return weir_error_set(err, WEIR_E_IO, "the editor failed; nothing was changed");
    }
    return 0;
}

static int edit_file(const char *path, const char *before, char **ret_text, struct weir_error *err)
{
    FILE *f = fopen(path, "we");
    if (!f || fputs(before, f) < 0 || fclose(f) != 0) {
        return weir_error_set(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
    }
    char *after = NULL;
    int r = run_editor(path, err);
    r = r < 0 ? r : read_file(path, &after, err);
    r = r < 0 ? r : check(after, "what you wrote", err);
    if (r == 0 && strcmp(before, after) != 0) {
        *ret_text = after;
        return 0;
    }
    free(after);
    return r;
}

int weir_tenant_body_edit(yyjson_val *value, char **ret_text, struct weir_error *err)
{
    char path[] = P_tmpdir "/weir-tenant-XXXXXX";
    *ret_text = NULL;
    char *before =
        yyjson_val_write(value, YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END, NULL);
    int fd = before ? mkstemp(path) : -1;
    if (fd < 0) {
        free(before);
        return weir_error_set(err, WEIR_E_IO, "no temporary file can be made: %s", strerror(errno));
    }
    (void)close(fd);
    int r = edit_file(path, before, ret_text, err);
    (void)unlink(path);
    free(before);
    return r;
}
