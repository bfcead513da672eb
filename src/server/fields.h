/* fields.h - what a JSON object holds, as a table: checked, read and described from the same lines.
 *
 *     static const nx_fields ask = NX_FIELDS("Ask",
 *         NX_F_STRING("prompt", "What to continue.", .required = true, .range = NX_FROM(1)),
 *         NX_F_NUMBER("top_p", "Nucleus.", .range = NX_BETWEEN(0, 1), .preset = "0.9"));
 *     ...
 *     nx_fault fault;
 *     if (!nx_fields_check(&ask, doc.root, &limits, &fault)) refuse(fault.path, fault.text);
 *     double top_p = nx_field_number(&ask, doc.root, "top_p");
 *
 * Rules:   objects are open: fields that the table doesn't name are ignored. A nullable field may be
 *          null, which is the same as absent. Where JSON has a name twice, the last one counts.
 *          1.0 is an integer, as JSON Schema has it: some clients know only floats. NaN and infinity
 *          are refused by name, so parse with NX_JSON_PYTHON.
 * Thread:  any: nothing changes.
 */
#ifndef NX_SERVER_FIELDS_H
#define NX_SERVER_FIELDS_H

#include "base/jsonread.h"
#include "base/jsonwrite.h"

/* ---- The table ---- */

typedef enum nx_field_kind {
    NX_FIELD_END, /* ends a list */
    NX_FIELD_ANY, /* any JSON */
    NX_FIELD_INT, /* of 64 bits with a sign */
    NX_FIELD_NUMBER,
    NX_FIELD_BOOL,
    NX_FIELD_STRING, /* range: characters */
    NX_FIELD_ARRAY,  /* of `of`; range: items */
    NX_FIELD_OBJECT, /* `fields`; NULL: any object */
    NX_FIELD_MAP,    /* any names, values as `of`; range: entries */
    NX_FIELD_ONE_OF, /* one of the list `of` */
} nx_field_kind;

/* From min to max; `has` says which of them count. */
typedef struct nx_range {
    double   min, max;
    unsigned has;
} nx_range;

enum {
    NX_RANGE_MIN = 1 << 0,
    NX_RANGE_MAX = 1 << 1,
    NX_RANGE_ABOVE = 1 << 2, /* more than min, not min itself */
};

/* clang-format off */
#define NX_BETWEEN(a, b)     {(a), (b), NX_RANGE_MIN | NX_RANGE_MAX}
#define NX_FROM(a)           {(a), 0, NX_RANGE_MIN}
#define NX_UP_TO(b)          {0, (b), NX_RANGE_MAX}
#define NX_ABOVE_UP_TO(a, b) {(a), (b), NX_RANGE_MIN | NX_RANGE_MAX | NX_RANGE_ABOVE}
/* clang-format on */

/* A maximum that the server's start decides takes the place of range.max. */
typedef enum nx_field_limit {
    NX_LIMIT_NONE,
    NX_LIMIT_NEW_TOKENS,
    NX_LIMIT_COUNT,
} nx_field_limit;

typedef struct nx_field_limits {
    int64_t max[NX_LIMIT_COUNT]; /* by nx_field_limit; 0: the table's own */
} nx_field_limits;

/* How a string is spelled beyond its length. */
typedef enum nx_field_format {
    NX_FORMAT_NONE,
    NX_FORMAT_DATE,    /* 2026-03-31; a string */
    NX_FORMAT_DECIMAL, /* digits; names of a map */
    NX_FORMAT_COUNT,
} nx_field_format;

typedef struct nx_fields nx_fields;
typedef struct nx_field  nx_field;

struct nx_field {
    const char      *name; /* NULL: an array's element, a map's value, one of several */
    nx_field_kind    kind;
    const char      *about;    /* a sentence; NULL: its name says it */
    bool             required; /* in an answer: always there */
    bool             nullable;
    nx_range         range;
    nx_field_limit   limit;
    nx_field_format  format;
    const char      *preset;  /* the value when absent, as JSON text; NULL: none */
    const char      *choices; /* of a string: "high|normal|low" */
    const char      *needs;   /* the neighbour that must be true where this one is given, or NULL */
    const nx_fields *fields;  /* NX_FIELD_OBJECT */
    const nx_field  *of;      /* NX_FIELD_ARRAY, NX_FIELD_MAP: one; NX_FIELD_ONE_OF: a list */
};

struct nx_fields {
    const char     *name;  /* of the schema in /openapi.json; unique */
    const char     *about; /* may be NULL */
    const nx_field *list;  /* ends with NX_FIELD_END */
    const char     *any; /* "text|prompt": at least one of these is needed; NULL: nothing like it */
};

/* clang-format off */
/* Of static tables at file scope: there the lists live as long as the program. */
#define NX_FIELDS(name_, ...) {.name = (name_), .list = NX_LIST(__VA_ARGS__)}
#define NX_LIST(...)          ((const nx_field[]){__VA_ARGS__, {0}})
#define NX_ONE(...)           (&(const nx_field){__VA_ARGS__})

/* One line of a table; what follows the sentence is .member = value. */
#define NX_F(kind_, name_, about_, ...)                                                            \
    {.kind = (kind_), .name = (name_), .about = (about_), __VA_ARGS__}
/* clang-format on */
#define NX_F_ANY(...)    NX_F(NX_FIELD_ANY, __VA_ARGS__)
#define NX_F_INT(...)    NX_F(NX_FIELD_INT, __VA_ARGS__)
#define NX_F_NUMBER(...) NX_F(NX_FIELD_NUMBER, __VA_ARGS__)
#define NX_F_BOOL(...)   NX_F(NX_FIELD_BOOL, __VA_ARGS__)
#define NX_F_STRING(...) NX_F(NX_FIELD_STRING, __VA_ARGS__)
#define NX_F_ARRAY(...)  NX_F(NX_FIELD_ARRAY, __VA_ARGS__)
#define NX_F_OBJECT(...) NX_F(NX_FIELD_OBJECT, __VA_ARGS__)
#define NX_F_MAP(...)    NX_F(NX_FIELD_MAP, __VA_ARGS__)
#define NX_F_ONE_OF(...) NX_F(NX_FIELD_ONE_OF, __VA_ARGS__)

/* The range with what the server's start decided; limits may be NULL. */
nx_range nx_field_range(const nx_field *f, const nx_field_limits *limits);

/* The field of that name, or NULL. */
const nx_field *nx_field_find(const nx_fields *fields, nx_str name);

/* ---- Checking ---- */

#define NX_FAULT_STEPS_MAX 12

typedef enum nx_fault_kind {
    NX_FAULT_MISSING,
    NX_FAULT_TYPE,
    NX_FAULT_RANGE,
    NX_FAULT_CHOICE,
    NX_FAULT_TWICE, /* a field of the table stands there twice */
    NX_FAULT_JSON,  /* nx_fault_of_parse */
} nx_fault_kind;

/* One step into a document: into a member, or, where key.p is NULL, to an element. */
typedef struct nx_fault_step {
    nx_str key; /* a view into the table or the document */
    size_t idx;
} nx_fault_step;

typedef struct nx_fault {
    nx_fault_kind   kind;
    const nx_field *field; /* NULL: the document itself is no object */
    nx_fault_step   steps[NX_FAULT_STEPS_MAX];
    int             n_steps;
    char            path[256];               /* "messages[2].content"; "body" for the document */
    char            text[NX_ERROR_TEXT_MAX]; /* "messages[2].content: expected ..., found ..." */
} nx_fault;

/* Does the document hold what the table says? false: *fault is the first thing that it doesn't, in
 * the table's order. */
bool nx_fields_check(const nx_fields *fields, const nx_json *json, const nx_field_limits *limits,
                     nx_fault *fault);

/* The same for words that came as text, from a query or a path: get gives the value of a name, or
 * NULL. Only scalars can stand in such a table. */
typedef const char *(*nx_field_text_fn)(void *ctx, const char *name);
bool nx_fields_check_text(const nx_fields *fields, nx_field_text_fn get, void *ctx,
                          const nx_field_limits *limits, nx_fault *fault);

/* A fault that only the caller can see (two fields that don't go together, an unknown model). */
void nx_fault_set(nx_fault *fault, nx_fault_kind kind, const nx_fields *fields, const char *name,
                  const char *fmt, ...) NX_PRINTF(5, 6);

/* Where in the document is what nx_json_parse refused? err is its error, text what it read. So a lone
 * surrogate in a prompt is told as "prompt: line 1, column 12: ...". Steps are views into text. */
void nx_fault_of_parse(nx_fault *fault, const nx_error *err, const char *text, size_t len);

/* The place as a JSON array: ["body", "messages", 2, "content"]. where: "body", "query". */
void nx_fault_write_loc(const nx_fault *fault, nx_jw *w, const char *key, const char *where);

/* "missing", "type_error", "range_error", "choice_error", "duplicate", "json_invalid": the seed dialect's
 * "type" */
const char *nx_fault_kind_name(nx_fault_kind kind);

/* ---- Reading, of a document that was checked ---- */

/* The value of a field, or what the table presets; 0, false or an empty view when there is neither. */
int64_t nx_field_int(const nx_fields *fields, const nx_json *json, const char *name);
double  nx_field_number(const nx_fields *fields, const nx_json *json, const char *name);
bool    nx_field_bool(const nx_fields *fields, const nx_json *json, const char *name);
nx_str  nx_field_string(const nx_fields *fields, const nx_json *json, const char *name);

/* The value itself; NULL when absent or null. */
const nx_json *nx_field_get(const nx_json *json, const char *name);

/* An element or value outside a table as an integer: a checked one, 1.0 included. */
int64_t nx_json_whole(const nx_json *v);

#endif
