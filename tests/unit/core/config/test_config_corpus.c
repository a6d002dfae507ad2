/* SPDX-License-Identifier: Apache-2.0 */
/* Every file of tests/corpus/config gives exactly the findings that its own comments ask for:
 *   #= 78                          the verdict: 0 good, 1 against a rule, 78 malformed
 *   #: 12:5: key.path: text        one line for each finding, in order
 * The directory is the first argument. */
#include <dirent.h>
#include <stdlib.h>

#include "core/config/config.h"
#include "tests/support/cmocka.h"

static const char *directory;

struct expectation {
    int verdict;
    char *lines; /* as weir_findings_print() writes them */
};

static struct expectation expectation_of(const char *path)
{
    struct expectation want = {.verdict = -1};
    size_t n = 0;
    FILE *out = open_memstream(&want.lines, &n);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    char line[1000];
    while (fgets(line, sizeof(line), in)) {
        if (strncmp(line, "#= ", 3) == 0) {
            want.verdict = atoi(line + 3);
        } else if (strncmp(line, "#: ", 3) == 0) {
            fprintf(out, "%s:%s", path, line + 3);
        }
    }
    fclose(in);
    fclose(out);
    return want;
}

static void check_file(const char *path)
{
    struct expectation want = expectation_of(path);
    struct weir_findings f;
    struct weir_config *config = NULL;
    weir_findings_init(&f, path);
    int r = weir_config_load(&f, true, &config);
    char *got = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&got, &n);
    weir_findings_print(&f, out);
    fclose(out);

    assert_string_equal(got, want.lines);
    int verdict = weir_findings_malformed(&f) ? 78 : !weir_findings_empty(&f);
    assert_int_equal(verdict, want.verdict);
    assert_int_equal(r == 0, want.verdict != 78);

    free(got);
    free(want.lines);
    weir_config_unref(config);
    weir_findings_finish(&f);
}

static void every_file_gives_its_findings(void **state)
{
    (void)state;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    size_t n = 0;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && strcmp(dot, ".yaml") == 0) {
            char path[4096];
            (void)snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
            check_file(path);
            n++;
        }
    }
    closedir(dir);
    assert_true(n > 20);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    directory = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_gives_its_findings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
