/* rewrite.c - a question that leans on a conversation, rewritten by a model to one that stands by itself.
 *
 * Idea:   a small model may answer instead of rewriting, chat, or repeat itself. What comes back counts only if it
 *         looks like a question about the same thing; else the caller keeps to nx_question_in_context.
 * Thread: any.
 */
#include <string.h>

#include "base/utf8.h"
#include "rag/answer.h"
#include "rag/wordset.h"

enum {
    TURNS_MAX = 6,         /* that are shown, the last ones */
    TURN_BYTES_MAX = 1200, /* of each */
    REWRITTEN_MAX = 400,   /* bytes */
};

static nx_status add_turn(nx_buf *out, const nx_turn *t, nx_error *err)
{
    size_t    n = t->text.len < TURN_BYTES_MAX ? t->text.len : TURN_BYTES_MAX;
    nx_status st = nx_buf_addf(out, err, "%s: ", t->user ? "User" : "Assistant");

    n -= nx_utf8_partial_tail(t->text.p, n);
    for (size_t i = 0; i < n && !st; i++) {
        bool blank = t->text.p[i] == '\n' || t->text.p[i] == '\r';
        st = nx_buf_add(out, blank ? " " : t->text.p + i, 1, err);
    }
    return st ? st : nx_buf_add(out, "\n", 1, err);
}

nx_status nx_rewrite_prompt(nx_buf *system, nx_buf *user, nx_str question, const nx_turn *turns,
                            size_t n, nx_error *err)
{
    nx_status st = nx_buf_addf(
        system, err,
        "You rewrite the last question of a conversation so that it can be understood without the "
        "conversation: put the names that it refers to in place of \"it\", \"that\", \"there\". Keep "
        "its language and its meaning. Do not answer it. Write the question alone, in one line.");

    if (!st) st = nx_buf_addf(user, err, "Conversation:\n");
    for (size_t i = n > TURNS_MAX ? n - TURNS_MAX : 0; i < n && !st; i++)
        st = add_turn(user, &turns[i], err);
    if (!st) st = nx_buf_addf(user, err, "\nLast question: ");
    if (!st) st = nx_buf_add(user, question.p, question.len, err);
    return st ? st : nx_buf_addf(user, err, "\nRewritten question:");
}

/* ---- What came back ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static nx_str trimmed(nx_str s)
{
    while (s.len && is_blank(s.p[0])) s.p++, s.len--;
    while (s.len && is_blank(s.p[s.len - 1])) s.len--;
    return s;
}

/* Without a label ("Rewritten question:") and quotes around it. */
static nx_str bare(nx_str s)
{
    static const char *const labels[] = {"Rewritten question:", "Question:", "Rewritten:", "User:"};

    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        size_t n = strlen(labels[i]);
        if (s.len < n || memcmp(s.p, labels[i], n) != 0) continue;
        s = trimmed((nx_str){s.p + n, s.len - n});
        break;
    }
    if (s.len > 1 && s.p[0] == s.p[s.len - 1] && (s.p[0] == '"' || s.p[0] == '\'' || s.p[0] == '`'))
        s = trimmed((nx_str){s.p + 1, s.len - 2});
    return s;
}

/* One line, printable, of a length that fits, no marks of a chat template. */
static bool is_sound(nx_str s, nx_str question)
{
    size_t max = question.len * 4 + 120;
    bool   letter = false;

    if (s.len == 0 || s.len > REWRITTEN_MAX || s.len > max) return false;
    if (!nx_utf8_valid(s.p, s.len, NULL)) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < ' ' || c == 127) return false;
        if (c == '<' && i + 1 < s.len && s.p[i + 1] == '|') return false;
        letter |= c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z');
    }
    return letter;
}

/* Does it speak of what the question speaks of? One weighty word in common; a question without any ("Why?")
 * takes everything that is asked. */
static bool is_about(nx_str s, nx_str question)
{
    nx_words  *w = NULL;
    nx_wordset a = {0}, b = {0};
    bool       ok = false;

    if (nx_words_create_bm25(&w, NX_STR("english"), NULL)) return false;
    if (!nx_wordset_read(&a, w, question, NULL) && !nx_wordset_read(&b, w, s, NULL))
        ok = b.n > 0 && (a.n == 0 ? s.p[s.len - 1] == '?' : nx_wordset_common(&a, &b) > 0);
    nx_wordset_free(&a);
    nx_wordset_free(&b);
    nx_words_destroy(w);
    return ok;
}

nx_str nx_rewrite_read(nx_str answer, nx_str question)
{
    nx_str      s = trimmed(answer);
    const char *end = s.len ? memchr(s.p, '\n', s.len) : NULL;

    if (end) { /* more lines: only if the first is a question by itself */
        s = trimmed((nx_str){s.p, (size_t)(end - s.p)});
        if (s.len == 0 || (s.p[s.len - 1] != '?' && s.p[s.len - 1] != '"')) return NX_STR("");
    }
    s = bare(s);
    return is_sound(s, question) && is_about(s, question) ? s : NX_STR("");
}
