/* declines.c - an answer that only says that the documents don't tell.
 *
 * Idea:   models have their own words for it: a "not" beside a word of telling, and a word of documents, in the first
 *         sentence, and not much behind it.
 * Thread: any.
 */
#include <string.h>

#include "rag/answer.h"

enum { DECLINE_BYTES_MAX = 320 };

static bool has(const char *text, const char *const *phrases)
{
    for (; *phrases; phrases++)
        if (strstr(text, *phrases)) return true;
    return false;
}

bool nx_answer_declines(nx_str answer)
{
    static const char *const whole[] = {"not in the documents",
                                        "no relevant information",
                                        "no information about",
                                        "no information on",
                                        "cannot find",
                                        "can't find",
                                        "could not find",
                                        "i don't know",
                                        NULL};
    static const char *const nots[] = {"do not ",  "does not ", "don't ", "doesn't ",
                                       "did not ", "no ",       "not ",   NULL};
    static const char *const tells[] = {"say",    "mention",     "contain", "provide",
                                        "answer", "include",     "specify", "state",
                                        "tell",   "information", NULL};
    static const char *const things[] = {"document", "passage", "context", "source", "text", NULL};
    char                     text[DECLINE_BYTES_MAX + 1];
    size_t                   n = 0;

    if (answer.len > DECLINE_BYTES_MAX) return false;
    for (size_t i = 0; i < answer.len; i++) {
        char c = answer.p[i];
        if (c == '[') return false; /* it cites: it says something */
        text[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c ? c : ' ';
    }
    text[n] = '\0';
    return has(text, whole) || (has(text, nots) && has(text, tells) && has(text, things));
}
