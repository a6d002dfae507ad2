/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/digest.h"
#include "cli/fetch.h"
#include "core/config/model_path.h"
#include "core/config/nearest.h"
#include "engine/gguf/describe.h"

enum { MAX_JSON_BYTES = 4 * 1024 * 1024 };

static int fail(const struct weir_error *err)
{
    fprintf(stderr, "weir model: %s\n", err->message);
    return WEIR_EXIT_BAD;
}

/* get */

static int complain_name(const char *name)
{
    struct weir_nearest nearest;
    weir_nearest_init(&nearest, weir_str_from(name));
    fprintf(stderr, "weir model: no model %s is known; known are", name);
    for (const struct weir_known_model *m = weir_known_models(); m->name; m++) {
        fprintf(stderr, " %s", m->name);
        weir_nearest_offer(&nearest, weir_str_from(m->name));
    }
    if (nearest.best.p) {
        fprintf(stderr, "; did you mean %s?", nearest.best.p);
    }
    fputc('\n', stderr);
    return WEIR_EXIT_USAGE;
}

static int get(const char *name, const char *dir)
{
    const struct weir_known_model *model = weir_known_model_find(name);
    if (!model) {
        return complain_name(name);
    }
    struct weir_error err = {0};
    int r = weir_fetch_verify(model, dir, &err);
    if (r == 0) {
        printf("%s: present, checksum good: %s/%s\n", name, dir, model->file);
        return WEIR_EXIT_OK;
    }
    if (r != WEIR_E_NOTFOUND && r != WEIR_E_FORMAT) {
        return fail(&err);
    }
    if (r == WEIR_E_FORMAT) {
        fprintf(stderr, "weir model: %s; fetching it again\n", err.message);
    }
    r = weir_fetch(model, dir, &err);
    if (r < 0) {
        fail(&err);
        fprintf(stderr,
                "A copy from elsewhere is as good: put it at %s/%s; `weir model get %s` then "
                "checks it.\n",
                dir, model->file, name);
        return WEIR_EXIT_BAD;
    }
    printf("%s: fetched, checksum good: %s/%s\n", name, dir, model->file);
    return WEIR_EXIT_OK;
}

/* list */

struct row {
    const char *name; /* "" when weir does not know the file */
    const char *file;
    uint64_t size_bytes;
    const char *state;
};

static void add_row(struct weir_buf *b, const struct row *row, bool json)
{
    if (!json) {
        weir_buf_printf(b, "%-12s %-36s %8.1f MB  %s\n", *row->name ? row->name : "-", row->file,
                        (double)row->size_bytes / 1e6, row->state);
        return;
    }
    weir_buf_add_text(b, b->len > 1 ? ",{\"name\":" : "{\"name\":");
    if (*row->name) {
        weir_buf_add_json_str(b, weir_str_from(row->name));
    } else {
        weir_buf_add_text(b, "null");
    }
    weir_buf_add_text(b, ",\"file\":");
    weir_buf_add_json_str(b, weir_str_from(row->file));
    weir_buf_printf(b, ",\"size_bytes\":%" PRIu64 ",\"state\":\"%s\"}", row->size_bytes,
                    row->state);
}

/* GGUF files that somebody put there by hand. */
static void add_other_files(struct weir_buf *b, const char *dir_path, bool json)
{
    DIR *dir = opendir(dir_path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.');
        struct stat info;
        bool other = dot && strcmp(dot, ".gguf") == 0 && !weir_known_model_by_file(e->d_name);
        if (other && fstatat(dirfd(dir), e->d_name, &info, 0) == 0) {
            add_row(b, &(struct row){"", e->d_name, (uint64_t)info.st_size, "present"}, json);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static int list(const char *dir, bool json)
{
    static const char *const states[] = {
        [WEIR_MODEL_ABSENT] = "absent",
        [WEIR_MODEL_PARTIAL] = "wrong size",
        [WEIR_MODEL_PRESENT] = "present",
    };
    struct weir_buf b;
    weir_buf_init(&b, MAX_JSON_BYTES);
    weir_buf_add_text(&b, json ? "[" : "");
    bool all_there = true;
    for (const struct weir_known_model *m = weir_known_models(); m->name; m++) {
        enum weir_model_state state = weir_fetch_state(m, dir);
        all_there = all_there && state == WEIR_MODEL_PRESENT;
        add_row(&b, &(struct row){m->name, m->file, m->size_bytes, states[state]}, json);
    }
    add_other_files(&b, dir, json);
    weir_buf_add_text(&b, json        ? "]\n"
                          : all_there ? ""
                                      : "`weir model get NAME` fetches one that is absent.\n");
    bool ok = !b.failed;
    if (ok) {
        if (!json) {
            printf("models in %s\n", dir);
        }
        fputs(b.data, stdout);
    } else {
        fputs("weir model: out of memory\n", stderr);
    }
    weir_buf_finish(&b);
    return ok ? WEIR_EXIT_OK : WEIR_EXIT_BAD;
}

/* check */

static void print_summary(const char *path, const struct weir_gguf_summary *s, const char *digest)
{
    printf("%s: %s\n", path, s->n_unsupported ? "cannot be run" : "good");
    printf("  architecture  %.*s\n", (int)s->arch.n, s->arch.n ? s->arch.p : "");
    printf("  name          %.*s\n", (int)s->name.n, s->name.n ? s->name.p : "");
    printf("  parameters    %.1f M in %zu tensors\n", (double)s->n_params / 1e6, s->n_tensors);
    printf("  context       %" PRIu64 " tokens\n", s->context_length);
    printf("  types         %s\n", s->mix);
    printf("  size          %.1f MB\n", (double)s->file_bytes / 1e6);
    printf("  checksum      %s\n", digest);
}

static void print_summary_json(const char *path, const struct weir_gguf_summary *s,
                               const char *digest)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_JSON_BYTES);
    weir_buf_add_text(&b, "{\"file\":");
    weir_buf_add_json_str(&b, weir_str_from(path));
    weir_buf_add_text(&b, ",\"architecture\":");
    weir_buf_add_json_str(&b, s->arch);
    weir_buf_add_text(&b, ",\"name\":");
    weir_buf_add_json_str(&b, s->name);
    weir_buf_printf(&b,
                    ",\"n_params\":%" PRIu64 ",\"n_tensors\":%zu,\"context_length\":%" PRIu64
                    ",\"size_bytes\":%" PRIu64 ",\"n_unsupported\":%zu,\"types\":\"%s\""
                    ",\"checksum\":\"%s\"}\n",
                    s->n_params, s->n_tensors, s->context_length, s->file_bytes, s->n_unsupported,
                    s->mix, digest);
    if (!b.failed) {
        fputs(b.data, stdout);
    }
    weir_buf_finish(&b);
}

/* "good", "not known", or NULL with a sentence when a known file has another digest. */
static const char *judge_digest(const char *path, struct weir_error *err)
{
    const char *slash = strrchr(path, '/');
    const struct weir_known_model *known = weir_known_model_by_file(slash ? slash + 1 : path);
    char digest[WEIR_DIGEST_HEX_BYTES];
    if (!known) {
        return "not known";
    }
    if (weir_digest_file(path, digest, err) < 0) {
        return NULL;
    }
    if (strcmp(digest, known->sha256) != 0) {
        weir_error_set(err, WEIR_E_FORMAT, "%s: its SHA-256 is not that of the published file",
                       path);
        return NULL;
    }
    return "good";
}

static int check_open_file(const char *path, const struct weir_gguf *gguf, bool json)
{
    struct weir_error err = {0};
    struct weir_gguf_summary summary;
    weir_gguf_describe(gguf, &summary);
    const char *digest = judge_digest(path, &err);
    if (!digest) {
        return fail(&err);
    }
    if (json) {
        print_summary_json(path, &summary, digest);
    } else {
        print_summary(path, &summary, digest);
    }
    if (summary.n_unsupported) {
        fprintf(stderr,
                "weir model: %s: %zu tensors have a type that weir cannot run, first %.*s: %s\n",
                path, summary.n_unsupported, (int)summary.first_unsupported.n,
                summary.first_unsupported.p, summary.first_unsupported_type);
        return WEIR_EXIT_BAD;
    }
    return WEIR_EXIT_OK;
}

static int check(const char *file, const char *dir, bool json)
{
    struct weir_error err = {0};
    char path[WEIR_MODEL_PATH_BYTES];
    struct stat info;
    /* What is here comes first; a bare name may also be one of the models directory. */
    const char *known_dir = stat(file, &info) == 0 ? "." : dir;
    struct weir_gguf *gguf = NULL;
    if (weir_model_path(known_dir, file, path, &err) < 0 || weir_gguf_open(path, &gguf, &err) < 0) {
        char hint[WEIR_MODEL_HINT_BYTES];
        fail(&err);
        if (access(path, F_OK) < 0) {
            fprintf(stderr, "%s\n", weir_known_model_hint(file, hint));
        }
        return WEIR_EXIT_BAD;
    }
    int code = check_open_file(path, gguf, json);
    weir_gguf_destroy(gguf);
    return code;
}

static int run(const struct weir_args *args)
{
    char dir[WEIR_MODEL_PATH_BYTES];
    struct weir_error err = {0};
    bool json = weir_args_has(args, "json");
    if (weir_models_dir(weir_args_value(args, "dir"), dir, &err) < 0) {
        return fail(&err);
    }
    const char *operand = args->n_operands ? args->operands[0] : NULL;
    bool listing = strcmp(args->verb->name, "list") == 0;
    if (listing && operand) {
        fprintf(stderr, "weir model list: unexpected word %s\n", operand);
        return WEIR_EXIT_USAGE;
    }
    if (listing) {
        return list(dir, json);
    }
    if (!operand) {
        fprintf(stderr, "weir model %s: %s is missing\n", args->verb->name, args->verb->operands);
        return WEIR_EXIT_USAGE;
    }
    return strcmp(args->verb->name, "get") == 0 ? get(operand, dir) : check(operand, dir, json);
}

static const struct weir_verb verbs[] = {
    {"check", "FILE", "say what is in a GGUF file and whether weir can run it"},
    {"get", "NAME", "fetch a known model and check it: smollm2, gemma3-270m or minilm"},
    {"list", "", "list known models and the files that are there"},
    {0},
};

static const struct weir_option options[] = {
    {"dir", 0, "DIR", "the models directory (default: $WEIR_MODELS or ~/.cache/weir/models)"},
    {"json", 0, NULL, "print JSON (list and check)"},
    {0},
};

extern const struct weir_command weir_cmd_model;
const struct weir_command weir_cmd_model = {
    .name = "model",
    .summary = "Fetch, list and check model files",
    .operands = "",
    .max_operands = 1,
    .verbs = verbs,
    .options = options,
    .details =
        "FILE is a path, or a name in the models directory. get and check exit 1 when something\n"
        "is wrong with the file; get is done at once when the file is there and good.\n",
    .examples = "  weir model get smollm2\n"
                "  weir model list --json\n"
                "  weir model check SmolLM2-135M-Instruct.Q4_1.gguf\n",
    .run = run,
};
