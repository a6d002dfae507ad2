/* SPDX-License-Identifier: Apache-2.0 */
#include "walker.h"

#include "engine/grammar/json_rules.h"

/* The frame that holds `state` on top of `frame`; UINT32_MAX: none is left. */
static uint32_t push(struct weir_walker *w, uint32_t state, uint32_t frame)
{
    for (uint32_t i = w->fresh; i < w->n_frames; i++) {
        if (w->frames[i].state == state && w->frames[i].parent == frame) {
            return i;
        }
    }
    if (w->n_frames == WEIR_WALK_MAX_FRAMES) {
        return UINT32_MAX;
    }
    w->frames[w->n_frames] = (struct weir_walk_frame){
        .state = state,
        .parent = (uint16_t)frame,
        .depth = (uint16_t)(w->frames[frame].depth + 1),
    };
    return w->n_frames++;
}

static void visit(struct weir_walker *w, uint32_t state, uint32_t frame)
{
    if (w->frames[frame].depth + w->automaton->states[state].need > WEIR_GRAMMAR_MAX_DEPTH) {
        return;
    }
    for (uint32_t i = 0; i < w->n_visited; i++) {
        if (w->visited[i].state == state && w->visited[i].frame == frame) {
            return;
        }
    }
    w->fuel -= 1 + w->n_visited / 16; /* what the search above costs */
    if (w->n_visited < WEIR_WALK_MAX_VISITED) {
        w->open[w->n_open++] = w->n_visited;
        w->visited[w->n_visited++] = (struct weir_walk_thread){state, frame};
    }
}

static void visit_call(struct weir_walker *w, uint32_t target, uint32_t back, uint32_t frame)
{
    if (back == WEIR_STATE_NONE || back == WEIR_STATE_POP) {
        visit(w, target, frame);
        return;
    }
    uint32_t need = w->automaton->states[target].need;
    uint32_t after = w->automaton->states[back].need;
    uint32_t depth = w->frames[frame].depth;
    if (depth + 1 + need > WEIR_GRAMMAR_MAX_DEPTH || depth + after > WEIR_GRAMMAR_MAX_DEPTH) {
        return;
    }
    uint32_t top = push(w, back, frame);
    if (top != UINT32_MAX) {
        visit(w, target, top);
    }
}

/* Follows what takes no byte; threads that wait for one make up the level. The newest thread goes
 * first, so that with too many of them some still come to where they wait. */
static void settle(struct weir_walker *w, uint32_t level)
{
    const struct weir_automaton *a = w->automaton;
    uint32_t n = w->end[level];
    while (w->n_open > 0) {
        struct weir_walk_thread t = w->visited[w->open[--w->n_open]];
        const struct weir_state *s = &a->states[t.state];
        bool pops = t.state == WEIR_STATE_POP && t.frame != 0;
        if (pops) {
            visit(w, w->frames[t.frame].state, w->frames[t.frame].parent);
        }
        for (uint32_t e = 0; e < s->n_empty; e++) {
            const struct weir_edge *edge = &a->edges[s->first_edge + e];
            visit_call(w, edge->target, edge->push, t.frame);
        }
        bool waits = s->n_edges > s->n_empty || s->body != 0;
        if ((waits || (t.state == WEIR_STATE_POP && !pops)) &&
            n - w->begin[level] < WEIR_WALK_MAX_THREADS) {
            w->threads[n++] = t;
        }
    }
    w->end[level] = n;
    w->frames_at[level] = w->n_frames;
}

/* Begins a level behind `below`; visit() and settle() fill it. */
static void open_level(struct weir_walker *w, uint32_t below, uint32_t level)
{
    w->n_frames = w->fresh = w->frames_at[below];
    w->n_visited = w->n_open = 0;
    w->begin[level] = w->end[level] = w->end[below];
    w->frames_at[level] = w->n_frames;
}

void weir_walker_clear(struct weir_walker *w, const struct weir_automaton *a)
{
    w->automaton = a;
    w->fuel = INT64_MAX;
    w->frames[0] = (struct weir_walk_frame){.state = WEIR_STATE_POP};
    w->n_frames = 1;
    w->begin[0] = w->end[0] = 0;
    w->frames_at[0] = 1;
}

void weir_walker_load(struct weir_walker *w, struct weir_walk_thread thread)
{
    if (w->end[0] < WEIR_WALK_MAX_THREADS) {
        w->threads[w->end[0]++] = thread;
    }
    w->frames_at[0] = w->n_frames;
}

void weir_walker_start(struct weir_walker *w, const struct weir_automaton *a, uint32_t state)
{
    weir_walker_clear(w, a);
    w->fresh = w->n_frames;
    w->n_visited = w->n_open = 0;
    visit(w, state, 0);
    settle(w, 0);
}

uint32_t weir_walker_enter(struct weir_walker *w, uint32_t below, uint32_t level, uint32_t state,
                           uint32_t frame)
{
    open_level(w, below, level);
    visit(w, state, frame);
    settle(w, level);
    return w->end[level] - w->begin[level];
}

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void step_body(struct weir_walker *w, const struct weir_body *b, uint32_t frame,
                      uint8_t byte)
{
    if (byte == '"') {
        if (b->min_more == 0) {
            visit(w, b->close, frame);
        }
    } else if (b->next == WEIR_STATE_NONE) {
        return;
    } else if (is_plain(byte)) {
        visit(w, b->next, frame);
    } else {
        uint32_t tail = weir_json_tail(w->automaton, byte);
        if (tail != WEIR_STATE_NONE) {
            visit_call(w, tail, b->next, frame);
        }
    }
}

uint32_t weir_walker_step(struct weir_walker *w, uint32_t level, uint8_t byte)
{
    const struct weir_automaton *a = w->automaton;
    open_level(w, level, level + 1);
    if (w->fuel <= 0) {
        return 0;
    }
    for (uint32_t i = w->begin[level]; i < w->end[level]; i++) {
        struct weir_walk_thread t = w->threads[i];
        const struct weir_state *s = &a->states[t.state];
        for (uint32_t e = s->n_empty; e < s->n_edges; e++) {
            const struct weir_edge *edge = &a->edges[s->first_edge + e];
            if (byte >= edge->lo && byte <= edge->hi) {
                visit_call(w, edge->target, edge->push, t.frame);
            }
        }
        if (s->body) {
            step_body(w, &a->bodies[s->body - 1], t.frame, byte);
        }
    }
    w->fuel--;
    if (w->n_visited > 0) {
        settle(w, level + 1);
    }
    return w->end[level + 1] - w->begin[level + 1];
}
