/* unicode.h - what the tokenizers' own libraries know of characters, and their normal forms.
 *
 * Those libraries use several versions of Unicode side by side, so each question below names the
 * one who is asked. The tables are made of their answers: tools/unicode/tables.py.
 * Thread: any; nothing changes.
 */
#ifndef NX_TOKEN_UNICODE_H
#define NX_TOKEN_UNICODE_H

#include <stdint.h>

#include "base/buf.h"

/* General categories as the regexes of `tokenizers` and `tiktoken` know them (Unicode 16). */
typedef enum nx_gc {
    NX_GC_CN, /* not assigned */
    NX_GC_LU,
    NX_GC_LL,
    NX_GC_LT,
    NX_GC_LM,
    NX_GC_LO,
    NX_GC_MN,
    NX_GC_MC,
    NX_GC_ME,
    NX_GC_ND,
    NX_GC_NL,
    NX_GC_NO,
    NX_GC_PC,
    NX_GC_PD,
    NX_GC_PS,
    NX_GC_PE,
    NX_GC_PI,
    NX_GC_PF,
    NX_GC_PO,
    NX_GC_SM,
    NX_GC_SC,
    NX_GC_SK,
    NX_GC_SO,
    NX_GC_ZS,
    NX_GC_ZL,
    NX_GC_ZP,
    NX_GC_CC,
    NX_GC_CF,
    NX_GC_CS,
    NX_GC_CO,
} nx_gc;

/* Sets of categories: (NX_GCS_L >> gc) & 1. */
#define NX_GCS_BETWEEN(first, last) ((2u << (last)) - (1u << (first)))
#define NX_GCS_L                    NX_GCS_BETWEEN(NX_GC_LU, NX_GC_LO)
#define NX_GCS_M                    NX_GCS_BETWEEN(NX_GC_MN, NX_GC_ME)
#define NX_GCS_N                    NX_GCS_BETWEEN(NX_GC_ND, NX_GC_NO)
#define NX_GCS_P                    NX_GCS_BETWEEN(NX_GC_PC, NX_GC_PO)
#define NX_GCS_S                    NX_GCS_BETWEEN(NX_GC_SM, NX_GC_SO)
#define NX_GCS_Z                    NX_GCS_BETWEEN(NX_GC_ZS, NX_GC_ZP)

enum {                                /* nx_uc.flags */
       NX_UC_SPACE = 1 << 0,          /* \s: White_Space, for all of them */
       NX_UC_WORD = 1 << 1,           /* \w of the regexes */
       NX_UC_NUMERIC = 1 << 2,        /* pre-tokenizer Digits */
       NX_UC_PUNCT_BERT = 1 << 3,     /* BertPreTokenizer, Punctuation */
       NX_UC_ACCENT_BERT = 1 << 4,    /* dropped by BertNormalizer's strip_accents, after NFD */
       NX_UC_DROPPED_BERT = 1 << 5,   /* dropped by BertNormalizer's clean_text */
       NX_UC_IDEOGRAPH_BERT = 1 << 6, /* BertNormalizer puts spaces around it */
       NX_UC_ACCENT = 1 << 7,         /* dropped by StripAccents */
       NX_UC_DECOMPOSES = 1 << 8,     /* NFD changes it (but for Hangul) */
       NX_UC_DECOMPOSES_K = 1 << 9,   /* NFKD changes it */
       NX_UC_COMPOSES = 1 << 10,      /* may join the character before it in NFC */
};

typedef struct nx_uc {
    uint8_t  gc;
    uint16_t flags;
    uint8_t  ccc; /* canonical combining class, as the normal forms below use it */
} nx_uc;

extern const nx_uc    nx_uc_records[];
extern const uint16_t nx_uc_stage1[];
extern const uint8_t  nx_uc_stage2[];

/* Of any number; what is no code point has the record of an unassigned one. */
static inline const nx_uc *nx_uc_of(uint32_t c)
{
    if (c > 0x10FFFF) return &nx_uc_records[0];
    return &nx_uc_records[nx_uc_stage2[(uint32_t)nx_uc_stage1[c >> 7] << 7 | (c & 127)]];
}

static inline bool nx_uc_in(uint32_t c, uint32_t gcs)
{
    return gcs >> nx_uc_of(c)->gc & 1;
}

static inline bool nx_uc_is_space(uint32_t c)
{
    return nx_uc_of(c)->flags & NX_UC_SPACE;
}

typedef enum nx_normal_form { NX_NFC, NX_NFD, NX_NFKC, NX_NFKD } nx_normal_form;

/* Append text in the normal form that `tokenizers` gives it (an older Unicode than the categories).
 * Bytes that are not UTF-8 stay as they are, and nothing joins across them. Linear in len.
 * NX_ENOMEM, NX_ELIMIT (beyond out->max); out is then as before. text must not lie in out. */
nx_status nx_uc_normalise(nx_buf *out, const char *text, size_t len, nx_normal_form form,
                          nx_error *err);

/* Append text in lower case, character by character, as the normalizer Lowercase gives it. */
nx_status nx_uc_lower(nx_buf *out, const char *text, size_t len, nx_error *err);
uint32_t  nx_uc_lower_of(uint32_t c); /* U+0130 gives 'i', without the dot that follows */

/* What to write beside \p{name} inside a class ("\x{1C89}-\x{1C8A}...") so that PCRE2, whose
 * tables are those of Unicode 14, matches as the regexes of `tokenizers` do. "" for none. */
const char *nx_uc_pcre_extra(const char *name, size_t len);

#endif
