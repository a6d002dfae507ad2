/* SPDX-License-Identifier: Apache-2.0 */
/* Layout: ldump.c and lopcodes.h of Lua 5.4; the header's version byte is checked. */
#include "cli/lua_code.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 250, MAX_USES = 100000, MAX_UPVALUES = 255 };

enum opcode { OP_GETTABUP = 11, OP_GETFIELD = 14, OP_SETTABUP = 15 };

struct reader {
    const unsigned char *p, *end;
    bool failed;
};

/* A function whose nested ones are being read. */
struct frame {
    uint32_t n_left; /* nested functions still to come */
    size_t first_use, n_uses;
    int first_line;
    uint32_t n_upvalues;
    bool is_env[MAX_UPVALUES];
};

static unsigned read_byte(struct reader *r)
{
    if (r->p >= r->end) {
        r->failed = true;
        return 0;
    }
    return *r->p++;
}

static const unsigned char *skip(struct reader *r, size_t n)
{
    const unsigned char *at = r->p;
    if (n > (size_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    r->p += n;
    return at;
}

static uint64_t read_size(struct reader *r)
{
    uint64_t value = 0;
    for (int i = 0; i < 10 && !r->failed; i++) {
        unsigned b = read_byte(r);
        value = value << 7 | (b & 0x7f);
        if (b & 0x80) {
            return value;
        }
    }
    r->failed = true;
    return 0;
}

static weir_str read_string(struct reader *r)
{
    uint64_t n = read_size(r);
    if (n == 0) {
        return (weir_str){NULL, 0};
    }
    const unsigned char *at = skip(r, (size_t)n - 1);
    return r->failed ? (weir_str){NULL, 0} : (weir_str){(const char *)at, (size_t)n - 1};
}

struct constants {
    weir_str *list; /* .p NULL: not a text */
    uint32_t n;
};

static bool read_constants(struct reader *r, struct constants *c)
{
    uint64_t n = read_size(r);
    c->list =
        !r->failed && n <= (size_t)(r->end - r->p) ? calloc((size_t)n + 1, sizeof(*c->list)) : NULL;
    if (!c->list) {
        return false;
    }
    c->n = (uint32_t)n;
    for (uint32_t i = 0; i < c->n && !r->failed; i++) {
        switch (read_byte(r)) {
        case 0x03:
        case 0x13: (void)skip(r, 8); break; /* integer, float */
        case 0x04:
        case 0x14: c->list[i] = read_string(r); break;
        default: break; /* nil, false, true */
        }
    }
    return !r->failed;
}

static uint32_t instruction(const unsigned char *code, size_t pc)
{
    uint32_t i;
    memcpy(&i, code + 4 * pc, sizeof(i));
    return i;
}

static unsigned op_of(uint32_t i)
{
    return i & 0x7f;
}
static unsigned a_of(uint32_t i)
{
    return i >> 7 & 0xff;
}
static unsigned b_of(uint32_t i)
{
    return i >> 16 & 0xff;
}
static unsigned c_of(uint32_t i)
{
    return i >> 24;
}

static weir_str constant(const struct constants *c, unsigned index)
{
    return index < c->n ? c->list[index] : (weir_str){NULL, 0};
}

static bool add_use(struct lua_code_uses *uses, const struct lua_code_use *use)
{
    if (uses->n == uses->cap) {
        size_t cap = uses->cap ? uses->cap * 2 : 64;
        void *more = cap <= MAX_USES ? realloc(uses->list, cap * sizeof(*uses->list)) : NULL;
        if (!more) {
            return false;
        }
        uses->list = more;
        uses->cap = cap;
    }
    uses->list[uses->n++] = *use;
    return true;
}

/* Uses get their instruction's number as line until the lines are known. */
static bool find_uses(const unsigned char *code, size_t n, const struct constants *c,
                      const struct frame *f, bool in_function, struct lua_code_uses *uses)
{
    for (size_t pc = 0; pc < n; pc++) {
        uint32_t i = instruction(code, pc);
        struct lua_code_use use = {.line = (int)pc, .in_function = in_function};
        if (op_of(i) == OP_GETTABUP && f->is_env[b_of(i)]) {
            use.name = constant(c, c_of(i));
            uint32_t next = pc + 1 < n ? instruction(code, pc + 1) : 0;
            if (op_of(next) == OP_GETFIELD && b_of(next) == a_of(i)) {
                use.field = constant(c, c_of(next));
            }
        } else if (op_of(i) == OP_SETTABUP && f->is_env[a_of(i)]) {
            use.name = constant(c, b_of(i));
            use.is_set = true;
        }
        if (use.name.p && !add_use(uses, &use)) {
            return false;
        }
    }
    return true;
}

/* All of a function before its nested ones. */
static int read_head(struct reader *r, const struct frame *parent, struct frame *f,
                     struct lua_code_uses *uses)
{
    struct constants c = {.list = NULL};
    (void)read_string(r); /* source */
    *f = (struct frame){.first_line = (int)read_size(r)};
    (void)read_size(r); /* last line */
    (void)skip(r, 3);   /* parameters, vararg, stack */
    uint64_t n_code = read_size(r);
    const unsigned char *code =
        n_code <= (size_t)(r->end - r->p) / 4 ? skip(r, (size_t)n_code * 4) : NULL;
    int rc = !code || r->failed ? WEIR_E_FORMAT : read_constants(r, &c) ? 0 : WEIR_E_FORMAT;
    uint64_t n_upvalues = rc == 0 ? read_size(r) : 0;
    if (n_upvalues > MAX_UPVALUES) {
        rc = WEIR_E_FORMAT;
    }
    f->n_upvalues = (uint32_t)n_upvalues;
    for (uint32_t i = 0; rc == 0 && i < f->n_upvalues; i++) {
        unsigned in_stack = read_byte(r), index = read_byte(r);
        (void)read_byte(r); /* kind */
        f->is_env[i] = parent ? !in_stack && index < MAX_UPVALUES && parent->is_env[index] : i == 0;
    }
    f->first_use = uses->n;
    if (rc == 0 && !find_uses(code, (size_t)n_code, &c, f, parent != NULL, uses)) {
        rc = WEIR_E_NOMEM;
    }
    f->n_uses = uses->n - f->first_use;
    f->n_left = rc == 0 ? (uint32_t)read_size(r) : 0;
    free(c.list);
    return r->failed ? WEIR_E_FORMAT : rc;
}

/* The lines of a function's instructions, behind its nested functions. */
static int read_tail(struct reader *r, const struct frame *f, struct lua_code_uses *uses)
{
    enum { ABSOLUTE = -128 };
    uint64_t n = read_size(r);
    const unsigned char *steps = skip(r, (size_t)n);
    uint64_t n_absolute = read_size(r), at = 0;
    int line = f->first_line;
    size_t use = f->first_use;
    for (uint64_t pc = 0; steps && pc < n; pc++) {
        signed char step = (signed char)steps[pc];
        if (step == ABSOLUTE && at < n_absolute) {
            (void)read_size(r);
            line = (int)read_size(r);
            at++;
        } else {
            line += step;
        }
        for (; use < f->first_use + f->n_uses && uses->list[use].line == (int)pc; use++) {
            uses->list[use].line = line;
        }
    }
    for (; at < n_absolute && !r->failed; at++) {
        (void)read_size(r);
        (void)read_size(r);
    }
    for (uint64_t i = read_size(r); i > 0 && !r->failed; i--) { /* local variables */
        (void)read_string(r);
        (void)read_size(r);
        (void)read_size(r);
    }
    for (uint64_t i = read_size(r); i > 0 && !r->failed; i--) { /* names of upvalues */
        (void)read_string(r);
    }
    return r->failed ? WEIR_E_FORMAT : 0;
}

static int read_functions(struct reader *r, struct lua_code_uses *uses)
{
    struct frame *stack = calloc(MAX_DEPTH, sizeof(*stack));
    uint32_t depth = 1;
    if (!stack) {
        return WEIR_E_NOMEM;
    }
    int rc = read_head(r, NULL, &stack[0], uses);
    while (rc == 0 && depth) {
        struct frame *top = &stack[depth - 1];
        if (top->n_left == 0) {
            rc = read_tail(r, top, uses);
            depth--;
        } else if (depth == MAX_DEPTH) {
            rc = WEIR_E_FORMAT;
        } else {
            top->n_left--;
            rc = read_head(r, top, &stack[depth++], uses);
        }
    }
    free(stack);
    return rc;
}

int lua_code_read(weir_str code, struct lua_code_uses *ret_uses)
{
    static const unsigned char head[] = {0x1b, 'L',  'u',  'a',  0x54, 0, 0x19, 0x93,
                                         '\r', '\n', 0x1a, '\n', 4,    8, 8};
    struct reader r = {(const unsigned char *)code.p, (const unsigned char *)code.p + code.n,
                       false};
    *ret_uses = (struct lua_code_uses){.list = NULL};
    const unsigned char *at = skip(&r, sizeof(head));
    if (!at || memcmp(at, head, sizeof(head)) != 0) {
        return WEIR_E_UNSUPPORTED;
    }
    (void)skip(&r, 16 + 1); /* sample numbers, count of upvalues */
    int rc = read_functions(&r, ret_uses);
    if (rc < 0) {
        lua_code_uses_finish(ret_uses);
    }
    return rc;
}

void lua_code_uses_finish(struct lua_code_uses *uses)
{
    free(uses->list);
    *uses = (struct lua_code_uses){.list = NULL};
}
