/* bytemap.h - how byte-level BPE files spell bytes.
 *
 * GPT-2's vocabulary writes each byte as one visible character: 33..126, 161..172 and 174..255 as
 * themselves, the other 68 as U+0100 and up, in order. So a space is U+0120.
 */
#ifndef NX_TOKEN_BYTEMAP_H
#define NX_TOKEN_BYTEMAP_H

#include "base/buf.h"

#define NX_BYTEMAP_CHARS 324 /* one past the last character in use, U+0143 */

typedef struct nx_bytemap {
    uint16_t char_of[256];
    int16_t  byte_of[NX_BYTEMAP_CHARS]; /* -1: stands for no byte */
} nx_bytemap;

void nx_bytemap_init(nx_bytemap *m);

/* Write to out (room for text.len bytes) what text stands for: mapped characters as their byte,
 * all other bytes as they are. Returns the length. */
size_t nx_bytemap_decode(const nx_bytemap *m, char *out, nx_str text);

#endif
