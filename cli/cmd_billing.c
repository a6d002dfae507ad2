/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/admin_client.h"
#include "cli/ledger_check.h"
#include "cli/ledger_sums.h"

static int fail(const struct weir_error *err)
{
    fprintf(stderr, "weir billing: %s\n", err->message);
    return WEIR_EXIT_BAD;
}

static int out_of_memory(void)
{
    fprintf(stderr, "weir billing: out of memory\n");
    return WEIR_EXIT_BAD;
}

/* ---- report ---- */

enum form { FORM_TABLE, FORM_CSV, FORM_JSON };

struct report {
    enum form form;
    const struct weir_ledger_source *source;
    int last_group; /* of the sum before; -1: none */
};

static const char *const group_names[] = {"total", "model", "key", "user"};

/* Micro-units as a decimal number. */
static const char *amount_text(int64_t micros, char out[32])
{
    uint64_t u = micros < 0 ? 0 - (uint64_t)micros : (uint64_t)micros;
    (void)snprintf(out, 32, "%s%llu.%06u", micros < 0 ? "-" : "", (unsigned long long)(u / 1000000),
                   (unsigned)(u % 1000000));
    return out;
}

static void print_row(struct report *r, const struct weir_ledger_sum *s)
{
    const struct weir_ledger_totals *t = &s->totals;
    char amount[32];
    if (r->last_group != (int)s->group) {
        printf("%s%-24s %9s %12s %12s %12s %12s %14s\n", r->last_group < 0 ? "" : "\n",
               group_names[s->group], "requests", "prompt", "cached", "delivered", "gpu s",
               "amount");
    }
    printf("%-24s %9lld %12lld %12lld %12lld %12.3f %14s %s\n", *s->name ? s->name : "-",
           (long long)t->requests, (long long)t->prompt, (long long)t->cached,
           (long long)t->delivered, (double)t->gpu_us / 1e6, amount_text(t->amount, amount),
           s->currency);
}

static void print_csv_text(const char *text)
{
    putchar('"');
    if (*text && strchr("=+-@\t\r", *text)) {
        putchar('\''); /* a spreadsheet must not take it for a formula */
    }
    for (const char *p = text; *p; p++) {
        if (*p == '"') {
            putchar('"');
        }
        putchar(*p);
    }
    putchar('"');
}

static void print_csv(const struct weir_ledger_sum *s)
{
    const struct weir_ledger_totals *t = &s->totals;
    char amount[32];
    printf("%s,", group_names[s->group]);
    print_csv_text(s->name);
    printf(",%lld,%lld,%lld,%lld,%lld,%lld,%s,%s\r\n", (long long)t->requests, (long long)t->prompt,
           (long long)t->cached, (long long)t->completion, (long long)t->delivered,
           (long long)t->gpu_us, amount_text(t->amount, amount), s->currency);
}

static void print_json(struct report *r, const struct weir_ledger_sum *s)
{
    const struct weir_ledger_totals *t = &s->totals;
    struct weir_buf b;
    weir_buf_init(&b, 64 * 1024);
    weir_buf_printf(&b, "%s{\"group\":\"%s\",\"name\":", r->last_group < 0 ? "" : ",",
                    group_names[s->group]);
    weir_buf_add_json_str(&b, weir_str_from(s->name));
    weir_buf_printf(&b,
                    ",\"requests\":%lld,\"prompt_tokens\":%lld,\"cached_tokens\":%lld,"
                    "\"completion_tokens\":%lld,\"delivered_tokens\":%lld,\"gpu_us\":%lld,"
                    "\"amount_micro\":%lld,\"currency\":",
                    (long long)t->requests, (long long)t->prompt, (long long)t->cached,
                    (long long)t->completion, (long long)t->delivered, (long long)t->gpu_us,
                    (long long)t->amount);
    weir_buf_add_json_str(&b, weir_str_from(s->currency));
    weir_buf_add_char(&b, '}');
    (void)fwrite(b.data ? b.data : "", 1, b.len, stdout);
    weir_buf_finish(&b);
}

static void print_sum(void *arg, const struct weir_ledger_sum *s)
{
    struct report *r = arg;
    switch (r->form) {
    case FORM_TABLE: print_row(r, s); break;
    case FORM_CSV: print_csv(s); break;
    case FORM_JSON: print_json(r, s); break;
    }
    r->last_group = (int)s->group;
}

static int add_to_sums(void *arg, const struct weir_ledger_entry *entry)
{
    return weir_ledger_sums_add(arg, entry);
}

static int report(const struct weir_ledger_source *source, enum form form)
{
    struct weir_error err = {0};
    struct weir_ledger_sums *sums = NULL;
    if (weir_ledger_sums_create(&sums) < 0) {
        return out_of_memory();
    }
    int rc = weir_ledger_read(source, add_to_sums, sums, &err);
    if (rc < 0) {
        weir_ledger_sums_destroy(sums);
        return rc == WEIR_E_NOMEM ? out_of_memory() : fail(&err);
    }
    struct report r = {.form = form, .source = source, .last_group = -1};
    if (form == FORM_CSV) {
        printf("group,name,requests,prompt_tokens,cached_tokens,completion_tokens,"
               "delivered_tokens,gpu_us,amount,currency\r\n");
    } else if (form == FORM_JSON) {
        printf("[");
    }
    weir_ledger_sums_each(sums, print_sum, &r);
    if (form == FORM_JSON) {
        printf("]\n");
    } else if (form == FORM_TABLE && r.last_group < 0) {
        printf("no entries\n");
    }
    weir_ledger_sums_destroy(sums);
    return WEIR_EXIT_OK;
}

/* ---- export ---- */

static int print_page(void *arg, weir_str page)
{
    (void)arg;
    return fwrite(page.p, 1, page.n, stdout) == page.n ? 0 : WEIR_E_IO;
}

static int export(const struct weir_ledger_source *source, bool csv)
{
    struct weir_error err = {.message = "the output cannot be written"};
    int rc = weir_ledger_copy(source, csv ? "csv" : "jsonl", print_page, NULL, &err);
    return rc < 0 ? fail(&err) : WEIR_EXIT_OK;
}

/* ---- verify ---- */

static void print_problem(void *arg, const char *problem)
{
    (void)arg;
    printf("%s\n", problem);
}

static int check_first(void *arg, const struct weir_ledger_entry *entry)
{
    return weir_ledger_check_first(arg, entry);
}

static int check_second(void *arg, const struct weir_ledger_entry *entry)
{
    return weir_ledger_check_second(arg, entry);
}

static int verify(const struct weir_ledger_source *source)
{
    struct weir_error err = {.message = "out of memory"};
    struct weir_ledger_check *check = NULL;
    if (weir_ledger_check_create(print_problem, NULL, &check) < 0) {
        return out_of_memory();
    }
    int rc = weir_ledger_read(source, check_first, check, &err);
    if (rc >= 0 && weir_ledger_check_needs_second(check)) {
        rc = weir_ledger_read(source, check_second, check, &err);
    }
    uint64_t n = rc < 0 ? 0 : weir_ledger_check_finish(check);
    weir_ledger_check_destroy(check);
    if (rc < 0) {
        return fail(&err);
    }
    printf(n ? "%llu problems\n" : "good: no gap, nothing twice, every amount right\n",
           (unsigned long long)n);
    return n ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
}

/* ---- the command ---- */

static int usage_error(const char *what)
{
    fprintf(stderr, "weir billing: %s; see weir billing --help\n", what);
    return WEIR_EXIT_USAGE;
}

static int run(const struct weir_args *args)
{
    const struct weir_ledger_source source = {
        .args = args,
        .tenant = weir_args_value(args, "tenant"),
        .month = weir_args_value(args, "month"),
        .from = weir_args_value(args, "from"),
        .to = weir_args_value(args, "to"),
    };
    bool csv = weir_args_has(args, "csv"), json = weir_args_has(args, "json");
    if (!source.tenant) {
        return usage_error("--tenant is missing");
    }
    if (source.month && (source.from || source.to)) {
        return usage_error("--month does not go with --from and --to");
    }
    if (csv && json) {
        return usage_error("--csv does not go with --json");
    }
    if (strcmp(args->verb->name, "report") == 0) {
        return report(&source, csv ? FORM_CSV : json ? FORM_JSON : FORM_TABLE);
    }
    if (strcmp(args->verb->name, "export") == 0) {
        return export(&source, csv);
    }
    return source.from || source.to ? usage_error("verify reads whole months: use --month")
                                    : verify(&source);
}

static const struct weir_verb verbs[] = {
    {"export", "", "print a tenant's ledger entries as JSON lines or CSV"},
    {"report", "", "print sums by model, key and user"},
    {"verify", "", "check a month's ledger: gaps, duplicates, amounts"},
    {0},
};

static const struct weir_option options[] = {
    {"tenant", 0, "NAME", "whose ledger; \"\" for requests without a tenant"},
    {"month", 0, "YYYY-MM", "UTC; default: the present month"},
    {"from", 0, "DATE", "instead of a month: from this date or time on (RFC 3339, UTC)"},
    {"to", 0, "DATE", "up to this date or time, which is not included"},
    {"csv", 0, NULL, "print CSV (report and export)"},
    {"json", 0, NULL, "print JSON (report), JSON lines (export, the default)"},
    WEIR_ADMIN_OPTION,
    {0},
};

extern const struct weir_command weir_cmd_billing;
const struct weir_command weir_cmd_billing = {
    .name = "billing",
    .summary = "Report, export and verify what tenants used",
    .operands = "",
    .max_operands = 0,
    .verbs = verbs,
    .options = options,
    .details = "Reads the ledger of the plugin `billing` from a running daemon.\n"
               "verify exits with 1 when the ledger is not as it must be.\n",
    .examples = "  weir billing report --tenant acme --month 2026-01\n"
                "  weir billing report --tenant acme --from 2026-01-01 --to 2026-01-08 --json\n"
                "  weir billing export --tenant acme --month 2026-01 --csv > acme.csv\n"
                "  weir billing verify --tenant acme --month 2026-01\n",
    .run = run,
};
