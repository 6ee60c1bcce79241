/* The load: posts prepared requests in one thread, at a few microseconds of CPU each.
 *
 *     generator HOST PORT CONNECTIONS RATE WARM REQUESTS TIMES
 *
 * RATE 0, closed: every connection posts as soon as it was answered. Else open: the n-th post is due at a fixed time
 * whatever became of those before it, and its latency counts from then: a server that stalls is not spared the posts
 * that it delays. REQUESTS holds whole requests, 4 bytes of length before each, the most significant first. The first
 * WARM of them do not count. Prints JSON. Writes to TIMES, as doubles in seconds, the latency of each post that counts
 * and by how much it was late by the generator's own fault, with a connection at hand: two doubles a post.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 16384

typedef struct {
    const char *bytes;
    size_t length;
} request;

typedef struct {
    int fd; /* -1: the next post connects */
    int is_writing, is_busy, in_body;
    size_t number;
    double due, free_since, late;
    request unsent;
    char head[HEAD_BYTES];
    size_t have, body_left;
} connection;

static struct sockaddr_in address;
static int poller;
static size_t warm, answered, statuses[1000]; /* by status; [0]: no answer */
static FILE *times;
static connection **idle; /* a ring */
static size_t slots, first, waiting;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void watch(connection *it, int operation, int is_writing) {
    struct epoll_event event = {.events = EPOLLIN | (is_writing ? EPOLLOUT : 0), .data.ptr = it};
    if (epoll_ctl(poller, operation, it->fd, &event)) fail("epoll_ctl");
    it->is_writing = is_writing;
}

static void open_connection(connection *it) {
    int on = 1;
    it->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (it->fd < 0 || connect(it->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(it->fd, F_SETFL, O_NONBLOCK);
    watch(it, EPOLL_CTL_ADD, 0);
}

static void close_connection(connection *it) {
    close(it->fd);
    it->fd = -1;
}

static void send_more(connection *it) {
    while (it->unsent.length) {
        ssize_t sent = send(it->fd, it->unsent.bytes, it->unsent.length, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) break;
            it->unsent.length = 0; /* answered and closed before all was read: the answer is there to be read */
            it->body_left = 0;
            it->is_busy = 2; /* no other post can follow on this connection */
            break;
        }
        it->unsent.bytes += sent;
        it->unsent.length -= (size_t)sent;
    }
    if (it->is_writing != (it->unsent.length > 0)) watch(it, EPOLL_CTL_MOD, it->unsent.length > 0);
}

static void start(connection *it, request posted, size_t number, double due, double now) {
    double ready = due > it->free_since ? due : it->free_since;
    if (it->fd < 0) open_connection(it);
    it->is_busy = 1;
    it->in_body = 0;
    it->have = 0;
    it->number = number;
    it->due = due;
    it->late = now - ready;
    it->unsent = posted;
    send_more(it);
}

static void finish(connection *it, int is_cut) {
    double now = seconds(CLOCK_MONOTONIC);
    int status = it->have >= 12 ? atoi(it->head + 9) : 0;
    statuses[status > 0 && status < 1000 ? status : 0]++;
    if (it->number >= warm) {
        double values[2] = {now - it->due, it->late};
        if (fwrite(values, sizeof values, 1, times) != 1) fail("times");
    }
    answered++;
    /* What was not sent to its end cannot be followed by another post. */
    if (is_cut || it->is_busy == 2 || it->unsent.length || (it->have && strcasestr(it->head, "\r\nconnection: close")))
        close_connection(it);
    it->is_busy = 0;
    it->free_since = now;
    idle[(first + waiting++) % slots] = it;
}

static void read_more(connection *it) {
    static char rest[1 << 18];
    char *room = it->in_body ? rest : it->head + it->have;
    ssize_t got = recv(it->fd, room, it->in_body ? sizeof rest : HEAD_BYTES - 1 - it->have, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        if (it->is_busy) finish(it, 1);
        else close_connection(it); /* an idle one, which the server has closed */
        return;
    }
    if (it->in_body) {
        it->body_left -= (size_t)got < it->body_left ? (size_t)got : it->body_left;
    } else {
        it->have += (size_t)got;
        it->head[it->have] = 0;
        char *end = strstr(it->head, "\r\n\r\n");
        if (!end) return;
        char *length = strcasestr(it->head, "\r\ncontent-length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        size_t here = (size_t)(it->head + it->have - (end + 4));
        it->in_body = 1;
        it->body_left = body > here ? body - here : 0;
    }
    if (!it->body_left) finish(it, 0);
}

int main(int count, char **words) {
    if (count != 8) {
        fprintf(stderr, "generator HOST PORT CONNECTIONS RATE WARM REQUESTS TIMES\n");
        return 2;
    }
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(words[2]));
    if (inet_pton(AF_INET, words[1], &address.sin_addr) != 1) fail("host");
    slots = strtoul(words[3], NULL, 10);
    double rate = atof(words[4]);
    warm = strtoul(words[5], NULL, 10);
    int file = open(words[6], O_RDONLY);
    struct stat found;
    if (file < 0 || fstat(file, &found)) fail(words[6]);
    const char *bytes = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (bytes == MAP_FAILED || !(times = fopen(words[7], "wb"))) fail(words[7]);

    size_t posts = 0, room = 1024;
    request *requests = malloc(room * sizeof *requests);
    for (const char *at = bytes; requests && at < bytes + found.st_size; posts++) {
        uint32_t length;
        memcpy(&length, at, 4);
        if (posts == room) requests = realloc(requests, (room *= 2) * sizeof *requests);
        requests[posts] = (request){at + 4, ntohl(length)};
        at += 4 + ntohl(length);
    }
    connection *all = calloc(slots, sizeof *all);
    idle = calloc(slots, sizeof *idle);
    poller = epoll_create1(0);
    if (!requests || !all || !idle || poller < 0) fail("memory");
    for (; waiting < slots; waiting++) {
        idle[waiting] = &all[waiting];
        open_connection(&all[waiting]);
    }

    double began_at = seconds(CLOCK_REALTIME), began = seconds(CLOCK_PROCESS_CPUTIME_ID);
    double at = seconds(CLOCK_MONOTONIC), counted = rate > 0 ? at + (double)warm / rate : at;
    for (size_t next = 0; answered < posts;) {
        double now = seconds(CLOCK_MONOTONIC), due = now;
        while (waiting && next < posts && (rate <= 0 || (due = at + (double)next / rate) <= now)) {
            connection *it = idle[first]; /* in turn, as a balancer does */
            first = (first + 1) % slots;
            waiting--;
            start(it, requests[next], next, rate > 0 ? due : now, now);
            next++;
            now = seconds(CLOCK_MONOTONIC);
        }
        struct timespec pause = {0, 0}, *limit = NULL;
        if (rate > 0 && waiting && next < posts) {
            double left = due - now;
            if (left > 0) pause = (struct timespec){(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
            limit = &pause;
        }
        struct epoll_event events[64];
        int ready = epoll_pwait2(poller, events, 64, limit, NULL);
        if (ready < 0 && errno != EINTR) fail("epoll_pwait2");
        for (int n = 0; n < ready; n++) {
            connection *it = events[n].data.ptr;
            if (events[n].events & EPOLLOUT) send_more(it);
            if (events[n].events & ~(uint32_t)EPOLLOUT) read_more(it);
        }
        if (rate <= 0 && answered <= warm) counted = seconds(CLOCK_MONOTONIC);
    }
    double ended = seconds(CLOCK_MONOTONIC), spent = seconds(CLOCK_PROCESS_CPUTIME_ID) - began;
    if (fclose(times)) fail(words[7]);
    printf("{\"posted\": %zu, \"rate\": %.17g, \"began_at\": %.17g, \"seconds\": %.17g, \"cpu_share\": %.17g, "
           "\"statuses\": {\"none\": %zu", posts, (double)(posts - warm) / (ended - counted), began_at, ended - at,
           spent / (ended - at), statuses[0]);
    for (int status = 1; status < 1000; status++)
        if (statuses[status]) printf(", \"%d\": %zu", status, statuses[status]);
    printf("}}\n");
    return 0;
}
