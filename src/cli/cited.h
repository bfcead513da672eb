/* cited.h - passages of documents as people see them: where they stand, and their words.
 *
 * A passage is JSON as /rag/search and /llm/rag/query give it: "text", "score", and "metadata" with "source",
 * "headings", "page", "start_pos", "end_pos", "doc_id".
 * Thread: main thread; prints to stdout.
 */
#ifndef NX_CLI_CITED_H
#define NX_CLI_CITED_H

#include "cli/instance.h"

/* Append `handbook/oncall.md, "Escalation", bytes 120-340`; a path below the folder that we are in begins there.
 * begin < 0: the passage's own range. NX_ENOMEM. */
nx_status nx_cited_place(nx_buf *out, const nx_json *passage, int64_t begin, int64_t end,
                         nx_error *err);

/* A stranger's text to stdout: characters that a terminal acts on (base/utf8.h), but for newlines and tabs, are
 * left out. */
void nx_cited_plain(nx_str text);

/* The same, indented. */
void nx_cited_words(nx_str text);

/* The bytes of that range as the server keeps them now: the words that a citation stands for. NX_ENOENT: the
 * document is gone. */
nx_status nx_cited_read_back(nx_instance *i, nx_buf *out, const char *collection,
                             const nx_json *passage, int64_t begin, int64_t end, nx_error *err);

/* A hint after a refusal: when the collection isn't there, how to make one. */
void nx_cited_hint(nx_status st, const char *collection);

/* The same where nothing was found: is there anything in it? */
void nx_cited_hint_if_empty(nx_instance *i, const char *collection);

/* Where documents go and questions look when nobody names a collection. */
#define NX_CITED_COLLECTION "knowledge_base"
#define NX_OPT_COLLECTION(out)                                                                     \
    NX_OPT("collection", 'C', NX_OPT_TEXT, &(out), "NAME", "of documents", .env = true)
#define NX_OPT_EMBEDDING(out)                                                                      \
    NX_OPT("embedding", 0, NX_OPT_TEXT, &(out), "MODEL",                                           \
           "the embedding model, when no server runs; default: the one that ships", .env = true)
#define NX_OPT_DATA(out)                                                                           \
    NX_OPT("data", 0, NX_OPT_TEXT, &(out), "DIR",                                                  \
           "the data folder; default: $XDG_DATA_HOME/nexus", .env = true)

#endif
