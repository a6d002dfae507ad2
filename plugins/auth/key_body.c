/* SPDX-License-Identifier: Apache-2.0 */
#include "key_body.h"

#include <stdio.h>
#include <stdlib.h>

/* What clients may send back without meaning it. */
static const char *const read_only[] = {
    "id", "tenant", "source", "created", "created_by", "rotated", "previous_until", "key", NULL};
/* What only the record has; a change keeps it. */
static const char *const kept[] = {"sha256", "previous", "created", "created_by", "rotated", NULL};

static bool has(const char *const *list, const char *name)
{
    while (*list && strcmp(*list, name) != 0) {
        list++;
    }
    return *list != NULL;
}

static void add_copy(yyjson_mut_doc *doc, yyjson_mut_val *to, yyjson_val *key, yyjson_val *value)
{
    (void)yyjson_mut_obj_add(to, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, value));
}

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name, weir_str value)
{
    (void)yyjson_mut_obj_add_strncpy(doc, to, name, value.p, value.n);
}

/* Writes the object and frees its document. */
static char *finish(yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    char *text = root ? yyjson_mut_val_write(root, 0, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    return text;
}

char *auth_body_show(struct auth_name name, weir_str record, const char *key_text)
{
    yyjson_doc *in = yyjson_read(record.p, record.n, 0);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    add_text(doc, out, "id", name.id);
    add_text(doc, out, "tenant", name.tenant);
    (void)yyjson_mut_obj_add_str(doc, out, "source", "api");
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(yyjson_doc_get_root(in), i, max, key, value)
    {
        if (yyjson_equals_str(key, "previous")) {
            add_text(doc, out, "previous_until", auth_text(yyjson_obj_get(value, "until")));
        } else if (!yyjson_equals_str(key, "sha256")) {
            add_copy(doc, out, key, value);
        }
    }
    if (key_text) {
        (void)yyjson_mut_obj_add_strcpy(doc, out, "key", key_text);
    }
    yyjson_doc_free(in);
    return finish(doc, out);
}

char *auth_body_show_configured(const struct auth_key *key)
{
    static const char *const shown[] = {"name",    "user",   "scopes", "models",
                                        "expires", "limits", "quota",  NULL};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    add_text(doc, out, "id", key->id);
    add_text(doc, out, "tenant", key->tenant);
    (void)yyjson_mut_obj_add_str(doc, out, "source", "config");
    size_t i, max;
    yyjson_val *name, *value;
    yyjson_obj_foreach(yyjson_doc_get_root(key->doc), i, max, name, value)
    {
        if (has(shown, yyjson_get_str(name))) {
            add_copy(doc, out, name, value);
        }
    }
    return finish(doc, out);
}

/* The host judges it as the configuration's keys are judged. `root` is without secret. */
static bool check(const struct auth *a, weir_str tenant, yyjson_mut_doc *doc, yyjson_mut_val *root,
                  char problem[AUTH_PROBLEM_BYTES])
{
    static const char prefix[] = "keys[0].";
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    yyjson_mut_val *entry = yyjson_mut_obj(doc), *keys = yyjson_mut_arr(doc);
    yyjson_mut_val *probe = yyjson_mut_val_mut_copy(doc, root);
    (void)yyjson_mut_obj_add_str(doc, probe, "sha256", zeros);
    (void)yyjson_mut_arr_add_val(keys, probe);
    (void)yyjson_mut_obj_add_val(doc, entry, "keys", keys);
    size_t n = 0;
    char *json = yyjson_mut_val_write(entry, 0, &n);
    weir_str said = {NULL, 0};
    int rc = json ? a->tenants->check(a->host, tenant, (weir_str){json, n}, &said) : WEIR_E_NOMEM;
    free(json);
    if (rc < 0) {
        bool strip = said.n > sizeof(prefix) && memcmp(said.p, prefix, sizeof(prefix) - 1) == 0;
        size_t skip = strip ? sizeof(prefix) - 1 : 0;
        (void)snprintf(problem, AUTH_PROBLEM_BYTES, "%.*s.", (int)(said.n - skip), said.p + skip);
    }
    return rc == 0;
}

/* What a client may say about a key, out of `from`. */
static yyjson_mut_val *wanted(yyjson_mut_doc *doc, yyjson_val *from)
{
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(from, i, max, key, value)
    {
        if (!has(read_only, yyjson_get_str(key))) {
            add_copy(doc, out, key, value);
        }
    }
    return out;
}

static const char *complain_of(yyjson_val *root)
{
    static const char *const made_here[] = {"secret", "sha256", "previous"};
    if (!yyjson_is_obj(root)) {
        return "The body must be a JSON object.";
    }
    for (size_t i = 0; i < 3; i++) {
        if (yyjson_obj_get(root, made_here[i])) {
            return "secret, sha256 and previous are made here: leave them out.";
        }
    }
    return NULL;
}

/* A JSON object of what a client may say; NULL with the problem. */
static yyjson_doc *parse(weir_str body, char problem[AUTH_PROBLEM_BYTES])
{
    yyjson_doc *doc = body.n ? yyjson_read(body.p, body.n, 0) : NULL;
    const char *what = complain_of(yyjson_doc_get_root(doc));
    if (what) {
        (void)snprintf(problem, AUTH_PROBLEM_BYTES, "%s", what);
        yyjson_doc_free(doc);
        return NULL;
    }
    return doc;
}

static void add_digest(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name,
                       const unsigned char digest[AUTH_DIGEST_BYTES])
{
    char hex[65];
    auth_digest_write(digest, hex);
    (void)yyjson_mut_obj_add_strcpy(doc, to, name, hex);
}

static void add_time(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name, uint64_t us)
{
    char text[32];
    auth_time_write(us, text);
    (void)yyjson_mut_obj_add_strcpy(doc, to, name, text);
}

/* The record as it will be read; NULL with the problem when it could not be. */
static char *prove(const struct auth *a, weir_str tenant, char *record,
                   char problem[AUTH_PROBLEM_BYTES])
{
    char error[AUTH_ERROR_BYTES] = "";
    struct auth_key *key =
        record ? auth_key_create(a->host, tenant, (weir_str){NULL, 0}, weir_str_from(record), error)
               : NULL;
    if (record && !key) {
        (void)snprintf(problem, AUTH_PROBLEM_BYTES, "%s.", error);
        free(record);
        return NULL;
    }
    auth_key_unref(key);
    return record;
}

char *auth_body_create(const struct auth *a, weir_str tenant, weir_str body, weir_str created_by,
                       const unsigned char digest[AUTH_DIGEST_BYTES],
                       char problem[AUTH_PROBLEM_BYTES])
{
    yyjson_doc *in = parse(body, problem);
    if (!in) {
        return NULL;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *out = wanted(doc, yyjson_doc_get_root(in));
    yyjson_doc_free(in);
    if (!check(a, tenant, doc, out, problem)) {
        yyjson_mut_doc_free(doc);
        return NULL;
    }
    add_digest(doc, out, "sha256", digest);
    add_time(doc, out, "created", a->host->wall_us(a->host));
    add_text(doc, out, "created_by", created_by);
    return prove(a, tenant, finish(doc, out), problem);
}

char *auth_body_patch(const struct auth *a, weir_str tenant, weir_str record, weir_str patch,
                      char problem[AUTH_PROBLEM_BYTES])
{
    yyjson_doc *change = parse(patch, problem);
    yyjson_doc *in = change ? yyjson_read(record.p, record.n, 0) : NULL;
    yyjson_mut_doc *doc = in ? yyjson_mut_doc_new(NULL) : NULL;
    if (!doc) {
        yyjson_doc_free(change);
        yyjson_doc_free(in);
        return NULL;
    }
    /* What only the record has takes no part in the merge. */
    yyjson_mut_val *before = yyjson_mut_obj(doc);
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(yyjson_doc_get_root(in), i, max, key, value)
    {
        if (!has(kept, yyjson_get_str(key))) {
            add_copy(doc, before, key, value);
        }
    }
    yyjson_mut_val *merged =
        yyjson_mut_merge_patch(doc, before, wanted(doc, yyjson_doc_get_root(change)));
    char *text = NULL;
    if (!merged || !check(a, tenant, doc, merged, problem)) {
        yyjson_mut_doc_free(doc);
    } else {
        yyjson_obj_foreach(yyjson_doc_get_root(in), i, max, key, value)
        {
            if (has(kept, yyjson_get_str(key))) {
                add_copy(doc, merged, key, value);
            }
        }
        text = finish(doc, merged);
    }
    yyjson_doc_free(change);
    yyjson_doc_free(in);
    return prove(a, tenant, text, problem);
}

char *auth_body_rotate(weir_str record, const unsigned char digest[AUTH_DIGEST_BYTES],
                       uint64_t now_us, uint64_t until_us)
{
    yyjson_doc *in = yyjson_read(record.p, record.n, 0);
    yyjson_mut_doc *doc = in ? yyjson_doc_mut_copy(in, NULL) : NULL;
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *old = yyjson_mut_obj_remove_key(root, "sha256");
    (void)yyjson_mut_obj_remove_key(root, "previous");
    (void)yyjson_mut_obj_remove_key(root, "rotated");
    if (root && until_us > now_us) {
        yyjson_mut_val *previous = yyjson_mut_obj(doc);
        (void)yyjson_mut_obj_add_val(doc, previous, "sha256", old);
        add_time(doc, previous, "until", until_us);
        (void)yyjson_mut_obj_add_val(doc, root, "previous", previous);
    }
    if (root) {
        add_digest(doc, root, "sha256", digest);
        add_time(doc, root, "rotated", now_us);
    }
    yyjson_doc_free(in);
    return finish(doc, root);
}

uint32_t auth_body_scopes(weir_str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *scopes = yyjson_obj_get(yyjson_doc_get_root(doc), "scopes");
    uint32_t result = scopes ? auth_scopes_read(scopes) : (uint32_t)WEIR_SCOPE_INFERENCE;
    yyjson_doc_free(doc);
    return result;
}
