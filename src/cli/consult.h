/* consult.h - a question put to a collection of documents: the answer as it comes, then its sources.
 *
 * Owns:   what was said; nx_consult_free.
 * Thread: main thread; prints to stdout. Ctrl-C stops the answer, as in index_job.h.
 */
#ifndef NX_CLI_CONSULT_H
#define NX_CLI_CONSULT_H

#include "cli/cited.h"

typedef enum nx_ask_mode { NX_ASK_AUTO, NX_ASK_GENERATE, NX_ASK_EXTRACT } nx_ask_mode;
#define NX_ASK_MODES "auto|generate|extract"

typedef struct nx_consult {
    nx_instance *i;
    const char  *collection, *question;
    int          mode;  /* nx_ask_mode */
    int32_t      top_k; /* 0: the server's */
    int32_t      n_predict;
    float        temperature;
    nx_str       history; /* JSON: [{"role": "user", "content": ".."}, ..]; empty: none */
    bool         show;    /* the words of each source, too */

    nx_buf      answer;
    nx_buf      sources_text, end_text; /* the events that told them */
    nx_json_doc sources, end;
    char        used[24]; /* "extract" */
} nx_consult;

/* The request's body. stream: as events. */
void nx_consult_write(nx_jw *w, const nx_consult *a, bool stream);

/* Ask, print the answer token by token and a newline. NX_ECANCELLED: stopped, what came is in a->answer. */
nx_status nx_consult_run(nx_consult *a, nx_error *err);

/* "[1] handbook/oncall.md, "Escalation", bytes 120-340" for each source that the answer cites; with a->show the
 * words beneath, read back. A document that is gone since is a line. */
nx_status nx_consult_print_sources(nx_consult *a, nx_error *err);

void nx_consult_free(nx_consult *a); /* what was said; asked again after it */

#endif
