/* golden.h - read a frozen file of tests/golden whole, or fail the test. */
#ifndef NX_TEST_GOLDEN_H
#define NX_TEST_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>

/* The bytes (free them) and their count in *len. `name` is relative to tests/golden. */
static inline void *golden_read(const char *name, size_t *len)
{
    char path[512];
    snprintf(path, sizeof path, NX_SOURCE_DIR "/tests/golden/%s", name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    void *bytes = malloc(*len ? *len : 1);
    if (fread(bytes, 1, *len, f) != *len) fail_msg("%s: can't be read", path);
    fclose(f);
    return bytes;
}

#endif
