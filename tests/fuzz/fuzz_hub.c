/* fuzz_hub.c - what a hub may answer: no path leaves the model's folder, and choosing never breaks. */
#include <stdlib.h>
#include <string.h>

#include "format/hub.h"

static bool leaves(const char *path)
{
    const char *up = strstr(path, "../");

    if (*path == '/' || strcmp(path, "..") == 0) return true;
    for (; up; up = strstr(up + 1, "../"))
        if (up == path || up[-1] == '/') return true; /* not the end of a longer name */
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const picks[] = {"", "Q4_K_M", "a.gguf", "sub/b.gguf"};
    nx_hub_tree              tree = {0};
    const char              *text = (const char *)data;
    size_t                   n;

    if (size == 0) return 0;
    nx_hub_read_info(&tree, text + 1, size - 1, NULL);
    if (nx_hub_read_tree(&tree, text + 1, size - 1, NULL) == NX_OK) {
        for (size_t i = 0; i < tree.n; i++) {
            const char *path = tree.files[i].path;
            if (leaves(path)) abort();
            nx_hub_quant_of(path);
            nx_hub_split_part(path);
        }
        if (nx_hub_select(&tree, &n, picks[data[0] % 4], NULL) == NX_OK && (n == 0 || n > tree.n))
            abort();
    }
    nx_hub_tree_free(&tree);

    char *name = malloc(size + 1);
    if (!name) return 0;
    memcpy(name, data, size);
    name[size] = '\0';
    nx_hub_name parsed;
    nx_hub_name_parse(&parsed, name, NULL);
    nx_hub_name_likely(name);
    free(name);
    return 0;
}
