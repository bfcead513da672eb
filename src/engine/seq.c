/* seq.c - a sequence's pages, and the way from logits to what its job is told. */
#include "engine/seq.h"

#include <string.h>

#include "base/alloc.h"
#include "model/rope.h"

/* A token whose text isn't complete: its place in the text. */
typedef struct nx_seq_step {
    nx_job_step step;
    size_t      end; /* in bytes of the answer */
} nx_seq_step;

/* ---- Life ---- */

static nx_status copy_prompt(nx_seq *s, const nx_ids *prompt, nx_error *err)
{
    int32_t n_vocab = s->home->llm->model->hp.n_vocab;

    for (size_t i = 0; i < prompt->n; i++)
        if (prompt->ids[i] < 0 || prompt->ids[i] >= n_vocab)
            return nx_fail(err, NX_EINVAL, "token %zu of the prompt is %d, expected 0 to %d", i,
                           prompt->ids[i], n_vocab - 1);
    nx_status st = nx_ids_reserve(&s->ids, prompt->n + 64, err);
    if (st) return st;
    memcpy(s->ids.ids, prompt->ids, prompt->n * sizeof *prompt->ids);
    s->ids.n = prompt->n;
    return NX_OK;
}

static void set_up(nx_seq *s, const nx_job_options *o)
{
    int32_t left = s->home->n_ctx - (int32_t)o->prompt.n;

    s->n_prompt = (int32_t)o->prompt.n;
    s->n_predict = o->n_predict < left ? o->n_predict : left;
    s->epoch = nx_rope_epoch(s->home->llm->model, s->n_prompt);
    s->item.priority = o->priority;
    s->item.owner = o->owner;
    s->item.cost = (double)s->n_prompt + s->n_predict;
    nx_speech_begin(&s->speech, s->home->llm->vocab, o->stop, o->n_stop, s->ids.ids, s->ids.n);
}

nx_status nx_seq_create(nx_seq **out, const nx_seq_home *home, nx_job *job, nx_error *err)
{
    const nx_job_options *o = nx_job_get_options(job);
    nx_seq               *s = nx_calloc(1, sizeof *s);

    *out = NULL;
    if (!s) return nx_fail(err, NX_ENOMEM, "sequence");
    s->home = home;
    nx_status st = copy_prompt(s, &o->prompt, err);
    if (!st) st = nx_sampler_create_at(&s->sampler, &o->sampler, home->desk, err);
    if (st) {
        nx_seq_destroy(s);
        return st;
    }
    nx_job_retain(job);
    s->job = job;
    set_up(s, o);
    *out = s;
    return NX_OK;
}

void nx_seq_destroy(nx_seq *s)
{
    if (!s) return;
    nx_seq_drop_pages(s);
    nx_speech_end(&s->speech);
    nx_sampler_destroy(s->sampler);
    nx_ids_free(&s->ids);
    nx_free(s->pages);
    nx_free(s->steps);
    nx_free(s->top);
    nx_job_release(s->job);
    nx_free(s);
}

/* ---- Pages ---- */

/* Keys of a text under dynamic scaling depend on its length when they were computed: nobody else's. */
static bool is_shareable(const nx_seq *s)
{
    const nx_hparams *hp = &s->home->llm->model->hp;

    return hp->rope_scaling != NX_ROPE_SCALING_DYNAMIC ||
           (int32_t)s->ids.n <= hp->rope_ctx_original;
}

static nx_page tail(const nx_seq *s)
{
    return s->n_nodes > 0 ? s->pages[s->n_nodes - 1] : nx_pages_root(s->epoch);
}

static bool room_in_table(nx_seq *s)
{
    if (s->n_pages < s->pages_cap) return true;
    int32_t  cap = s->pages_cap ? 2 * s->pages_cap : 8;
    nx_page *grown = nx_realloc(s->pages, (size_t)cap, sizeof *grown);
    if (!grown) return false;
    s->pages = grown;
    s->pages_cap = cap;
    return true;
}

void nx_seq_adopt(nx_seq *s)
{
    const int32_t len = s->home->page_len;

    if (s->n_done != s->n_nodes * len || !is_shareable(s)) return;
    while (s->n_done + len < (int32_t)s->ids.n && s->n_pages >= s->n_nodes) {
        nx_page node = nx_pages_find(s->home->book, tail(s), s->ids.ids + s->n_done);
        if (node < 0) break;
        if (s->n_pages > s->n_nodes) { /* a page taken in advance */
            nx_pages_give(s->home->book, s->pages[s->n_nodes]);
        } else {
            if (!room_in_table(s)) break;
            s->n_pages++;
        }
        nx_pages_hold(s->home->book, node);
        s->pages[s->n_nodes++] = node;
        s->n_done += len;
        if (s->n_done <= s->n_prompt && s->n_new == 0) s->n_cached += len;
    }
}

bool nx_seq_make_room(nx_seq *s, int32_t n)
{
    const int32_t len = s->home->page_len;

    while (s->n_pages * len < s->n_done + n) {
        if (!room_in_table(s)) return false;
        nx_page page = nx_pages_take(s->home->book);
        if (page < 0) return false;
        s->pages[s->n_pages++] = page;
    }
    return true;
}

void nx_seq_stored(nx_seq *s, int32_t n)
{
    const int32_t len = s->home->page_len;

    s->n_done += n;
    while (is_shareable(s) && (s->n_nodes + 1) * len <= s->n_done) {
        nx_page *page = &s->pages[s->n_nodes];
        *page = nx_pages_publish(s->home->book, tail(s), s->ids.ids + s->n_nodes * len, *page);
        s->n_nodes++;
    }
}

void nx_seq_drop_pages(nx_seq *s)
{
    while (s->n_pages > 0) {
        nx_page page = s->pages[--s->n_pages];
        if (s->n_pages < s->n_nodes)
            nx_pages_let_go(s->home->book, page);
        else
            nx_pages_give(s->home->book, page);
    }
    s->n_nodes = s->n_done = 0;
    if (s->n_new == 0) s->n_cached = 0;
}

void nx_seq_enter_epoch(nx_seq *s, int32_t n)
{
    int32_t epoch = nx_rope_epoch(s->home->llm->model, n);

    if (epoch == s->epoch) return;
    nx_seq_drop_pages(s);
    s->epoch = epoch;
}

bool nx_seq_waits_for(const nx_seq *s, const nx_seq *b)
{
    const int32_t len = s->home->page_len, at = b->n_nodes * len;

    return s->n_done == at && tail(s) == tail(b) && at + len < (int32_t)s->ids.n &&
           at + len <= (int32_t)b->ids.n && is_shareable(s) && is_shareable(b) &&
           memcmp(s->ids.ids + at, b->ids.ids + at, (size_t)len * sizeof *s->ids.ids) == 0;
}

/* ---- What it says ---- */

static void fail(nx_seq *s, nx_status st)
{
    s->finished = true;
    s->finish = NX_FINISH_CANCELLED;
    if (s->error.status == NX_OK) nx_fail(&s->error, st, "%s", nx_status_text(st));
}

static int32_t n_top(const nx_seq *s)
{
    int32_t n = nx_job_get_options(s->job)->n_logprobs, n_vocab = s->home->llm->model->hp.n_vocab;

    return n < n_vocab ? n : n_vocab;
}

static nx_status note_step(nx_seq *s, int32_t id, const float *logits, nx_error *err)
{
    int32_t      n = n_top(s);
    nx_seq_step *step;

    if (n < 0) return NX_OK;
    if (s->n_steps == s->steps_cap) {
        size_t       cap = s->steps_cap ? 2 * s->steps_cap : 8;
        nx_seq_step *grown = nx_realloc(s->steps, cap, sizeof *grown);
        if (grown) s->steps = grown;
        nx_logprob *top = grown ? nx_realloc(s->top, cap, sizeof *top * (size_t)(n ? n : 1)) : NULL;
        if (!top) return nx_fail(err, NX_ENOMEM, "log-probabilities");
        s->top = top;
        s->steps_cap = cap;
    }
    step = &s->steps[s->n_steps];
    *step = (nx_seq_step){.step = {.id = id, .n_top = n}};
    nx_logprobs(s->top + s->n_steps * (size_t)n, n, &step->step.logprob, id, logits,
                s->home->llm->model->hp.n_vocab);
    s->n_steps++;
    return NX_OK;
}

/* Steps whose text ends within the first `shown` bytes of the answer; all of them when the answer is
 * over: then what was cut off belongs to none. */
static size_t tell_steps(nx_seq *s, size_t from, size_t shown, bool all, nx_job_step *out)
{
    size_t n = 0;

    for (; n < s->n_steps && (all || s->steps[n].end <= shown); n++) {
        size_t end = s->steps[n].end < shown ? s->steps[n].end : shown;
        out[n] = s->steps[n].step;
        out[n].n_bytes = (int32_t)(end > from ? end - from : 0);
        if (end > from) from = end;
    }
    return n;
}

/* With steps, text goes out by whole steps: as much of it as the last one that is wholly ready. */
static size_t whole_steps(const nx_seq *s, size_t len)
{
    size_t from = s->speech.n_dropped, whole = 0;

    for (size_t i = 0; i < s->n_steps && s->steps[i].end <= from + len; i++)
        whole = s->steps[i].end - from;
    return whole;
}

#define STEPS_AT_ONCE 64

static nx_status show(nx_seq *s, const char *text, size_t len, bool all, nx_error *err)
{
    nx_job_step told[STEPS_AT_ONCE], *list = told;
    size_t      from = s->speech.n_dropped, n, top = (size_t)(n_top(s) > 0 ? n_top(s) : 0);

    if (s->n_steps && !all) len = whole_steps(s, len);
    if (s->n_steps > STEPS_AT_ONCE) list = nx_alloc(s->n_steps, sizeof *list);
    if (!list) return nx_fail(err, NX_ENOMEM, "log-probabilities");
    n = tell_steps(s, from, from + len, all, list);
    nx_status st = nx_job_put(s->job, text, len, list, n, s->top, err);
    if (list != told) nx_free(list);
    if (n) {
        s->n_steps -= n;
        memmove(s->steps, s->steps + n, s->n_steps * sizeof *s->steps);
        if (top) memmove(s->top, s->top + n * top, s->n_steps * top * sizeof *s->top);
    }
    if (len) nx_speech_shown(&s->speech, len);
    return st;
}

static void say_rest(nx_seq *s)
{
    const char *text;
    size_t      n;
    bool        stopped;
    nx_status   st = nx_speech_finish(&s->speech, &text, &n, &stopped, &s->error);

    if (!st) st = show(s, text, n, true, &s->error);
    if (st) fail(s, st);
    if (stopped) s->finish = NX_FINISH_STOP;
}

static void end(nx_seq *s, nx_finish finish)
{
    s->finished = true;
    s->finish = finish;
    say_rest(s);
}

static nx_status say(nx_seq *s, int32_t id, bool *stopped)
{
    const char *text;
    size_t      n;
    nx_status   st = nx_speech_push(&s->speech, id, &text, &n, stopped, &s->error);

    if (st) return st;
    /* Where a stop text is complete, what lies behind its beginning was never said. */
    size_t length = *stopped ? s->speech.n_dropped + n : nx_speech_length(&s->speech);
    if (s->n_steps) s->steps[s->n_steps - 1].end = length;
    return n > 0 || s->n_steps ? show(s, text, n, *stopped, &s->error) : NX_OK;
}

int32_t nx_seq_choose(nx_seq *s, const float *logits)
{
    const nx_vocab *vocab = s->home->llm->vocab;
    int32_t         id;
    bool            stopped;
    nx_status       st = nx_sampler_next(s->sampler, &id, logits, s->ids.ids, s->ids.n, &s->error);

    if (!st && vocab && !nx_job_get_options(s->job)->ignore_end &&
        nx_vocab_ends_answer(vocab, id)) {
        end(s, NX_FINISH_STOP);
        return -1;
    }
    if (!st) st = nx_ids_add(&s->ids, id, &s->error);
    if (!st) st = note_step(s, id, logits, &s->error);
    if (!st) {
        s->n_new++;
        st = say(s, id, &stopped);
    }
    if (st) {
        fail(s, st);
        return -1;
    }
    if (stopped) {
        s->finished = true;
        s->finish = NX_FINISH_STOP;
    } else if (s->n_new >= s->n_predict) {
        end(s, NX_FINISH_LENGTH);
    }
    return id;
}

void nx_seq_finish(nx_seq *s, nx_finish finish)
{
    if (!s->finished && finish == NX_FINISH_CANCELLED && s->began) end(s, finish);
    nx_job_finish(s->job, s->finished ? s->finish : finish, s->error.status ? &s->error : NULL);
}
