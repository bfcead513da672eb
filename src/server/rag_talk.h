/* rag_talk.h - one question to the documents on its way to an answer: /llm/rag/query, and OpenAI's chat with
 * the model "rag:COLLECTION".
 *
 * The way: the model, where one is to answer -> a desk: the collection, if the key may read it -> the
 * question as it stands after the conversation (the model rewrites it, in a job of its own, or words of the
 * last turns are put before it) -> passages -> none of them relevant: NX_NOT_IN_DOCUMENTS, and nobody is
 * asked -> extract: sentences of the passages; generate: a prompt within the model's context, and an
 * answer (answer.h) whose citations are read when it is whole.
 * Owns:   what was found, and the text of the answer; freed with the call.
 * Thread: the call's: I/O thread, a desk, the service's or the loading thread, in turn.
 */
#ifndef NX_SERVER_RAG_TALK_H
#define NX_SERVER_RAG_TALK_H

#include "rag/answer.h"
#include "server/answer.h"
#include "server/rag_find.h"

/* How OpenAI's clients name a collection as a model: "rag:docs", "rag:docs@mini". */
#define NX_RAG_MODEL "rag:"

typedef enum nx_rag_mode {
    NX_RAG_PLAIN,   /* without documents */
    NX_RAG_EXTRACT, /* sentences of theirs, word for word */
    NX_RAG_GENERATE,
} nx_rag_mode;

/* The shape of the answer. direct: of one that no model is asked for: the whole body or, of a stream, all
 * its events, and the media type. */
typedef struct nx_rag_shape {
    const nx_format *format;
    const char      *field; /* the question's, for faults */
    nx_status (*direct)(nx_rag_talk *t, nx_buf *out, const char **type, nx_error *err);
} nx_rag_shape;

struct nx_rag_talk {
    nx_call            *call;
    const nx_rag_shape *shape;

    /* Asked; texts are in the body or in the call's memory. */
    nx_rag_mode mode;
    nx_str      model; /* who is to answer; empty: the default one */
    const char *name;  /* what the answer calls its model; NULL: by its own name */
    nx_str      query, context;
    nx_turn    *turns; /* [n_turns] before it */
    size_t      n_turns;
    bool        stream, with_sources, explain;
    nx_rag_find find; /* collection, filter, document, top_k, min_score */

    /* Found. */
    nx_buf            question; /* find.question, where it isn't the query itself */
    nx_buf            whole;    /* the text of a whole document */
    nx_passage        lone;     /* manual context, or a whole document */
    const nx_passage *read;     /* [n_read] passages that the answer is made of */
    size_t            n_read;
    bool              is_lone;
    float             relevance;
    nx_buf            why; /* why nothing was found; "" */

    /* The answer. */
    nx_buf       answer;
    bool         settled; /* citations are read, used is known */
    nx_citations citations;
    uint8_t     *used; /* [n_read]: cited */
    size_t       n_used;
    uint8_t     *left_out;   /* [n_read]: too long for the prompt, so nobody read it; NULL: none */
    float        confidence; /* of extract */
};

/* Go on with it: answers or refuses the call, now or later. call->rag is t; what was asked is filled in. */
void nx_rag_talk_start(nx_rag_talk *t);
void nx_rag_talk_free(nx_rag_talk *t); /* NULL does nothing */

/* Is the model that would be asked (empty: the first that generates) more than the small one that ships? True
 * also of a name that isn't there. */
bool nx_rag_has_writer(nx_call *c, nx_str model);

/* More text of the answer, as it comes; returns what of it is kept: blanks before the first word aren't. */
nx_str nx_rag_talk_hear(nx_rag_talk *t, nx_str text);
/* The answer is whole: read its citations. Again: does nothing. */
void nx_rag_talk_settle(nx_rag_talk *t);

#endif
