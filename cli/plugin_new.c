/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin_new.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/plugin_template.h"

enum { MAX_FILE_BYTES = 64 * 1024, MAX_NAME_BYTES = 48, MAX_PATH_BYTES = 4096 };

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n <= MAX_NAME_BYTES && s[0] >= 'a' && s[0] <= 'z' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

/* text with every `mark` replaced by name. */
static void fill_in(struct weir_buf *out, const char *text, const char *mark, const char *name)
{
    for (const char *at; (at = strstr(text, mark)) != NULL; text = at + strlen(mark)) {
        weir_buf_add(out, text, (size_t)(at - text));
        weir_buf_add_text(out, name);
    }
    weir_buf_add_text(out, text);
}

/* Where this program's build tree has its weir-sdk.pc; an installed one is found without help. */
static void sdk_directory(char out[MAX_PATH_BYTES])
{
    ssize_t n = readlink("/proc/self/exe", out, MAX_PATH_BYTES - sizeof("/sdk"));
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash) {
        memcpy(slash, "/sdk", sizeof("/sdk"));
    }
}

static int write_file(const struct weir_plugin_template *t, const char *name)
{
    char sdk[MAX_PATH_BYTES];
    sdk_directory(sdk);
    struct weir_buf path, named, text;
    weir_buf_init(&path, 256);
    weir_buf_init(&named, MAX_FILE_BYTES);
    weir_buf_init(&text, MAX_FILE_BYTES);
    weir_buf_printf(&path, "%s/", name);
    fill_in(&path, t->file, "NAME", name);
    fill_in(&named, t->text, "@NAME@", name);
    fill_in(&text, named.data ? named.data : "", "@SDK@", sdk);
    bool ok = !path.failed && !named.failed && !text.failed;
    FILE *f = ok ? fopen(path.data, "wx") : NULL;
    if (ok) {
        ok = f && fwrite(text.data, 1, text.len, f) == text.len;
        ok = f && fclose(f) == 0 && ok;
        ok = ok && (!t->executable || chmod(path.data, 0755) == 0);
    }
    if (!ok) {
        fprintf(stderr, "weir plugin: cannot write %s: %s\n", path.data ? path.data : name,
                strerror(errno));
    }
    weir_buf_finish(&path);
    weir_buf_finish(&named);
    weir_buf_finish(&text);
    return ok ? 0 : -1;
}

int weir_plugin_new(const char *name, bool backend)
{
    if (!is_name(name)) {
        fprintf(stderr,
                "weir plugin: \"%s\" is no plugin name; it is [a-z][a-z0-9_-]* of at most "
                "%d bytes\n",
                name, MAX_NAME_BYTES);
        return WEIR_EXIT_USAGE;
    }
    if (mkdir(name, 0777) < 0) {
        fprintf(stderr, "weir plugin: cannot make the folder %s: %s\n", name, strerror(errno));
        return WEIR_EXIT_BAD;
    }
    const char *kind = backend ? "backend" : "policy";
    for (const struct weir_plugin_template *t = weir_plugin_templates; t->kind; t++) {
        if (strcmp(t->kind, kind) == 0 && write_file(t, name) < 0) {
            return WEIR_EXIT_BAD;
        }
    }
    printf("%s: a %s plugin. Next: cd %s && make && make test\n", name, kind, name);
    return WEIR_EXIT_OK;
}
