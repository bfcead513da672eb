/* hub_name.c - org/name[:quant-or-file][@revision], and paths that others chose. */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "format/hub.h"
#include "format/printable.h"

#define PART_MAX 96 /* as the Hub has it */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* One side of org/name: no ".." or "--" (which stands for the slash in folder names). */
static bool good_part(const char *p, size_t len)
{
    if (len == 0 || len > PART_MAX || *p == '-' || *p == '.' || p[len - 1] == '-') return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_word(p[i])) return false;
        if (i && p[i] == p[i - 1] && (p[i] == '.' || p[i] == '-')) return false;
    }
    return true;
}

static bool good_repo(const char *p, size_t len)
{
    const char *slash = memchr(p, '/', len);

    if (!slash) return good_part(p, len);
    return good_part(p, (size_t)(slash - p)) && good_part(slash + 1, (size_t)(p + len - slash - 1));
}

static bool copy(char *out, size_t cap, const char *p, size_t len)
{
    if (len >= cap) return false;
    memcpy(out, p, len);
    out[len] = '\0';
    return true;
}

static bool good_revision(const char *text)
{
    if (!nx_hub_path_safe(nx_str_of(text)) || *text == '-') return false;
    for (; *text; text++)
        if (!is_word(*text) && *text != '/' && *text != '+') return false;
    return true;
}

nx_status nx_hub_name_parse(nx_hub_name *out, const char *text, nx_error *err)
{
    char        shown[128];
    const char *colon = strchr(text, ':'), *at = strrchr(text, '@');
    const char *end = text + strlen(text);

    if (at && colon && at < colon) at = NULL; /* it belongs to the file's name */
    const char *pick_end = at ? at : end, *repo_end = colon ? colon : pick_end;
    bool        ok = good_repo(text, (size_t)(repo_end - text)) &&
              copy(out->repo, sizeof out->repo, text, (size_t)(repo_end - text));

    out->pick[0] = '\0';
    if (ok && colon)
        ok = copy(out->pick, sizeof out->pick, colon + 1, (size_t)(pick_end - colon - 1)) &&
             nx_hub_path_safe(nx_str_of(out->pick));
    strcpy(out->revision, "main");
    if (ok && at)
        ok = copy(out->revision, sizeof out->revision, at + 1, (size_t)(end - at - 1)) &&
             good_revision(out->revision);
    if (ok) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "\"%s\" is no model name, expected org/name[:quant-or-file][@revision], as in "
                   "bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
                   nx_printable(shown, sizeof shown, nx_str_of(text)));
}

bool nx_hub_name_likely(const char *text)
{
    nx_hub_name name;
    const char *slash = strchr(text, '/');

    return *text != '/' && *text != '.' && slash && nx_hub_name_parse(&name, text, NULL) == NX_OK;
}

bool nx_hub_path_safe(nx_str path)
{
    size_t from = 0;

    if (path.len == 0 || path.len > 1000 || !nx_utf8_valid(path.p, path.len, NULL)) return false;
    for (size_t i = 0; i <= path.len; i++) {
        unsigned char c = i < path.len ? (unsigned char)path.p[i] : '/';
        if (c < 0x20 || c == 0x7F || c == '\\') return false;
        if (c != '/') continue;
        nx_str part = {path.p + from, i - from};
        if (part.len == 0 || part.len > 255 || nx_str_eq(part, NX_STR(".")) ||
            nx_str_eq(part, NX_STR("..")))
            return false;
        from = i + 1;
    }
    return true;
}
