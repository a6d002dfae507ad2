/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into what the thread sanitizer watches: shows it the descriptors that libuv closes.
 *
 * Why: libuv closes by syscall(SYS_close), which the sanitizer does not intercept. It would take
 * the number's next owner, on another thread, for a second user of the same descriptor. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long (*syscall_fn)(long, long, long, long, long, long, long);

long syscall(long number, ...) __attribute__((visibility("default")));
long syscall(long number, ...)
{
    static _Atomic(syscall_fn) next;
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_close) {
        return close((int)a[0]);
    }
    syscall_fn call = atomic_load(&next);
    if (!call) {
        *(void **)(void *)&call = dlsym(RTLD_NEXT, "syscall");
        atomic_store(&next, call);
    }
    return call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
