/* settings.h - what of a collection may change while it serves: payload indexes, the caller's note.
 *
 * The slots of a collection (config.h) are for ever; these are replaced whole, in a file of their own
 * that is written aside, synced and renamed (docs/formats/store.md).
 *
 * Owns:   its texts, in one block with the struct; references are counted.
 * Thread: any: nothing changes once it is made.
 */
#ifndef NX_STORE_SETTINGS_H
#define NX_STORE_SETTINGS_H

#include "store/point.h"

enum {
    NX_INDEXES_MAX = 256,
    NX_INDEX_PATH_MAX = 1024, /* bytes */
    NX_INDEX_NOTE_MAX = 1 << 16,
    NX_SETTINGS_NOTE_MAX = 1 << 20,
    NX_STOPWORDS_MAX = 4096,
};

typedef enum nx_index_kind {
    NX_INDEX_KEYWORD,
    NX_INDEX_INTEGER,
    NX_INDEX_FLOAT,
    NX_INDEX_BOOL,
    NX_INDEX_DATETIME,
    NX_INDEX_UUID,
    NX_INDEX_GEO,
    NX_INDEX_TEXT,
} nx_index_kind;

typedef enum nx_word_kind {                /* what a text index takes for a word */
                            NX_WORDS_WORD, /* runs of letters and digits, as Unicode has them */
                            NX_WORDS_WHITESPACE,
                            NX_WORDS_PREFIX, /* those of WORD, and all their beginnings; for words that are typed */
                            NX_WORDS_MULTILINGUAL, /* WORD, and each CJK letter alone */
} nx_word_kind;

/* Of a text index. Zero-initialised but for lowercase: true. */
typedef struct nx_words_spec {
    nx_word_kind  kind;
    bool          lowercase, ascii_folding, phrase;
    int32_t       min_chars, max_chars; /* of a word that counts; 0: any */
    nx_str        stemmer;              /* a Snowball language, "english"; "": none */
    const nx_str *stopwords;            /* [n_stopwords] */
    size_t        n_stopwords;
} nx_words_spec;

typedef struct nx_index_spec {
    nx_str        path; /* as nx_path_parse reads it */
    nx_index_kind kind;
    bool          lookup, range; /* of integers: what it is for; both true when nobody said */
    nx_words_spec words;         /* of text */
    nx_str        note;          /* the caller's own words for it: given back as they are */
} nx_index_spec;

typedef struct nx_settings {
    uint64_t             version; /* grows with every change */
    nx_str               note;
    const nx_index_spec *indexes; /* [n_indexes], by path */
    size_t               n_indexes;
} nx_settings;

/* The index of that path as it was written ("a.b", "a[].b"), or NULL. */
const nx_index_spec *nx_settings_index(const nx_settings *s, nx_str path);

/* Are they any? Kinds, paths in order and none twice, texts in their bounds. NX_EINVAL says what isn't,
 * NX_ELIMIT what is too much. */
nx_status nx_settings_check(const nx_settings *s, nx_error *err);

/* Bytes of settings, and back (a copy: nx_settings_release). NX_EFORMAT, NX_ELIMIT, NX_ENOMEM. */
nx_status nx_settings_write(nx_buf *out, const nx_settings *s, nx_error *err);
nx_status nx_settings_read(const nx_settings **out, const void *bytes, size_t n, nx_error *err);

void nx_settings_retain(const nx_settings *s);
void nx_settings_release(const nx_settings *s); /* NULL does nothing */

#endif
