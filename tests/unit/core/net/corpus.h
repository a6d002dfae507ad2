/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The files of tests/corpus/http: raw bytes of a client, and in the name what a server answers.
 *
 * "200+400-good-then-bad.txt" holds two requests, of which the second is refused; "000" means that
 * there is nothing to answer yet. Ownership: the list owns everything. Threads: none. */
#include "weir/types.h"

enum { CORPUS_MAX_ANSWERS = 4 };

struct corpus_case {
    char *name;
    char *bytes;
    size_t n_bytes;
    int answers[CORPUS_MAX_ANSWERS]; /* statuses */
    size_t n_answers;
};

struct corpus {
    struct corpus_case *cases;
    size_t n_cases;
};

/* Reads every .txt file of the directory; exits with a message when it cannot. */
struct corpus corpus_load(const char *dir);
void corpus_finish(struct corpus *c);
