/* SPDX-License-Identifier: Apache-2.0 */
#include "h1.h"

#include <strings.h>

#include "base/http_field.h"
#include "failure.h"

enum { MAX_HEAD_BYTES = 64 * 1024, MAX_FIELDS = 200, MAX_INTERIM = 16, STOP = -1 };

static bool begins_with(weir_str value, const char *word)
{
    size_t n = strlen(word);
    return value.n >= n && strncasecmp(value.p, word, n) == 0 &&
           (value.n == n || value.p[n] == ';' || value.p[n] == ' ' || value.p[n] == '\t');
}

void weir_upstream_head_begin(struct weir_upstream_head *head, uint32_t status)
{
    *head = (struct weir_upstream_head){.status = status, .is_json = true};
}

/* Most differ in their lengths. */
#define IS_NAMED(name, known)                                                                      \
    ((name).n == sizeof(known) - 1 && weir_http_is_named(name, (weir_str)WEIR_STR_INIT(known)))

void weir_upstream_head_add(struct weir_upstream_head *head, weir_str name, weir_str value)
{
    if (IS_NAMED(name, "content-type")) {
        head->is_sse = begins_with(value, "text/event-stream");
        head->is_json = !head->is_sse && begins_with(value, "application/json");
    } else if (IS_NAMED(name, "content-encoding")) {
        head->is_encoded = value.n && !begins_with(value, "identity");
    } else if (IS_NAMED(name, "retry-after-ms")) {
        uint64_t us = weir_upstream_retry_after_ms(value);
        head->retry_after_us = us ? us : head->retry_after_us;
    } else if (IS_NAMED(name, "retry-after") && !head->retry_after_us) {
        head->retry_after_us = weir_upstream_retry_after(value);
    }
}

static struct weir_upstream_h1 *self(llhttp_t *llhttp)
{
    return llhttp->data;
}

static int fail(struct weir_upstream_h1 *h, const char *problem)
{
    h->problem = problem;
    return STOP;
}

static int count(struct weir_upstream_h1 *h, size_t n)
{
    h->n_head_bytes += n;
    return h->n_head_bytes > MAX_HEAD_BYTES ? fail(h, "a head that is too large") : 0;
}

static int on_begin(llhttp_t *llhttp)
{
    struct weir_upstream_h1 *h = self(llhttp);
    weir_upstream_head_begin(&h->head, 0);
    h->n_name = h->n_value = 0;
    h->has_begun = true;
    return 0;
}

static int on_counted(llhttp_t *llhttp, const char *bytes, size_t n)
{
    (void)bytes;
    return count(self(llhttp), n + 2);
}

static int on_field(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_upstream_h1 *h = self(llhttp);
    size_t room = sizeof(h->name) - h->n_name;
    size_t n_kept = n < room ? n : room;
    memcpy(h->name + h->n_name, bytes, n_kept);
    h->n_name = (uint8_t)(h->n_name + n_kept);
    return count(h, n);
}

static int on_value(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_upstream_h1 *h = self(llhttp);
    size_t room = sizeof(h->value) - h->n_value;
    size_t n_kept = n < room ? n : room;
    memcpy(h->value + h->n_value, bytes, n_kept);
    h->n_value = (uint8_t)(h->n_value + n_kept);
    return count(h, n + 4);
}

static int on_value_complete(llhttp_t *llhttp)
{
    struct weir_upstream_h1 *h = self(llhttp);
    weir_upstream_head_add(&h->head, (weir_str){h->name, h->n_name},
                           (weir_str){h->value, h->n_value});
    h->n_name = h->n_value = 0;
    return ++h->n_fields > MAX_FIELDS ? fail(h, "too many fields in a head") : 0;
}

static bool is_interim(const struct weir_upstream_h1 *h)
{
    return h->llhttp.status_code < 200;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct weir_upstream_h1 *h = self(llhttp);
    h->head.status = llhttp->status_code;
    if (llhttp->http_major != 1 || llhttp->http_minor > 1) {
        return fail(h, "an HTTP version that was not asked for");
    }
    if (llhttp->status_code < 100 || llhttp->status_code == 101) {
        return fail(h, "a status that was not asked for");
    }
    if (is_interim(h)) {
        return ++h->n_interim > MAX_INTERIM ? fail(h, "too many interim responses") : 0;
    }
    h->events->head(h->arg, &h->head);
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_upstream_h1 *h = self(llhttp);
    h->events->body(h->arg, bytes, n);
    return 0;
}

static int on_complete(llhttp_t *llhttp)
{
    struct weir_upstream_h1 *h = self(llhttp);
    if (is_interim(h)) {
        return 0;
    }
    h->is_done = true;
    h->keeps_alive = llhttp_should_keep_alive(llhttp) != 0;
    return HPE_PAUSED; /* what comes behind it belongs to nobody */
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_status = on_counted,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_chunk_extension_name = on_counted,
    .on_chunk_extension_value = on_counted,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void weir_upstream_h1_begin(struct weir_upstream_h1 *h,
                            const struct weir_upstream_h1_events *events, void *arg)
{
    llhttp_init(&h->llhttp, HTTP_RESPONSE, &settings);
    h->llhttp.data = h;
    h->events = events;
    h->arg = arg;
    h->n_fields = h->n_interim = 0;
    h->n_head_bytes = 0;
    h->n_name = h->n_value = 0;
    h->is_done = h->keeps_alive = h->has_begun = false;
    h->problem = NULL;
}

static int problem_of(struct weir_upstream_h1 *h)
{
    if (!h->problem) {
        h->problem = "something that is no HTTP";
    }
    return WEIR_E_FORMAT;
}

int weir_upstream_h1_feed(struct weir_upstream_h1 *h, const char *bytes, size_t n)
{
    h->has_begun |= n > 0;
    llhttp_errno_t e = llhttp_execute(&h->llhttp, bytes, n);
    if (h->is_done && e == HPE_PAUSED) {
        /* More than was asked for: the two sides do not agree where responses end. */
        h->keeps_alive &= llhttp_get_error_pos(&h->llhttp) == bytes + n;
        return 0;
    }
    return e == HPE_OK ? 0 : problem_of(h);
}

int weir_upstream_h1_eof(struct weir_upstream_h1 *h)
{
    llhttp_errno_t e = llhttp_finish(&h->llhttp);
    if (h->is_done) {
        h->keeps_alive = false;
        return 0;
    }
    (void)e;
    h->problem = h->has_begun ? "less than its head promised" : "nothing";
    return WEIR_E_FORMAT;
}
