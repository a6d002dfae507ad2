/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include "base/buf.h"

struct translator {
    weir_str in;
    size_t at;
    struct weir_buf out;
    uint64_t repeats; /* product of all repeat counts */
    struct weir_error *err;
};

static int refuse(struct translator *t, const char *what)
{
    return weir_error_set(t->err, WEIR_E_UNSUPPORTED,
                          "has %s at character %zu, which patterns here do not know", what,
                          t->at + 1);
}

static char peek(const struct translator *t, size_t ahead)
{
    return t->at + ahead < t->in.n ? t->in.p[t->at + ahead] : '\0';
}

/* What the class stands for inside [...]; NULL for another letter. */
static const char *class_members(char c)
{
    switch (c) {
    case 'd':
    case 'D': return "0-9";
    case 'w':
    case 'W': return "A-Za-z0-9_";
    case 's':
    case 'S': return " \t\r\n\f\v";
    default: return NULL;
    }
}

static char control_character(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    default: return '\0';
    }
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* At a backslash outside of brackets. */
static int translate_escape(struct translator *t)
{
    char c = peek(t, 1);
    const char *members = class_members(c);
    if (members) {
        weir_buf_printf(&t->out, c >= 'a' ? "[%s]" : "[^%s]", members);
    } else if (control_character(c)) {
        weir_buf_add_char(&t->out, control_character(c));
    } else if (c == '\0' || is_alnum(c)) {
        return refuse(t, "an escape other than \\d \\w \\s \\n \\t and punctuation");
    } else if (strchr(".[]{}()*+?^$|\\", c)) {
        weir_buf_printf(&t->out, "\\%c", c);
    } else {
        weir_buf_add_char(&t->out, c);
    }
    t->at += 2;
    return 0;
}

/* One member of [...]: characters with a meaning there are written as collating symbols. */
static void add_member(struct translator *t, char c)
{
    if (strchr("[]^-", c)) {
        weir_buf_printf(&t->out, "[.%c.]", c);
    } else {
        weir_buf_add_char(&t->out, c);
    }
}

static int translate_member_escape(struct translator *t)
{
    char c = peek(t, 1);
    const char *members = class_members(c);
    if (members && c >= 'a') {
        weir_buf_add_text(&t->out, members);
    } else if (control_character(c)) {
        weir_buf_add_char(&t->out, control_character(c));
    } else if (c == '\0' || is_alnum(c)) {
        return refuse(t, "an escape inside [...] other than \\d \\w \\s and punctuation");
    } else {
        add_member(t, c);
    }
    t->at += 2;
    return 0;
}

static int translate_bracket(struct translator *t)
{
    weir_buf_add_char(&t->out, '[');
    t->at++;
    if (peek(t, 0) == '^') {
        weir_buf_add_char(&t->out, '^');
        t->at++;
    }
    if (peek(t, 0) == ']') {
        return refuse(t, "an empty []");
    }
    while (t->at < t->in.n && peek(t, 0) != ']') {
        if (peek(t, 0) == '\\') {
            int r = translate_member_escape(t);
            if (r < 0) {
                return r;
            }
            continue;
        }
        /* A bare '-' keeps its meaning: a range, or itself at either end. */
        if (peek(t, 0) == '-') {
            weir_buf_add_char(&t->out, '-');
        } else {
            add_member(t, peek(t, 0));
        }
        t->at++;
    }
    if (t->at == t->in.n) {
        return refuse(t, "a [ without ]");
    }
    weir_buf_add_char(&t->out, ']');
    t->at++;
    return 0;
}

static uint64_t read_count(struct translator *t)
{
    uint64_t v = 0;
    while (peek(t, 0) >= '0' && peek(t, 0) <= '9') {
        v = v > WEIR_PATTERN_MAX_REPEAT ? v : v * 10 + (uint64_t)(peek(t, 0) - '0');
        weir_buf_add_char(&t->out, peek(t, 0));
        t->at++;
    }
    return v;
}

/* {n}, {n,} or {n,m}. The C library unrolls counts, so their product is bounded. */
static int translate_repeat(struct translator *t)
{
    if (peek(t, 1) < '0' || peek(t, 1) > '9') {
        return refuse(t, "a { that is no repeat count");
    }
    weir_buf_add_char(&t->out, '{');
    t->at++;
    uint64_t count = read_count(t);
    if (peek(t, 0) == ',') {
        weir_buf_add_char(&t->out, ',');
        t->at++;
        uint64_t most = read_count(t);
        count = most > count ? most : count;
    }
    if (peek(t, 0) != '}') {
        return refuse(t, "a { without }");
    }
    weir_buf_add_char(&t->out, '}');
    t->repeats *= count ? count : 1;
    if (t->repeats > WEIR_PATTERN_MAX_REPEAT) {
        return refuse(t, "repeat counts whose product is above 1000");
    }
    t->at++;
    return 0;
}

static int translate_one(struct translator *t)
{
    char c = peek(t, 0);
    switch (c) {
    case '\\': return translate_escape(t);
    case '[': return translate_bracket(t);
    case '(':
        if (peek(t, 1) == '?' && peek(t, 2) != ':') {
            return refuse(t, "a (?...) other than (?:...)");
        }
        weir_buf_add_char(&t->out, '(');
        t->at += peek(t, 1) == '?' ? 3 : 1;
        return 0;
    case '{':
    case '*':
    case '+':
    case '?': {
        int r = 0;
        if (c == '{') {
            r = translate_repeat(t);
        } else {
            weir_buf_add_char(&t->out, c);
            t->at++;
        }
        char after = peek(t, 0);
        if (r == 0 && after != '\0' && strchr("*+?{", after)) {
            return refuse(t, "a repeat of a repeat, or a lazy one");
        }
        return r;
    }
    default:
        weir_buf_add_char(&t->out, c);
        t->at++;
        return 0;
    }
}

int weir_pattern_init(struct weir_pattern *p, weir_str text, struct weir_error *err)
{
    if (text.n > WEIR_PATTERN_MAX_BYTES) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "is longer than %d bytes",
                              WEIR_PATTERN_MAX_BYTES);
    }
    struct translator t = {.in = text, .repeats = 1, .err = err};
    weir_buf_init(&t.out, 16 * WEIR_PATTERN_MAX_BYTES);
    weir_buf_add_text(&t.out, "");
    int r = 0;
    while (r == 0 && t.at < text.n) {
        r = translate_one(&t);
    }
    if (r == 0 && t.out.failed) {
        r = weir_error_set(err, WEIR_E_NOMEM, "needs too much memory");
    }
    if (r == 0) {
        int code = regcomp(&p->regex, t.out.data, REG_EXTENDED | REG_NOSUB);
        if (code != 0) {
            char why[100];
            (void)regerror(code, &p->regex, why, sizeof(why));
            r = weir_error_set(err, WEIR_E_UNSUPPORTED, "is no valid pattern: %s", why);
        }
    }
    weir_buf_finish(&t.out);
    return r;
}

void weir_pattern_finish(struct weir_pattern *p)
{
    regfree(&p->regex);
}

bool weir_pattern_matches(const struct weir_pattern *p, weir_str subject)
{
    regmatch_t span = {.rm_so = 0, .rm_eo = (regoff_t)subject.n};
    return regexec(&p->regex, subject.n ? subject.p : "", 0, &span, REG_STARTEND) == 0;
}
