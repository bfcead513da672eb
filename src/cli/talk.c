/* talk.c - turns of a conversation over one timeline. */
#include "cli/talk.h"

#include <string.h>

#include "base/alloc.h"

/* ---- Messages ---- */

static void drop_message(nx_talk *t, size_t i)
{
    nx_free((char *)(uintptr_t)t->message[i].text.p);
    memmove(&t->message[i], &t->message[i + 1], (t->n - i - 1) * sizeof *t->message);
    t->n--;
}

static nx_status add_message(nx_talk *t, nx_chat_role role, const char *text, size_t len,
                             nx_error *err)
{
    if (t->n == t->cap) {
        size_t           cap = t->cap ? 2 * t->cap : 16;
        nx_chat_message *grown = nx_realloc(t->message, cap, sizeof *grown);

        if (!grown) return nx_fail(err, NX_ENOMEM, "conversation of %zu messages", cap);
        t->message = grown;
        t->cap = cap;
    }
    char *copy = nx_strndup(len ? text : "", len);
    if (!copy) return nx_fail(err, NX_ENOMEM, "message of %zu bytes", len);
    t->message[t->n++] = (nx_chat_message){role, {copy, len}};
    return NX_OK;
}

void nx_talk_close(nx_talk *t)
{
    while (t->n) drop_message(t, t->n - 1);
    nx_free(t->message);
    t->message = NULL;
    t->cap = 0;
}

nx_status nx_talk_reset(nx_talk *t, const char *system, nx_error *err)
{
    while (t->n) drop_message(t, t->n - 1);
    if (!system || !*system) return NX_OK;
    return add_message(t, NX_CHAT_SYSTEM, system, strlen(system), err);
}

/* ---- Fitting into the context ---- */

static size_t n_system(const nx_talk *t)
{
    return t->n > 0 && t->message[0].role == NX_CHAT_SYSTEM ? 1 : 0;
}

/* Leave the oldest question and its answer out. false: only the newest question is left. */
static bool forget_oldest(nx_talk *t)
{
    const size_t first = n_system(t);

    if (t->n <= first + 1) return false;
    drop_message(t, first);
    while (t->n > first + 1 && t->message[first].role == NX_CHAT_ASSISTANT) drop_message(t, first);
    t->n_forgotten++;
    return true;
}

/* The ids of the conversation, with room for an answer: a quarter of the context, or all that was
 * asked for when that is less. */
static nx_status encode_to_fit(nx_talk *t, nx_ids *ids, int32_t n_predict, nx_error *err)
{
    const int32_t n_ctx = nx_timeline_ctx(t->tl);
    const int32_t room = n_predict < n_ctx / 4 ? n_predict : n_ctx / 4;

    for (;;) {
        ids->n = 0;
        nx_status st = nx_chat_encode(t->chat, ids, t->message, t->n, true, err);
        if (st) return st;
        if (ids->n + (size_t)room <= (size_t)n_ctx) return NX_OK;
        if (forget_oldest(t)) continue;
        if (ids->n < (size_t)n_ctx) return NX_OK; /* a short answer is better than none */
        return nx_fail(
            err, NX_ELIMIT,
            "this message takes %zu tokens with what surrounds it, the context holds %d. "
            "Make it shorter, or start with a larger --ctx",
            ids->n, n_ctx);
    }
}

/* ---- A turn ---- */

/* How many ids the timeline has read already; at least the last one is read anew, for its
 * logits. */
static int32_t common_prefix(const nx_timeline *tl, const nx_ids *ids)
{
    const int32_t *have = nx_timeline_ids(tl);
    int32_t        n_have = nx_timeline_length(tl), n = 0;

    while (n < n_have && (size_t)n + 1 < ids->n && have[n] == ids->ids[n]) n++;
    return n;
}

static nx_status answer_to(nx_talk *t, nx_generation *g, const nx_ids *ids, nx_error *err)
{
    const int32_t keep = common_prefix(t->tl, ids);

    nx_timeline_rewind(t->tl, keep);
    t->n_reused = keep;
    t->n_read = (int32_t)ids->n - keep;
    return nx_generate_run(g, t->tl, ids->ids + keep, ids->n - (size_t)keep, err);
}

nx_status nx_talk_say(nx_talk *t, nx_generation *g, const nx_buf *answer, const char *text,
                      size_t len, nx_error *err)
{
    nx_ids    ids = {0};
    nx_status st = add_message(t, NX_CHAT_USER, text, len, err);

    if (st) return st;
    t->n_forgotten = 0;
    st = encode_to_fit(t, &ids, g->n_predict, err);
    if (!st) st = answer_to(t, g, &ids, err);
    if (!st) st = add_message(t, NX_CHAT_ASSISTANT, answer->data, answer->len, err);
    if (st) drop_message(t, t->n - 1); /* the question without an answer */
    nx_ids_free(&ids);
    return st;
}
