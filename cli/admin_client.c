/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { MAX_ANSWER_BYTES = 128 * 1024 * 1024, MAX_URL_BYTES = 2048 };

static int keep(void *arg, weir_str piece)
{
    struct weir_buf *b = arg;
    weir_buf_add_str(b, piece);
    return b->failed ? WEIR_E_TOOBIG : 0;
}

static int make_url(const struct weir_admin_request *r, char out[MAX_URL_BYTES],
                    struct weir_error *err)
{
    const char *base = weir_args_value(r->args, "admin");
    base = base && *base ? base : getenv("WEIR_ADMIN");
    base = base && *base ? base : "http://127.0.0.1:9090";
    size_t n = strlen(base);
    while (n && base[n - 1] == '/') {
        n--;
    }
    const char *scheme = strstr(base, "://") ? "" : "http://";
    int len = snprintf(out, MAX_URL_BYTES, "%s%.*s%s", scheme, (int)n, base, r->path);
    return len > 0 && len < MAX_URL_BYTES ? 0
                                          : weir_error_set(err, WEIR_E_ARG, "the URL is too long");
}

/* What the API says is wrong, or only the status. */
static int fail(const struct weir_admin_answer *answer, struct weir_error *err)
{
    yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(answer->json), "error");
    const char *message = yyjson_get_str(yyjson_obj_get(error, "message"));
    if (answer->status == 401) {
        return weir_error_set(err, WEIR_E_ARG, "%s Put a key of scope admin into WEIR_ADMIN_KEY.",
                              message ? message : "A key is needed.");
    }
    return message ? weir_error_set(err, WEIR_E_ARG, "%s", message)
                   : weir_error_set(err, WEIR_E_ARG, "the daemon answered %d", answer->status);
}

int weir_admin_call(const struct weir_admin_request *request, struct weir_admin_answer *ret_answer,
                    struct weir_error *err)
{
    char url[MAX_URL_BYTES];
    struct weir_buf body;
    *ret_answer = (struct weir_admin_answer){0};
    int r = make_url(request, url, err);
    if (r < 0) {
        return r;
    }
    const char *key = getenv("WEIR_ADMIN_KEY");
    weir_buf_init(&body, MAX_ANSWER_BYTES);
    const struct weir_http_call call = {.method = request->method,
                                        .url = url,
                                        .token = key && *key ? key : NULL,
                                        .if_match = request->if_match,
                                        .body = weir_str_from(request->body),
                                        .on_body = keep,
                                        .arg = &body,
                                        .ret_etag = ret_answer->etag};
    r = weir_http_call(&call, &ret_answer->status, err);
    if (r == 0 && body.len) {
        ret_answer->json = yyjson_read(body.data, body.len, 0);
    }
    weir_buf_finish(&body);
    if (r == 0 && ret_answer->status >= 400) {
        r = fail(ret_answer, err);
    }
    if (r < 0) {
        weir_admin_answer_finish(ret_answer);
    }
    return r;
}

void weir_admin_answer_finish(struct weir_admin_answer *answer)
{
    yyjson_doc_free(answer->json);
    answer->json = NULL;
}

bool weir_admin_encode(const char *part, char *out, size_t size)
{
    static const char plain[] = "-._~";
    size_t n = 0;
    for (const char *p = part; *p; p++) {
        bool alnum =
            (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (n + 4 > size) {
            return false;
        }
        if (alnum || strchr(plain, *p)) {
            out[n++] = *p;
        } else {
            n += (size_t)snprintf(out + n, size - n, "%%%02X", (unsigned)(unsigned char)*p);
        }
    }
    out[n] = '\0';
    return n > 0;
}

void weir_admin_print(yyjson_val *value)
{
    char *text = yyjson_val_write(value, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
    puts(text ? text : "null");
    free(text);
}

int weir_admin_each(const struct weir_args *args, const char *path,
                    void (*fn)(void *arg, yyjson_val *item), void *arg, struct weir_error *err)
{
    char after[512] = "", page[1024];
    int r;
    do {
        (void)snprintf(page, sizeof(page), "%s?limit=1000%s%s", path, *after ? "&after=" : "",
                       after);
        struct weir_admin_answer answer;
        r = weir_admin_call(
            &(struct weir_admin_request){.args = args, .method = "GET", .path = page}, &answer,
            err);
        if (r < 0) {
            return r;
        }
        yyjson_val *root = yyjson_doc_get_root(answer.json);
        size_t i, max;
        yyjson_val *item;
        yyjson_arr_foreach(yyjson_obj_get(root, "data"), i, max, item)
        {
            fn(arg, item);
        }
        const char *next = yyjson_get_str(yyjson_obj_get(root, "next"));
        after[0] = '\0';
        if (next && !weir_admin_encode(next, after, sizeof(after))) {
            r = weir_error_set(err, WEIR_E_FORMAT, "the daemon's list cannot be read on");
        }
        weir_admin_answer_finish(&answer);
    } while (r == 0 && *after);
    return r;
}
