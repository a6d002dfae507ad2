/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"

enum { MAX_LINE_BYTES = 4096 };

static _Atomic int sink_level = WEIR_LOG_INFO;
static _Atomic bool sink_json;

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void weir_log_configure(enum weir_log_level level, bool json)
{
    atomic_store_explicit(&sink_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&sink_json, json, memory_order_relaxed);
}

bool weir_log_enabled(enum weir_log_level level)
{
    return (int)level <= atomic_load_explicit(&sink_level, memory_order_relaxed);
}

int weir_log_level_parse(weir_str name, enum weir_log_level *ret_level)
{
    for (int i = 0; i <= WEIR_LOG_TRACE; i++) {
        if (weir_str_is(name, level_names[i])) {
            *ret_level = (enum weir_log_level)i;
            return 0;
        }
    }
    return WEIR_E_ARG;
}

static void format_time(char *out, size_t cap)
{
    uint64_t now_us = weir_clock_wall_us();
    time_t seconds = (time_t)(now_us / 1000000u);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    size_t n = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, cap - n, ".%03uZ", (unsigned)(now_us / 1000u % 1000u));
}

static void write_line(const char *line, size_t n)
{
    /* A log line that cannot be written has nowhere else to go. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

static void add_json(struct weir_buf *b, const char *time, enum weir_log_level level,
                     const char *component, const char *request_id, weir_str message)
{
    weir_buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"component\":", time,
                    level_names[level]);
    weir_buf_add_json_str(b, weir_str_from(component));
    if (request_id) {
        weir_buf_add_text(b, ",\"request_id\":");
        weir_buf_add_json_str(b, weir_str_from(request_id));
    }
    weir_buf_add_text(b, ",\"message\":");
    weir_buf_add_json_str(b, message);
    weir_buf_add_text(b, "}\n");
}

static void add_text(struct weir_buf *b, const char *time, enum weir_log_level level,
                     const char *component, const char *request_id, weir_str message)
{
    weir_buf_printf(b, "%s %-5s %s: ", time, level_names[level], component);
    for (size_t i = 0; i < message.n; i++) {
        unsigned char c = (unsigned char)message.p[i];
        if (c < 0x20 || c == 0x7F) {
            weir_buf_printf(b, "\\x%02x", c);
        } else {
            weir_buf_add_char(b, (char)c);
        }
    }
    if (request_id) {
        weir_buf_printf(b, " request_id=%s", request_id);
    }
    weir_buf_add_char(b, '\n');
}

void weir_log(enum weir_log_level level, const char *component, const char *request_id,
              const char *fmt, ...)
{
    if (!weir_log_enabled(level)) {
        return;
    }
    char message[MAX_LINE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    if (n < 0) {
        return;
    }
    size_t len = (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1;
    char time[40];
    format_time(time, sizeof(time));

    struct weir_buf line;
    weir_buf_init(&line, (size_t)MAX_LINE_BYTES * 8); /* every byte may become an escape */
    bool json = atomic_load_explicit(&sink_json, memory_order_relaxed);
    (json ? add_json : add_text)(&line, time, level, component, request_id,
                                 (weir_str){message, len});
    if (!line.failed) {
        write_line(line.data, line.len);
    }
    weir_buf_finish(&line);
}
