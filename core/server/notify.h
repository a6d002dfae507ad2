/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tells the service manager how the daemon is: sd_notify(3)'s protocol, one datagram to
 * $NOTIFY_SOCKET. Without that variable it does nothing. Threads: [main-thread]. */
void weir_notify(const char *state);
