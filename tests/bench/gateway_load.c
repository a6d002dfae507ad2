/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a gateway and says how much time it added. One process, one thread, one epoll loop for the
 * load and for the model server (gateway_mock) that the gateway asks in turn.
 *
 *     gateway_load [GATEWAY'S PROCESSOR [ITS OWN]]
 *
 * prints the model server's port, then reads runs from stdin, a line each:
 *
 *     PORT N_CONNECTIONS SECONDS RATE [stream=EVENTS/MICROSECONDS] [key=SECRET]
 *
 * and prints a line of JSON for each. PORT 0 asks the model server directly, which is the floor
 * that is to be subtracted. Bodies are 1024 bytes and all different.
 *
 * What is measured is the gateway's time, not how long this process waits for its core
 * (gateway_wire.h has the kernel's stamps). A request's time (p50_us ...) has two parts: from just
 * before the load's send() to its arrival at the model server, and from just before the model
 * server's send() to the answer's arrival at the load. An event's is the second part: the model
 * server writes the time of sending into it. "plain" is the same as this process sees it, from
 * sending to having read, with all its own waits.
 *
 * RATE requests in a second are due at even times; the loop then spins and never sleeps, so that
 * they leave one by one. A request that finds no connection free counts from when it was due: a
 * gateway that stops for a moment is charged for all who waited ("coordinated omission" avoided).
 * When it is this process that was held up, for more than HELD_UP_NS, what was due meanwhile is
 * left out ("missed") and not sent in a burst. RATE 0: every connection asks again in the loop's
 * next turn, which measures throughput and nothing else. With stream= each connection streams,
 * again and again.
 *
 * The host of a virtual machine takes its processors away, for milliseconds at a time. The
 * processors named are watched (stalls.h), and a time that falls in such a hold, or behind it until
 * the first that is not above the median, is left out ("left_out"): it waited for the host. What
 * the watch does not see (it looks at the gateway's only every half millisecond) stays in,
 * against the gateway. */
#include "gateway_mock.h"
#include "gateway_wire.h"
#include "stalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 20000,
    IN_BYTES = 32 * 1024,
    BODY_BYTES = 1024,
    MAX_SAMPLES = 2000000,
    MAX_WATCHED = 2,
    MAX_WAITING = 1 << 20,
    HELD_UP_NS = 100000,
    GATEWAY_PERIOD_NS = 500000, /* a look is an interrupt there: oftener adds to the times */
    OWN_PERIOD_NS = 250000,
    WATCH_SLACK_NS = 60000,
};
#define TAG_MOCK (UINT64_C(1) << 32)
#define TAG_STDIN (UINT64_C(2) << 32)

struct connection {
    int fd;
    bool busy, said_done;
    uint64_t number, begin_ns;
    size_t n;
    char *in;
};

struct sample {
    uint64_t begin_ns;
    uint32_t ns;
};

struct samples {
    struct sample *all; /* MAX_SAMPLES */
    size_t n;
};

static struct connection connections[MAX_CONNECTIONS];
static size_t free_ones[MAX_CONNECTIONS], free_from, n_free, n_connections;
static uint64_t waiting[MAX_WAITING]; /* when they were due */
static size_t waiting_from, n_waiting;
static struct samples added, plain;
static struct stalls watched[MAX_WATCHED];
static size_t n_watched;
static size_t n_done, n_failed, n_missed, n_unstamped;
static char request[4096];
static size_t request_bytes, number_at;
static bool streams;
static uint16_t port;
static int epoll_fd;

/* `ns` of the gateway's time for what began at `begin_ns`. */
static void sample(struct samples *to, uint64_t begin_ns, uint64_t ns)
{
    if (to->n < MAX_SAMPLES) {
        to->all[to->n++] = (struct sample){begin_ns, ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns};
    }
}

static uint64_t since(uint64_t from_ns, uint64_t until_ns)
{
    return until_ns > from_ns ? until_ns - from_ns : 0;
}

/* {"model":"mock","temperature":0,"messages":[{"role":"user","content":"NUMBER @E/U xxx…"}]} */
static void make_request(const char *stream, const char *key)
{
    char auth[300] = "", body[BODY_BYTES + 1];
    if (key) {
        (void)snprintf(auth, sizeof(auth), "Authorization: Bearer %s\r\n", key);
    }
    int n = snprintf(body, sizeof(body),
                     "{\"model\":\"mock\",\"temperature\":0,%s\"messages\":"
                     "[{\"role\":\"user\",\"content\":\"",
                     stream ? "\"stream\":true," : "");
    size_t at = (size_t)n;
    n = snprintf(body + at, sizeof(body) - at, "0123456789abcdef @%s ", stream ? stream : "");
    for (size_t i = at + (size_t)n; i < BODY_BYTES - 4; i++) {
        body[i] = i % 8 ? 'x' : ' ';
    }
    memcpy(body + BODY_BYTES - 4, "\"}]}", 5);
    n = snprintf(request, sizeof(request),
                 "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n%s"
                 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                 auth, BODY_BYTES, body);
    request_bytes = (size_t)n;
    number_at = request_bytes - BODY_BYTES + at;
}

static void set_free(struct connection *c)
{
    c->busy = false;
    free_ones[(free_from + n_free++) % MAX_CONNECTIONS] = (size_t)(c - connections);
}

static void connect_one(struct connection *c)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->in = c->in ? c->in : malloc(IN_BYTES);
    c->n = 0;
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
                            .data.u64 = (uint64_t)(c - connections)};
    if (c->fd < 0 || !c->in || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        !wire_prepare(c->fd) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0) {
        perror("gateway_load: connect");
        exit(1);
    }
}

/* `due_ns` 0: it is due now. */
static void ask(uint64_t due_ns)
{
    static uint64_t number;
    struct connection *c = &connections[free_ones[free_from]];
    free_from = (free_from + 1) % MAX_CONNECTIONS;
    n_free--;
    number = number ? number + 1 : wire_now_ns();
    wire_number_write(request + number_at, number);
    c->busy = true;
    c->said_done = false;
    c->number = number;
    c->n = 0;
    c->begin_ns = due_ns ? due_ns : wire_now_ns();
    if (send(c->fd, request, request_bytes, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)request_bytes) {
        n_failed++;
    }
}

/* Times stand behind "content":" as 19 digits. True: [DONE] and the last chunk came. */
static bool read_events(struct connection *c, uint64_t arrived_ns)
{
    static const char mark[] = "\"content\":\"", done[] = "data: [DONE]";
    char *p = c->in, *end = c->in + c->n, *whole;
    while ((whole = memmem(p, (size_t)(end - p), "\n\n", 2)) != NULL) {
        char *text = memmem(p, (size_t)(whole - p), mark, sizeof(mark) - 1);
        uint64_t sent_ns = text ? strtoull(text + sizeof(mark) - 1, NULL, 10) : 0;
        if (sent_ns > 1000000 && arrived_ns == 0) { /* not the empty text of a first event */
            n_unstamped++;
        } else if (sent_ns > 1000000) {
            sample(&added, sent_ns, since(sent_ns, arrived_ns));
            sample(&plain, sent_ns, since(sent_ns, wire_now_ns()));
        }
        c->said_done |= memmem(p, (size_t)(whole - p), done, sizeof(done) - 1) != NULL;
        p = whole + 2;
    }
    c->n = (size_t)(end - p);
    memmove(c->in, p, c->n);
    return c->said_done && c->n >= 5 && memcmp(c->in + c->n - 5, "0\r\n\r\n", 5) == 0;
}

static bool read_answer(struct connection *c, uint64_t arrived_ns)
{
    size_t n_head, n = wire_message_bytes(c->in, c->n, &n_head);
    if (n == 0 || c->n < n) {
        return false;
    }
    if (memcmp(c->in + 9, "200", 3) != 0) {
        n_failed++;
    }
    struct wire_mark *mark = wire_mark(c->number);
    if (mark->number != c->number || !mark->arrived_ns || !arrived_ns) {
        n_unstamped++;
    } else {
        sample(&added, c->begin_ns,
               since(c->begin_ns, mark->arrived_ns) + since(mark->answered_ns, arrived_ns));
    }
    sample(&plain, c->begin_ns, since(c->begin_ns, wire_now_ns()));
    return true;
}

static void read_from(struct connection *c, bool ended)
{
    for (bool more = true; more;) { /* a read that is not full has taken all there was */
        uint64_t arrived_ns;
        size_t cap = IN_BYTES - c->n;
        ssize_t n = wire_recv(c->fd, c->in + c->n, cap, &arrived_ns);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            n_failed++;
            (void)close(c->fd);
            connect_one(c);
            if (c->busy) {
                set_free(c);
            }
            return;
        }
        more = ended || (size_t)n == cap;
        c->n += (size_t)n;
        if (streams ? read_events(c, arrived_ns) : read_answer(c, arrived_ns)) {
            n_done++;
            set_free(c);
        }
    }
}

/* Asks what is due by now; returns when the next one is. */
static uint64_t ask_due(uint64_t next_ns, uint64_t every_ns)
{
    uint64_t time_ns = wire_now_ns();
    if (time_ns > next_ns + HELD_UP_NS) {
        uint64_t n = (time_ns - next_ns) / every_ns;
        n_missed += n;
        next_ns += n * every_ns;
    }
    for (; next_ns <= time_ns; next_ns += every_ns) {
        if (n_free > 0 && n_waiting == 0) {
            ask(0);
        } else if (n_waiting < MAX_WAITING) {
            waiting[(waiting_from + n_waiting++) % MAX_WAITING] = time_ns;
        }
    }
    for (; n_free > 0 && n_waiting > 0; n_waiting--) {
        ask(waiting[waiting_from]);
        waiting_from = (waiting_from + 1) % MAX_WAITING;
    }
    return next_ns;
}

/* One turn of the loop; false: a line, or the end, came on stdin. */
static bool turn(int n_most, uint64_t wait_ns)
{
    struct epoll_event events[256];
    const struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    int k = epoll_pwait2(epoll_fd, events, n_most, &wait, NULL);
    bool line = false;
    for (int i = 0; i < k; i++) {
        uint64_t data = events[i].data.u64;
        bool ended = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        if (data & TAG_MOCK) {
            mock_read((int)(uint32_t)data, ended);
        } else if (data == TAG_STDIN) {
            line = true;
        } else {
            read_from(&connections[data], ended);
        }
    }
    return !line;
}

static uint64_t sleep_ns(uint64_t until_ns)
{
    uint64_t time_ns = wire_now_ns(), at_most_ns = 100000000;
    uint64_t ns = until_ns > time_ns ? until_ns - time_ns : 0;
    return ns < at_most_ns ? ns : at_most_ns;
}

static void run(double seconds, double rate)
{
    uint64_t begin_ns = wire_now_ns(), end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    uint64_t every_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0, next_ns = begin_ns;
    while (wire_now_ns() < end_ns) {
        uint64_t event_ns = mock_send_due();
        if (every_ns) { /* few in a turn: what is due is not kept waiting */
            next_ns = ask_due(next_ns, every_ns);
            (void)turn(4, 0);
            continue;
        }
        while (n_free > 0) {
            ask(0);
        }
        (void)turn(256, sleep_ns(event_ns));
    }
    for (; n_waiting > 0; n_waiting--) {
        sample(&added, waiting[waiting_from], since(waiting[waiting_from], wire_now_ns()));
        waiting_from = (waiting_from + 1) % MAX_WAITING;
    }
}

static int by_begin(const void *a, const void *b)
{
    uint64_t x = ((const struct sample *)a)->begin_ns, y = ((const struct sample *)b)->begin_ns;
    return (x > y) - (x < y);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = ((const struct sample *)a)->ns, y = ((const struct sample *)b)->ns;
    return (x > y) - (x < y);
}

/* Takes out what falls in a hold of a processor, or behind it until the first that took no more
 * than `usual_ns`: till then it waited behind those that the hold kept. Returns how many. */
static size_t leave_out(struct samples *of, const struct stalls *held, uint32_t usual_ns)
{
    size_t n = 0, stall = 0;
    bool behind = false;
    qsort(of->all, of->n, sizeof(*of->all), by_begin);
    for (size_t i = 0; i < of->n; i++) {
        struct sample s = of->all[i];
        while (stall < held->n && held->kept[stall].to_ns < s.begin_ns) {
            stall++;
        }
        bool within =
            stall < held->n && s.begin_ns + s.ns >= held->kept[stall].from_ns - held->period_ns;
        behind = within || (behind && s.ns > usual_ns);
        if (!behind) {
            of->all[n++] = s;
        }
    }
    size_t n_out = of->n - n;
    of->n = n;
    return n_out;
}

static double percentile_us(const struct samples *of, double p)
{
    size_t at = (size_t)((double)of->n * p);
    return of->n ? of->all[at < of->n ? at : of->n - 1].ns / 1000.0 : 0;
}

/* Sorts by size what remains; returns how many were left out. */
static size_t sift(struct samples *of)
{
    size_t n_out = 0;
    qsort(of->all, of->n, sizeof(*of->all), by_size);
    uint32_t usual_ns = of->n ? of->all[of->n / 2].ns : 0;
    for (size_t i = 0; i < n_watched; i++) {
        n_out += leave_out(of, &watched[i], usual_ns);
    }
    qsort(of->all, of->n, sizeof(*of->all), by_size);
    return n_out;
}

static void report(double seconds)
{
    size_t n_samples = added.n, n_out = sift(&added);
    (void)sift(&plain);
    (void)printf("{\"done\":%zu,\"failed\":%zu,\"missed\":%zu,\"unstamped\":%zu,\"samples\":%zu,"
                 "\"left_out\":%zu,\"per_s\":%.0f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
                 "\"p999_us\":%.1f,\"plain_p50_us\":%.1f,\"plain_p99_us\":%.1f}\n",
                 n_done, n_failed, n_missed, n_unstamped, n_samples, n_out,
                 (double)n_done / seconds, percentile_us(&added, 0.5), percentile_us(&added, 0.9),
                 percentile_us(&added, 0.99), percentile_us(&added, 0.999),
                 percentile_us(&plain, 0.5), percentile_us(&plain, 0.99));
    (void)fflush(stdout);
}

/* Where times are measured: not at full load, whose processor time it would add to. */
static bool watch(const double rate)
{
    bool wanted = rate > 0 || streams;
    for (size_t i = 0; i < n_watched; i++) {
        if (!wanted) {
            watched[i].n = 0;
        } else if (!stalls_start(&watched[i])) {
            (void)fputs("gateway_load: no right to watch processors; times hold the host's, too\n",
                        stderr);
            n_watched = i;
        }
    }
    return wanted;
}

static void measure(double seconds, double rate)
{
    bool watches = watch(rate);
    uint64_t begin_ns = wire_now_ns();
    run(seconds, rate);
    seconds = (double)(wire_now_ns() - begin_ns) / 1e9;
    for (size_t i = 0; watches && i < n_watched; i++) {
        stalls_stop(&watched[i]);
    }
    report(seconds);
}

/* Words of the line stay in it. False: not a run. */
static bool do_line(char *line, uint16_t mock_port)
{
    char *words[6] = {0}, *rest = NULL;
    const char *stream = NULL, *key = NULL;
    size_t n = 0;
    for (char *w = strtok_r(line, " \n", &rest); w && n < 6; w = strtok_r(NULL, " \n", &rest)) {
        words[n++] = w;
    }
    for (size_t i = 4; i < n; i++) {
        stream = strncmp(words[i], "stream=", 7) == 0 ? words[i] + 7 : stream;
        key = strncmp(words[i], "key=", 4) == 0 ? words[i] + 4 : key;
    }
    if (n < 4 || atoi(words[1]) < 1 || atoi(words[1]) > MAX_CONNECTIONS) {
        return false;
    }
    port = atoi(words[0]) ? (uint16_t)atoi(words[0]) : mock_port;
    n_connections = (size_t)atoi(words[1]);
    streams = stream != NULL;
    added.n = plain.n = n_done = n_failed = n_missed = n_unstamped = n_free = 0;
    make_request(stream, key);
    for (size_t i = 0; i < n_connections; i++) {
        connect_one(&connections[i]);
        set_free(&connections[i]);
    }
    measure(atof(words[2]), atof(words[3]));
    for (size_t i = 0; i < n_connections; i++) {
        (void)close(connections[i].fd);
    }
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc && i <= MAX_WATCHED; i++) {
        watched[n_watched++] =
            (struct stalls){.cpu = atoi(argv[i]),
                            .clock = CLOCK_REALTIME,
                            .period_ns = i == 1 ? GATEWAY_PERIOD_NS : OWN_PERIOD_NS,
                            .slack_ns = WATCH_SLACK_NS};
    }
    struct rlimit limit = {65536, 65536};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (setpriority(PRIO_PROCESS, 0, -20) < 0) {
        (void)fputs("gateway_load: no right to a higher priority\n", stderr);
    }
    added.all = malloc(MAX_SAMPLES * sizeof(*added.all));
    plain.all = malloc(MAX_SAMPLES * sizeof(*plain.all));
    epoll_fd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = TAG_STDIN};
    if (!added.all || !plain.all || epoll_fd < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &e) < 0) {
        perror("gateway_load");
        return 1;
    }
    uint16_t mock_port = mock_open(epoll_fd, TAG_MOCK);
    (void)printf("%u\n", mock_port);
    (void)fflush(stdout);
    char line[1024];
    (void)setvbuf(stdin, NULL, _IONBF, 0); /* the epoll set sees each line */
    for (;;) {
        if (turn(256, sleep_ns(mock_send_due()))) {
            continue;
        }
        if (!fgets(line, sizeof(line), stdin)) {
            return 0;
        }
        if (!do_line(line, mock_port)) {
            (void)fputs("usage: PORT N SECONDS RATE [stream=E/U] [key=SECRET]\n", stderr);
            return 2;
        }
    }
}
