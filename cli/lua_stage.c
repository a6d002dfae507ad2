/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/store/memory.h"
#include "plugins/lua/zone.h"

enum { ARENA_BYTES = 8 * 1024 * 1024 };

static const struct lua_limits limits = {
    /* the plugin's defaults */
    .instructions = 50000,
    .cpu_us = 5000,
    .live_bytes = 1024 * 1024,
    .allocated_bytes = 8 * 1024 * 1024,
};

static const struct {
    const char *name;
    int field;
} field_names[] = {
    {"request_id", WEIR_FIELD_REQUEST_ID},
    {"method", WEIR_FIELD_METHOD},
    {"path", WEIR_FIELD_PATH},
    {"model", WEIR_FIELD_MODEL},
    {"tenant", WEIR_FIELD_TENANT},
    {"key_id", WEIR_FIELD_KEY_ID},
    {"user", WEIR_FIELD_USER},
    {"class", WEIR_FIELD_CLASS},
    {"peer", WEIR_FIELD_PEER},
    {"target", WEIR_FIELD_TARGET},
};

static const struct {
    const char *name;
    int number;
} number_names[] = {
    {"prompt_tokens", WEIR_NUMBER_PROMPT_TOKENS},
    {"max_tokens", WEIR_NUMBER_MAX_TOKENS},
    {"n", WEIR_NUMBER_N},
    {"stream", WEIR_NUMBER_STREAM},
    {"priority", WEIR_NUMBER_PRIORITY},
    {"deadline_ms", WEIR_NUMBER_DEADLINE_MS},
};

int lua_stage_field_named(const char *name)
{
    for (size_t i = 0; i < sizeof(field_names) / sizeof(field_names[0]); i++) {
        if (strcmp(name, field_names[i].name) == 0) {
            return field_names[i].field;
        }
    }
    return 0;
}

int lua_stage_number_named(const char *name)
{
    for (size_t i = 0; i < sizeof(number_names) / sizeof(number_names[0]); i++) {
        if (strcmp(name, number_names[i].name) == 0) {
            return number_names[i].number;
        }
    }
    return 0;
}

/* ---- the host ---- */

static struct lua_stage *of(const weir_host *h)
{
    return (struct lua_stage *)h;
}

static uint64_t now_us(const weir_host *h)
{
    return of(h)->mono_us;
}

static uint64_t wall_us(const weir_host *h)
{
    return of(h)->wall_us;
}

static uint64_t store_now_us(void *arg)
{
    return ((struct lua_stage *)arg)->mono_us;
}

static void log_line(const weir_host *h, int level, weir_req *r, weir_str message)
{
    struct lua_stage *s = of(h);
    (void)r;
    static const char head[] = ": ";
    const char *at = memmem(message.p, message.n, head, 2); /* behind "policy of NAME: " */
    size_t skip = at ? (size_t)(at - message.p) + 2 : 0;
    weir_str text = weir_arena_copy(&s->arena, (weir_str){message.p + skip, message.n - skip});
    if (s->prints_logs) {
        fprintf(stderr, "log: %.*s\n", (int)text.n, text.p ? text.p : "");
    }
    if (s->n_logs < LUA_STAGE_MAX_LOGS) {
        s->logs[s->n_logs++] = (struct lua_stage_log){level, text};
    }
}

static int req_get(const weir_host *h, weir_req *r, int field, weir_str *out)
{
    (void)r;
    const weir_str *f = field > 0 && field < LUA_STAGE_N_FIELDS ? &of(h)->fields[field] : NULL;
    if (!f || !f->p || f->n == 0) {
        return f ? WEIR_E_NOTFOUND : WEIR_E_ARG;
    }
    *out = *f;
    return 0;
}

static int req_set(const weir_host *h, weir_req *r, int field, weir_str value)
{
    (void)r;
    bool is_class = weir_str_is(value, "interactive_ui") || weir_str_is(value, "critical_api") ||
                    weir_str_is(value, "batch");
    if (field == WEIR_FIELD_CLASS && !is_class) {
        return WEIR_E_ARG;
    }
    lua_stage_field(of(h), field, value);
    return 0;
}

static int req_get_num(const weir_host *h, weir_req *r, int number, int64_t *out)
{
    (void)r;
    const struct lua_stage *s = of(h);
    if (number <= 0 || number >= LUA_STAGE_N_NUMBERS || !s->has_number[number]) {
        return WEIR_E_NOTFOUND;
    }
    *out = s->numbers[number];
    return 0;
}

static int req_set_num(const weir_host *h, weir_req *r, int number, int64_t value)
{
    (void)r;
    lua_stage_number(of(h), number, value);
    return 0;
}

static int req_header(const weir_host *h, weir_req *r, weir_str name, weir_str *out)
{
    (void)r;
    const struct lua_stage *s = of(h);
    for (uint32_t i = 0; i < s->n_headers; i++) {
        if (s->header_names[i].n == name.n &&
            strncasecmp(s->header_names[i].p, name.p, name.n) == 0) {
            *out = s->header_values[i];
            return 0;
        }
    }
    return WEIR_E_NOTFOUND;
}

static int req_json(const weir_host *h, weir_req *r, const char *pointer, weir_str *out)
{
    (void)r;
    struct lua_stage *s = of(h);
    yyjson_val *v = yyjson_doc_ptr_get(s->body, pointer);
    if (!v) {
        return WEIR_E_NOTFOUND;
    }
    if (yyjson_is_str(v)) {
        *out = (weir_str){yyjson_get_str(v), yyjson_get_len(v)};
        return 0;
    }
    size_t n = 0;
    char *text = yyjson_val_write(v, 0, &n);
    *out = text ? weir_arena_copy(&s->arena, (weir_str){text, n}) : (weir_str){NULL, 0};
    free(text);
    return out->p ? 0 : WEIR_E_NOMEM;
}

/* ---- the store: the daemon's own memory driver ---- */

static struct weir_store *memory_of(const weir_host *h)
{
    return of(h)->memory;
}

static int store_get(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done,
                     void *arg)
{
    return weir_store_call(
        memory_of(h), &(struct weir_store_call){.op = WEIR_STORE_GET, .tenant = tenant, .key = key},
        done, arg);
}

static int store_set(const weir_host *h, weir_str tenant, weir_str key, weir_str value,
                     uint64_t ttl_ms, const weir_str *tags, uint32_t n_tags, weir_store_done done,
                     void *arg)
{
    return weir_store_call(memory_of(h),
                           &(struct weir_store_call){.op = WEIR_STORE_SET,
                                                     .tenant = tenant,
                                                     .key = key,
                                                     .value = value,
                                                     .tags = tags,
                                                     .n = n_tags,
                                                     .number = ttl_ms},
                           done, arg);
}

static int store_remove(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done,
                        void *arg)
{
    return weir_store_call(
        memory_of(h),
        &(struct weir_store_call){.op = WEIR_STORE_REMOVE, .tenant = tenant, .key = key}, done,
        arg);
}

static int store_add(const weir_host *h, weir_str tenant, weir_str key, int64_t delta,
                     uint64_t ttl_ms, weir_store_done done, void *arg)
{
    return weir_store_call(
        memory_of(h),
        &(struct weir_store_call){
            .op = WEIR_STORE_ADD, .tenant = tenant, .key = key, .delta = delta, .number = ttl_ms},
        done, arg);
}

static int store_take(const weir_host *h, weir_str tenant, const weir_store_limit *levels,
                      uint32_t n, weir_store_done done, void *arg)
{
    return weir_store_call(memory_of(h),
                           &(struct weir_store_call){
                               .op = WEIR_STORE_TAKE, .tenant = tenant, .levels = levels, .n = n},
                           done, arg);
}

static void woken(struct lua_call *call)
{
    (void)call; /* never: the memory driver answers at once */
}

/* ---- the stage ---- */

int lua_stage_init(struct lua_stage *s, weir_str text, const char *name,
                   char error[LUA_SANDBOX_ERROR_BYTES])
{
    *s = (struct lua_stage){
        .host = {.struct_size = sizeof(weir_host),
                 .abi_major = 1,
                 .now_us = now_us,
                 .wall_us = wall_us,
                 .log = log_line,
                 .req_get = req_get,
                 .req_set = req_set,
                 .req_get_num = req_get_num,
                 .req_set_num = req_set_num,
                 .req_header = req_header,
                 .req_json = req_json},
        .store = {.struct_size = sizeof(weir_ext_store),
                  .get = store_get,
                  .set = store_set,
                  .remove = store_remove,
                  .add = store_add,
                  .take = store_take},
        .wall_us = UINT64_C(1767261600000000), /* Thursday, 2026-01-01 10:00 UTC */
        .mono_us = UINT64_C(1000000000),
    };
    const struct weir_store_memory_options options = {.now_us = store_now_us, .now_arg = s};
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
    weir_arena_init(&s->arena, ARENA_BYTES);
    s->services = (struct lua_services){
        .host = &s->host, .store = &s->store, .zones = zones_create(), .woken = woken};
    if (!s->services.zones || weir_store_memory_create(&options, &s->memory) < 0) {
        return WEIR_E_NOMEM;
    }
    lua_stage_request(s);
    return lua_version_create(text, name, 0, &limits, &s->version, error);
}

static void clear_request(struct lua_stage *s)
{
    yyjson_doc_free(s->body);
    lua_notes_destroy(s->notes);
    weir_arena_finish(&s->arena);
    weir_arena_init(&s->arena, ARENA_BYTES);
    memset(s->fields, 0, sizeof(s->fields));
    memset(s->has_number, 0, sizeof(s->has_number));
    s->body = NULL;
    s->notes = NULL;
    s->n_headers = s->n_logs = 0;
    s->held = (weir_str){NULL, 0};
}

void lua_stage_finish(struct lua_stage *s)
{
    clear_request(s);
    weir_arena_finish(&s->arena);
    lua_version_unref(&s->version);
    weir_store_destroy(s->memory);
    zones_destroy(s->services.zones);
}

void lua_stage_request(struct lua_stage *s)
{
    clear_request(s);
    lua_stage_field(s, WEIR_FIELD_REQUEST_ID, weir_str_from("req_test"));
    lua_stage_field(s, WEIR_FIELD_METHOD, weir_str_from("POST"));
    lua_stage_field(s, WEIR_FIELD_PATH, weir_str_from("/v1/chat/completions"));
    lua_stage_field(s, WEIR_FIELD_MODEL, weir_str_from("m"));
    lua_stage_field(s, WEIR_FIELD_TENANT, weir_str_from("test"));
    lua_stage_field(s, WEIR_FIELD_KEY_ID, weir_str_from("key1"));
    lua_stage_field(s, WEIR_FIELD_CLASS, weir_str_from("interactive_ui"));
    lua_stage_field(s, WEIR_FIELD_PEER, weir_str_from("127.0.0.1"));
    lua_stage_number(s, WEIR_NUMBER_PROMPT_TOKENS, 12);
    lua_stage_number(s, WEIR_NUMBER_MAX_TOKENS, 1000);
    lua_stage_number(s, WEIR_NUMBER_N, 1);
    lua_stage_number(s, WEIR_NUMBER_STREAM, 1);
    lua_stage_number(s, WEIR_NUMBER_PRIORITY, 0);
    lua_stage_number(s, WEIR_NUMBER_DEADLINE_MS, 0);
}

void lua_stage_field(struct lua_stage *s, int field, weir_str value)
{
    s->fields[field] = weir_arena_copy(&s->arena, value);
}

void lua_stage_number(struct lua_stage *s, int number, int64_t value)
{
    s->numbers[number] = value;
    s->has_number[number] = true;
}

int lua_stage_header(struct lua_stage *s, weir_str name, weir_str value)
{
    if (s->n_headers == LUA_STAGE_MAX_HEADERS) {
        return WEIR_E_TOOBIG;
    }
    s->header_names[s->n_headers] = weir_arena_copy(&s->arena, name);
    s->header_values[s->n_headers++] = weir_arena_copy(&s->arena, value);
    return 0;
}

int lua_stage_body(struct lua_stage *s, weir_str json)
{
    yyjson_doc_free(s->body);
    s->body = yyjson_read(json.p, json.n, 0);
    lua_stage_field(s, WEIR_FIELD_BODY, json);
    return s->body ? 0 : WEIR_E_FORMAT;
}

int lua_stage_run(struct lua_stage *s, enum lua_hook hook, const weir_chunk *chunk,
                  const weir_usage *usage, struct lua_call **ret_call,
                  char error[LUA_SANDBOX_ERROR_BYTES])
{
    const struct lua_call_about about = {.services = &s->services,
                                         .version = s->version,
                                         .hook = hook,
                                         .req = (weir_req *)s,
                                         .notes = &s->notes,
                                         .tenant = s->fields[WEIR_FIELD_TENANT],
                                         .chunk = chunk,
                                         .usage = usage};
    *ret_call = NULL;
    if (!s->version->has[hook]) {
        return 0;
    }
    int rc = lua_call_start(&about, ret_call, error);
    if (rc < 0) {
        lua_call_end(*ret_call);
        *ret_call = NULL;
    }
    return rc;
}

char *lua_stage_read_file(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? malloc(LUA_SANDBOX_MAX_SCRIPT_BYTES + 2) : NULL;
    size_t n = text ? fread(text, 1, LUA_SANDBOX_MAX_SCRIPT_BYTES + 1, f) : 0;
    if (!text || ferror(f)) {
        fprintf(stderr, "weir lua: %s: %s\n", path, strerror(errno));
        free(text);
        text = NULL;
    } else {
        text[n] = '\0';
    }
    if (f) {
        (void)fclose(f);
    }
    *ret_n = n;
    return text;
}
