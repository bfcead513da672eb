/* routes.c - finds the route of a request.
 *
 * A scan over all of them, with a comparison of a few bytes each: some forty routes take less than a
 * microsecond, and there is no second structure that could disagree with the table.
 */
#include <stdio.h>
#include <string.h>

#include "server/route_tables.h"

static const nx_route_group *const groups[] = {
    &nx_routes_openai,       &nx_routes_llm,       &nx_routes_rag,    &nx_routes_ops,
    &nx_routes_admin,        &nx_routes_backup,    &nx_routes_qdrant, &nx_routes_qdrant_points,
    &nx_routes_qdrant_query, &nx_routes_documents,
};

const nx_route_group *nx_route_group_at(size_t i)
{
    return i < NX_COUNT_OF(groups) ? groups[i] : NULL;
}

const nx_route *nx_route_at(size_t i)
{
    for (size_t g = 0; g < NX_COUNT_OF(groups); g++) {
        if (i < groups[g]->n) return &groups[g]->routes[i];
        i -= groups[g]->n;
    }
    return NULL;
}

const char *nx_scope_name(nx_scope scope)
{
    switch (scope) {
    case NX_SCOPE_PUBLIC: return "public";
    case NX_SCOPE_INFER: return "infer";
    case NX_SCOPE_RAG: return "rag";
    case NX_SCOPE_ADMIN: return "admin";
    }
    return "none";
}

/* Does path fit the pattern? A name in braces takes one segment, one with + all that is left; neither
 * takes nothing. */
static bool path_fits(const char *pattern, const char *path, nx_str params[NX_ROUTE_PARAMS_MAX],
                      int *n_params)
{
    *n_params = 0;
    while (*pattern && *path) {
        if (*pattern != '{') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        const char *end = strchr(pattern, '}');
        if (!end || *n_params == NX_ROUTE_PARAMS_MAX) return false;
        size_t len = end[-1] == '+' ? strlen(path) : strcspn(path, "/");
        if (len == 0) return false;
        params[(*n_params)++] = (nx_str){path, len};
        path += len;
        pattern = end + 1;
    }
    return *pattern == *path; /* both at their end */
}

static bool method_fits(const char *method, const nx_route *r)
{
    return !strcmp(method, r->method) || (!strcmp(method, "HEAD") && !strcmp(r->method, "GET"));
}

const nx_route *nx_route_find(const char *method, const char *path,
                              nx_str params[NX_ROUTE_PARAMS_MAX], bool *known)
{
    const nx_route *best = NULL, *r;
    int             least = NX_ROUTE_PARAMS_MAX + 1; /* names in braces of the most exact path */

    memset(params, 0, NX_ROUTE_PARAMS_MAX * sizeof *params);
    for (size_t i = 0; (r = nx_route_at(i)); i++) {
        nx_str got[NX_ROUTE_PARAMS_MAX] = {{0}};
        int    n = 0;
        if (!path_fits(r->path, path, got, &n) || n > least) continue;
        if (n < least) best = NULL; /* a less exact path doesn't count, whatever its methods */
        least = n;
        if (!method_fits(method, r)) continue;
        best = r;
        memcpy(params, got, sizeof got);
    }
    if (known) *known = least <= NX_ROUTE_PARAMS_MAX;
    return best;
}

void nx_route_allow(const char *path, char *out, size_t cap)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    nx_str                   params[NX_ROUTE_PARAMS_MAX];
    size_t                   len = 0;

    if (cap) out[0] = '\0';
    for (size_t i = 0; i < NX_COUNT_OF(methods) && len < cap; i++) {
        if (!nx_route_find(methods[i], path, params, NULL)) continue;
        int n = snprintf(out + len, cap - len, "%s%s", len ? ", " : "", methods[i]);
        len += n > 0 ? (size_t)n : 0;
    }
}
