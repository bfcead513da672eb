/* turns_question.c - a question in a conversation, by its words.
 *
 * Idea:   "And how long is it kept?" leans on what was said before: it holds a word that points there, begins as
 *         a continuation, or has no word of its own. Then the weighty words of the last questions go in front of
 *         it, and, of the last answer, names and what stands in quotes. A question that stands by itself stays as
 *         it is: words of an older subject would only lead astray.
 */
#include <string.h>

#include "rag/retrieve.h"
#include "store/words.h"

enum {
    WORDS_MAX = 24,       /* put before a question */
    ANSWER_WORDS_MAX = 8, /* of an answer */
    TURNS_BACK = 3,       /* questions that lean on one another */
    WORD_BYTES_MAX = 64,
};

/* Words that point back; English, German, French, Spanish. */
static const char *const pointers[] = {
    "it",      "its",   "itself", "they", "them",  "their",  "theirs", "he",     "him",
    "his",     "she",   "her",    "hers", "this",  "these",  "those",  "former", "latter",
    "instead", "ihn",   "ihm",    "dies", "diese", "dieser", "dieses", "davon",  "dazu",
    "darin",   "damit", "dort",   "elle", "ils",   "elles",  "lui",    "leur",   "cela",
    "ça",      "celui", "celle",  "esto", "eso",   "ello",   "ellos",  "ellas",
};

/* Words that do so at a question's end, or behind the words below: elsewhere they mean other things. */
static const char *const weak_pointers[] = {
    "that", "there", "one", "ones", "other", "others", "another", "same", "er", "sie", "es", "il",
};
static const char *const before_weak[] = {
    "does",  "did",    "was",  "of",   "about", "with", "for",  "from",
    "after", "before", "than", "like", "ist",   "hat",  "kann",
};

/* What a continuation begins with. */
static const char *const continuations[] = {
    "and ",       "but ",     "or ",     "so ",       "also ", "then ", "what about ",
    "how about ", "what if ", "why not", "which one", "und ",  "aber ", "oder ",
    "et ",        "mais ",    "ou ",     "y ",        "pero ", "o ",
};

/* ---- Words ---- */

static bool in_word(unsigned char c)
{
    return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* Characters that hold a name together, between two of a word: "man-db", "rag.json", "don't". */
static bool in_name(char c)
{
    return c == '-' || c == '.' || c == '\'' || c == '/';
}

static bool next_word(nx_str text, size_t *at, nx_str *word)
{
    while (*at < text.len && !in_word((unsigned char)text.p[*at])) ++*at;
    size_t from = *at;
    while (*at < text.len &&
           (in_word((unsigned char)text.p[*at]) || (in_name(text.p[*at]) && *at + 1 < text.len &&
                                                    in_word((unsigned char)text.p[*at + 1]))))
        ++*at;
    *word = (nx_str){text.p + from, *at - from};
    return word->len > 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool same_word(nx_str a, nx_str b)
{
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

static bool is_one_of(nx_str word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_word(word, nx_str_of(list[i]))) return true;
    return false;
}

static bool is_stopword(nx_str word)
{
    size_t        n;
    const nx_str *list = nx_stopwords(NX_STR("english"), &n);

    for (size_t i = 0; list && i < n; i++)
        if (same_word(word, list[i])) return true;
    return false;
}

#define IS_ONE_OF(word, list) is_one_of((word), (list), sizeof(list) / sizeof *(list))

static bool is_weighty(nx_str word)
{
    return word.len <= WORD_BYTES_MAX && !is_stopword(word) && !IS_ONE_OF(word, pointers) &&
           !IS_ONE_OF(word, weak_pointers);
}

/* ---- Does it lean? ---- */

static bool begins_with(nx_str text, const char *with)
{
    size_t n = strlen(with);

    return text.len >= n && same_word((nx_str){text.p, n}, (nx_str){with, n});
}

static bool continues(nx_str text)
{
    while (text.len && !in_word((unsigned char)*text.p)) text = (nx_str){text.p + 1, text.len - 1};
    for (size_t i = 0; i < sizeof continuations / sizeof *continuations; i++)
        if (begins_with(text, continuations[i])) return true;
    return false;
}

static bool leans(nx_str question)
{
    nx_str word, before = {0};
    size_t n_weighty = 0;
    bool   weak = false;

    if (continues(question)) return true;
    for (size_t at = 0; next_word(question, &at, &word); before = word) {
        weak = IS_ONE_OF(word, weak_pointers);
        if (IS_ONE_OF(word, pointers) || (weak && IS_ONE_OF(before, before_weak))) return true;
        n_weighty += is_weighty(word);
    }
    return weak || n_weighty == 0; /* weak: the last word was */
}

/* ---- What is put before it ---- */

typedef struct lead {
    nx_str words[WORDS_MAX];
    size_t n;
    nx_str question;
} lead;

static bool holds(nx_str text, nx_str word)
{
    nx_str other;

    for (size_t at = 0; next_word(text, &at, &other);)
        if (same_word(other, word)) return true;
    return false;
}

static void take(lead *l, nx_str word)
{
    if (l->n == WORDS_MAX || holds(l->question, word)) return;
    for (size_t i = 0; i < l->n; i++)
        if (same_word(l->words[i], word)) return;
    l->words[l->n++] = word;
}

/* A name: capitals within a sentence, digits and letters mixed, a dot or hyphen inside, quotes around. */
static bool is_name(nx_str text, nx_str word)
{
    size_t at = (size_t)(word.p - text.p), n_digits = 0, n_other = 0;
    char   before = at ? text.p[at - 1] : '\n';

    if (before == '`' || before == '"' || before == '\'') return true;
    for (size_t i = 0; i < word.len; i++) {
        bool digit = word.p[i] >= '0' && word.p[i] <= '9';
        n_digits += digit;
        n_other += !digit;
        if (i && word.p[i] >= 'A' && word.p[i] <= 'Z') return true;
    }
    if (n_digits && n_other) return true;
    while (at && (text.p[at - 1] == ' ' || text.p[at - 1] == '\t')) at--;
    bool starts = at == 0 || strchr(".!?:\n", text.p[at - 1]) != NULL;
    return !starts && *word.p >= 'A' && *word.p <= 'Z';
}

static void take_names(lead *l, nx_str answer)
{
    size_t before = l->n;
    nx_str word;

    for (size_t at = 0; l->n < before + ANSWER_WORDS_MAX && next_word(answer, &at, &word);)
        if (is_name(answer, word) && is_weighty(word)) take(l, word);
}

static void take_question(lead *l, nx_str text)
{
    nx_str word;

    for (size_t at = 0; next_word(text, &at, &word);)
        if (is_weighty(word)) take(l, word);
}

static void read_turns(lead *l, const nx_turn *turns, size_t n)
{
    bool answered = false;
    int  back = 0;

    for (size_t i = n; i-- > 0 && back < TURNS_BACK;) {
        if (!turns[i].user) {
            if (!answered && !back) take_names(l, turns[i].text);
            answered = true;
            continue;
        }
        back++;
        take_question(l, turns[i].text);
        if (!leans(turns[i].text)) return; /* here the subject was named */
    }
}

nx_status nx_question_in_context(nx_buf *out, nx_str question, const nx_turn *turns, size_t n,
                                 nx_error *err)
{
    lead      l = {.question = question};
    nx_status st = NX_OK;

    if (n && leans(question)) read_turns(&l, turns, n);
    for (size_t i = 0; !st && i < l.n; i++) {
        st = nx_buf_add(out, l.words[i].p, l.words[i].len, err);
        if (!st) st = nx_buf_add(out, " ", 1, err);
    }
    return st ? st : nx_buf_add(out, question.p, question.len, err);
}
