/* asked.c - see asked.h. */
#include "rag/asked.h"

#include <string.h>

#include "base/alloc.h"
#include "rag/common_words.h"

void nx_question_words_free(nx_question_words *a)
{
    nx_free(a->words);
    nx_words_destroy(a->cutter);
    *a = (nx_question_words){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return ((c | 32) >= 'a' && (c | 32) <= 'z') || (unsigned char)c >= 0x80;
}

/* ---- What is wanted ---- */

typedef struct opening {
    const char *words;
    nx_want     want;
} opening;

/* Anywhere in the question, in lower case, with blanks around it; the first that fits. */
static const opening openings[] = {
    {" how many ", NX_WANT_NUMBER},
    {" how much ", NX_WANT_NUMBER},
    {" how long ", NX_WANT_NUMBER},
    {" how often ", NX_WANT_NUMBER},
    {" how old ", NX_WANT_NUMBER},
    {" how large ", NX_WANT_NUMBER},
    {" how big ", NX_WANT_NUMBER},
    {" how far ", NX_WANT_NUMBER},
    {" how tight ", NX_WANT_NUMBER},
    {" how high ", NX_WANT_NUMBER},
    {" how fast ", NX_WANT_NUMBER},
    {" how heavy ", NX_WANT_NUMBER},
    {" who ", NX_WANT_PERSON},
    {" whom ", NX_WANT_PERSON},
    {" whose ", NX_WANT_PERSON},
    {" when ", NX_WANT_TIME},
    {" what time ", NX_WANT_TIME},
    {" which date ", NX_WANT_TIME},
    {" what date ", NX_WANT_TIME},
    {" which day ", NX_WANT_TIME},
    {" which year ", NX_WANT_TIME},
    {" what year ", NX_WANT_TIME},
    {" deadline ", NX_WANT_TIME},
    {" which command ", NX_WANT_COMMAND},
    {" what command ", NX_WANT_COMMAND},
    {" which option ", NX_WANT_COMMAND},
    {" what option ", NX_WANT_COMMAND},
    {" which flag ", NX_WANT_COMMAND},
    {" what flag ", NX_WANT_COMMAND},
    {" which switch ", NX_WANT_COMMAND},
    {" which file ", NX_WANT_COMMAND},
    {" what file ", NX_WANT_COMMAND},
    {" which directory ", NX_WANT_COMMAND},
    {" environment variable ", NX_WANT_COMMAND},
    {" which signal ", NX_WANT_COMMAND},
    {" where ", NX_WANT_PLACE},
    {" number of ", NX_WANT_NUMBER},
    {" cost ", NX_WANT_NUMBER},
    {" price ", NX_WANT_NUMBER},
    {" fee ", NX_WANT_NUMBER},
    {" limit ", NX_WANT_NUMBER},
    {" maximum ", NX_WANT_NUMBER},
    {" minimum ", NX_WANT_NUMBER},
    {" port ", NX_WANT_NUMBER},
    {" percent ", NX_WANT_NUMBER},
    {" exit code ", NX_WANT_NUMBER},
    {" exit status ", NX_WANT_NUMBER},
};

static nx_want want_of(nx_str question)
{
    char   text[512];
    size_t n = 0;

    text[n++] = ' ';
    for (size_t i = 0; i < question.len && n < sizeof text - 2; i++) {
        char c = question.p[i];
        text[n++] = is_upper(c) ? (char)(c + 32) : is_letter(c) || is_digit(c) ? c : ' ';
    }
    text[n++] = ' ';
    text[n] = '\0';
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++)
        if (strstr(text, openings[i].words)) return openings[i].want;
    return NX_WANT_ANY;
}

/* One of these words, whole, in any case. */
static bool has_word(nx_str s, const char *const *words)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_letter(s.p[i]) || (i && is_letter(s.p[i - 1]))) continue;
        for (const char *const *w = words; *w; w++) {
            size_t k = 0;
            while ((*w)[k] && i + k < s.len && (s.p[i + k] | 32) == (*w)[k]) k++;
            if (!(*w)[k] && (i + k == s.len || !is_letter(s.p[i + k]))) return true;
        }
    }
    return false;
}

static bool has_number(nx_str s)
{
    static const char *const words[] = {"one",    "two",     "three", "four",  "five",   "six",
                                        "seven",  "eight",   "nine",  "ten",   "eleven", "twelve",
                                        "twenty", "hundred", "none",  "once",  "twice",  "no",
                                        "zero",   "dozen",   "half",  "every", "never",  NULL};

    for (size_t i = 0; i < s.len; i++)
        if (is_digit(s.p[i])) return true;
    return has_word(s, words);
}

static bool has_time(nx_str s)
{
    static const char *const words[] = {
        "january",   "february",  "march",    "april",    "may",      "june",   "july",
        "august",    "september", "october",  "november", "december", "monday", "tuesday",
        "wednesday", "thursday",  "friday",   "saturday", "sunday",   "noon",   "midnight",
        "day",       "days",      "hours",    "minutes",  "weeks",    "months", "year",
        "years",     "today",     "after",    "before",   "until",    "since",  "during",
        "once",      "if",        "whenever", "always",   "then",     NULL};

    for (size_t i = 0; i + 1 < s.len; i++)
        if (is_digit(s.p[i]) && (is_digit(s.p[i + 1]) || s.p[i + 1] == ':')) return true;
    return has_word(s, words);
}

/* A capital letter within: not the first letter. */
static bool has_name(nx_str s)
{
    for (size_t i = 1; i + 1 < s.len; i++)
        if (is_upper(s.p[i]) && !is_letter(s.p[i - 1]) && is_letter(s.p[i + 1])) return true;
    return s.len > 1 && is_upper(s.p[0]) && memchr(s.p, ' ', s.len) == NULL;
}

static bool has_command(nx_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool starts = i == 0 || is_blank(s.p[i - 1]) || strchr("([`'\",*", s.p[i - 1]);
        char next = i + 1 < s.len ? s.p[i + 1] : ' ';
        if (s.p[i] == '`' || (s.p[i] == '/' && starts && is_letter(next))) return true;
        if (s.p[i] == '-' && starts && (next == '-' || is_letter(next))) return true;
        if ((s.p[i] == '_' || s.p[i] == '=') && !starts && !is_blank(next)) return true;
        if (is_upper(s.p[i]) && i >= 3 && is_upper(s.p[i - 1]) && is_upper(s.p[i - 2]) &&
            is_upper(s.p[i - 3]))
            return true;
    }
    return false;
}

bool nx_want_met(nx_want want, nx_str text)
{
    static const char *const places[] = {"in",   "at",   "on",     "under", "near",
                                         "from", "into", "behind", NULL};

    switch (want) {
    case NX_WANT_NUMBER: return has_number(text);
    case NX_WANT_TIME: return has_time(text);
    case NX_WANT_PERSON: return has_name(text);
    case NX_WANT_PLACE:
        return has_command(text) || (has_name(text) && has_word(text, places)) ||
               has_word(text, places);
    case NX_WANT_COMMAND: return has_command(text);
    default: return false;
    }
}

/* ---- Words ---- */

/* Words that ask rather than tell what is asked for; stemmed as the others. */
static const char *const asking[] = {"many",  "much", "long", "often",   "kind", "mean",   "please",
                                     "tell",  "know", "does", "need",    "want", "happen", "someth",
                                     "get",   "call", "use",  "one",     "may",  "must",   "would",
                                     "could", "us",   "also", "possibl", "let"};

static float weight_of(uint32_t id)
{
    static const float weights[] = {0.45f, 0.65f, 0.85f, 1.0f};

    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
        if (nx_bm25_id(nx_str_of(asking[i])) == id) return 0.15f;
    return weights[nx_word_rarity(id)];
}

/* Is the run a name: a capital not at the question's start, a digit, a mark inside? */
static bool is_name(nx_str run, bool first)
{
    bool mark = false, digit = false;

    for (size_t i = 0; i < run.len; i++) {
        digit |= is_digit(run.p[i]);
        mark |= i && i + 1 < run.len && strchr("/_=@", run.p[i]) != NULL;
        if (is_upper(run.p[i]) && (i || !first)) return true;
    }
    return digit || mark || (run.len > 1 && run.p[0] == '-' && run.p[1] != ' ');
}

static nx_status add_run(nx_question_words *a, size_t *cap, nx_str run, bool name, nx_error *err)
{
    nx_wordset set = {0};
    nx_status  st = nx_wordset_read(&set, a->cutter, run, err);

    for (size_t i = 0; i < set.n && !st; i++) {
        size_t k = 0;
        while (k < a->n && a->words[k].id != set.ids[i]) k++;
        if (k == *cap) {
            size_t         more = *cap ? *cap * 2 : 16;
            nx_asked_word *words = nx_realloc(a->words, more, sizeof *words);
            if (!words) {
                st = nx_fail(err, NX_ENOMEM, "no memory for the words of a question");
                break;
            }
            a->words = words;
            *cap = more;
        }
        if (k < a->n) {
            a->words[k].name |= name;
            continue;
        }
        a->words[a->n++] = (nx_asked_word){set.ids[i], weight_of(set.ids[i]), name};
        a->weight += a->words[k].weight;
    }
    nx_wordset_free(&set);
    return st;
}

enum { QUESTION_RUNS_MAX = 200 };

nx_status nx_question_words_read(nx_question_words *out, nx_str q, nx_error *err)
{
    size_t    cap = 0, runs = 0;
    bool      first = true; /* of a sentence */
    nx_status st;

    *out = (nx_question_words){.want = want_of(q)};
    st = nx_words_create_bm25(&out->cutter, NX_STR("english"), err);
    for (size_t i = 0; i < q.len && !st && runs < QUESTION_RUNS_MAX; runs++) {
        while (i < q.len && is_blank(q.p[i])) i++;
        size_t from = i;
        while (i < q.len && !is_blank(q.p[i])) i++;
        nx_str run = {q.p + from, i - from};
        if (run.len) st = add_run(out, &cap, run, is_name(run, first), err);
        first = run.len && strchr(".?!:", run.p[run.len - 1]) != NULL;
    }
    if (st) nx_question_words_free(out);
    return st;
}

float nx_share_found(const nx_question_words *a, const nx_wordset *s)
{
    float found = 0;

    for (size_t i = 0; i < a->n; i++)
        if (nx_wordset_has(s, a->words[i].id)) found += a->words[i].weight;
    return a->weight > 0 ? found / a->weight : 0;
}
