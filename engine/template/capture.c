/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/print.h"
#include "engine/template/text.h"
#include "run.h"

size_t weir_tpl_capture_begin(const struct weir_tpl_run *run)
{
    return run->out->len;
}

static void check_output(struct weir_tpl_run *run)
{
    if (run->out->failed) {
        (void)weir_tpl_run_fail(run, WEIR_E_TOOBIG, "the prompt is longer than %zu bytes",
                                run->out->max_bytes);
    }
}

struct weir_tpl_value weir_tpl_capture_end(struct weir_tpl_run *run, size_t begin)
{
    check_output(run);
    if (run->code < 0) {
        return weir_tpl_undefined((weir_str){NULL, 0});
    }
    weir_str text = WEIR_STR_INIT("");
    if (run->out->len > begin) {
        text = (weir_str){run->out->data + begin, run->out->len - begin};
    }
    struct weir_tpl_value v = weir_tpl_new_str(run, weir_arena_copy(&run->arena, text), NULL);
    run->out->len = begin;
    if (run->out->data) {
        run->out->data[begin] = '\0';
    }
    return v;
}

void weir_tpl_print(struct weir_tpl_run *run, struct weir_tpl_value v)
{
    size_t before = run->out->len;
    const char *why = weir_tpl_print_str(run->out, &v, &run->steps);
    check_output(run);
    if (why) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "%s", why);
    }
    (void)weir_tpl_run_spend(run, (run->out->len - before) / 64);
}

weir_str weir_tpl_to_str(struct weir_tpl_run *run, struct weir_tpl_value v)
{
    if (v.kind == WEIR_TPL_STR) {
        return v.str;
    }
    if (run->code < 0 || v.kind == WEIR_TPL_UNDEFINED) {
        return (weir_str)WEIR_STR_INIT("");
    }
    size_t begin = weir_tpl_capture_begin(run);
    weir_tpl_print(run, v);
    struct weir_tpl_value s = weir_tpl_capture_end(run, begin);
    return s.kind == WEIR_TPL_STR ? s.str : (weir_str)WEIR_STR_INIT("");
}

struct weir_tpl_value weir_tpl_new_str(struct weir_tpl_run *run, weir_str s,
                                       const struct weir_tpl_value *like)
{
    if (!s.p) {
        return weir_tpl_run_no_memory(run);
    }
    struct weir_tpl_value v = weir_tpl_str(s);
    v.markup = like && like->kind == WEIR_TPL_STR && like->markup;
    return weir_tpl_run_spend(run, s.n / 64) ? v : weir_tpl_undefined((weir_str){NULL, 0});
}

struct weir_tpl_value weir_tpl_escape(struct weir_tpl_run *run, struct weir_tpl_value v)
{
    if (v.kind == WEIR_TPL_STR && v.markup) {
        return v;
    }
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    weir_str s = weir_tpl_to_str(run, v);
    size_t begin = weir_tpl_capture_begin(run);
    for (size_t i = 0; i < s.n; i++) {
        const char *hit = s.p[i] ? strchr(from, s.p[i]) : NULL;
        if (hit) {
            weir_buf_add_text(run->out, to[hit - from]);
        } else {
            weir_buf_add_char(run->out, s.p[i]);
        }
    }
    struct weir_tpl_value escaped = weir_tpl_capture_end(run, begin);
    escaped.markup = true;
    return escaped;
}

struct weir_tpl_value weir_tpl_replace(struct weir_tpl_run *run, struct weir_tpl_value in,
                                       weir_str from, weir_str to, int64_t max)
{
    weir_str s = in.str;
    size_t begin = weir_tpl_capture_begin(run), at = 0;
    while (max != 0 && at <= s.n && !run->out->failed && weir_tpl_run_spend(run, 1)) {
        size_t hit = weir_tpl_text_find(s, from, at);
        if (hit == SIZE_MAX) {
            break;
        }
        weir_buf_add(run->out, s.p + at, hit - at);
        weir_buf_add_str(run->out, to);
        at = hit + from.n;
        if (from.n == 0) { /* Python puts `to` between all characters */
            size_t next = at + 1;
            if (at < s.n) {
                (void)weir_tpl_text_next(s, at, &next);
                weir_buf_add(run->out, s.p + at, next - at);
            }
            at = next;
        }
        max -= max > 0;
    }
    if (at < s.n) {
        weir_buf_add(run->out, s.p + at, s.n - at);
    }
    struct weir_tpl_value replaced = weir_tpl_capture_end(run, begin);
    replaced.markup = in.markup;
    return replaced;
}
