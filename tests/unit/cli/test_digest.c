/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

/* FIPS 180-2, appendix B.1: the digest of "abc". */
static const char abc_digest[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

struct folder {
    char path[64];
    char a[80], bc[80], whole[80];
};

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void make(struct folder *f)
{
    (void)snprintf(f->path, sizeof(f->path), "/tmp/weir-digest-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    (void)snprintf(f->a, sizeof(f->a), "%s/a", f->path);
    (void)snprintf(f->bc, sizeof(f->bc), "%s/bc", f->path);
    (void)snprintf(f->whole, sizeof(f->whole), "%s/whole", f->path);
    write_file(f->a, "a");
    write_file(f->bc, "bc");
}

static void clean(const struct folder *f)
{
    unlink(f->a);
    unlink(f->bc);
    unlink(f->whole);
    rmdir(f->path);
}

static void pieces_join_in_order(void **state)
{
    (void)state;
    struct folder f;
    make(&f);
    char digest[WEIR_DIGEST_HEX_BYTES];

    assert_int_equal(weir_digest_join((const char *const[]){f.a, f.bc}, 2, f.whole, digest, NULL),
                     0);
    assert_string_equal(digest, abc_digest);
    assert_int_equal(weir_digest_file(f.whole, digest, NULL), 0);
    assert_string_equal(digest, abc_digest);
    clean(&f);
}

static void an_existing_target_or_missing_piece_is_an_error(void **state)
{
    (void)state;
    struct folder f;
    make(&f);
    char digest[WEIR_DIGEST_HEX_BYTES];
    struct weir_error err = {0};

    assert_int_equal(weir_digest_join((const char *const[]){f.a}, 1, f.bc, digest, &err),
                     WEIR_E_IO);
    assert_non_null(strstr(err.message, "File exists"));
    assert_int_equal(weir_digest_file(f.whole, digest, &err), WEIR_E_IO);
    assert_non_null(strstr(err.message, "No such file"));
    clean(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_join_in_order),
        cmocka_unit_test(an_existing_target_or_missing_piece_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
