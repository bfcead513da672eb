/* web.c - which file of web/ answers which path. */
#include "server/web.h"

#include <string.h>

static const struct {
    const char *path, *name, *type;
} files[] = {
    {"/docs", "docs.html", "text/html; charset=utf-8"},
    {"/docs/docs.css", "docs.css", "text/css; charset=utf-8"},
    {"/docs/docs.js", "docs.js", "text/javascript; charset=utf-8"},
};

static bool find(const char *name, nx_str *bytes)
{
    for (const nx_web_entry *e = nx_web_entries; e->name; e++) {
        if (strcmp(e->name, name) != 0) continue;
        *bytes = (nx_str){(const char *)e->bytes, e->len};
        return true;
    }
    return false;
}

bool nx_web_file(const char *path, nx_str *bytes, const char **type)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(files[i].path, path) != 0) continue;
        *type = files[i].type;
        return find(files[i].name, bytes);
    }
    return false;
}
