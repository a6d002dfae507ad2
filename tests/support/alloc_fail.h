/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Runs an operation while its n-th allocation fails, for n = 0, 1, 2, … until none is left to fail.
 *
 * Why: the way out of a failed allocation is code that nothing else runs. Under a sanitizer each
 * way out is checked for leaks and for use of what was freed.
 * How: the linker sends malloc, calloc and realloc of the code under test here; link with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc. Allocations inside of shared libraries are not
 * reached. Threads: the allocations of all are counted together; one test at a time. */
#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now on fails (0: the next), the others do not. */
void alloc_fail_after(size_t n);
/* No allocation fails from now on. Returns whether one did. */
bool alloc_fail_off(void);

/* Does the operation once and undoes it. Returns what the operation returned: 0 or positive for
 * success, WEIR_E_*. It must not assert in the operation itself: that allocates. */
typedef int alloc_fail_attempt(void *arg);

/* Fails the test unless the operation succeeds when nothing fails, every failure is reported as a
 * negative code or survived, and the number of allocations is at most max. Returns that number. */
size_t alloc_fail_each(alloc_fail_attempt *attempt, void *arg, size_t max);
