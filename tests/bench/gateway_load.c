/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a gateway and says how long it took. One thread, epoll; one JSON line on stdout.
 *
 *     gateway_load PORT N_CONNECTIONS SECONDS RATE [stream=EVENTS/MICROSECONDS] [key=SECRET]
 *
 * RATE requests in a second are due at even times, and each one's latency counts from when it was
 * due, not from when a connection was free for it: a gateway that stops for a moment is charged for
 * all who waited ("coordinated omission" avoided). RATE 0: every connection asks again at once, which
 * measures throughput and nothing else. With stream= each connection streams, again and again, and what
 * is measured is each event's age on arrival (gateway_mock writes the time into it).
 * Bodies are 1024 bytes and all different. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 20000, IN_BYTES = 64 * 1024, BODY_BYTES = 1024, MAX_SAMPLES = 8000000 };

struct connection {
    int fd;
    bool busy;
    uint64_t due_ns;
    size_t n, seen; /* bytes in; of a stream: looked at */
    size_t whole;   /* head and body; 0: not known */
    char *in;
};

static struct connection connections[MAX_CONNECTIONS];
static uint32_t *samples; /* nanoseconds */
static size_t n_samples, n_done, n_failed, n_connections;
static char head[512], tail[BODY_BYTES];
static uint64_t number;
static bool streams;
static uint16_t port;
static int epoll_fd;

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sample(uint64_t ns)
{
    if (n_samples < MAX_SAMPLES) {
        samples[n_samples++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    }
}

/* {"model":"mock","temperature":0,"messages":[{"role":"user","content":"NUMBER @E/U xxx…"}]} */
static void make_request(const char *stream, const char *key)
{
    char auth[300] = "";
    if (key) {
        (void)snprintf(auth, sizeof(auth), "Authorization: Bearer %s\r\n", key);
    }
    (void)snprintf(head, sizeof(head),
                   "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n%s"
                   "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                   "{\"model\":\"mock\",\"temperature\":0,%s\"messages\":[{\"role\":\"user\",\"content\":\"",
                   auth, BODY_BYTES, streams ? "\"stream\":true," : "");
    size_t used = strlen(strstr(head, "\r\n\r\n") + 4) + 16;
    size_t n = BODY_BYTES - used;
    memset(tail, 'x', n);
    for (size_t i = 7; i < n; i += 8) {
        tail[i] = ' ';
    }
    char mark[64];
    int m = snprintf(mark, sizeof(mark), " @%s ", stream ? stream : "");
    if (stream) {
        memcpy(tail, mark, (size_t)m);
    }
    memcpy(tail + n - 4, "\"}]}", 4);
    tail[n] = '\0';
}

static void connect_one(struct connection *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        perror("gateway_load: connect");
        exit(1);
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->in = c->in ? c->in : malloc(IN_BYTES);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (!c->in || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0) {
        exit(1);
    }
}

static void ask(struct connection *c, uint64_t due_ns)
{
    char out[4096];
    int n = snprintf(out, sizeof(out), "%s%016llx%s", head, (unsigned long long)number++, tail);
    c->busy = true;
    c->due_ns = due_ns;
    c->n = c->seen = c->whole = 0;
    if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n) {
        n_failed++;
    }
}

/* "content-length: " in any case, within the head. */
static bool find_whole(struct connection *c)
{
    c->in[c->n] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) {
        return false;
    }
    char *length = strcasestr(c->in, "content-length:");
    c->whole = (size_t)(end + 4 - c->in) +
               (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
    return true;
}

/* Times stand behind "content":" as 19 digits. True: [DONE] and the last chunk came. */
static bool read_events(struct connection *c)
{
    static const char mark[] = "\"content\":\"";
    uint64_t arrived_ns = now_ns();
    c->in[c->n] = '\0';
    char *p = c->in + c->seen, *found;
    while ((found = strstr(p, mark)) != NULL && found + sizeof(mark) + 19 < c->in + c->n) {
        p = found + sizeof(mark) - 1;
        uint64_t sent_ns = strtoull(p, NULL, 10);
        if (sent_ns > 1000000) { /* not the empty text of a first event */
            sample(arrived_ns - sent_ns);
        }
    }
    bool done = strstr(p, "data: [DONE]") && c->n >= 5 &&
                memcmp(c->in + c->n - 5, "0\r\n\r\n", 5) == 0;
    size_t keep = (size_t)(c->in + c->n - p);
    keep = keep > 256 && !found ? 256 : keep;
    memmove(c->in, c->in + c->n - keep, keep);
    c->n = keep;
    c->seen = 0;
    return done;
}

static bool is_complete(struct connection *c)
{
    if (streams) {
        return read_events(c);
    }
    return (c->whole || find_whole(c)) && c->n >= c->whole;
}

static void read_from(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->n, IN_BYTES - 1 - c->n, MSG_DONTWAIT);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        n_failed++;
        (void)close(c->fd);
        c->busy = false;
        connect_one(c);
        return;
    }
    if (!streams && c->n == 0 && (n < 12 || memcmp(c->in + 9, "200", 3) != 0)) {
        n_failed++;
    }
    c->n += (size_t)n;
    if (is_complete(c)) {
        n_done++;
        if (!streams) {
            sample(now_ns() - c->due_ns);
        }
        c->busy = false;
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(double p)
{
    size_t at = (size_t)((double)n_samples * p);
    return n_samples ? samples[at < n_samples ? at : n_samples - 1] / 1000.0 : 0;
}

/* Gives what is due to connections that are free; what finds none stays due. */
static uint64_t give(uint64_t time_ns, uint64_t next_ns, uint64_t every_ns)
{
    static size_t from; /* round robin */
    for (size_t i = 0; i < n_connections && (every_ns == 0 || next_ns <= time_ns); i++) {
        struct connection *c = &connections[(from + i) % n_connections];
        if (!c->busy) {
            ask(c, every_ns ? next_ns : time_ns);
            next_ns += every_ns;
            from = (from + i + 1) % n_connections;
            i = (size_t)-1;
            if (every_ns == 0) {
                break;
            }
        }
    }
    return next_ns;
}

static void run(double seconds, double rate)
{
    uint64_t begin_ns = now_ns(), end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    uint64_t every_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0, next_ns = begin_ns;
    for (uint64_t time_ns = begin_ns; time_ns < end_ns; time_ns = now_ns()) {
        if (every_ns) {
            next_ns = give(time_ns, next_ns, every_ns);
        } else {
            for (size_t i = 0; i < n_connections; i++) {
                if (!connections[i].busy) {
                    ask(&connections[i], time_ns);
                }
            }
        }
        struct epoll_event events[256];
        uint64_t wait_ns = every_ns && next_ns > now_ns() ? next_ns - now_ns() : every_ns ? 0 : 100000000;
        const struct timespec wait = {0, (long)(wait_ns < 100000000 ? wait_ns : 100000000)};
        int k = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);
        for (int i = 0; i < k; i++) {
            read_from(events[i].data.ptr);
        }
    }
}

int main(int argc, char **argv)
{
    const char *stream = NULL, *key = NULL;
    if (argc < 5) {
        (void)fputs("usage: gateway_load PORT N SECONDS RATE [stream=E/U] [key=SECRET]\n", stderr);
        return 2;
    }
    for (int i = 5; i < argc; i++) {
        stream = strncmp(argv[i], "stream=", 7) == 0 ? argv[i] + 7 : stream;
        key = strncmp(argv[i], "key=", 4) == 0 ? argv[i] + 4 : key;
    }
    struct rlimit limit = {65536, 65536};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    port = (uint16_t)atoi(argv[1]);
    n_connections = (size_t)atoi(argv[2]);
    streams = stream != NULL;
    number = now_ns();
    samples = malloc(MAX_SAMPLES * sizeof(*samples));
    epoll_fd = epoll_create1(0);
    if (!samples || epoll_fd < 0 || n_connections > MAX_CONNECTIONS) {
        return 1;
    }
    make_request(stream, key);
    for (size_t i = 0; i < n_connections; i++) {
        connect_one(&connections[i]);
    }
    uint64_t begin_ns = now_ns();
    run(atof(argv[3]), atof(argv[4]));
    double seconds = (double)(now_ns() - begin_ns) / 1e9;
    qsort(samples, n_samples, sizeof(*samples), by_size);
    (void)printf("{\"done\":%zu,\"failed\":%zu,\"samples\":%zu,\"per_s\":%.0f,\"p50_us\":%.1f,"
                 "\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
                 n_done, n_failed, n_samples, (double)n_done / seconds, percentile_us(0.5),
                 percentile_us(0.9), percentile_us(0.99), percentile_us(0.999));
    return n_failed ? 1 : 0;
}
