/* jinja_value.h - the values of a template: Python's, as far as templates meet them.
 *
 * jj_ names are the insides of jinja.h and used nowhere else.
 * Owns:   nothing; all values of one rendering lie in its arena and end with it.
 * Thread: one rendering, one thread. Constants of a template are shared and never written.
 * Idea:   values are small and passed by value; strings, lists and dicts are immutable, as the
 *         sandbox of the original keeps them. Every byte of a string knows whether it came from
 *         the template or from what people wrote ("user"), so that a control token spelled in a
 *         message can't become one.
 * Errors: functions return a status after jj_fail; builders keep their first failure themselves.
 */
#ifndef NX_TOKEN_JINJA_VALUE_H
#define NX_TOKEN_JINJA_VALUE_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

#define TRY(call)                                                                                  \
    do {                                                                                           \
        nx_status st_ = (call);                                                                    \
        if (st_) return st_;                                                                       \
    } while (0)

/* ---- One rendering, or one compilation ---- */

typedef struct jj {
    nx_arena   *arena;
    size_t      memory_max; /* bytes of the arena */
    size_t      value_max;  /* bytes of one string, entries of one list */
    int64_t     steps;      /* left */
    int         depth, depth_max;
    const char *name; /* of the template, for messages */
    uint32_t    line;
    nx_error   *err;  /* never NULL */
    void       *eval; /* jinja_eval.h: the evaluator's own state */
} jj;

/* "NAME: line N: ..."; the macros let compilers see that the status isn't NX_OK. */
void jj_say(jj *j, nx_status st, const char *fmt, ...) NX_PRINTF(3, 4);
#define jj_fail(j, st, ...)     (jj_say((j), (st), __VA_ARGS__), (st))
#define jj_type_error(j, ...)   jj_fail((j), NX_EINVAL, __VA_ARGS__)
#define jj_undefined_used(j, v) (jj_say_undefined((j), (v)), NX_EINVAL)

void     *jj_alloc(jj *j, size_t n, size_t size); /* zeroed; NULL after jj_fail */
nx_status jj_steps(jj *j, size_t n);              /* pay for work; NX_ELIMIT when all is spent */
nx_status jj_work(jj *j, size_t n_bytes);         /* the same for looking through bytes */
nx_status jj_search(jj *j, size_t n_bytes, size_t n_needle); /* ... for a text among them */
nx_status jj_enter(jj *j);                                   /* one level deeper */
void      jj_leave(jj *j);

/* ---- Values ---- */

typedef enum jj_type {
    JJ_UNDEFINED, /* prints as nothing, has no attributes */
    JJ_NONE,
    JJ_BOOL,
    JJ_INT,
    JJ_BIG, /* an integer of a JSON text above INT64_MAX */
    JJ_FLOAT,
    JJ_STR,
    JJ_LIST,
    JJ_TUPLE,
    JJ_DICT,
    JJ_NAMESPACE,
    JJ_RANGE,
    JJ_ITER, /* a generator: goes through its items once */
    JJ_VIEW, /* keys, values or items of a dict */
    JJ_MACRO,
    JJ_FUNCTION, /* range, namespace, raise_exception, ... */
    JJ_METHOD,   /* bound to its object */
    JJ_LOOP,
    JJ_CYCLER,
    JJ_JOINER,
    JJ_MISSING, /* no value at all: an argument that wasn't given */
} jj_type;

typedef struct jj_run { /* a stretch of a string, up to end */
    uint32_t end;
    bool     user;
} jj_run;

typedef struct jj_str {
    const char   *p; /* UTF-8, len bytes */
    uint32_t      len;
    uint32_t      n_chars;
    uint32_t      n_runs; /* 0: all of it is `user` or not */
    bool          user;   /* any byte of it is */
    bool          markup; /* made by safe or escape: + escapes what it meets */
    const jj_run *runs;
} jj_str;

typedef struct jj_val    jj_val;
typedef struct jj_list   jj_list;
typedef struct jj_dict   jj_dict;
typedef struct jj_range  jj_range;
typedef struct jj_iter   jj_iter;
typedef struct jj_view   jj_view;
typedef struct jj_method jj_method;
typedef struct jj_cycler jj_cycler;
typedef struct jj_joiner jj_joiner;
typedef struct jj_undef  jj_undef;
struct jj_macro; /* jinja_eval.h */
struct jj_loop;

struct jj_val {
    jj_type type;
    union {
        bool             b;
        int64_t          i;
        uint64_t         u;
        double           f;
        const jj_str    *s;
        jj_list         *list; /* JJ_LIST, JJ_TUPLE */
        jj_dict         *dict; /* JJ_DICT, JJ_NAMESPACE */
        jj_range        *range;
        jj_iter         *iter;
        jj_view         *view;
        jj_method       *method;
        int              function; /* jinja_global.c's */
        struct jj_macro *macro;
        struct jj_loop  *loop;
        jj_cycler       *cycler;
        jj_joiner       *joiner;
        const jj_undef  *undef; /* may be NULL */
    };
};

struct jj_list {
    jj_val *v;
    size_t  n;
    bool    group; /* a tuple with the names grouper and list */
};

typedef struct jj_entry {
    jj_val   key, value;
    uint64_t hash;
} jj_entry;

struct jj_dict { /* in the order of insertion */
    jj_entry *e;
    size_t    n, cap;
    uint32_t *slots; /* [n_slots], entry + 1; NULL while there are few */
    size_t    n_slots;
};

struct jj_range {
    int64_t start, stop, step;
    size_t  n;
};

struct jj_iter {
    jj_val *v;
    size_t  n, at;
};

struct jj_view {
    jj_dict *dict;
    char     kind; /* 'k', 'v', 'i' */
};

struct jj_method {
    jj_val                      self;
    const struct jj_method_def *def; /* jinja_attr.h */
};

struct jj_cycler {
    jj_val *v;
    size_t  n, at;
};

struct jj_joiner {
    jj_val sep;
    bool   used;
};

struct jj_undef {
    const char *message; /* what using it says */
};

#define JJ_VAL_NONE    ((jj_val){.type = JJ_NONE})
#define JJ_VAL_MISSING ((jj_val){.type = JJ_MISSING})

static inline jj_val jj_bool(bool b)
{
    return (jj_val){.type = JJ_BOOL, .b = b};
}

static inline jj_val jj_int(int64_t i)
{
    return (jj_val){.type = JJ_INT, .i = i};
}

static inline jj_val jj_float(double f)
{
    return (jj_val){.type = JJ_FLOAT, .f = f};
}

static inline jj_val jj_of_str(const jj_str *s)
{
    return (jj_val){.type = JJ_STR, .s = s};
}

/* An undefined value; the message as jj_fail's, without the place. */
nx_status jj_undefined(jj *j, jj_val *out, const char *fmt, ...) NX_PRINTF(3, 4);
void      jj_say_undefined(jj *j, const jj_val *v); /* jj_undefined_used: its message */

const char *jj_type_name(const jj_val *v); /* Python's: "str", "NoneType" */
bool        jj_truth(const jj_val *v);
bool        jj_is_number(const jj_val *v);                 /* bool included */
bool        jj_as_int(const jj_val *v, int64_t *out);      /* int or bool */
bool        jj_as_double(const jj_val *v, double *out);    /* any number */
bool        jj_text_is(const jj_val *v, const char *text); /* a string that says this */

/* ---- Strings ---- */

nx_status jj_str_new(jj *j, jj_val *out, const char *p, size_t len, bool user);  /* copies */
nx_status jj_str_view(jj *j, jj_val *out, const char *p, size_t len, bool user); /* borrows */

bool      jj_str_eq(const jj_str *a, const jj_str *b);
int       jj_str_cmp(const jj_str *a, const jj_str *b);
nx_str    jj_bytes(const jj_str *s);
size_t    jj_str_at(const jj_str *s, size_t i_char);                /* byte of character i */
size_t    jj_str_char_of(const jj_str *s, size_t at);               /* and back */
size_t    jj_str_find(const jj_str *s, size_t from, nx_str needle); /* SIZE_MAX: not there */
size_t    jj_str_rfind(const jj_str *s, size_t to, nx_str needle);  /* the last that ends by `to` */
nx_status jj_slice_bytes(jj *j, jj_val *out, const jj_str *s, size_t from, size_t to);

/* ---- Building strings ---- */

/* Zero-initialise with j. After a failure nothing is added and jj_out_str returns it. */
typedef struct jj_out {
    jj       *j;
    char     *p;
    size_t    len, cap, max; /* max 0: j->value_max */
    jj_run   *runs;
    size_t    n_runs, cap_runs;
    nx_status st;
} jj_out;

void      jj_put(jj_out *o, const char *p, size_t len, bool user);
void      jj_put_cp(jj_out *o, uint32_t cp, bool user);
void      jj_put_text(jj_out *o, const char *text); /* NUL-terminated, the template's */
void      jj_put_str(jj_out *o, const jj_str *s);
void      jj_put_range(jj_out *o, const jj_str *s, size_t from, size_t to);
void      jj_put_fill(jj_out *o, const jj_str *fill, int64_t n); /* n times; none when negative */
bool      jj_user_at(const jj_str *s, size_t at);
nx_status jj_out_str(jj_out *o, jj_val *out);

/* ---- Lists and dicts ---- */

nx_status jj_list_new(jj *j, jj_val *out, jj_type type, size_t n); /* n entries, undefined */

/* A growing list. */
typedef struct jj_vec {
    jj     *j;
    jj_val *v;
    size_t  n, cap;
} jj_vec;

nx_status jj_vec_add(jj_vec *l, jj_val v);
nx_status jj_vec_list(jj_vec *l, jj_val *out, jj_type type); /* list, tuple or iter */

nx_status jj_dict_new(jj *j, jj_val *out);
nx_status jj_dict_set(jj *j, jj_dict *d, jj_val key, jj_val value); /* unhashable: NX_EINVAL */
nx_status jj_dict_get(jj *j, jj_dict *d, const jj_val *key, jj_val **found); /* NULL: none */
jj_val   *jj_dict_text(jj *j, jj_dict *d, nx_str key);                       /* NULL: none */

/* ---- Comparing and going through ---- */

nx_status jj_equal(jj *j, const jj_val *a, const jj_val *b, bool *out);
nx_status jj_less(jj *j, const jj_val *a, const jj_val *b, const char *op, bool *out); /* a < b */
nx_status jj_contains(jj *j, const jj_val *container, const jj_val *item, bool *out);

/* All items of a container at once (an iter is used up). The array may be the container's own. */
nx_status jj_items_of(jj *j, const jj_val *v, jj_val **items, size_t *n);
bool      jj_iterable(const jj_val *v);
bool      jj_length(const jj_val *v, size_t *n); /* false: has none */

#endif
