/* SPDX-License-Identifier: Apache-2.0 */
/* From a call to a command. Keys are PREFIX:{TENANT}:KIND:NAME. */
#include "core/store/limit.h"
#include "core/store/redis/command.h"
#include "core/store/redis/op.h"

enum {
    LARGE_BYTES = 16 * 1024,
    INVALIDATE_STEP = 500,
    MAX_BASE_BYTES = 64 + 3 * WEIR_STORE_MAX_KEY_BYTES + 8
};
/* A hundred years: what is longer is for ever to us and too long for a server. */
#define MAX_MS (UINT64_C(100) * 366 * 24 * 3600 * 1000)
#define MAX_PLACE (UINT64_C(1) << 53)

/* What is written with: the command and the beginning of the tenant's keys. */
struct writer {
    struct weir_buf *b;
    const struct weir_redis_scripts *scripts;
    const struct weir_store_call *call;
    weir_str base;
};

/* The hash tag is what stands between the first braces, so none may be in a tenant; and it must not
 * be empty: "%" alone is what no other tenant becomes. */
static size_t write_base(char to[MAX_BASE_BYTES], weir_str prefix, weir_str tenant)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = prefix.n;
    memcpy(to, prefix.p, prefix.n);
    to[n++] = ':';
    to[n++] = '{';
    for (size_t i = 0; i < tenant.n; i++) {
        char c = tenant.p[i];
        if (c == '{' || c == '}' || c == '%') {
            to[n++] = '%';
            to[n++] = hex[(unsigned char)c >> 4];
            to[n++] = hex[c & 15];
        } else {
            to[n++] = c;
        }
    }
    if (tenant.n == 0) {
        to[n++] = '%';
    }
    to[n++] = '}';
    to[n++] = ':';
    return n;
}

void weir_redis_key_base(struct weir_buf *b, weir_str prefix, weir_str tenant)
{
    char base[MAX_BASE_BYTES];
    weir_buf_add(b, base, write_base(base, prefix, tenant));
}

static void add_key(const struct writer *w, const char *kind, weir_str name)
{
    const weir_str pieces[] = {w->base, {kind, 1}, {":", 1}, name};
    weir_redis_command_join(w->b, pieces, 4);
}

/* The beginning of keys of a kind, for scripts that go from names to keys. */
static void add_prefix(const struct writer *w, const char *kind)
{
    add_key(w, kind, (weir_str){NULL, 0});
}

static uint64_t at_most(uint64_t value, uint64_t max)
{
    return value < max ? value : max;
}

static void add_ms(const struct writer *w, uint64_t ms)
{
    weir_redis_command_add_u64(w->b, at_most(ms, MAX_MS));
}

static void begin_script(const struct writer *w, struct weir_redis_op *op,
                         enum weir_redis_script script, uint32_t n_keys, uint32_t n_args)
{
    op->script = script;
    weir_redis_command_begin(w->b, 3 + n_keys + n_args);
    weir_redis_command_add(w->b, (weir_str)WEIR_STR_INIT("EVALSHA"));
    weir_redis_command_add(w->b, (weir_str){w->scripts->list[script].sha, 40});
    weir_redis_command_add_u64(w->b, n_keys);
}

static void write_limits(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    for (uint32_t i = 0; i < c->n; i++) {
        op->levels[i] = c->levels[i];
        op->looks_only |= c->op == WEIR_STORE_TAKE && c->levels[i].units > c->levels[i].burst;
    }
    begin_script(w, op, WEIR_REDIS_LIMITS, c->n, 1 + 2 * c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        add_key(w, "l", c->levels[i].key);
    }
    weir_redis_command_text(w->b, c->op == WEIR_STORE_GIVE ? "give" : "take");
    for (uint32_t i = 0; i < c->n; i++) {
        struct weir_store_span span = weir_store_limit_span(&c->levels[i]);
        weir_redis_command_add_u64(w->b, op->looks_only ? 0 : span.units_ns);
        weir_redis_command_add_u64(w->b, span.depth_ns);
    }
}

static void write_budgets(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    bool reserve = c->op == WEIR_STORE_RESERVE;
    begin_script(w, op, reserve ? WEIR_REDIS_RESERVE : WEIR_REDIS_SETTLE, 3 * c->n,
                 reserve ? 3 + 2 * c->n : 2 + c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        op->limits[i] = c->holds[i].limit;
        add_key(w, "b", c->holds[i].key);
        add_key(w, "o", c->holds[i].key);
        add_key(w, "s", c->holds[i].key);
    }
    weir_redis_command_add(w->b, c->id);
    if (reserve) {
        add_ms(w, c->number);
        weir_redis_command_text(w->b, c->flags & WEIR_STORE_KEEP ? "1" : "0");
    } else {
        add_ms(w, WEIR_STORE_SETTLED_MS);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        weir_redis_command_add_u64(w->b, c->holds[i].units);
        if (reserve) {
            weir_redis_command_add_u64(w->b, at_most(c->holds[i].limit, WEIR_STORE_MAX_UNITS));
        }
    }
}

static void write_set(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    begin_script(w, op, WEIR_REDIS_SET, 1, 6 + c->n);
    add_key(w, "v", c->key);
    add_prefix(w, "g");
    weir_redis_command_add(w->b, c->key);
    weir_redis_command_add(w->b, c->value);
    add_ms(w, c->number);
    add_prefix(w, "x");
    if (c->flags & WEIR_STORE_MARKED) {
        weir_redis_command_add_i64(w->b, c->delta);
    } else {
        weir_redis_command_text(w->b, "");
    }
    for (uint32_t i = 0; i < c->n; i++) {
        weir_redis_command_add(w->b, c->tags[i]);
    }
}

/* Both may need several steps, for which the names are kept. */
static void keep_names(struct weir_redis_op *op, const struct weir_store_call *c)
{
    if (op->again.tenant.p) {
        return;
    }
    char *to = op->again.names;
    if (c->tenant.n) {
        memcpy(to, c->tenant.p, c->tenant.n);
    }
    if (c->key.n) {
        memcpy(to + c->tenant.n, c->key.p, c->key.n);
    }
    op->again.tenant = (weir_str){to, c->tenant.n};
    op->again.key = (weir_str){to + c->tenant.n, c->key.n};
}

static void write_invalidate(const struct writer *w, struct weir_redis_op *op)
{
    begin_script(w, op, WEIR_REDIS_INVALIDATE, 2, 4);
    add_key(w, "g", w->call->key);
    add_key(w, "x", w->call->key);
    add_prefix(w, "g");
    add_prefix(w, "v");
    weir_redis_command_add_u64(w->b, INVALIDATE_STEP);
    weir_redis_command_add_u64(w->b, WEIR_STORE_MARK_MS);
    keep_names(op, w->call);
}

/* The cursor of a step is in `id`. */
static void write_erase(const struct writer *w, struct weir_redis_op *op)
{
    char pattern[2 * MAX_BASE_BYTES + 1];
    size_t n = 0;
    for (size_t i = 0; i < w->base.n; i++) {
        if (strchr("*?[]\\^-", w->base.p[i]) && w->base.p[i]) {
            pattern[n++] = '\\';
        }
        pattern[n++] = w->base.p[i];
    }
    pattern[n++] = '*';
    begin_script(w, op, WEIR_REDIS_ERASE, 1, 4);
    add_prefix(w, "x");
    weir_redis_command_add(w->b, w->call->id.n ? w->call->id : (weir_str)WEIR_STR_INIT("0"));
    weir_redis_command_add(w->b, (weir_str){pattern, n});
    weir_redis_command_add_u64(w->b, w->base.n + 1);
    weir_redis_command_add_u64(w->b, WEIR_STORE_MARK_MS);
    keep_names(op, w->call);
}

static void write_put(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    begin_script(w, op, WEIR_REDIS_PUT, 2, 3);
    add_key(w, "r", c->key);
    add_key(w, "n", c->key);
    weir_redis_command_add(w->b, c->id);
    weir_redis_command_add(w->b, c->value);
    if (c->number == WEIR_STORE_ANY_VERSION) {
        weir_redis_command_text(w->b, "any");
    } else {
        weir_redis_command_add_u64(w->b, c->number);
    }
}

static void write_append(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    /* The log's length first, or log "a:b" with id "c" would be log "a" with id "b:c". */
    char len[4] = {(char)('0' + c->key.n / 100), (char)('0' + c->key.n / 10 % 10),
                   (char)('0' + c->key.n % 10), ':'};
    const weir_str id_key[] = {w->base, {"i:", 2}, {len, 4}, c->key, {":", 1}, c->id};
    begin_script(w, op, WEIR_REDIS_APPEND, 2, 3);
    add_key(w, "L", c->key);
    weir_redis_command_join(w->b, id_key, 6);
    weir_redis_command_add(w->b, c->id);
    weir_redis_command_add(w->b, c->value);
    add_ms(w, WEIR_STORE_LOG_ID_MS);
}

static void write_page(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    bool list = c->op == WEIR_STORE_LIST;
    begin_script(w, op, list ? WEIR_REDIS_LIST : WEIR_REDIS_READ, list ? 2 : 1, 3);
    add_key(w, list ? "r" : "L", c->key);
    if (list) {
        add_key(w, "n", c->key);
        weir_redis_command_add(w->b, c->id);
    } else {
        weir_redis_command_add_u64(w->b, at_most(c->number, MAX_PLACE));
    }
    weir_redis_command_add_u64(w->b, at_most(c->n, WEIR_STORE_MAX_ITEMS));
    weir_redis_command_add_u64(w->b, WEIR_STORE_MAX_REPLY_BYTES);
}

static void begin_jobs(const struct writer *w, struct weir_redis_op *op,
                       enum weir_redis_script script, uint32_t n_args)
{
    begin_script(w, op, script, 3, n_args);
    add_key(w, "j", w->call->key);
    add_key(w, "h", w->call->key);
    add_key(w, "a", w->call->key);
}

static void write_jobs(const struct writer *w, struct weir_redis_op *op)
{
    const struct weir_store_call *c = w->call;
    if (c->op == WEIR_STORE_JOB_PUT) {
        begin_jobs(w, op, WEIR_REDIS_JOB_PUT, 3);
        weir_redis_command_add(w->b, c->id);
        weir_redis_command_add(w->b, c->value);
        add_ms(w, c->number);
    } else if (c->op == WEIR_STORE_JOB_CLAIM) {
        begin_jobs(w, op, WEIR_REDIS_JOB_CLAIM, 3);
        weir_redis_command_add_u64(w->b, at_most(c->n, WEIR_STORE_MAX_ITEMS));
        add_ms(w, c->number);
        weir_redis_command_add_u64(w->b, WEIR_STORE_MAX_REPLY_BYTES);
    } else {
        begin_jobs(w, op, WEIR_REDIS_JOB_ACK, 1);
        weir_redis_command_add(w->b, c->id);
    }
}

static void write_small(const struct writer *w, struct weir_redis_op *op, weir_str prefix)
{
    const struct weir_store_call *c = w->call;
    const weir_str channel[] = {prefix, {":", 1}, c->key};
    switch (c->op) {
    case WEIR_STORE_GET:
        weir_redis_command_begin(w->b, c->n ? 3 + c->n : 2);
        weir_redis_command_text(w->b, c->n ? "MGET" : "GET");
        add_key(w, "v", c->key);
        if (c->n) {
            add_prefix(w, "x"); /* the tenant's */
        }
        for (uint32_t i = 0; i < c->n; i++) {
            add_key(w, "x", c->tags[i]);
        }
        break;
    case WEIR_STORE_FIND:
        weir_redis_command_begin(w->b, 3);
        weir_redis_command_add(w->b, (weir_str)WEIR_STR_INIT("HGET"));
        add_key(w, "r", c->key);
        weir_redis_command_add(w->b, c->id);
        break;
    case WEIR_STORE_REMOVE:
        begin_script(w, op, WEIR_REDIS_REMOVE, 1, 2);
        add_key(w, "v", c->key);
        add_prefix(w, "g");
        weir_redis_command_add(w->b, c->key);
        break;
    case WEIR_STORE_ADD:
        begin_script(w, op, WEIR_REDIS_ADD, 1, 3);
        add_key(w, "c", c->key);
        weir_redis_command_add_i64(w->b, c->delta);
        add_ms(w, c->number);
        weir_redis_command_add_i64(w->b, c->delta > 0 ? INT64_MAX : INT64_MIN);
        break;
    default: /* WEIR_STORE_PUBLISH */
        weir_redis_command_begin(w->b, 3);
        weir_redis_command_add(w->b, (weir_str)WEIR_STR_INIT("PUBLISH"));
        weir_redis_command_join(w->b, channel, 3);
        weir_redis_command_add(w->b, c->value);
        break;
    }
}

static void write_command(const struct writer *w, struct weir_redis_op *op, weir_str prefix)
{
    switch (w->call->op) {
    case WEIR_STORE_TAKE:
    case WEIR_STORE_GIVE: write_limits(w, op); break;
    case WEIR_STORE_RESERVE:
    case WEIR_STORE_SETTLE: write_budgets(w, op); break;
    case WEIR_STORE_SET: write_set(w, op); break;
    case WEIR_STORE_INVALIDATE: write_invalidate(w, op); break;
    case WEIR_STORE_ERASE: write_erase(w, op); break;
    case WEIR_STORE_PUT: write_put(w, op); break;
    case WEIR_STORE_APPEND: write_append(w, op); break;
    case WEIR_STORE_LIST:
    case WEIR_STORE_READ: write_page(w, op); break;
    case WEIR_STORE_JOB_PUT:
    case WEIR_STORE_JOB_CLAIM:
    case WEIR_STORE_JOB_ACK: write_jobs(w, op); break;
    default: write_small(w, op, prefix); break;
    }
}

static bool is_large(const struct weir_store_call *c)
{
    switch (c->op) {
    case WEIR_STORE_LIST:
    case WEIR_STORE_READ:
    case WEIR_STORE_JOB_CLAIM:
    case WEIR_STORE_INVALIDATE:
    case WEIR_STORE_ERASE: return true;
    default: return c->value.n > LARGE_BYTES;
    }
}

int weir_redis_encode(struct weir_redis_op *op, const struct weir_redis_scripts *scripts,
                      weir_str prefix, const struct weir_store_call *call)
{
    char base[MAX_BASE_BYTES];
    const struct writer w = {.b = &op->command,
                             .scripts = scripts,
                             .call = call,
                             .base = {base, write_base(base, prefix, call->tenant)}};
    weir_buf_reset(&op->command);
    op->script = WEIR_REDIS_NO_SCRIPT;
    op->n = call->n;
    op->is_large = is_large(call);
    write_command(&w, op, prefix);
    return op->command.failed ? WEIR_E_NOMEM : 0;
}
