/* SPDX-License-Identifier: Apache-2.0 */
#include "corpus.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *checked(void *p)
{
    if (!p) {
        die("memory");
    }
    return p;
}

static void read_bytes(const char *path, struct corpus_case *c)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        die(path);
    }
    c->n_bytes = (size_t)ftell(f);
    c->bytes = checked(malloc(c->n_bytes + 1));
    rewind(f);
    if (fread(c->bytes, 1, c->n_bytes, f) != c->n_bytes) {
        die(path);
    }
    (void)fclose(f);
}

static void read_answers(struct corpus_case *c)
{
    const char *p = c->name;
    do {
        int status = (int)strtol(p, (char **)&p, 10);
        if (status > 0) {
            c->answers[c->n_answers++] = status;
        }
    } while (*p++ == '+' && c->n_answers < CORPUS_MAX_ANSWERS);
}

static int is_case(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 4 && strcmp(e->d_name + n - 4, ".txt") == 0;
}

struct corpus corpus_load(const char *dir)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, is_case, alphasort);
    if (n < 0) {
        die(dir);
    }
    struct corpus c = {.cases = checked(calloc((size_t)n + 1, sizeof(*c.cases)))};
    for (int i = 0; i < n; i++) {
        struct corpus_case *one = &c.cases[c.n_cases++];
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
        one->name = checked(strdup(entries[i]->d_name));
        read_bytes(path, one);
        read_answers(one);
        free(entries[i]);
    }
    free(entries);
    return c;
}

void corpus_finish(struct corpus *c)
{
    for (size_t i = 0; i < c->n_cases; i++) {
        free(c->cases[i].name);
        free(c->cases[i].bytes);
    }
    free(c->cases);
    *c = (struct corpus){0};
}
