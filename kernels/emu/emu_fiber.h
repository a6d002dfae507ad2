/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the address sanitizer must know of fibers: which stack is in use, and that what lies on one
 * that is used again is nobody's. Without the sanitizer all of it is nothing.
 *
 * Order: leave, the switch, arrive; `fake` is where the sanitizer keeps what it needs to come back.
 * Threads: that which switches. */
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_EMU_WATCHED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WEIR_EMU_WATCHED 1
#endif

#ifdef WEIR_EMU_WATCHED
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* fake NULL: nobody comes back to this stack. */
static inline void weir_emu_fiber_leave(void **fake, const void *to, size_t to_bytes)
{
    __sanitizer_start_switch_fiber(fake, to, to_bytes);
}

static inline void weir_emu_fiber_arrive(void *fake, const void **ret_from, size_t *ret_from_bytes)
{
    __sanitizer_finish_switch_fiber(fake, ret_from, ret_from_bytes);
}

static inline void weir_emu_fiber_forget(void *stack, size_t n_bytes)
{
    __asan_unpoison_memory_region(stack, n_bytes);
}
#else
static inline void weir_emu_fiber_leave(void **fake, const void *to, size_t to_bytes)
{
    (void)fake, (void)to, (void)to_bytes;
}

static inline void weir_emu_fiber_arrive(void *fake, const void **ret_from, size_t *ret_from_bytes)
{
    (void)fake, (void)ret_from, (void)ret_from_bytes;
}

static inline void weir_emu_fiber_forget(void *stack, size_t n_bytes)
{
    (void)stack, (void)n_bytes;
}
#endif
