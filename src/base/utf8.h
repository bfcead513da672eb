/* utf8.h - UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF). */
#ifndef NX_BASE_UTF8_H
#define NX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NX_UTF8_BAD 0xFFFFFFFFu

/* Decode the character at s[0..len), len >= 1. Writes its length in bytes to *n (1 on error, so
 * that a loop always advances) and returns the code point, or NX_UTF8_BAD. */
uint32_t nx_utf8_decode(const char *s, size_t len, size_t *n);

/* Write cp (a valid code point) to out[4]; returns 1 to 4. */
size_t nx_utf8_encode(char *out, uint32_t cp);

/* True when all of s is valid; else *bad_at (may be NULL) is the offset of the first bad byte. */
bool nx_utf8_valid(const char *s, size_t len, size_t *bad_at);

/* How many bytes one U+FFFD stands for where s[0..len), len >= 1, doesn't begin with a character:
 * the longest correct beginning of one, at least 1. So Unicode recommends ("substitution of maximal
 * subparts", chapter 3.9), and so Python, Rust and browsers do. */
size_t nx_utf8_bad_length(const char *s, size_t len);

/* How many bytes at the end of s are the beginning of a character that more bytes could complete:
 * 0 to 3. What stands before them can be shown to a person now. */
size_t nx_utf8_partial_tail(const char *s, size_t len);

/* Does a terminal act on it rather than show it? C0 and C1, line ends, marks of direction. */
bool nx_utf8_is_control(uint32_t cp);

#endif
