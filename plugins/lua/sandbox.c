/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    HOOK_PERIOD = 1000,
    IDLE_THREADS = 4,
    /* Each refusal costs a full collection, so few are let pass. */
    MAX_REFUSALS = 4,
};

const char *const lua_hook_names[LUA_HOOK__COUNT] = {"on_request", "on_route", "on_chunk",
                                                     "on_complete"};

struct thread {
    lua_State *L;
    int anchor;
};

struct lua_sandbox {
    lua_State *L;
    struct lua_limits limits;
    struct lua_budget *budget; /* of what runs now; NULL: nothing does */
    void *arg;
    size_t live_bytes;
    int hook_period;
    int hooks[LUA_HOOK__COUNT]; /* registry references; 0: not defined */
    int req, chunk, usage;      /* registry references of the objects */
    struct thread idle[IDLE_THREADS];
    uint32_t n_idle, n_runs;
    bool spent;
};

static const char globals_key = 'g', env_key = 'e'; /* their addresses are registry keys */

static uint64_t cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000 + 1;
}

static struct lua_sandbox *of(lua_State *L)
{
    return *(struct lua_sandbox **)lua_getextraspace(L);
}

/* ---- memory ---- */

static bool may_grow(struct lua_sandbox *s, size_t more)
{
    struct lua_budget *b = s->budget;
    if (b && (b->aborted || more > b->allocated_bytes)) {
        b->aborted = true;
        b->why = "out of memory: too much was allocated";
        return false;
    }
    if (more > s->limits.live_bytes - s->live_bytes) {
        if (b && ++b->refusals > MAX_REFUSALS) {
            b->aborted = true;
            b->why = "out of memory";
        }
        return false;
    }
    if (b) {
        b->allocated_bytes -= more;
    }
    return true;
}

static void *allocate(void *arg, void *p, size_t old_bytes, size_t n_bytes)
{
    struct lua_sandbox *s = arg;
    old_bytes = p ? old_bytes : 0; /* Lua passes a type there for new blocks */
    if (n_bytes == 0) {
        free(p);
        s->live_bytes -= old_bytes;
        return NULL;
    }
    if (n_bytes > old_bytes && !may_grow(s, n_bytes - old_bytes)) {
        return NULL;
    }
    void *q = realloc(p, n_bytes);
    if (q) {
        s->live_bytes = s->live_bytes - old_bytes + n_bytes;
    }
    return q;
}

/* ---- budget ---- */

/* Raises without allocating. */
static void abort_run(lua_State *L, const char *why)
{
    struct lua_sandbox *s = of(L);
    s->budget->aborted = true;
    s->budget->why = s->budget->why ? s->budget->why : why;
    lua_pushlightuserdata(L, s);
    (void)lua_error(L);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct lua_sandbox *s = of(L);
    struct lua_budget *b = s->budget;
    if (!b) {
        return;
    }
    b->instructions -= s->hook_period;
    if (b->aborted || b->instructions <= 0) {
        abort_run(L, "out of instructions");
    }
    if (s->hook_period == 1) {
        return; /* measuring */
    }
    uint64_t now_us = cpu_us();
    if (b->segment_us == 0) {
        b->segment_us = now_us;
    } else if (now_us - b->segment_us > b->cpu_left_us) {
        abort_run(L, "out of time");
    }
}

void lua_sandbox_charge(lua_State *L, size_t units)
{
    struct lua_budget *b = of(L)->budget;
    if (!b) {
        return;
    }
    b->instructions -= units > INT32_MAX ? INT32_MAX : (int64_t)units;
    if (b->instructions <= 0 || b->aborted) {
        abort_run(L, "out of instructions");
    }
}

size_t lua_sandbox_left(lua_State *L)
{
    const struct lua_budget *b = of(L)->budget;
    return !b ? INT32_MAX : b->instructions > 0 ? (size_t)b->instructions : 0;
}

static void fill_budget(const struct lua_sandbox *s, struct lua_budget *b)
{
    *b = (struct lua_budget){
        .instructions = s->limits.instructions,
        .cpu_left_us = s->limits.cpu_us,
        .allocated_bytes = s->limits.allocated_bytes,
    };
}

static void begin_segment(struct lua_sandbox *s, struct lua_budget *b, void *arg)
{
    s->budget = b;
    s->arg = arg;
    b->segment_us = 0;
}

static void end_segment(struct lua_sandbox *s)
{
    struct lua_budget *b = s->budget;
    if (b->segment_us) {
        uint64_t used = cpu_us() - b->segment_us;
        b->cpu_left_us = used < b->cpu_left_us ? b->cpu_left_us - used : 0;
    }
    s->budget = NULL;
    s->arg = NULL;
}

void *lua_sandbox_arg(lua_State *L)
{
    return of(L)->arg;
}

/* What a finished or failed piece of Lua means; the error object is on top of L. */
static int judge(struct lua_sandbox *s, lua_State *L, int status, const struct lua_budget *b,
                 char error[LUA_SANDBOX_ERROR_BYTES])
{
    if (b->aborted || status == LUA_ERRMEM) {
        bool memory = status == LUA_ERRMEM || (b->why && strncmp(b->why, "out of memory", 13) == 0);
        s->spent = true;
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "%s", b->why ? b->why : "out of memory");
        return memory ? WEIR_E_NOMEM : WEIR_E_TIMEOUT;
    }
    if (status == LUA_OK || status == LUA_YIELD) {
        return 0;
    }
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "%s", text ? text : "error without a message");
    return WEIR_E_FORMAT;
}

int lua_sandbox_protect(struct lua_sandbox *s, lua_CFunction fn, void *arg,
                        char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_budget b;
    fill_budget(s, &b);
    begin_segment(s, &b, arg);
    lua_sethook(s->L, on_count, LUA_MASKCOUNT, s->hook_period);
    /* Neither push allocates: everything that may fail happens inside the protected call. */
    lua_pushcfunction(s->L, fn);
    lua_pushlightuserdata(s->L, arg);
    int rc = judge(s, s->L, lua_pcall(s->L, 1, 0, 0), &b, error);
    end_segment(s);
    lua_settop(s->L, 0);
    return rc;
}

/* ---- loading ---- */

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "this table is read-only");
}

void lua_sandbox_freeze(lua_State *L)
{
    lua_newtable(L); /* the proxy stays empty, so that every write goes through __newindex */
    lua_newtable(L);
    lua_rotate(L, -3, -1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
}

static int refuse_global(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "global '%s': globals can be set at the top level only, not in a hook",
                      name);
}

/* Leaves the environment of the script on the stack: a proxy of the globals; and remembers its
 * metatable, to refuse writes later. */
static void push_environment(lua_State *L, int globals)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, globals);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, globals);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
    lua_setmetatable(L, -2);
}

static void set_writable(lua_State *L, bool writable)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key);
    if (writable) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key);
    } else {
        lua_pushcfunction(L, refuse_global);
    }
    lua_setfield(L, -2, "__newindex");
    lua_pop(L, 1);
}

static int find_hooks(lua_State *L, struct lua_sandbox *s, int globals)
{
    int n = 0;
    for (int i = 0; i < LUA_HOOK__COUNT; i++) {
        lua_getfield(L, globals, lua_hook_names[i]);
        if (lua_isfunction(L, -1)) {
            s->hooks[i] = luaL_ref(L, LUA_REGISTRYINDEX);
            n++;
        } else if (!lua_isnil(L, -1)) {
            return luaL_error(L, "%s must be a function", lua_hook_names[i]);
        } else {
            lua_pop(L, 1);
        }
    }
    return n;
}

static int anchor(lua_State *L, const char *name)
{
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

struct load {
    struct lua_sandbox *sandbox;
    const struct lua_script_source *source;
};

static int load_script(lua_State *L)
{
    const struct load *load = lua_touserdata(L, 1);
    const struct lua_script_source *source = load->source;
    of(L)->arg = source->arg;
    lua_environment_push(L);
    int globals = lua_gettop(L);
    if (source->setup) {
        source->setup(L);
    }
    lua_settop(L, globals);
    lua_pushvalue(L, globals);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &globals_key);

    /* "t": text only; a binary chunk could do anything to memory. */
    if (luaL_loadbufferx(L, source->text.p ? source->text.p : "", source->text.n, source->name,
                         "t") != LUA_OK) {
        return lua_error(L);
    }
    push_environment(L, globals);
    (void)lua_setupvalue(L, -2, 1); /* _ENV */
    lua_call(L, 0, 0);
    set_writable(L, false);
    if (find_hooks(L, load->sandbox, globals) == 0 && source->needs_hook) {
        return luaL_error(L, "the script defines none of on_request, on_route, on_chunk, "
                             "on_complete");
    }
    load->sandbox->req = anchor(L, "weir.req");
    load->sandbox->chunk = anchor(L, "weir.chunk");
    load->sandbox->usage = anchor(L, "weir.usage");
    return 0;
}

void lua_sandbox_set_object(lua_State *L, const char *name)
{
    lua_setfield(L, LUA_REGISTRYINDEX, name);
}

int lua_sandbox_create(const struct lua_limits *limits, const struct lua_script_source *source,
                       struct lua_sandbox **ret_sandbox, char error[LUA_SANDBOX_ERROR_BYTES])
{
    if (source->text.n > LUA_SANDBOX_MAX_SCRIPT_BYTES) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "larger than %d bytes",
                       LUA_SANDBOX_MAX_SCRIPT_BYTES);
        return WEIR_E_TOOBIG;
    }
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
    struct lua_sandbox *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    s->limits = *limits;
    s->hook_period = HOOK_PERIOD;
    s->L = lua_newstate(allocate, s);
    if (!s->L) {
        free(s);
        return WEIR_E_NOMEM;
    }
    *(struct lua_sandbox **)lua_getextraspace(s->L) = s;
    struct load load = {s, source};
    int rc = lua_sandbox_protect(s, load_script, &load, error);
    if (rc < 0) {
        lua_sandbox_destroy(s);
        return rc;
    }
    *ret_sandbox = s;
    return 0;
}

void lua_sandbox_destroy(struct lua_sandbox *s)
{
    if (s) {
        lua_sethook(s->L, NULL, 0, 0);
        lua_close(s->L); /* no finalizers: scripts cannot set metatables */
        free(s);
    }
}

bool lua_sandbox_has(const struct lua_sandbox *s, enum lua_hook hook)
{
    return s->hooks[hook] != 0;
}

bool lua_sandbox_is_spent(const struct lua_sandbox *s)
{
    return s->spent;
}

uint32_t lua_sandbox_n_runs(const struct lua_sandbox *s)
{
    return s->n_runs;
}

size_t lua_sandbox_live_bytes(const struct lua_sandbox *s)
{
    return s->live_bytes + sizeof(*s);
}

void lua_sandbox_count_exactly(struct lua_sandbox *s, bool exactly)
{
    s->hook_period = exactly ? 1 : HOOK_PERIOD;
}

void lua_sandbox_push_global(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

/* ---- runs ---- */

static int new_thread(lua_State *L)
{
    struct thread *t = lua_touserdata(L, 1);
    t->L = lua_newthread(L);
    t->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int take_thread(struct lua_sandbox *s, struct thread *t, char error[LUA_SANDBOX_ERROR_BYTES])
{
    if (s->n_idle) {
        *t = s->idle[--s->n_idle];
        return 0;
    }
    return lua_sandbox_protect(s, new_thread, t, error);
}

/* Runs until it ends, fails or suspends itself. */
static int go_on(struct lua_sandbox *s, struct lua_run *run, int n_args,
                 char error[LUA_SANDBOX_ERROR_BYTES])
{
    int n_results = 0;
    begin_segment(s, &run->budget, run->arg);
    int status = lua_resume(run->L, NULL, n_args, &n_results);
    end_segment(s);
    int rc = judge(s, run->L, status, &run->budget, error);
    if (rc < 0) {
        lua_run_end(s, run);
        return rc;
    }
    return status == LUA_YIELD ? LUA_RUN_SUSPENDED : LUA_RUN_DONE;
}

int lua_run_start(struct lua_sandbox *s, struct lua_run *run, enum lua_hook hook, void *arg,
                  char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct thread t = {0};
    *run = (struct lua_run){.arg = arg};
    if (s->n_runs >= LUA_SANDBOX_MAX_RUNS) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "too many calls wait");
        return WEIR_E_BUSY;
    }
    int rc = take_thread(s, &t, error);
    if (rc < 0) {
        return rc;
    }
    fill_budget(s, &run->budget);
    run->L = t.L;
    run->anchor = t.anchor;
    s->n_runs++;
    lua_sethook(t.L, on_count, LUA_MASKCOUNT, s->hook_period);
    int second = hook == LUA_ON_CHUNK ? s->chunk : hook == LUA_ON_COMPLETE ? s->usage : 0;
    lua_rawgeti(t.L, LUA_REGISTRYINDEX, s->hooks[hook]);
    lua_rawgeti(t.L, LUA_REGISTRYINDEX, s->req);
    if (second) {
        lua_rawgeti(t.L, LUA_REGISTRYINDEX, second);
    }
    return go_on(s, run, second ? 2 : 1, error);
}

int lua_run_resume(struct lua_sandbox *s, struct lua_run *run, char error[LUA_SANDBOX_ERROR_BYTES])
{
    return go_on(s, run, 0, error);
}

void lua_run_end(struct lua_sandbox *s, struct lua_run *run)
{
    if (!run->L) {
        return;
    }
    /* A reset closes nothing that a script could have made: it has no metatables. */
    if (lua_status(run->L) == LUA_OK) {
        lua_settop(run->L, 0);
    } else {
        (void)lua_resetthread(run->L);
        lua_settop(run->L, 0);
    }
    if (s->n_idle < IDLE_THREADS && !s->spent) {
        s->idle[s->n_idle++] = (struct thread){run->L, run->anchor};
    } else {
        luaL_unref(s->L, LUA_REGISTRYINDEX, run->anchor);
    }
    run->L = NULL;
    s->n_runs--;
}

/* ---- a prompt ---- */

struct evaluation {
    weir_str source;
    char *out;
    size_t n_out;
    bool incomplete;
};

static int load_piece(lua_State *L, const struct evaluation *e)
{
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, e->source.p, e->source.n);
    lua_concat(L, 2);
    size_t n;
    const char *text = lua_tolstring(L, -1, &n);
    if (luaL_loadbufferx(L, text, n, "=input", "t") == LUA_OK) {
        return LUA_OK;
    }
    lua_pop(L, 1);
    return luaL_loadbufferx(L, e->source.p, e->source.n, "=input", "t");
}

static int evaluate(lua_State *L)
{
    struct evaluation *e = lua_touserdata(L, 1);
    if (load_piece(L, e) != LUA_OK) {
        size_t n;
        const char *message = lua_tolstring(L, -1, &n);
        e->incomplete = n >= 5 && strcmp(message + n - 5, "<eof>") == 0;
        return lua_error(L);
    }
    set_writable(L, true);
    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key);
    lua_setmetatable(L, -2);
    (void)lua_setupvalue(L, -2, 1);
    int base = lua_gettop(L) - 1;
    lua_call(L, 0, LUA_MULTRET);
    size_t used = 0;
    for (int i = base + 1; i <= lua_gettop(L); i++) {
        lua_sandbox_push_global(L, "tostring");
        lua_pushvalue(L, i);
        lua_call(L, 1, 1);
        int n =
            snprintf(e->out + used, e->n_out - used, "%s%s", used ? "\t" : "", lua_tostring(L, -1));
        used = n > 0 && (size_t)n < e->n_out - used ? used + (size_t)n : e->n_out - 1;
        lua_pop(L, 1);
    }
    return 0;
}

static int close_environment(lua_State *L)
{
    set_writable(L, false);
    return 0;
}

int lua_sandbox_evaluate(struct lua_sandbox *s, weir_str source, void *arg, char *out, size_t n_out,
                         bool *ret_incomplete, char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct evaluation e = {.source = source, .out = out, .n_out = n_out};
    struct lua_budget b;
    char ignored[LUA_SANDBOX_ERROR_BYTES];
    *out = '\0';
    fill_budget(s, &b);
    begin_segment(s, &b, arg);
    lua_sethook(s->L, on_count, LUA_MASKCOUNT, s->hook_period);
    lua_pushcfunction(s->L, evaluate);
    lua_pushlightuserdata(s->L, &e);
    int rc = judge(s, s->L, lua_pcall(s->L, 1, 0, 0), &b, error);
    end_segment(s);
    lua_settop(s->L, 0);
    *ret_incomplete = e.incomplete;
    (void)lua_sandbox_protect(s, close_environment, NULL, ignored);
    return rc;
}
