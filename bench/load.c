/* load.c - the question: what do many streams at once get from a server, and is each of them right?
 *
 *   load --port N [--host 127.0.0.1] [--streams 8] [--tokens 64] [--prompts FILE | --prompt-words 16]
 *        [--model NAME] [--runs 1] [--write FILE] [--expect FILE] [--arrive WORDS] [--csv FILE]
 *
 * One thread, one epoll, a connection for each stream: POST /v1/completions with "stream", temperature 0
 * and ignore_eos, so that every stream gives exactly --tokens tokens. A run ends when all have ended.
 * What is read is looked at once, byte by byte, and nothing is parsed that isn't needed: the text of each
 * event, and the token counts of the last. So it takes a small part of what the server takes.
 *
 * Checks: status 200; every event is one that completions send; the text ends with finish_reason and
 *   [DONE] and nothing behind; completion_tokens is what was asked for. --write FILE keeps the texts of
 *   the last run, one JSON string a line, in the order of the prompts; --expect FILE compares with such.
 *   Since an event that is lost, doubled or out of place changes the text, that is the check for it.
 * --arrive N: when every stream has had --after events (32), one more request comes with a prompt of N
 *   words. Gaps are told apart: from all streams' first event until it came, and while its prompt was
 *   read (until its first event). With its end the run ends; the others are broken off.
 * Output: key=value on stdout for each run, and one line of CSV with --csv. Exit 1 when a check failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
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

#define STREAMS_MAX 4096
#define LINE_MAX_   (1u << 20)
#define TIMEOUT_MS  600000

typedef struct text {
    char  *p;
    size_t n, cap;
} text;

typedef struct numbers {
    double *v;
    size_t  n, cap;
} numbers;

typedef struct stream {
    int     fd;
    text    request, line, said; /* said: the inside of a JSON string, as it came */
    size_t  sent;
    bool    in_body, done, finished, usage, first;
    int     n_events, n_prompt, n_cached, n_new;
    int64_t asked_ns, first_ns, last_ns;
} stream;

typedef struct options {
    const char *host, *prompts, *model, *write, *expect, *csv;
    int         port, n_streams, n_tokens, n_words, n_runs, arrive, after, salt;
} options;

typedef struct run {
    const options *o;
    stream        *all; /* [n_streams + 1]: the last is the one that arrives */
    int            n_left, n_events, n_first, epoll;
    int64_t        all_first_ns; /* when the last of the streams had its first event */
    int64_t        start_ns, end_ns, arrived_ns, read_ns; /* the guest: sent, first event */
    numbers        gaps, calm, disturbed, firsts;
} run;

__attribute__((format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("load: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- Growing things ---- */

static void add(text *t, const char *p, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        t->cap = 2 * (t->n + n) + 256;
        t->p = realloc(t->p, t->cap);
        if (!t->p) die("out of memory");
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
}

static void add_text(text *t, const char *s)
{
    add(t, s, strlen(s));
}

static void note(numbers *l, double v)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 4096;
        l->v = realloc(l->v, l->cap * sizeof *l->v);
        if (!l->v) die("out of memory");
    }
    l->v[l->n++] = v;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* In milliseconds; 0 where there is none. */
static double percentile(numbers *l, double p)
{
    if (l->n == 0) return 0;
    qsort(l->v, l->n, sizeof *l->v, by_value);
    return l->v[(size_t)((double)(l->n - 1) * p)];
}

/* ---- Requests ---- */

static const char *const words[] = {"network", "package", "kernel", "library", "window", "server",
                                    "image",   "format",  "driver", "editor",  "system", "file"};

/* Distinct from the first word on, so that no two share a prefix. */
static void add_words(text *t, int n, unsigned seed)
{
    char number[32];

    snprintf(number, sizeof number, "%u", seed);
    add_text(t, number);
    for (int i = 1; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        add_text(t, " ");
        add_text(t, words[(seed >> 16) % (sizeof words / sizeof *words)]);
    }
}

static void add_quoted(text *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char escaped[8];
        if ((unsigned char)s[i] < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned char)s[i]);
        else
            snprintf(escaped, sizeof escaped, s[i] == '"' || s[i] == '\\' ? "\\%c" : "%c", s[i]);
        add_text(t, escaped);
    }
}

static void make_request(stream *s, const options *o, const text *prompt, int n_tokens)
{
    text body = {0};
    char number[256];

    add_text(&body, "{\"prompt\":\"");
    add_quoted(&body, prompt->p, prompt->n);
    add_text(&body, "\"");
    if (o->model) {
        add_text(&body, ",\"model\":\"");
        add_quoted(&body, o->model, strlen(o->model));
        add_text(&body, "\"");
    }
    snprintf(number, sizeof number,
             ",\"max_tokens\":%d,\"temperature\":0,\"ignore_eos\":true,\"stream\":true,"
             "\"stream_options\":{\"include_usage\":true}}",
             n_tokens);
    add_text(&body, number);
    s->request.n = 0;
    snprintf(number, sizeof number,
             "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
             "Content-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
             body.n);
    add_text(&s->request, number);
    add(&s->request, body.p, body.n);
    free(body.p);
}

/* Line i of a file, round and round. */
static void add_line(text *t, const text *file, int i)
{
    int n = 0;

    for (size_t j = 0; j < file->n; j++) n += file->p[j] == '\n';
    if (n == 0) die("a file of prompts has one in each line");
    i %= n;
    const char *at = file->p;
    while (i--) at = strchr(at, '\n') + 1;
    add(t, at, (size_t)(strchr(at, '\n') - at));
}

static text read_file(const char *path)
{
    text  t = {0};
    FILE *f = fopen(path, "rb");
    char  part[65536];

    if (!f) die("%s: %s", path, strerror(errno));
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) add(&t, part, n);
    fclose(f);
    return t;
}

static void make_requests(run *r)
{
    const options *o = r->o;
    text           file = {0};

    if (o->prompts) file = read_file(o->prompts);
    for (int i = 0; i <= o->n_streams; i++) {
        text prompt = {0};
        if (i == o->n_streams)
            add_words(&prompt, o->arrive, 900001u + (unsigned)o->salt * 7919u);
        else if (o->prompts)
            add_line(&prompt, &file, i);
        else
            add_words(&prompt, o->n_words, 1u + (unsigned)(i + o->salt * STREAMS_MAX));
        make_request(&r->all[i], o, &prompt, i == o->n_streams ? 4 : o->n_tokens);
        free(prompt.p);
    }
    free(file.p);
}

/* ---- Connections ---- */

static void open_stream(run *r, stream *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->o->port)};
    int                on = 1;

    if (inet_pton(AF_INET, r->o->host, &a.sin_addr) != 1) die("--host %s: an address", r->o->host);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&a, sizeof a))
        die("%s:%d: %s", r->o->host, r->o->port, strerror(errno));
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    s->line.n = s->said.n = s->sent = 0;
    s->in_body = s->done = s->finished = s->usage = s->first = false;
    s->n_events = s->n_prompt = s->n_cached = s->n_new = 0;
    s->asked_ns = s->first_ns = s->last_ns = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, s->fd, &e)) die("epoll: %s", strerror(errno));
}

/* A request fits the socket's buffer, or is written in parts while nobody is asked to wait. */
static void ask(run *r, stream *s)
{
    s->asked_ns = now_ns();
    while (s->sent < s->request.n) {
        ssize_t n = send(s->fd, s->request.p + s->sent, s->request.n - s->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            usleep(100);
            continue;
        }
        if (n < 0) die("a request was not taken: %s", strerror(errno));
        s->sent += (size_t)n;
    }
    r->n_left++;
}

/* ---- Events ---- */

static bool is_guest(const run *r, const stream *s)
{
    return s == r->all + r->o->n_streams;
}

/* The number behind "name": in a line of JSON, or -1. */
static int number_of(const char *line, const char *name)
{
    const char *at = strstr(line, name);

    return at ? atoi(at + strlen(name)) : -1;
}

static void take_first(run *r, double ms, int64_t now)
{
    note(&r->firsts, ms);
    if (++r->n_first == r->o->n_streams) r->all_first_ns = now;
}

static void take_time(run *r, stream *s)
{
    int64_t now = now_ns();

    if (!s->first) {
        s->first = true;
        s->first_ns = now;
        if (is_guest(r, s))
            r->read_ns = now;
        else
            take_first(r, (double)(now - s->asked_ns) * 1e-6, now);
    } else if (!is_guest(r, s)) {
        double gap = (double)(now - s->last_ns) * 1e-6;
        note(&r->gaps, gap);
        if (r->arrived_ns == 0 && r->all_first_ns > 0 && s->last_ns >= r->all_first_ns)
            note(&r->calm, gap);
        else if (r->arrived_ns > 0 && (r->read_ns == 0 || s->last_ns < r->read_ns))
            note(&r->disturbed, gap);
    }
    s->last_ns = now;
}

static void take_event(run *r, stream *s, char *line)
{
    const char *at;

    if (strcmp(line, "[DONE]") == 0) {
        if (!s->finished || s->done) die("[DONE] before the end, or twice");
        s->done = true;
        return;
    }
    if (s->done) die("an event after [DONE]: %s", line);
    if (strstr(line, "\"error\":")) die("an error event: %s", line);
    s->n_events++;
    r->n_events++;
    if ((at = strstr(line, "\"usage\":{"))) {
        s->usage = true;
        s->n_prompt = number_of(at, "\"prompt_tokens\":");
        s->n_new = number_of(at, "\"completion_tokens\":");
        s->n_cached = number_of(at, "\"cached_tokens\":");
        return;
    }
    at = strstr(line, "\"text\":\"");
    if (!at || s->finished) die("an event that doesn't belong here: %s", line);
    const char *from = at += strlen("\"text\":\"");
    while (*at && *at != '"') at += *at == '\\' && at[1] ? 2 : 1;
    if (at > from) {
        add(&s->said, from, (size_t)(at - from));
        take_time(r, s);
    }
    s->finished = strstr(at, "\"finish_reason\":\"length\"") != NULL;
}

/* One line, without its end. Sizes of chunks and empty lines lie between events. */
static void take_line(run *r, stream *s, char *line)
{
    if (!s->in_body) {
        if (strncmp(line, "HTTP/1.1 ", 9) == 0 && strncmp(line + 9, "200", 3) != 0) die("%s", line);
        if (*line == 0) s->in_body = true;
    } else if (strncmp(line, "data: ", 6) == 0) {
        take_event(r, s, line + 6);
    }
}

static void take_bytes(run *r, stream *s, const char *bytes, size_t n)
{
    while (n > 0) {
        const char *nl = memchr(bytes, '\n', n);
        size_t      part = nl ? (size_t)(nl - bytes) : n;
        add(&s->line, bytes, part);
        if (s->line.n > LINE_MAX_) die("a line of more than %u bytes", LINE_MAX_);
        if (!nl) return;
        if (s->line.n && s->line.p[s->line.n - 1] == '\r') s->line.p[--s->line.n] = 0;
        take_line(r, s, s->line.p);
        s->line.n = 0;
        bytes += part + 1;
        n -= part + 1;
    }
}

static void check_end(const run *r, const stream *s)
{
    int wanted = is_guest(r, s) ? 4 : r->o->n_tokens;

    if (!s->done || !s->usage) die("a stream broke off after %d events", s->n_events);
    if (s->n_new != wanted) die("%d tokens, expected %d", s->n_new, wanted);
}

static void close_stream(run *r, stream *s)
{
    if (s->fd < 0) return;
    close(s->fd);
    s->fd = -1;
    r->n_left--;
}

static void take(run *r, stream *s)
{
    static char bytes[1 << 18];
    ssize_t     n = read(s->fd, bytes, sizeof bytes);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) take_bytes(r, s, bytes, (size_t)n);
    if (n > 0 && !s->done) return;
    check_end(r, s);
    if (!is_guest(r, s) || r->end_ns == 0) r->end_ns = now_ns();
    close_stream(r, s);
    if (is_guest(r, s))
        for (int i = 0; i < r->o->n_streams; i++) close_stream(r, &r->all[i]);
}

/* ---- A run ---- */

/* Has every stream had enough events for the undisturbed gaps to be known? */
static bool is_under_way(const run *r)
{
    for (int i = 0; i < r->o->n_streams; i++)
        if (r->all[i].n_events < r->o->after) return false;
    return true;
}

static void run_once(run *r)
{
    const options     *o = r->o;
    struct epoll_event events[256];

    r->n_left = r->n_events = r->n_first = 0;
    r->all_first_ns = 0;
    r->arrived_ns = r->read_ns = 0;
    r->gaps.n = r->calm.n = r->disturbed.n = r->firsts.n = 0;
    for (int i = 0; i < o->n_streams; i++) open_stream(r, &r->all[i]);
    r->start_ns = now_ns();
    for (int i = 0; i < o->n_streams; i++) ask(r, &r->all[i]);
    while (r->n_left > 0) {
        int n = epoll_wait(r->epoll, events, 256, TIMEOUT_MS);
        if (n == 0) die("nothing came for %d s", TIMEOUT_MS / 1000);
        for (int i = 0; i < n; i++) {
            stream *s = events[i].data.ptr;
            if (s->fd >= 0) take(r, s); /* not broken off by an event before */
        }
        if (o->arrive && r->arrived_ns == 0 && is_under_way(r)) {
            open_stream(r, &r->all[o->n_streams]);
            ask(r, &r->all[o->n_streams]);
            r->arrived_ns = r->all[o->n_streams].asked_ns;
        }
    }
    if (o->arrive && r->arrived_ns == 0) die("the streams ended before the long prompt came");
}

static void report(run *r, int i, double cpu_s)
{
    const options *o = r->o;
    double         s = (double)(r->end_ns - r->start_ns) * 1e-9, token_ms = 0;
    int            n_prompt = 0, n_cached = 0;

    for (int k = 0; k < o->n_streams; k++) {
        n_prompt += r->all[k].n_prompt;
        n_cached += r->all[k].n_cached;
        if (o->n_tokens > 1)
            token_ms += (double)(r->all[k].last_ns - r->all[k].first_ns) * 1e-6 /
                        (o->n_tokens - 1) / o->n_streams;
    }
    printf("run=%d streams=%d tokens=%d tok_s=%.3f events=%d prompt=%d cached=%d "
           "first_ms_p50=%.3f first_ms_p99=%.3f gap_ms_p50=%.3f gap_ms_p99=%.3f gap_ms_max=%.3f "
           "token_ms=%.4f client_cpu=%.3f",
           i, o->n_streams, o->n_tokens, o->n_streams * o->n_tokens / s, r->n_events, n_prompt,
           n_cached, percentile(&r->firsts, 0.5), percentile(&r->firsts, 0.99),
           percentile(&r->gaps, 0.5), percentile(&r->gaps, 0.99), percentile(&r->gaps, 1), token_ms,
           cpu_s / s);
    if (o->arrive)
        printf(" calm_ms_p50=%.3f calm_ms_p99=%.3f disturbed_ms_p50=%.3f disturbed_ms_p99=%.3f "
               "disturbed_n=%zu guest_prompt=%d guest_first_ms=%.1f",
               percentile(&r->calm, 0.5), percentile(&r->calm, 0.99),
               percentile(&r->disturbed, 0.5), percentile(&r->disturbed, 0.99), r->disturbed.n,
               r->all[o->n_streams].n_prompt, (double)(r->read_ns - r->arrived_ns) * 1e-6);
    printf("\n");
    fflush(stdout);
}

static void append_csv(run *r, int i)
{
    const options *o = r->o;
    FILE          *f = fopen(o->csv, "ab");

    if (!f) die("%s: %s", o->csv, strerror(errno));
    if (ftell(f) == 0)
        fprintf(f, "run,streams,tokens,tok_s,events,first_ms_p50,first_ms_p99,gap_ms_p50,"
                   "gap_ms_p99,calm_ms_p99,disturbed_ms_p99\n");
    fprintf(f, "%d,%d,%d,%.3f,%d,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f\n", i, o->n_streams, o->n_tokens,
            o->n_streams * o->n_tokens / ((double)(r->end_ns - r->start_ns) * 1e-9), r->n_events,
            percentile(&r->firsts, 0.5), percentile(&r->firsts, 0.99), percentile(&r->gaps, 0.5),
            percentile(&r->gaps, 0.99), percentile(&r->calm, 0.99),
            percentile(&r->disturbed, 0.99));
    if (fclose(f)) die("%s: %s", o->csv, strerror(errno));
}

static void write_texts(const run *r)
{
    FILE *f = fopen(r->o->write, "wb");

    if (!f) die("%s: %s", r->o->write, strerror(errno));
    for (int i = 0; i < r->o->n_streams; i++)
        fprintf(f, "\"%s\"\n", r->all[i].said.p ? r->all[i].said.p : "");
    if (fclose(f)) die("%s: %s", r->o->write, strerror(errno));
}

static void compare_texts(const run *r)
{
    text        file = read_file(r->o->expect);
    const char *at = file.p;
    int         n_wrong = 0;

    for (int i = 0; i < r->o->n_streams; i++) {
        const text *said = &r->all[i].said;
        const char *nl = at ? strchr(at, '\n') : NULL;
        if (!nl) die("%s: fewer texts than streams", r->o->expect);
        size_t n = (size_t)(nl - at);
        if (n != said->n + 2 || memcmp(at + 1, said->p, said->n) != 0) {
            n_wrong++;
            fprintf(stderr, "load: stream %d differs:\n  %s\n  %.*s\n", i, said->p, (int)n, at);
        }
        at = nl + 1;
    }
    free(file.p);
    if (n_wrong) die("%d of %d texts differ from %s", n_wrong, r->o->n_streams, r->o->expect);
}

/* ---- The command line ---- */

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static int count_of(const char *name, const char *value, int max)
{
    char *end;
    long  n = strtol(value, &end, 10);

    if (*end || end == value || n < 0 || n > max) die("%s: expected 0 to %d", name, max);
    return (int)n;
}

static void read_options(options *o, int argc, char **argv)
{
    const struct {
        const char  *name;
        int         *number;
        int          max;
        const char **word;
    } all[] = {
        {"--port", &o->port, 65535, NULL},
        {"--streams", &o->n_streams, STREAMS_MAX, NULL},
        {"--tokens", &o->n_tokens, 1 << 20, NULL},
        {"--prompt-words", &o->n_words, 1 << 20, NULL},
        {"--runs", &o->n_runs, 1000, NULL},
        {"--arrive", &o->arrive, 1 << 20, NULL},
        {"--after", &o->after, 1 << 20, NULL},
        {"--salt", &o->salt, 1 << 16, NULL},
        {"--host", NULL, 0, &o->host},
        {"--prompts", NULL, 0, &o->prompts},
        {"--model", NULL, 0, &o->model},
        {"--write", NULL, 0, &o->write},
        {"--expect", NULL, 0, &o->expect},
        {"--csv", NULL, 0, &o->csv},
    };

    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < sizeof all / sizeof *all && strcmp(all[k].name, argv[i]) != 0) k++;
        if (k == sizeof all / sizeof *all || i + 1 == argc)
            die("%s: not an option, or without a value; bench/load.c tells them", argv[i]);
        if (all[k].number) *all[k].number = count_of(argv[i], argv[i + 1], all[k].max);
        if (all[k].word) *all[k].word = argv[i + 1];
    }
    if (o->port < 1 || o->n_streams < 1 || o->n_tokens < 1) die("--port, --streams, --tokens");
}

int main(int argc, char **argv)
{
    options o = {.host = "127.0.0.1",
                 .n_streams = 8,
                 .n_tokens = 64,
                 .n_words = 16,
                 .n_runs = 1,
                 .after = 32};
    run     r = {.o = &o};

    read_options(&o, argc, argv);
    r.all = calloc((size_t)o.n_streams + 1, sizeof *r.all);
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!r.all || r.epoll < 0) die("out of memory or descriptors");
    for (int i = 0; i < o.n_runs; i++, o.salt++) {
        make_requests(&r);
        double before = cpu_seconds();
        run_once(&r);
        report(&r, i, cpu_seconds() - before);
        if (o.csv) append_csv(&r, i);
        if (o.expect) compare_texts(&r);
    }
    if (o.write) write_texts(&r);
    return 0;
}
