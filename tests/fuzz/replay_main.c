/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files, for compilers without libFuzzer and as a regression test.
 *
 * usage: fuzz_NAME_replay FILE|DIRECTORY... (directories are not entered deeper) */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        return 1;
    }
    size_t n = (size_t)ftell(f);
    /* Exactly as large as the input, so that a sanitizer sees a read past its end. */
    uint8_t *bytes = malloc(n ? n : 1);
    rewind(f);
    int r = !bytes || fread(bytes, 1, n, f) != n;
    if (!r) {
        (void)LLVMFuzzerTestOneInput(bytes, n);
    }
    free(bytes);
    (void)fclose(f);
    return r;
}

static int replay_directory(const char *path)
{
    DIR *d = opendir(path);
    if (!d) {
        perror(path);
        return 1;
    }
    int r = 0;
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        char file[4096];
        (void)snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        struct stat st;
        if (e->d_name[0] != '.' && stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            r |= replay_file(file);
        }
    }
    (void)closedir(d);
    return r;
}

int main(int argc, char **argv)
{
    int r = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) < 0) {
            perror(argv[i]);
            r = 1;
        } else {
            r |= S_ISDIR(st.st_mode) ? replay_directory(argv[i]) : replay_file(argv[i]);
        }
    }
    return r;
}
