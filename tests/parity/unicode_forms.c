/* unicode_forms.c - for test_unicode.py: stdin's texts, each ended by a NUL, in the form that the
 * argument names: NFC, NFD, NFKC, NFKD or lower. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/unicode.h"

#define TEXT_MAX (1 << 26)

static nx_status convert(nx_buf *out, const char *form, const char *text, size_t len)
{
    static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};

    for (int i = 0; i < 4; i++) {
        if (!strcmp(form, names[i]))
            return nx_uc_normalise(out, text, len, (nx_normal_form)i, NULL);
    }
    return nx_uc_lower(out, text, len, NULL);
}

int main(int argc, char **argv)
{
    char  *in = malloc(TEXT_MAX);
    nx_buf out = {.max = (size_t)4 * TEXT_MAX};

    if (argc != 2 || !in) return 2;
    size_t n = fread(in, 1, TEXT_MAX, stdin);
    for (size_t at = 0, len; at < n; at += len + 1) {
        len = strnlen(in + at, n - at);
        if (convert(&out, argv[1], in + at, len) || nx_buf_add(&out, "", 1, NULL)) return 1;
    }
    fwrite(out.data, 1, out.len, stdout);
    nx_buf_free(&out);
    free(in);
    return 0;
}
