/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How libc's heap gets its memory: in large pieces, and on large pages where a loop's streams live.
 *
 * Why: what one event of a stream touches lies in a dozen pages. Those of hundreds of streams are
 * more than the processor remembers where to find (TLB), and looking one up in the page tables, in
 * a virtual machine in two of them, costs more than the memory itself. And libc gives the heap of a
 * thread one page after the other, a system call each.
 * Threads: prepare() before there are others; use_large_pages() any, each with heaps of its own.
 * Errors: none; where the kernel or libc will not, nothing changes. Bounds: address space of 64 MiB
 * for each thread that allocates; memory is taken by 2 MiB, where it is touched. */
#include <stddef.h>
#include <stdint.h>

/* A sanitizer's heap is spread over what large pages would fill: it is left alone. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEIR_HEAP_IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
#define WEIR_HEAP_IS_SANITIZED 1
#endif
#endif
#ifndef WEIR_HEAP_IS_SANITIZED
#define WEIR_HEAP_IS_SANITIZED 0
#endif

/* libc grows its heaps by as much as one of a thread can have, and keeps that. What is larger than
 * 1 MiB and finds no room there has a mapping of its own. The first heap gets large pages. */
void weir_heap_prepare(void);

enum { WEIR_HEAPS = 64 }; /* of 64 MiB; those beyond keep usual pages */

/* Heaps that have been seen to; all zero at first. */
struct weir_heaps {
    struct {
        uintptr_t from, to;
    } heaps[WEIR_HEAPS];
    uint32_t n;
};

/* The heap that `memory`, new from malloc(), lies in gets large pages from here on. Cheap where
 * that has been done; to be called for objects that are kept, since a thread's heap may become
 * several. */
void weir_heap_use_large_pages(struct weir_heaps *known, const void *memory);
