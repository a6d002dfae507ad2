/* SPDX-License-Identifier: Apache-2.0 */
#include "reference_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { MAX_VALUE_BYTES = 64 * 1024, MAX_NAME_BYTES = 4096 };

static const char env_start[] = "${env:", file_start[] = "${file:";

static bool begins(weir_str text, const char *start, size_t n)
{
    return text.n > n + 1 && memcmp(text.p, start, n) == 0 && text.p[text.n - 1] == '}';
}

bool weir_reference_text_is(weir_str text)
{
    return begins(text, env_start, sizeof(env_start) - 1) ||
           begins(text, file_start, sizeof(file_start) - 1);
}

static int read_file(const char *path, char *bytes, size_t *ret_n, struct weir_error *err)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        return weir_error_set(err, WEIR_E_IO, "cannot read %.200s: %s", path, strerror(errno));
    }
    size_t n = fread(bytes, 1, MAX_VALUE_BYTES + 1, f);
    bool failed = ferror(f) != 0;
    (void)fclose(f);
    if (failed) {
        return weir_error_set(err, WEIR_E_IO, "cannot read %.200s", path);
    }
    *ret_n = n > 0 && bytes[n - 1] == '\n' ? n - 1 : n;
    return 0;
}

static int check(weir_str value, struct weir_error *err)
{
    if (value.n > MAX_VALUE_BYTES) {
        return weir_error_set(err, WEIR_E_TOOBIG, "is longer than %d bytes", MAX_VALUE_BYTES);
    }
    if ((value.n && memchr(value.p, '\0', value.n)) || !weir_utf8_is_valid(value)) {
        return weir_error_set(err, WEIR_E_FORMAT, "is not text in UTF-8");
    }
    return 0;
}

static int read_named_file(const char *path, struct weir_arena *arena, weir_str *ret_value,
                           struct weir_error *err)
{
    char *bytes = malloc(MAX_VALUE_BYTES + 1);
    size_t n = 0;
    if (!bytes) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    int r = read_file(path, bytes, &n, err);
    r = r < 0 ? r : check((weir_str){bytes, n}, err);
    if (r == 0) {
        *ret_value = weir_arena_copy(arena, (weir_str){bytes, n});
        r = ret_value->p ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    explicit_bzero(bytes, MAX_VALUE_BYTES + 1);
    free(bytes);
    return r;
}

int weir_reference_text_read(weir_str text, struct weir_arena *arena, weir_str *ret_value,
                             struct weir_error *err)
{
    bool env = begins(text, env_start, sizeof(env_start) - 1);
    size_t skip = env ? sizeof(env_start) - 1 : sizeof(file_start) - 1;
    char name[MAX_NAME_BYTES];
    if (text.n - skip - 1 >= sizeof(name)) {
        return weir_error_set(err, WEIR_E_TOOBIG, "has too long a name");
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)(text.n - skip - 1), text.p + skip);
    if (!env) {
        return read_named_file(name, arena, ret_value, err);
    }
    const char *value = getenv(name);
    if (!value) {
        return weir_error_set(err, WEIR_E_NOTFOUND, "the environment has no %.200s", name);
    }
    int r = check(weir_str_from(value), err);
    if (r == 0) {
        *ret_value = weir_arena_copy(arena, weir_str_from(value));
        r = ret_value->p ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    return r;
}
