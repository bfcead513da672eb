/* error.h - errors are values: a status, and a message for the person who reads it.
 *
 * A message says what, where, what was expected, what was found, and a hint:
 *   model.gguf: tensor blk.3.attn_q.weight at byte 8192: shape [4096, 4095],
 *   expected [4096, 4096]. Truncated download?
 */
#ifndef NX_BASE_ERROR_H
#define NX_BASE_ERROR_H

#include <stdarg.h>

#include "nexus/nexus.h"

#define NX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Write status and message into err (may be NULL) and return st, so that
 *     return nx_fail(err, NX_EFORMAT, "%s: ...", path);
 * is one line. A message longer than err->text is cut at a character boundary. Any thread. */
nx_status nx_fail(nx_error *err, nx_status st, const char *fmt, ...) NX_PRINTF(3, 4);
nx_status nx_fail_v(nx_error *err, nx_status st, const char *fmt, va_list args) NX_PRINTF(3, 0);

/* Put "what: " before the message that err already holds. Returns err->status. */
nx_status nx_fail_prefix(nx_error *err, nx_status st, const char *fmt, ...) NX_PRINTF(3, 4);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: tell it that a failed call returns no NX_OK. */
#define nx_fail(err, st, ...)         ((void)nx_fail((err), (st), __VA_ARGS__), (st))
#define nx_fail_v(err, st, fmt, args) ((void)nx_fail_v((err), (st), (fmt), (args)), (st))
#define nx_fail_prefix(err, st, ...)  ((void)nx_fail_prefix((err), (st), __VA_ARGS__), (st))
#endif

#endif
