/* qdrant.c - the way of a call to the collections, and the envelope of its answer. */
#include "server/qdrant.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "server/server_in.h"

/* ---- To the desk ---- */

/* An integer from 1, or one of three words; a store on one machine is as consistent as the last. */
static bool is_consistency(const char *s)
{
    static const char *const words[] = {"majority", "quorum", "all"};
    size_t                   n = strspn(s, "0123456789");

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(s, words[i]) == 0) return true;
    return n > 0 && n < 10 && s[n] == '\0' && s[strspn(s, "0")] != '\0';
}

static void begin(void *ctx)
{
    nx_call    *c = ctx;
    const char *consistency = nx_exchange_query(c->x, "consistency");

    c->at_desk = true;
    if (consistency && !is_consistency(consistency))
        nx_call_refuse(c, 400, "consistency", NULL, -1,
                       "Format error in query parameters: consistency: expected a number from 1, "
                       "majority, quorum or all, found '%.40s'",
                       consistency);
    else
        nx_qd_infer(c, c->then);
    nx_call_release(c);
}

void nx_qd_start(nx_call *c, void (*then)(nx_call *c))
{
    c->then = then;
    nx_call_retain(c);
    if (c->at_desk)
        begin(c);
    else
        nx_desk_post(c->server->vault.desk, &c->task, begin, c);
}

bool nx_qd_wait(const nx_call *c)
{
    const char *wait = nx_exchange_query(c->x, "wait");

    return wait && !strcmp(wait, "true");
}

/* ---- The collection ---- */

static void refuse_rights(nx_call *c, nx_right right)
{
    static const char *const words[] = {
        [NX_RIGHT_READ] = "read", [NX_RIGHT_WRITE] = "write to", [NX_RIGHT_MANAGE] = "manage"};

    nx_call_refuse(c, 403, NULL, NULL, -1, "Forbidden: this key may not %s this collection",
                   words[right]);
}

nx_collection *nx_qd_collection_named(nx_call *c, nx_str name, nx_right right)
{
    nx_collection *coll = NULL;
    nx_error       err;
    nx_status      st = nx_store_find(&coll, c->server->vault.store, name, &err);

    /* Whoever may not see it doesn't learn whether it is there, nor what is wrong with it. */
    if (!nx_rights_allow(c, st ? name : nx_collection_name(coll), right)) {
        nx_collection_release(coll);
        refuse_rights(c, right);
        return NULL;
    }
    if (st) {
        nx_qd_refuse_error(c, &err);
        return NULL;
    }
    return coll;
}

nx_collection *nx_qd_collection(nx_call *c, nx_right right)
{
    return nx_qd_collection_named(c, c->params[0], right);
}

/* ---- Work, timed ---- */

nx_status nx_qd_write(nx_call *c, nx_collection *coll, const nx_writes *b, nx_write_result *out,
                      nx_error *err)
{
    nx_server *s = c->server;
    int64_t    begun = nx_clock_ns();
    nx_status  st = nx_collection_write(coll, b, nx_qd_wait(c), out, err);

    nx_vault_note_write(&s->vault, st, err);
    if (st)
        nx_metrics_store_write_failed(s->metrics);
    else
        nx_metrics_store_worked(s->metrics, NX_METRICS_STORE_WRITE,
                                (double)(nx_clock_ns() - begun) * 1e-9);
    return st;
}

nx_status nx_qd_run(nx_call *c, nx_snapshot *s, const nx_plan *plan, nx_results *out, nx_error *err)
{
    nx_server *server = c->server;
    int64_t    begun = nx_clock_ns();
    nx_pool   *pool = nx_vault_take_pool(&server->vault);
    nx_status  st = nx_plan_run(s, plan, out, pool, err);

    nx_vault_give_pool(&server->vault, pool);
    nx_metrics_store_worked(server->metrics, NX_METRICS_STORE_SEARCH,
                            (double)(nx_clock_ns() - begun) * 1e-9);
    return st;
}

/* ---- Answers ---- */

void nx_qd_open(nx_jw *w)
{
    *w = (nx_jw){.buf.max = NX_REPLY_MAX};
    nx_jw_open(w, NULL, '{');
}

void nx_qd_reply(nx_call *c, int status, nx_jw *w)
{
    nx_jw_text(w, "status", "ok");
    nx_jw_number(w, "time", nx_call_seconds(c), 9);
    nx_jw_close(w, '}');
    nx_call_reply(c, status, w);
}

void nx_qd_reply_bool(nx_call *c, bool result)
{
    nx_jw w;

    nx_qd_open(&w);
    nx_jw_bool(&w, NX_QD_RESULT, result);
    nx_qd_reply(c, 200, &w);
}

/* ---- Errors ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_spelled(const char *text)
{
    static const char *const known[] = {
        "Wrong input: ",   "Not found: ",   "Format error in ",        "Validation error in ",
        "not supported: ", "Bad request: ", "Service internal error: "};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (begins(text, known[i])) return true;
    return false;
}

static const char *beginning_for(nx_status st, int status)
{
    switch (status) {
    case 400: return st == NX_EUNSUPPORTED ? "not supported: " : NX_QD_WRONG;
    case 404: return "Not found: ";
    case 503: return "Service unavailable: ";
    default: return "Service internal error: ";
    }
}

void nx_qd_refuse_error(nx_call *c, const nx_error *err)
{
    int         status = nx_error_status(err);
    const char *before = is_spelled(err->text) ? "" : beginning_for(err->status, status);

    if (status == 400 && begins(err->text, "Validation error in ")) status = 422;
    if (status >= 500) nx_log_error("%s %s: %s", c->request_id, nx_exchange_path(c->x), err->text);
    nx_call_refuse(c, status, NULL, NULL, status == 503 ? 2 : -1, "%s%s", before, err->text);
}

/* "-1" of "limit: expected an integer of at least 1, found -1" */
static const char *what_was_found(const nx_fault *fault)
{
    const char *at = strstr(fault->text, ", found ");

    return at ? at + 8 : "";
}

static void say_range(char *out, size_t cap, const nx_fault *fault)
{
    const nx_range *r = &fault->field->range;
    const char     *found = what_was_found(fault);

    if ((r->has & NX_RANGE_MIN) && (r->has & NX_RANGE_MAX))
        snprintf(out, cap, "%s: value %s invalid, must be from %.15g to %.15g", fault->path, found,
                 r->min, r->max);
    else if (r->has & NX_RANGE_MIN)
        snprintf(out, cap, "%s: value %s invalid, must be %.15g or larger", fault->path, found,
                 r->min);
    else
        snprintf(out, cap, "%s: value %s invalid, must be %.15g or smaller", fault->path, found,
                 r->max);
}

/* What is wrong with the JSON itself, as Qdrant's reader has it: "... at line 1 column 7". */
static void say_json(char *out, size_t cap, const nx_fault *fault)
{
    const char *what = NULL;
    unsigned    line = 0, column = 0;
    int         n = 0;

    for (const char *p = strstr(fault->text, "line "); p && !what; p = strstr(p + 1, "line "))
        if (sscanf(p, "line %u, column %u: %n", &line, &column, &n) == 2 && n > 0) what = p + n;
    if (!what)
        snprintf(out, cap, "%s", fault->text);
    else
        snprintf(out, cap, "%s at line %u column %u",
                 strcmp(what, "nested too deeply") == 0 ? "recursion limit exceeded" : what, line,
                 column);
}

void nx_qd_refuse_fault(nx_call *c, const nx_fault *fault, const char *where)
{
    static const char *const places[] = {"JSON body", "query parameters", "path parameters"};
    const nx_field          *f = fault->field;
    const char              *place = places[*where == 'q' ? 1 : *where == 'p' ? 2 : 0];
    char                     text[NX_ERROR_TEXT_MAX];
    bool                     number = f && (f->kind == NX_FIELD_INT || f->kind == NX_FIELD_NUMBER);

    if (fault->kind == NX_FAULT_JSON) {
        say_json(text, sizeof text, fault);
        nx_call_refuse(c, 400, NULL, NULL, -1, "Format error in %s: %s", place, text);
    } else if (fault->kind != NX_FAULT_RANGE || !f) {
        nx_call_refuse(c, 400, NULL, NULL, -1, "Format error in %s: %s", place, fault->text);
    } else if (number && *what_was_found(fault) == '-' && f->range.min >= 0) {
        /* No count at all: it doesn't come as far as the bounds. */
        nx_call_refuse(c, 400, NULL, NULL, -1,
                       "Format error in %s: %s: invalid value: integer `%s`, expected usize", place,
                       fault->path, what_was_found(fault));
    } else if (number) {
        say_range(text, sizeof text, fault);
        nx_call_refuse(c, 422, NULL, NULL, -1, "Validation error in %s: [%s]", place, text);
    } else {
        nx_call_refuse(c, 422, NULL, NULL, -1, "Validation error in %s: [%s]", place, fault->text);
    }
}
