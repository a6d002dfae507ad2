/* SPDX-License-Identifier: Apache-2.0 */
/* A model server that costs next to nothing: what gateways are measured against.
 *
 *     gateway_mock      prints its port, serves until it is killed
 *
 * One thread, epoll. A GET gets a short JSON object. A POST gets an answer of 1024 bytes, or, when its
 * body has "stream":true, events: "@N/U" anywhere in the body asks for N events, U microseconds apart
 * (100/0). Each event's text begins with the time at which it was sent (CLOCK_MONOTONIC, ns, in 19
 * digits), so that who reads it knows how long it took. Trusts its clients: a bench, not a server. */
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

enum {
    MAX_FD = 65536,
    IN_BYTES = 16 * 1024,
    BODY_BYTES = 1024,
    TICK_US = 200,
    EVENTS = 100,
};

struct client {
    bool open;
    size_t n;
    char *in; /* IN_BYTES */
    uint32_t left;
    uint64_t every_ns, next_ns; /* of its stream */
    int next, prev;             /* among those that stream; -1: none */
    bool streams;
};

static struct client clients[MAX_FD];
static int first_stream = -1, epoll_fd;
static char answer[2048], models[512];
static size_t n_answer, n_models;

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t with_head(char *out, size_t cap, const char *body)
{
    return (size_t)snprintf(out, cap,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            strlen(body), body);
}

static void make_answers(void)
{
    static const char begin[] = "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\","
                                "\"created\":1790000000,\"model\":\"mock\",\"choices\":[{\"index\":0,"
                                "\"message\":{\"role\":\"assistant\",\"content\":\"";
    static const char end[] = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,"
                              "\"completion_tokens\":150,\"total_tokens\":350}}";
    char body[BODY_BYTES + 1];
    memset(body, 'a', BODY_BYTES);
    for (size_t i = 5; i < BODY_BYTES; i += 6) {
        body[i] = ' ';
    }
    memcpy(body, begin, sizeof(begin) - 1);
    memcpy(body + BODY_BYTES - (sizeof(end) - 1), end, sizeof(end)); /* with its NUL */
    n_answer = with_head(answer, sizeof(answer), body);
    n_models = with_head(models, sizeof(models),
                         "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\"}]}");
}

static void drop(int fd)
{
    struct client *c = &clients[fd];
    if (c->streams) {
        *(c->prev >= 0 ? &clients[c->prev].next : &first_stream) = c->next;
        if (c->next >= 0) {
            clients[c->next].prev = c->prev;
        }
        c->streams = false;
    }
    c->open = false;
    (void)close(fd);
}

static bool send_all(int fd, const char *p, size_t n)
{
    if (send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n) {
        return true;
    }
    drop(fd); /* a reader that slow is not what is measured here */
    return false;
}

static bool send_chunk(int fd, const char *event)
{
    char out[1024];
    int n = snprintf(out, sizeof(out), "%zx\r\n%s\r\n", strlen(event), event);
    return send_all(fd, out, (size_t)n);
}

#define EVENT_HEAD                                                                           \
    "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1790000000," \
    "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":"

static void send_event(int fd, uint64_t time_ns)
{
    struct client *c = &clients[fd];
    char event[512];
    if (c->left > 0) {
        c->left--;
        (void)snprintf(event, sizeof(event),
                       EVENT_HEAD "{\"content\":\"%019llu word\"},\"finish_reason\":null}]}\n\n",
                       (unsigned long long)time_ns);
        (void)send_chunk(fd, event);
        return;
    }
    (void)snprintf(event, sizeof(event), EVENT_HEAD "{},\"finish_reason\":\"stop\"}]}\n\n");
    static const char end[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    if (send_chunk(fd, event) && send_all(fd, end, sizeof(end) - 1)) {
        c->streams = false;
        *(c->prev >= 0 ? &clients[c->prev].next : &first_stream) = c->next;
        if (c->next >= 0) {
            clients[c->next].prev = c->prev;
        }
    }
}

static void begin_stream(int fd, const char *body)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    struct client *c = &clients[fd];
    unsigned n = EVENTS, us = 0;
    const char *at = strchr(body, '@');
    if (at) {
        (void)sscanf(at, "@%u/%u", &n, &us);
    }
    if (!send_all(fd, head, sizeof(head) - 1)) {
        return;
    }
    c->left = n;
    c->every_ns = (uint64_t)us * 1000;
    /* Spread over the period by descriptor: streams do not beat together. */
    c->next_ns = now_ns() + (us ? (uint64_t)fd * 7919000u % c->every_ns : 0);
    c->streams = true;
    c->prev = -1;
    c->next = first_stream;
    if (first_stream >= 0) {
        clients[first_stream].prev = fd;
    }
    first_stream = fd;
}

/* Bytes of the first request in the buffer; 0: not whole yet. */
static size_t whole_request(struct client *c, char **ret_body)
{
    c->in[c->n] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    char *length = strcasestr(c->in, "content-length:");
    size_t n_body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
    size_t n = (size_t)(end + 4 - c->in) + n_body;
    *ret_body = end + 4;
    return c->n >= n ? n : 0;
}

static void serve(int fd)
{
    struct client *c = &clients[fd];
    char *body;
    size_t n;
    while (c->open && (n = whole_request(c, &body)) > 0) {
        char kept = c->in[n];
        c->in[n] = '\0';
        bool post = c->in[0] == 'P';
        if (post && (strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true"))) {
            begin_stream(fd, body);
        } else {
            (void)send_all(fd, post ? answer : models, post ? n_answer : n_models);
        }
        c->in[n] = kept;
        memmove(c->in, c->in + n, c->n - n);
        c->n -= n;
    }
}

static void read_from(int fd)
{
    struct client *c = &clients[fd];
    ssize_t n = recv(fd, c->in + c->n, IN_BYTES - 1 - c->n, 0);
    if (n > 0) {
        c->n += (size_t)n;
        serve(fd);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        drop(fd);
    }
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            (void)close(fd);
            continue;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct client *c = &clients[fd];
        char *in = c->in ? c->in : malloc(IN_BYTES);
        if (!in) {
            exit(1);
        }
        *c = (struct client){.open = true, .in = in};
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

/* Without a period the events of a stream go out one per turn, as fast as that is. */
static void send_due(void)
{
    uint64_t time_ns = now_ns();
    for (int fd = first_stream, next; fd >= 0; fd = next) {
        next = clients[fd].next;
        if (clients[fd].next_ns <= time_ns) {
            clients[fd].next_ns += clients[fd].every_ns;
            send_event(fd, now_ns());
        }
    }
}

int main(void)
{
    struct rlimit limit = {MAX_FD, MAX_FD};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    make_answers();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&a, n) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)&a, &n) < 0) {
        perror("gateway_mock");
        return 1;
    }
    (void)printf("%u\n", ntohs(a.sin_port));
    (void)fflush(stdout);
    epoll_fd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        struct epoll_event events[256];
        const struct timespec tick = {0, TICK_US * 1000};
        int k = epoll_pwait2(epoll_fd, events, 256, first_stream >= 0 ? &tick : NULL, NULL);
        for (int i = 0; i < k; i++) {
            if (events[i].data.fd == listener) {
                accept_all(listener);
            } else if (clients[events[i].data.fd].open) {
                read_from(events[i].data.fd);
            }
        }
        send_due();
    }
}
