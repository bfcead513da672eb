/* bytemap.c - GPT-2's spelling of bytes. */
#include "token/bytemap.h"

#include "base/utf8.h"

static bool is_itself(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

void nx_bytemap_init(nx_bytemap *m)
{
    uint16_t next = 256;

    for (int c = 0; c < NX_BYTEMAP_CHARS; c++) m->byte_of[c] = -1;
    for (int byte = 0; byte < 256; byte++) {
        m->char_of[byte] = is_itself(byte) ? (uint16_t)byte : next++;
        m->byte_of[m->char_of[byte]] = (int16_t)byte;
    }
}

size_t nx_bytemap_decode(const nx_bytemap *m, char *out, nx_str text)
{
    size_t len = 0;

    for (size_t i = 0, n; i < text.len; i += n) {
        uint32_t c = nx_utf8_decode(text.p + i, text.len - i, &n);
        if (c < NX_BYTEMAP_CHARS && m->byte_of[c] >= 0) {
            out[len++] = (char)m->byte_of[c];
        } else {
            for (size_t k = 0; k < n; k++) out[len++] = text.p[i + k];
        }
    }
    return len;
}
