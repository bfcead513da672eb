/* rag_find.h - from a call to the passages that matter for its question, within what its key may see.
 *
 *     nx_rag_find f = {.call = c, .collection = name, .question = text, .top_k = 5};
 *     if (nx_rag_find_open(&f, &err) || nx_rag_find_run(&f, &err)) nx_rag_find_refuse(&f, &err);
 *     ... f.passages->n ...
 *     nx_rag_find_free(&f);
 *
 * Owns:   a reference to the shelf and to its embedding model, a snapshot, the question's vector, passages.
 * Thread: a desk's: a model may have to be loaded, and the disk read.
 */
#ifndef NX_SERVER_RAG_FIND_H
#define NX_SERVER_RAG_FIND_H

#include "rag/cache.h"
#include "server/call.h"
#include "server/library.h"
#include "server/rights.h"

typedef struct nx_rag_find {
    /* Asked; texts are borrowed. */
    nx_call       *call;
    nx_str         collection, question;
    const nx_json *filter;   /* Qdrant's JSON; NULL: none */
    nx_str         document; /* the id of the one document that counts; empty: all */
    nx_str         rerank;   /* the name of a cross-encoder that has the last word; empty: none */
    nx_search_mode mode;
    int32_t        top_k;
    bool           has_min_score;
    float          min_score;

    /* Found. */
    nx_shelf          *shelf;
    nx_loaded         *embedder;
    nx_loaded         *reranker; /* NULL: none was asked for */
    nx_snapshot       *snapshot;
    float             *vector;
    nx_question        asked;     /* as it was given to nx_retrieve */
    const nx_passages *passages;  /* shared with whoever asks the same; NULL: not looked for */
    bool               forbidden; /* the error is the key's */
} nx_rag_find;

/* The collection, if the key may do that with it. NX_ENOENT, NX_EUNSUPPORTED; forbidden: whoever may not
 * see it doesn't learn whether it is there. */
nx_status nx_rag_find_open(nx_rag_find *f, nx_right right, nx_error *err);

/* The model that the collection was embedded with, loaded: f->embedder. Long. */
nx_status nx_rag_find_model(nx_rag_find *f, nx_error *err);

/* Embed the question and look for passages; opened before. NX_EINVAL (the filter, an id), NX_ENOENT (no
 * such document, for this key), NX_ECANCELLED, ... Nothing found is NX_OK. */
nx_status nx_rag_find_run(nx_rag_find *f, nx_error *err);

/* The filter of the body, the document and the key's tags, in the call's memory; opened before. */
nx_status nx_rag_find_filter(nx_rag_find *f, const nx_filter **out, nx_error *err);

/* Answer the call for err. field: what it is about, or NULL. */
void nx_rag_find_refuse(const nx_rag_find *f, const nx_error *err, const char *field);

void nx_rag_find_free(nx_rag_find *f); /* zeroed: does nothing */

/* ---- For those who write passages ---- */

/* The cosine, if there is one; 0 where that is less. */
float nx_rag_score(const nx_passage *p);

/* {"chunk_id", "start_pos", "end_pos", "chunk_size", "doc_id", "source", ...} and what the caller had given
 * with the document, except where a name is ours. */
void nx_rag_write_metadata(nx_jw *w, const char *key, const nx_passage *p);

/* The first n characters. */
nx_str nx_rag_cut(nx_str text, size_t n);

#endif
