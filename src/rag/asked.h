/* asked.h - what a question is after: its words with what each weighs, and the kind of thing that would answer it.
 *
 * Owns:   its words; nx_asked_free.
 * Thread: one at a time.
 */
#ifndef NX_RAG_ASKED_H
#define NX_RAG_ASKED_H

#include "rag/wordset.h"

/* What an answer would look like. */
typedef enum nx_want {
    NX_WANT_ANY,
    NX_WANT_NUMBER,
    NX_WANT_TIME,
    NX_WANT_PERSON,
    NX_WANT_PLACE,
    NX_WANT_COMMAND, /* a command, an option, a file */
} nx_want;

typedef struct nx_asked_word {
    uint32_t id;
    float    weight; /* 0.25 very common .. 1 rare */
    bool name; /* a name, a number, an option: capital letter inside the question, digits, marks */
} nx_asked_word;

typedef struct nx_question_words {
    nx_asked_word *words; /* [n] each once */
    size_t         n;
    float          weight; /* of all */
    nx_want        want;
    nx_words      *cutter; /* for the texts that are compared */
} nx_question_words;

void      nx_question_words_free(nx_question_words *a);
nx_status nx_question_words_read(nx_question_words *out, nx_str question, nx_error *err);

/* Does a text hold such a thing as is wanted? ANY: false. */
bool nx_want_met(nx_want want, nx_str text);

/* The share of the question's weight that is in the set. */
float nx_share_found(const nx_question_words *a, const nx_wordset *s);

#endif
