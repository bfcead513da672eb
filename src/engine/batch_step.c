/* batch_step.c - one step: which rows, the walk, and what came of it.
 *
 * Idea:   first a row for each answer under way, with its guesses; then slices of prompts, oldest first.
 *         Every row needs its page before the walk; who gets none waits, and where an answer gets none the
 *         one that was admitted last gives way.
 */
#include <string.h>

#include "engine/batch_in.h"
#include "os/clock.h"

/* Answers at once up to which guesses are looked for: looking isn't free either. */
#define DRAFT_ANSWERS_MAX 16

#define SLICE_UNKNOWN 16 /* before anything was measured */
#define SLICE_MIN     4

static bool is_answering(const nx_seq *s)
{
    return s->n_new > 0 && nx_seq_lag(s) == 1;
}

/* ---- Pages for a row ---- */

static bool in_step(const nx_batch *b, const nx_seq *s)
{
    return s->in_step == b->step_no;
}

/* The one to give way to s: of the lowest priority, the last admitted; not one whose rows stand in the
 * step. -1: nobody. */
static int32_t choose_victim(const nx_batch *b, const nx_seq *s)
{
    int32_t victim = -1;

    for (int32_t i = 0; i < b->n_running; i++) {
        const nx_seq *r = b->running[i];
        if (r == s || r->n_pages == 0 || in_step(b, r)) continue;
        if (victim < 0 || r->item.priority >= b->running[victim]->item.priority) victim = i;
    }
    return victim;
}

/* Rows for an answer are worth another's place; rows of a prompt aren't. */
static bool make_room(nx_batch *b, nx_seq *s, int32_t n, bool at_any_price)
{
    while (!nx_seq_make_room(s, n)) {
        int32_t victim = at_any_price ? choose_victim(b, s) : -1;
        if (victim < 0) return false;
        nx_batch_preempt(b, victim);
    }
    return true;
}

/* ---- The rows of a step ---- */

static void add_rows(nx_batch *b, nx_seq *s, const int32_t *ids, int32_t T, int32_t n_logits)
{
    int32_t i = b->n_step++;

    s->in_step = b->step_no;
    s->row0 = b->n_rows;
    s->n_rows = T;
    s->n_logits = n_logits;
    s->n_right = 0;
    b->who[i] = s;
    b->step[i] = (nx_walk_seq){.ids = ids,
                               .pages = s->pages,
                               .T = T,
                               .pos0 = s->n_done,
                               .n_seq = (int32_t)s->ids.n > s->n_done + T ? (int32_t)s->ids.n
                                                                          : s->n_done + T,
                               .n_logits = n_logits};
    b->n_rows += T;
}

static bool length_turns_rope(const nx_batch *b)
{
    nx_rope_scaling kind = b->llm->model->hp.rope_scaling;

    return kind == NX_ROPE_SCALING_LONGROPE || kind == NX_ROPE_SCALING_DYNAMIC;
}

/* Guesses for s behind its next row. */
static int32_t guess(const nx_batch *b, nx_seq *s)
{
    int32_t left = s->n_predict - s->n_new - 1, n_max = b->opt.n_draft;

    if (n_max > left) n_max = left;
    n_max = nx_lookup_wanted(&s->lookup, n_max);
    return n_max > 0 ? nx_lookup_draft(s->draft + 1, n_max, s->ids.ids, (int32_t)s->ids.n) : 0;
}

/* Rows and expected tokens of all answers, with at most n guesses each. */
static int32_t count_rows(const nx_batch *b, int32_t n_answers, int32_t n, float *tokens)
{
    int32_t rows = n_answers;

    *tokens = (float)n_answers;
    for (int32_t i = 0; i < b->n_running; i++) {
        const nx_seq *s = b->running[i];
        int32_t       k = s->n_draft < n ? s->n_draft : n;
        rows += k;
        *tokens += nx_lookup_expected(&s->lookup, k);
    }
    return rows;
}

/* How many guesses each answer may take along: what brings the most tokens in the time that a step of so
 * many rows takes. A number of rows that was never tried is tried. */
static int32_t weigh(nx_batch *b, int32_t n_answers)
{
    int32_t best = 0, rows_before = n_answers;
    double  best_rate = n_answers / nx_pace_cost(&b->pace, n_answers);

    for (int32_t n = 1; n <= b->opt.n_draft; n++) {
        float   tokens;
        int32_t rows = count_rows(b, n_answers, n, &tokens);
        if (rows > b->opt.n_batch || rows == rows_before) break;
        rows_before = rows;
        bool   known = nx_pace_knows(&b->pace, rows);
        double rate = (double)tokens / nx_pace_cost(&b->pace, rows);
        if (known && rate <= best_rate) {
            nx_pace_forgive(&b->pace, rows);
            continue;
        }
        best = n;
        best_rate = rate;
        if (!known) break;
    }
    return best;
}

/* Guesses of all answers, as far as they pay. */
static void guess_all(nx_batch *b, int32_t n_answers)
{
    bool    may = n_answers <= DRAFT_ANSWERS_MAX && b->opt.n_draft > 0 && !length_turns_rope(b);
    int32_t n_guesses = 0;

    for (int32_t i = 0; i < b->n_running; i++) {
        nx_seq *s = b->running[i];
        s->n_draft = may && is_answering(s) ? guess(b, s) : 0;
        n_guesses += s->n_draft;
    }
    if (n_guesses == 0) return;
    int32_t most = nx_pace_knows(&b->pace, n_answers) ? weigh(b, n_answers) : 0;
    for (int32_t i = 0; i < b->n_running; i++)
        if (b->running[i]->n_draft > most) b->running[i]->n_draft = most;
}

static void add_answer(nx_batch *b, nx_seq *s)
{
    nx_seq_enter_epoch(s, (int32_t)s->ids.n);
    if (!is_answering(s)) return; /* its keys are to be computed anew */
    if (s->n_draft && !nx_seq_make_room(s, 1 + s->n_draft)) s->n_draft = 0;
    if (!make_room(b, s, 1, true)) return;
    s->draft[0] = s->ids.ids[s->n_done];
    add_rows(b, s, s->draft, 1 + s->n_draft, 1 + s->n_draft);
}

/* An earlier prompt of this step computes the page that s needs next: s will find it there. */
static bool waits_for_another(const nx_batch *b, const nx_seq *s)
{
    for (int32_t i = 0; i < b->n_step; i++)
        if (!is_answering(b->who[i]) && nx_seq_waits_for(s, b->who[i])) return true;
    return false;
}

static int32_t add_prompt(nx_batch *b, nx_seq *s, int32_t budget)
{
    nx_seq_enter_epoch(s, (int32_t)s->ids.n);
    nx_seq_adopt(s);
    nx_job_set_state(s->job, NX_JOB_PREFILL);
    int32_t lag = nx_seq_lag(s), T = lag < budget ? lag : budget;
    if (waits_for_another(b, s)) return 0;
    if (!make_room(b, s, T, false)) return 0;
    s->n_draft = 0;
    add_rows(b, s, s->ids.ids + s->n_done, T, T == lag ? 1 : 0);
    return T;
}

/* Prompt rows that fit beside n answers. */
static int32_t slice(const nx_batch *b, int32_t n_answers)
{
    int32_t most = b->opt.n_batch - b->n_rows, n;

    if (n_answers == 0) return most;
    n = b->opt.n_slice;
    if (n <= 0) n = nx_pace_room(&b->pace, b->n_rows, most, (double)b->opt.stretch);
    if (n < 0) n = SLICE_UNKNOWN;
    if (n < SLICE_MIN) n = SLICE_MIN;
    return n < most ? n : most;
}

static bool is_paused(nx_batch *b, nx_seq *s)
{
    if (!nx_job_is_full(s->job)) return false;
    nx_job_set_state(s->job, NX_JOB_PAUSED);
    b->n_paused++;
    return true;
}

static void add_answers(nx_batch *b)
{
    int32_t n_answers = 0, n_before = b->n_running;

    for (int32_t i = 0; i < b->n_running; i++) n_answers += is_answering(b->running[i]);
    guess_all(b, n_answers);
    /* Whoever gives way leaves b->running: then look again from the start. */
    for (int32_t i = 0; i < b->n_running; i++) {
        nx_seq *s = b->running[i];
        if (!is_answering(s) || in_step(b, s) || is_paused(b, s)) continue;
        nx_job_set_state(s->job, NX_JOB_DECODE);
        add_answer(b, s);
        if (b->n_running == n_before) continue;
        n_before = b->n_running;
        b->n_paused = 0;
        i = -1;
    }
}

/* The prompt of the fewest tokens that isn't in the step yet and wasn't passed over. */
static nx_seq *shortest(const nx_batch *b, const nx_seq *passed_over)
{
    nx_seq *best = NULL;

    for (int32_t i = 0; i < b->n_running; i++) {
        nx_seq *s = b->running[i];
        if (is_answering(s) || in_step(b, s) || s == passed_over) continue;
        if (s->looked_at == b->step_no) continue;
        if (!best || nx_seq_lag(s) < nx_seq_lag(best)) best = s;
    }
    return best;
}

/* The oldest prompt gets half of the rows, or what the others leave; the others go shortest first, so
 * that a short question doesn't wait behind a book. */
static void add_prompts(nx_batch *b)
{
    int32_t n_answers = b->n_step, budget = slice(b, n_answers), n_slice = budget;
    int64_t others = 0;
    nx_seq *oldest = NULL;

    for (int32_t i = 0; i < b->n_running; i++) {
        nx_seq *s = b->running[i];
        if (is_answering(s) || in_step(b, s)) continue;
        if (oldest)
            others += nx_seq_lag(s);
        else
            oldest = s;
    }
    for (nx_seq *s = oldest; s && budget > 0; s = shortest(b, oldest)) {
        int32_t most = budget;
        if (s == oldest && others > 0)
            most =
                budget - others > (budget + 1) / 2 ? (int32_t)(budget - others) : (budget + 1) / 2;
        int32_t T = add_prompt(b, s, most);
        s->looked_at = b->step_no;
        budget -= T;
        b->n_prompt_rows += T;
        if (n_answers && T) b->counts.n_slice = n_slice;
    }
}

static void plan(nx_batch *b)
{
    b->step_no++;
    b->n_step = b->n_rows = b->n_prompt_rows = b->n_paused = 0;
    add_answers(b);
    add_prompts(b);
}

/* Nothing fits although something runs: all pages are held by prompts that wait for pages. The one
 * admitted last gives way. */
static bool give_way(nx_batch *b)
{
    int32_t victim = b->n_running > 1 ? choose_victim(b, NULL) : -1;

    if (victim < 0) return false;
    nx_batch_preempt(b, victim);
    return true;
}

/* ---- What came of it ---- */

static void count_token(nx_batch *b, nx_seq *s)
{
    int64_t gap = nx_job_count_token(s->job);

    b->counts.n_new++;
    if (gap > 0) nx_batch_observe(b, NX_OBSERVED_INTER_TOKEN, (double)gap * 1e-9);
}

/* Logits arrive in the order of rows. Those behind a wrong guess are of no use. */
static void on_logits(void *ctx, int32_t row, const float *logits)
{
    nx_batch *b = ctx;

    while (row >= b->who[b->at]->row0 + b->who[b->at]->n_rows) b->at++;
    nx_seq *s = b->who[b->at];
    int32_t i = row - (s->row0 + s->n_rows - s->n_logits);
    if (s->finished || i != s->n_right) return;
    int32_t id = nx_seq_choose(s, logits);
    if (id < 0) return;
    count_token(b, s);
    if (i < s->n_draft && b->step[b->at].ids[i + 1] == id) s->n_right++;
}

static void account(nx_batch *b, nx_seq *s)
{
    int32_t valid = s->n_rows - s->n_draft + s->n_right;

    if (s->n_draft) {
        b->counts.n_drafted += (uint64_t)s->n_draft;
        b->counts.n_accepted += (uint64_t)s->n_right;
        nx_lookup_learn(&s->lookup, s->n_draft, s->n_right);
    }
    int32_t was_done = s->n_done;
    nx_seq_stored(s, valid);
    if (was_done < s->n_prompt) {
        int32_t read = s->n_done < s->n_prompt ? s->n_done : s->n_prompt;
        b->counts.n_prompt += (uint64_t)(read - was_done);
        if (read == s->n_prompt) b->counts.n_prefix_hit += (uint64_t)s->n_cached;
        nx_job_set_read(s->job, read, s->n_cached);
    }
}

bool nx_batch_step(nx_batch *b)
{
    do {
        plan(b);
    } while (b->n_step == 0 && b->n_paused < b->n_running && give_way(b));
    if (b->n_step == 0) return false;

    int64_t start = nx_clock_ns();
    b->at = 0;
    nx_walk_step(b->walk, &b->kv, b->step, b->n_step, on_logits, b);
    for (int32_t i = 0; i < b->n_step; i++) account(b, b->who[i]);
    int64_t end = nx_clock_ns();
    double  seconds = (double)(end - start) * 1e-9;
    nx_pace_learn(&b->pace, b->n_rows, seconds);
    b->counts.n_steps++;
    b->counts.last_step_ns = end;
    nx_batch_observe(b, NX_OBSERVED_STEP, seconds);
    return true;
}
