/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/admin_client.h"
#include "cli/tenant_body.h"

enum { MAX_PATH_BYTES = 1024 };

static int complain(const struct weir_error *err)
{
    (void)fprintf(stderr, "weir tenant: %s\n", err->message);
    return WEIR_EXIT_BAD;
}

static const char *text(yyjson_val *object, const char *name)
{
    const char *s = yyjson_get_str(yyjson_obj_get(object, name));
    return s ? s : "-";
}

struct listing {
    bool json;
    size_t n;
};

static void print_scopes(yyjson_val *key)
{
    yyjson_val *scopes = yyjson_obj_get(key, "scopes");
    size_t i, max;
    yyjson_val *s;
    if (!scopes) {
        printf("inference");
    }
    yyjson_arr_foreach(scopes, i, max, s)
    {
        printf("%s%s", i ? "," : "", yyjson_get_str(s));
    }
}

static void print_key(void *arg, yyjson_val *key)
{
    struct listing *l = arg;
    if (l->json) {
        char *line = yyjson_val_write(key, 0, NULL);
        printf("%s%s", l->n ? ",\n " : "[", line ? line : "null");
        free(line);
    } else {
        if (l->n == 0) {
            printf("%-18s %-20s %-8s %-12s %s\n", "ID", "NAME", "SOURCE", "EXPIRES", "SCOPES");
        }
        printf("%-18s %-20s %-8s %-12s ", text(key, "id"), text(key, "name"), text(key, "source"),
               text(key, "expires"));
        print_scopes(key);
        putchar('\n');
    }
    l->n++;
}

static int list_keys(const struct weir_args *args, const char *path)
{
    struct listing l = {.json = weir_args_has(args, "json")};
    struct weir_error err = {0};
    int r = weir_admin_each(args, path, print_key, &l, &err);
    if (l.json) {
        printf("%s]\n", l.n ? "" : "[");
    } else if (r == 0 && l.n == 0) {
        printf("no keys\n");
    }
    return r < 0 ? complain(&err) : WEIR_EXIT_OK;
}

/* The secret alone goes to standard output, so that a script can keep it. */
static int print_secret(const struct weir_args *args, const struct weir_admin_answer *answer)
{
    yyjson_val *root = yyjson_doc_get_root(answer->json);
    if (weir_args_has(args, "json")) {
        weir_admin_print(root);
    } else {
        (void)fprintf(stderr, "key %s of %s; this is shown once:\n", text(root, "id"),
                      text(root, "tenant"));
        printf("%s\n", text(root, "key"));
    }
    return WEIR_EXIT_OK;
}

static int send(const struct weir_args *args, const char *method, const char *path,
                const char *body, const char *if_match)
{
    struct weir_error err = {0};
    struct weir_admin_answer answer;
    const struct weir_admin_request request = {
        .args = args, .method = method, .path = path, .body = body, .if_match = if_match};
    if (weir_admin_call(&request, &answer, &err) < 0) {
        return complain(&err);
    }
    int code = answer.json ? print_secret(args, &answer) : WEIR_EXIT_OK;
    weir_admin_answer_finish(&answer);
    return code;
}

static int create_key(const struct weir_args *args, const char *path)
{
    struct weir_error err = {0};
    const char *name = weir_args_value(args, "name");
    char *body = NULL;
    if (weir_tenant_body_read(args, &body, &err) < 0) {
        return complain(&err);
    }
    if (name) {
        char *named = weir_tenant_body_with(body ? body : "{}", "name", name);
        free(body);
        body = named;
    }
    int code = WEIR_EXIT_USAGE;
    if (body) {
        code = send(args, "POST", path, body, NULL);
    } else {
        (void)fprintf(stderr, "weir tenant: give the key a name: --name NAME\n");
    }
    free(body);
    return code;
}

static int rotate_key(const struct weir_args *args, const char *path)
{
    char whole[MAX_PATH_BYTES + 16], body[64];
    const char *grace = weir_args_value(args, "grace");
    char *end = NULL;
    long seconds = grace ? strtol(grace, &end, 10) : 86400;
    if (grace && (*grace == '\0' || *end || seconds < 0)) {
        (void)fprintf(stderr, "weir tenant: --grace %s is no number of seconds\n", grace);
        return WEIR_EXIT_USAGE;
    }
    (void)snprintf(whole, sizeof(whole), "%s/rotate", path);
    (void)snprintf(body, sizeof(body), "{\"grace_seconds\":%ld}", seconds);
    return send(args, "POST", whole, body, "*");
}

static bool make_path(const struct weir_args *args, char out[MAX_PATH_BYTES])
{
    char tenant[256], key[256] = "";
    bool ok = weir_admin_encode(args->operands[1], tenant, sizeof(tenant)) &&
              (args->n_operands < 3 || weir_admin_encode(args->operands[2], key, sizeof(key)));
    (void)snprintf(out, MAX_PATH_BYTES, "/admin/v1/tenants/%s/keys%s%s", tenant, *key ? "/" : "",
                   key);
    return ok;
}

int weir_tenant_key(const struct weir_args *args)
{
    static const struct {
        const char *name;
        int n_operands;
        int (*run)(const struct weir_args *args, const char *path);
    } verbs[] = {{"create", 2, create_key}, {"list", 2, list_keys}, {"rotate", 3, rotate_key}};
    const char *verb = args->n_operands ? args->operands[0] : "";
    char path[MAX_PATH_BYTES];
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(verb, verbs[i].name) == 0 && args->n_operands == verbs[i].n_operands &&
            make_path(args, path)) {
            return verbs[i].run(args, path);
        }
    }
    if (strcmp(verb, "revoke") == 0 && args->n_operands == 3 && make_path(args, path)) {
        return send(args, "DELETE", path, NULL, "*");
    }
    (void)fprintf(stderr, "weir tenant: usage: weir tenant key create|list TENANT, "
                          "weir tenant key rotate|revoke TENANT KEY\n");
    return WEIR_EXIT_USAGE;
}
