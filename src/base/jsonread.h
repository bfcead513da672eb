/* jsonread.h - JSON text as a tree of values (RFC 8259).
 *
 * Owns:    the document's arena: all values and those strings that had escapes. Strings without
 *          escapes are views into the text, which must outlive the document.
 * Thread:  any, once parsed: nothing changes.
 * Why our own reader: a tokenizer.json holds half a million values, read at every start. Values are
 *          32 bytes in arrays, nothing is copied or hashed, memory comes through our one door, and
 *          errors say line and column.
 *
 *     nx_json_doc doc;
 *     nx_status st = nx_json_parse(&doc, "config.json", text, len, 0, err);
 *     const nx_json *heads = st ? NULL : nx_json_get(doc.root, "num_attention_heads");
 *     if (heads && heads->type == NX_JSON_INT) ...
 *     nx_json_doc_free(&doc);
 */
#ifndef NX_BASE_JSONREAD_H
#define NX_BASE_JSONREAD_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

#define NX_JSON_DEPTH_MAX 200

typedef enum nx_json_type {
    NX_JSON_NULL,
    NX_JSON_BOOL,
    NX_JSON_INT,   /* no point, no exponent, fits int64_t */
    NX_JSON_UINT,  /* the same, above INT64_MAX, fits uint64_t */
    NX_JSON_FLOAT, /* every other number */
    NX_JSON_STRING,
    NX_JSON_ARRAY,
    NX_JSON_OBJECT,
} nx_json_type;

typedef struct nx_json        nx_json;
typedef struct nx_json_member nx_json_member;

struct nx_json {
    nx_json_type type;
    uint32_t     line; /* where it begins, from 1: for messages */
    union {
        bool     boolean;
        int64_t  i;
        uint64_t u;
        struct {
            double      f;
            const char *spelled; /* NX_JSON_FLOAT: where the text spells it */
        };
        nx_str text; /* valid UTF-8; may hold U+0000 */
        struct {
            const nx_json *items;
            size_t         n;
        } array;
        struct {
            const nx_json_member *members; /* in the order of the text, duplicates included */
            size_t                n;
        } object;
    };
};

struct nx_json_member {
    nx_str  key;
    nx_json value;
};

typedef struct nx_json_doc {
    nx_arena       arena;
    const nx_json *root; /* NULL after an error */
} nx_json_doc;

enum {
    NX_JSON_PYTHON = 1 << 0, /* NaN, Infinity and -Infinity are numbers, as Python writes them */
};

/* Parse text[0..len), one value with white space around it. name stands for the file in messages.
 * NX_EFORMAT ("name: line 3, column 7: expected ...": also for text that isn't UTF-8, for a \u
 * escape that is half of a pair, and beyond NX_JSON_DEPTH_MAX), NX_ENOMEM; *doc then needs no
 * free. A number too large for double is infinite, as elsewhere. */
nx_status nx_json_parse(nx_json_doc *doc, const char *name, const char *text, size_t len,
                        unsigned flags, nx_error *err);
void      nx_json_doc_free(nx_json_doc *doc); /* zeroed or freed ones too */

/* The same of a stranger's text: what is allocated at any moment stays below about bytes_max, or
 * NX_ELIMIT. Of text alone it may be 30 times as many: "[1,1,1,..." is 2 bytes for each value. */
nx_status nx_json_parse_within(nx_json_doc *doc, const char *name, const char *text, size_t len,
                               unsigned flags, size_t bytes_max, nx_error *err);

/* The same into an arena of the caller's, which keeps what was taken also after an error. */
nx_status nx_json_parse_into(nx_arena *arena, const nx_json **out, const char *name,
                             const char *text, size_t len, unsigned flags, nx_error *err);

/* The last member of that name, or NULL: also when obj is NULL or no object. Walks all members. */
const nx_json *nx_json_get(const nx_json *obj, const char *key);
const nx_json *nx_json_get_str(const nx_json *obj, nx_str key);

/* The same for values of one kind: true, with *out set, when it is there and of that kind. Integers
 * count as numbers; a float with a whole value counts as an integer only through nx_json_number. */
bool nx_json_get_int(const nx_json *obj, const char *key, int64_t *out);
bool nx_json_get_number(const nx_json *obj, const char *key, double *out);
bool nx_json_get_bool(const nx_json *obj, const char *key, bool *out);
bool nx_json_get_string(const nx_json *obj, const char *key, nx_str *out);

bool nx_json_number(const nx_json *v, double *out);  /* any of the three number types */
bool nx_json_is(const nx_json *v, const char *text); /* a string that says this? v may be NULL */
bool nx_json_absent(const nx_json *v);               /* NULL, or null */

const char *nx_json_type_name(const nx_json *v); /* "a string", "an object", "nothing" for NULL */

#endif
