/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/tenant_body.h"
#include "cli/tenant_key.h"

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

/* ---- list ---- */

struct listing {
    bool json;
    size_t n;
};

static void print_tenant(void *arg, yyjson_val *tenant)
{
    struct listing *l = arg;
    if (l->json) {
        char *line = yyjson_val_write(tenant, 0, NULL);
        printf("%s%s", l->n ? ",\n " : "[", line ? line : "null");
        free(line);
    } else {
        if (l->n == 0) {
            printf("%-24s %-10s %-16s %s\n", "NAME", "STATE", "TIER", "SOURCE");
        }
        printf("%-24s %-10s %-16s %s\n", text(tenant, "name"), text(tenant, "state"),
               text(tenant, "tier"), text(tenant, "source"));
    }
    l->n++;
}

static int list_tenants(const struct weir_args *args)
{
    struct listing l = {.json = weir_args_has(args, "json")};
    struct weir_error err = {0};
    int r = weir_admin_each(args, "/admin/v1/tenants", print_tenant, &l, &err);
    if (l.json) {
        printf("%s]\n", l.n ? "" : "[");
    } else if (r == 0 && l.n == 0) {
        printf("no tenants\n");
    }
    return r < 0 ? complain(&err) : WEIR_EXIT_OK;
}

/* ---- one tenant ---- */

/* Sends one request about the tenant that the operand names and prints what comes; `under` is "" or
 * "/suspend" and so on. */
static int send(const struct weir_args *args, const char *method, const char *under,
                const char *body, const char *if_match)
{
    char name[256], path[MAX_PATH_BYTES];
    struct weir_error err = {0};
    struct weir_admin_answer answer;
    if (!weir_admin_encode(args->operands[0], name, sizeof(name))) {
        (void)fprintf(stderr, "weir tenant: the name is too long\n");
        return WEIR_EXIT_USAGE;
    }
    (void)snprintf(path, sizeof(path), "/admin/v1/tenants/%s%s", name, under);
    const struct weir_admin_request request = {
        .args = args, .method = method, .path = path, .body = body, .if_match = if_match};
    if (weir_admin_call(&request, &answer, &err) < 0) {
        return complain(&err);
    }
    if (answer.json) {
        weir_admin_print(yyjson_doc_get_root(answer.json));
    }
    weir_admin_answer_finish(&answer);
    return WEIR_EXIT_OK;
}

static int create_tenant(const struct weir_args *args)
{
    struct weir_error err = {0};
    struct weir_admin_answer answer;
    char *given = NULL;
    if (weir_tenant_body_read(args, &given, &err) < 0) {
        return complain(&err);
    }
    char *body = weir_tenant_body_with(given ? given : "{}", "name", args->operands[0]);
    const struct weir_admin_request request = {
        .args = args, .method = "POST", .path = "/admin/v1/tenants", .body = body};
    int r = body ? weir_admin_call(&request, &answer, &err)
                 : weir_error_set(&err, WEIR_E_NOMEM, "out of memory");
    free(given);
    free(body);
    if (r < 0) {
        return complain(&err);
    }
    weir_admin_print(yyjson_doc_get_root(answer.json));
    weir_admin_answer_finish(&answer);
    return WEIR_EXIT_OK;
}

/* With --data or --file a merge patch; else what the editor leaves replaces what was there. */
static int edit_tenant(const struct weir_args *args)
{
    char name[256], path[MAX_PATH_BYTES];
    struct weir_error err = {0};
    struct weir_admin_answer answer;
    char *body = NULL;
    if (weir_tenant_body_read(args, &body, &err) < 0) {
        return complain(&err);
    }
    if (body) {
        int code = send(args, "PATCH", "", body, "*");
        free(body);
        return code;
    }
    if (!weir_admin_encode(args->operands[0], name, sizeof(name))) {
        return WEIR_EXIT_USAGE;
    }
    (void)snprintf(path, sizeof(path), "/admin/v1/tenants/%s", name);
    const struct weir_admin_request request = {.args = args, .method = "GET", .path = path};
    int r = weir_admin_call(&request, &answer, &err);
    r = r < 0 ? r : weir_tenant_body_edit(yyjson_doc_get_root(answer.json), &body, &err);
    int code = r < 0 ? complain(&err) : WEIR_EXIT_OK;
    if (r == 0 && body) {
        code = send(args, "PUT", "", body, answer.etag);
    } else if (r == 0) {
        printf("unchanged\n");
    }
    free(body);
    weir_admin_answer_finish(&answer);
    return code;
}

static int show_tenant(const struct weir_args *args)
{
    return send(args, "GET", "", NULL, NULL);
}

static int suspend_tenant(const struct weir_args *args)
{
    return send(args, "POST", "/suspend", NULL, "*");
}

static int resume_tenant(const struct weir_args *args)
{
    return send(args, "POST", "/resume", NULL, "*");
}

static int export_tenant(const struct weir_args *args)
{
    return send(args, "GET", "/export", NULL, NULL);
}

static bool is_sure(const struct weir_args *args)
{
    char line[256] = "";
    if (weir_args_has(args, "yes")) {
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        (void)fprintf(stderr,
                      "weir tenant: this deletes all that %s has but the ledger; say --yes\n",
                      args->operands[0]);
        return false;
    }
    (void)fprintf(stderr, "This deletes all that %s has but the ledger. Type its name to go on: ",
                  args->operands[0]);
    bool read = fgets(line, sizeof(line), stdin) != NULL;
    line[strcspn(line, "\n")] = '\0';
    return read && strcmp(line, args->operands[0]) == 0;
}

static int delete_tenant(const struct weir_args *args)
{
    return is_sure(args) ? send(args, "DELETE", "", NULL, "*") : WEIR_EXIT_BAD;
}

static const struct weir_verb verbs[] = {
    {"list", "", "show all tenants"},
    {"create", "NAME", "make a tenant; --data or --file says what it has"},
    {"show", "NAME", "show one"},
    {"edit", "NAME", "change one: by --data or --file (merge patch), else in $EDITOR"},
    {"suspend", "NAME", "refuse its requests"},
    {"resume", "NAME", "serve them again"},
    {"export", "NAME", "print all that the store has of it but its logs"},
    {"delete", "NAME", "delete all that it has but the ledger"},
    {"key", "create|list|rotate|revoke TENANT [KEY]", "its API keys"},
    {0},
};

static int run(const struct weir_args *args)
{
    static const struct {
        const char *name;
        int n_operands;
        int (*run)(const struct weir_args *args);
    } table[] = {
        {"list", 0, list_tenants},    {"create", 1, create_tenant},   {"show", 1, show_tenant},
        {"edit", 1, edit_tenant},     {"suspend", 1, suspend_tenant}, {"resume", 1, resume_tenant},
        {"export", 1, export_tenant}, {"delete", 1, delete_tenant},   {"key", -1, weir_tenant_key},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(args->verb->name, table[i].name) != 0) {
            continue;
        }
        if (table[i].n_operands >= 0 && args->n_operands != table[i].n_operands) {
            break;
        }
        return table[i].run(args);
    }
    (void)fprintf(stderr, "weir tenant: usage: weir tenant %s %s\n", args->verb->name,
                  args->verb->operands);
    return WEIR_EXIT_USAGE;
}

static const struct weir_option options[] = {
    WEIR_ADMIN_OPTION,
    {"json", 0, NULL, "print JSON (list and key; the others always do)"},
    {"data", 0, "JSON", "what the tenant or key has, as under tenants: in the configuration"},
    {"file", 0, "FILE", "the same from a file; - is standard input"},
    {"name", 0, "NAME", "key create: what it is called in lists and logs"},
    {"grace", 0, "SECONDS", "key rotate: how long the old secret is good as well; default 86400"},
    {"yes", 0, NULL, "delete: do not ask"},
    {0},
};

extern const struct weir_command weir_cmd_tenant;
const struct weir_command weir_cmd_tenant = {
    .name = "tenant",
    .summary = "Manage the tenants and API keys of a running daemon",
    .operands = "[WORDS]",
    .min_operands = 0,
    .max_operands = 3,
    .verbs = verbs,
    .options = options,
    .details = "It talks to the admin API. Where that asks for a key, put one of scope admin (or\n"
               "tenant_admin, for its own tenant) into the environment as WEIR_ADMIN_KEY.\n"
               "A new key is printed once, alone on standard output; nobody can read it again.\n",
    .examples = "  weir tenant list\n"
                "  weir tenant create acme --data '{\"limits\": {\"concurrent\": 32}}'\n"
                "  weir tenant edit acme --data '{\"tier\": \"batch\"}'\n"
                "  weir tenant suspend acme --admin http://10.0.0.5:9090\n"
                "  weir tenant key create acme --name web > key.txt\n"
                "  weir tenant key rotate acme 5zyztcthxnjurmd4 --grace 3600\n"
                "  weir tenant delete acme --yes\n",
    .run = run,
};
