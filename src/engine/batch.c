/* batch.c - the engine's thread: takes jobs in, admits them, steps, lets them go.
 *
 * Locks: `lock` guards the inbox, the stop flag and the published counts, and is never held while
 *        anything is computed. Jobs have locks of their own, taken inside none of ours.
 */
#include "engine/batch.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/batch_in.h"
#include "os/clock.h"

#define LOGIT_ROWS_GUESSED 48

static nx_batch *self(nx_service *s)
{
    return (nx_batch *)s;
}

void nx_batch_options_default(nx_batch_options *opt)
{
    *opt = (nx_batch_options){
        .n_slots = 64,
        .n_batch = NX_BATCH_DEFAULT,
        .n_queue = NX_QUEUE_DEFAULT,
        .stretch = NX_STRETCH_DEFAULT,
        .n_draft = NX_DRAFT_DEFAULT,
        .kv_dtype = NX_DTYPE_F16,
    };
}

/* ---- Submitting ---- */

static void kick(void *ctx)
{
    nx_batch *b = ctx;

    pthread_mutex_lock(&b->lock);
    b->kicked = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static nx_status check_length(const nx_batch *b, const nx_job *job, nx_error *err)
{
    size_t n = nx_job_get_options(job)->prompt.n;

    if (n < (size_t)b->home.n_ctx) return NX_OK;
    return nx_fail(
        err, NX_ELIMIT,
        "the prompt has %zu tokens, and the context holds %d of prompt and answer. Make it "
        "shorter, or start the server with a larger --ctx",
        n, b->home.n_ctx);
}

static nx_status batch_submit(nx_service *service, nx_job *job, nx_error *err)
{
    nx_batch *b = self(service);
    nx_seq   *s = NULL;
    nx_status st = check_length(b, job, err);

    if (!st && atomic_fetch_add(&b->n_waiting, 1) >= b->opt.n_queue) {
        st = nx_fail(err, NX_EBUSY, "%d requests are waiting already. Try again later",
                     b->opt.n_queue);
        atomic_fetch_sub(&b->n_waiting, 1);
    } else if (!st) {
        st = nx_seq_create(&s, &b->home, job, err);
        if (st) atomic_fetch_sub(&b->n_waiting, 1);
    }
    if (st) return st;
    nx_job_set_kick(job, kick, b);
    pthread_mutex_lock(&b->lock);
    s->item.next = b->inbox;
    b->inbox = &s->item;
    b->kicked = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
    return NX_OK;
}

static void batch_stats(nx_service *service, nx_service_stats *out)
{
    nx_batch *b = self(service);

    pthread_mutex_lock(&b->lock);
    *out = b->stats;
    pthread_mutex_unlock(&b->lock);
    out->n_waiting = atomic_load(&b->n_waiting);
}

/* ---- Letting go ---- */

static void release(nx_batch *b, nx_seq *s, nx_finish finish)
{
    int64_t cancelled = nx_job_cancelled_ns(s->job);

    nx_seq_drop_pages(s); /* before anyone hears of the end */
    if (cancelled)
        nx_batch_observe(b, NX_OBSERVED_CANCEL, (double)(nx_clock_ns() - cancelled) * 1e-9);
    nx_seq_finish(s, finish);
    nx_seq_destroy(s);
}

static void leave_running(nx_batch *b, int32_t i)
{
    b->n_running--;
    memmove(b->running + i, b->running + i + 1, (size_t)(b->n_running - i) * sizeof *b->running);
}

void nx_batch_preempt(nx_batch *b, int32_t i)
{
    nx_seq *s = b->running[i];

    nx_seq_drop_pages(s);
    nx_job_set_state(s->job, NX_JOB_WAITING);
    leave_running(b, i);
    nx_queue_return(&b->queue, &s->item);
    atomic_fetch_add(&b->n_waiting, 1);
    b->counts.n_preempted++;
}

/* ---- Admitting ---- */

/* In the order of arrival. */
static void empty_inbox(nx_batch *b, nx_queue_item *newest)
{
    nx_queue_item *oldest = NULL;

    while (newest) {
        nx_queue_item *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        nx_queue_item *next = oldest->next;
        nx_queue_push(&b->queue, oldest);
        oldest = next;
    }
}

static void drop_cancelled(nx_batch *b)
{
    for (nx_queue_item *item = b->queue.first, *next; item; item = next) {
        nx_seq *s = (nx_seq *)item;
        next = item->next;
        if (!nx_job_cancelled_ns(s->job)) continue;
        nx_queue_remove(&b->queue, item);
        atomic_fetch_sub(&b->n_waiting, 1);
        release(b, s, NX_FINISH_CANCELLED);
    }
    for (int32_t i = b->n_running; i-- > 0;) {
        nx_seq *s = b->running[i];
        if (!nx_job_cancelled_ns(s->job)) continue;
        leave_running(b, i);
        release(b, s, NX_FINISH_CANCELLED);
    }
}

/* Pages that s needs beyond those that it holds by now, and one for everyone to go on with. */
static bool has_room_for(const nx_batch *b, const nx_seq *s)
{
    nx_pages_count c;
    int32_t        wanted = nx_seq_lag(s) / NX_PAGE_LEN + 2 + b->n_running;

    nx_pages_counts(b->home.book, &c);
    return wanted <= c.n_free + c.n_cached || b->n_running == 0;
}

static void begin(nx_batch *b, nx_seq *s)
{
    bool first_time = !s->began;

    s->began = true;
    b->running[b->n_running++] = s;
    nx_job_set_state(s->job, NX_JOB_PREFILL);
    if (first_time) {
        b->counts.n_prefix_queried += (uint64_t)s->n_prompt;
        nx_job_set_read(s->job, s->n_done, s->n_cached);
    }
}

static void admit(nx_batch *b)
{
    while (b->n_running < b->opt.n_slots) {
        nx_seq *s = (nx_seq *)nx_queue_peek(&b->queue);
        if (!s) break;
        if (s->n_predict == 0) {
            nx_queue_pop(&b->queue);
            atomic_fetch_sub(&b->n_waiting, 1);
            release(b, s, NX_FINISH_LENGTH);
            continue;
        }
        nx_seq_adopt(s);
        if (!has_room_for(b, s)) {
            nx_seq_drop_pages(s);
            break;
        }
        nx_queue_pop(&b->queue);
        atomic_fetch_sub(&b->n_waiting, 1);
        begin(b, s);
    }
}

/* ---- The thread ---- */

static void publish_counts(nx_batch *b)
{
    nx_pages_count    c;
    nx_service_stats *s = &b->counts;

    nx_pages_counts(b->home.book, &c);
    s->n_running = b->n_running;
    s->n_paused = b->n_paused;
    s->n_pages_cached = c.n_cached;
    s->n_pages_running = c.n_pages - c.n_free - c.n_cached;
    pthread_mutex_lock(&b->lock);
    b->stats = *s;
    pthread_mutex_unlock(&b->lock);
}

/* Take what came in. Sleeps while there is nothing to do. false: the end. */
static bool listen(nx_batch *b, bool idle)
{
    pthread_mutex_lock(&b->lock);
    while (idle && !b->kicked && !b->stop) pthread_cond_wait(&b->wake, &b->lock);
    nx_queue_item *inbox = b->inbox;
    b->inbox = NULL;
    b->kicked = false;
    bool go = !b->stop;
    pthread_mutex_unlock(&b->lock);
    empty_inbox(b, inbox);
    return go;
}

/* Tell everyone of this step what is new, and part with those that are done. */
static void hand_out(nx_batch *b)
{
    for (int32_t i = 0; i < b->n_step; i++)
        if (!b->who[i]->finished) nx_job_notify(b->who[i]->job);
    for (int32_t i = b->n_running; i-- > 0;) {
        nx_seq *s = b->running[i];
        if (!s->finished) continue;
        leave_running(b, i);
        release(b, s, s->finish);
    }
}

static void forget_logits(void *ctx, int32_t row, const float *logits)
{
    (void)ctx;
    (void)row;
    (void)logits;
}

/* A step of a prompt and one of an answer about nothing: weights, scratch and code are touched before the
 * first who asks pays for it. (89 ms to the first token of the shipped model without.) */
static void warm_up(nx_batch *b)
{
    int32_t     ids[NX_PAGE_LEN] = {0};
    nx_page     page = nx_pages_take(b->home.book);
    nx_walk_seq s = {.ids = ids, .pages = &page, .n_logits = 1};
    int32_t     most = b->opt.n_ctx < NX_PAGE_LEN ? b->opt.n_ctx : NX_PAGE_LEN;

    s.T = s.n_seq = most;
    nx_walk_step(b->walk, &b->kv, &s, 1, forget_logits, NULL);
    s.T = s.n_seq = 1;
    nx_walk_step(b->walk, &b->kv, &s, 1, forget_logits, NULL);
    nx_pages_give(b->home.book, page);
}

static void *batch_main(void *arg)
{
    nx_batch *b = arg;
    bool      idle = true;

    warm_up(b);

    while (listen(b, idle)) {
        drop_cancelled(b);
        admit(b);
        idle = !nx_batch_step(b);
        if (!idle) hand_out(b);
        publish_counts(b);
    }
    /* The end: nobody waits for ever. */
    while (b->n_running) release(b, b->running[--b->n_running], NX_FINISH_CANCELLED);
    for (nx_queue_item *item; (item = nx_queue_pop(&b->queue));)
        release(b, (nx_seq *)item, NX_FINISH_CANCELLED);
    return NULL;
}

/* ---- Life ---- */

static void batch_destroy(nx_service *service)
{
    nx_batch *b = self(service);

    if (!b) return;
    if (b->has_thread) {
        pthread_mutex_lock(&b->lock);
        b->stop = true;
        pthread_cond_signal(&b->wake);
        pthread_mutex_unlock(&b->lock);
        pthread_join(b->thread, NULL);
    }
    nx_walk_destroy(b->walk);
    nx_kv_close(&b->kv);
    nx_pages_destroy(b->home.book);
    nx_sampler_desk_destroy(b->home.desk);
    nx_free(b->running);
    nx_free(b->step);
    nx_free(b->who);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    nx_free(b);
}

static const nx_service_ops batch_ops = {batch_submit, batch_stats, batch_destroy};

/* Fill in what the options leave open, and check the rest. */
static nx_status settle(nx_batch_options *o, const nx_hparams *hp, nx_error *err)
{
    int32_t most = hp->n_ctx < NX_CTX_DEFAULT_MAX ? hp->n_ctx : NX_CTX_DEFAULT_MAX;

    if (o->n_slots < 1 || o->n_slots > NX_PARALLEL_MAX)
        return nx_fail(err, NX_EINVAL, "%d answers at once: expected 1 to %d", o->n_slots,
                       NX_PARALLEL_MAX);
    if (o->n_ctx == 0) o->n_ctx = most;
    if (o->n_ctx < 2 || o->n_ctx > hp->n_ctx)
        return nx_fail(err, NX_ELIMIT, "a context of %d tokens: the model was made for 2 to %d",
                       o->n_ctx, hp->n_ctx);
    if (o->n_batch == 0) o->n_batch = NX_BATCH_DEFAULT;
    if (o->n_batch < o->n_slots) o->n_batch = o->n_slots;
    /* One answer with its guesses fits. */
    if (o->n_batch < NX_DRAFT_MAX + 1) o->n_batch = NX_DRAFT_MAX + 1;
    if (o->n_draft < 0 || o->n_draft > NX_DRAFT_MAX)
        return nx_fail(err, NX_EINVAL, "%d guesses: expected 0 to %d", o->n_draft, NX_DRAFT_MAX);
    int64_t all = o->n_pos_all ? o->n_pos_all : (int64_t)o->n_slots * o->n_ctx;
    if (all < o->n_ctx) all = o->n_ctx;
    if (all > INT32_MAX - 2 * NX_PAGE_LEN) all = INT32_MAX - 2 * NX_PAGE_LEN;
    o->n_pos_all = (int32_t)((all + NX_PAGE_LEN - 1) / NX_PAGE_LEN + 1) * NX_PAGE_LEN;
    return NX_OK;
}

static nx_walk_sizes sizes_of(const nx_batch_options *o)
{
    /* Every answer has a row of logits, and a few have guesses beside. */
    int32_t rows = o->n_slots * (1 + o->n_draft);

    if (rows > LOGIT_ROWS_GUESSED) rows = LOGIT_ROWS_GUESSED;
    if (rows < o->n_slots) rows = o->n_slots;
    return (nx_walk_sizes){
        .n_batch = o->n_batch, .n_pos = o->n_ctx, .n_seqs_max = o->n_slots, .logit_rows = rows};
}

uint64_t nx_batch_bytes_planned(const nx_hparams *hp, const nx_backend *be,
                                const nx_batch_options *opt)
{
    nx_batch_options o = *opt;

    if (settle(&o, hp, NULL)) return 0;
    nx_walk_sizes sizes = sizes_of(&o);
    return nx_kv_bytes(hp, o.kv_dtype, o.n_pos_all) + nx_walk_bytes_planned(hp, &sizes) +
           (be ? nx_walk_scratch_planned(hp, be, &sizes) : 0);
}

static nx_status take_memory(nx_batch *b, nx_error *err)
{
    const nx_model *m = b->llm->model;
    int32_t         n_pages = b->opt.n_pos_all / NX_PAGE_LEN;
    size_t          n = (size_t)b->opt.n_slots;
    nx_walk_sizes   sizes = sizes_of(&b->opt);
    nx_status       st =
        nx_kv_open(&b->kv, &m->hp, b->llm->be, b->opt.kv_dtype, n_pages, NX_PAGE_LEN, err);

    if (!st) st = nx_walk_create(&b->walk, m, b->llm->be, &sizes, err);
    if (!st) st = nx_pages_create(&b->home.book, n_pages, NX_PAGE_LEN, err);
    if (!st) st = nx_sampler_desk_create(&b->home.desk, m->hp.n_vocab, err);
    if (st) return st;
    b->running = nx_calloc(n, sizeof *b->running);
    b->step = nx_calloc(n, sizeof *b->step);
    b->who = nx_calloc(n, sizeof *b->who);
    if (b->running && b->step && b->who) return NX_OK;
    return nx_fail(err, NX_ENOMEM, "engine for %d answers", b->opt.n_slots);
}

nx_status nx_batch_create(nx_service **out, const nx_llm *llm, const nx_batch_options *opt,
                          nx_error *err)
{
    nx_batch *b = nx_calloc(1, sizeof *b);

    *out = NULL;
    if (!b) return nx_fail(err, NX_ENOMEM, "engine");
    b->base.ops = &batch_ops;
    b->opt = *opt;
    b->llm = llm;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wake, NULL);
    nx_status st = nx_llm_check_generates(llm, err);
    if (!st) st = settle(&b->opt, &llm->model->hp, err);
    b->home = (nx_seq_home){.llm = llm, .n_ctx = b->opt.n_ctx, .page_len = NX_PAGE_LEN};
    if (!st) st = take_memory(b, err);
    if (!st) {
        b->counts.n_slots = b->opt.n_slots;
        b->counts.n_ctx = b->opt.n_ctx;
        b->counts.page_len = NX_PAGE_LEN;
        b->counts.n_pages = b->opt.n_pos_all / NX_PAGE_LEN;
        publish_counts(b);
        b->has_thread = pthread_create(&b->thread, NULL, batch_main, b) == 0;
        if (!b->has_thread) st = nx_fail(err, NX_ENOMEM, "engine: its thread did not start");
    }
    if (st) {
        batch_destroy(&b->base);
        return st;
    }
    *out = &b->base;
    return NX_OK;
}
