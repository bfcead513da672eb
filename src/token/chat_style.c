/* chat_style.c - the table of styles, and writing a conversation in one of them. */
#include "token/chat_style.h"

#include <string.h>

#include "base/alloc.h"

#define BOS NX_CHAT_BOS
#define EOS NX_CHAT_EOS

/* Styles whose tells others hold as well come after those. */
const nx_chat_style nx_chat_styles[] = {
    {.name = "chatml",
     .tells = {"<|im_start|>"},
     .needs = {"<|im_start|>", "<|im_end|>"},
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"}},
    {.name = "llama3",
     .tells = {"<|start_header_id|>", "<|end_header_id|>"},
     .needs = {"<|start_header_id|>", "<|eot_id|>"},
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     .user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     .assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     .trims = true},
    {.name = "llama2",
     .tells = {"[INST]", "<<SYS>>"},
     .again = BOS,
     .opens_user = "[INST] ",
     .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     .user = {"", " [/INST]"},
     .assistant = {"", " " EOS},
     .gap = " ",
     .folds_system = true},
    {.name = "mistral-v7",
     .tells = {"[INST]", "[SYSTEM_PROMPT]"},
     .needs = {"[INST]", "[SYSTEM_PROMPT]"},
     .system = {"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"},
     .user = {"[INST] ", "[/INST]"},
     .assistant = {"", EOS},
     .gap = " "},
    {.name = "mistral-v1",
     .tells = {" [/INST]"},
     .opens_user = "[INST] ",
     .system = {"", "\n\n"},
     .user = {"", " [/INST]"},
     .assistant = {"", EOS},
     .gap = " ",
     .folds_system = true},
    {.name = "mistral-v3-tekken",
     .tells = {"\"[INST]\""},
     .needs = {"[INST]"},
     .opens_user = "[INST]",
     .system = {"", "\n\n"},
     .user = {"", "[/INST]"},
     .assistant = {"", EOS},
     .folds_system = true},
    {.name = "mistral-v3",
     .tells = {"[INST]"},
     .opens_user = "[INST] ",
     .system = {"", "\n\n"},
     .user = {"", "[/INST]"},
     .assistant = {"", EOS},
     .gap = " ",
     .folds_system = true},
    {.name = "phi3",
     .tells = {"<|assistant|>", "<|end|>"},
     .needs = {"<|assistant|>", "<|end|>"},
     .system = {"<|system|>\n", "<|end|>\n"},
     .user = {"<|user|>\n", "<|end|>\n"},
     .assistant = {"<|assistant|>\n", "<|end|>\n"}},
    {.name = "glm4",
     .tells = {"[gMASK]<sop>", "<|assistant|>"},
     .needs = {"[gMASK]", "<|assistant|>"},
     .begin = "[gMASK]<sop>",
     .system = {"<|system|>\n", ""},
     .user = {"<|user|>\n", ""},
     .assistant = {"<|assistant|>", ""},
     .gap = "\n"},
    {.name = "zephyr",
     .tells = {"<|user|>", "eos_token"},
     .system = {"<|system|>\n", EOS "\n"},
     .user = {"<|user|>\n", EOS "\n"},
     .assistant = {"<|assistant|>\n", EOS "\n"}},
    {.name = "gemma",
     .tells = {"<start_of_turn>"},
     .needs = {"<start_of_turn>", "<end_of_turn>"},
     .opens_user = "<start_of_turn>user\n",
     .system = {"", "\n\n"},
     .user = {"", "<end_of_turn>\n"},
     .assistant = {"<start_of_turn>model\n", "<end_of_turn>\n"},
     .folds_system = true,
     .trims = true},
    {.name = "monarch",
     .tells = {"bos_token + message['role']"},
     .again = BOS,
     .system = {"system\n", EOS "\n"},
     .user = {"user\n", EOS "\n"},
     .assistant = {BOS "assistant\n", EOS "\n"}},
    {.name = "granite",
     .tells = {"<|start_of_role|>"},
     .needs = {"<|start_of_role|>", "<|end_of_role|>"},
     .system = {"<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"},
     .user = {"<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"},
     .assistant = {"<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>\n"}},
    {.name = "megrez",
     .tells = {"<|role_start|>"},
     .needs = {"<|role_start|>", "<|turn_end|>"},
     .system = {"<|role_start|>system<|role_end|>", "<|turn_end|>"},
     .user = {"<|role_start|>user<|role_end|>", "<|turn_end|>"},
     .assistant = {"<|role_start|>assistant<|role_end|>", "<|turn_end|>"}},
    {.name = "minicpm",
     .tells = {"<用户>"},
     .system = {"", ""},
     .user = {"<用户>", "<AI>"},
     .assistant = {"", ""},
     .trims = true},
    {.name = "deepseek-coder",
     .tells = {"### Instruction:", "<|EOT|>"},
     .needs = {"<|EOT|>"},
     .system = {"", ""},
     .user = {"### Instruction:\n", "\n"},
     .assistant = {"### Response:\n", "\n<|EOT|>\n"}},
    {.name = "orca-vicuna",
     .tells = {"SYSTEM: ", "ASSISTANT:"},
     .system = {"SYSTEM: ", "\n"},
     .user = {"USER: ", "\n"},
     .assistant = {"ASSISTANT:", EOS "\n"},
     .gap = " "},
    {.name = "vicuna",
     .tells = {"USER: ", "ASSISTANT:"},
     .system = {"", "\n\n"},
     .user = {"USER: ", "\n"},
     .assistant = {"ASSISTANT:", EOS "\n"},
     .gap = " "},
    /* For models that were never taught to chat; no template tells it. */
    {.name = "plain",
     .system = {"", "\n\n"},
     .user = {"User: ", "\n"},
     .assistant = {"Assistant:", "\n"},
     .gap = " "},
    {.name = NULL},
};

const char *const nx_chat_style_names[] = {
    "chatml",     "llama3", "llama2",  "mistral-v7",     "mistral-v1",  "mistral-v3-tekken",
    "mistral-v3", "phi3",   "glm4",    "zephyr",         "gemma",       "monarch",
    "granite",    "megrez", "minicpm", "deepseek-coder", "orca-vicuna", "vicuna",
    "plain",      NULL,
};

_Static_assert(sizeof nx_chat_style_names / sizeof *nx_chat_style_names ==
                   sizeof nx_chat_styles / sizeof *nx_chat_styles,
               "a name for each style");

const nx_chat_style *nx_chat_style_find(const char *name)
{
    for (const nx_chat_style *s = nx_chat_styles; s->name; s++) {
        if (strcmp(s->name, name) == 0) return s;
    }
    return NULL;
}

static bool holds(nx_str text, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= text.len; i++) {
        if (text.p[i] == word[0] && memcmp(text.p + i, word, n) == 0) return true;
    }
    return false;
}

const nx_chat_style *nx_chat_style_recognise(nx_str chat_template)
{
    for (const nx_chat_style *s = nx_chat_styles; s->name; s++) {
        if (!s->tells[0] || !holds(chat_template, s->tells[0])) continue;
        if (!s->tells[1] || holds(chat_template, s->tells[1])) return s;
    }
    return NULL;
}

/* ---- Writing ---------------------------------------------------------------------------------- */

typedef struct writer {
    const nx_chat_style *s;
    nx_chat_text        *out;
    nx_str               bos, eos;
    nx_error            *err;
    nx_status            st;    /* the first failure; after it nothing is written */
    bool                 fresh; /* the next span begins fresh */
} writer;

static void add(writer *w, const char *p, size_t len, bool control)
{
    nx_chat_text *o = w->out;

    if (w->st || len == 0) return;
    w->st = nx_buf_add(&o->text, p, len, w->err);
    if (w->st) return;
    if (o->n_spans == o->cap) {
        size_t   cap = o->cap ? 2 * o->cap : 16;
        nx_span *spans = nx_realloc(o->spans, cap, sizeof *spans);
        if (!spans) {
            w->st = nx_fail(w->err, NX_ENOMEM, "conversation of %zu spans", cap);
            return;
        }
        o->spans = spans;
        o->cap = cap;
    }
    o->spans[o->n_spans++] = (nx_span){o->text.len, control, w->fresh};
    w->fresh = false;
}

/* Marks of a style, NULL for none; bos and eos in them as the vocabulary spells them. */
static void mark(writer *w, const char *marks)
{
    for (const char *p = marks ? marks : ""; *p;) {
        size_t n = strcspn(p, BOS EOS);
        add(w, p, n, true);
        p += n;
        if (*p == BOS[0]) add(w, w->bos.p, w->bos.len, true);
        if (*p == EOS[0]) add(w, w->eos.p, w->eos.len, true);
        p += *p != '\0';
    }
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void say(writer *w, nx_str text)
{
    while (w->s->trims && text.len && is_space(text.p[0]))
        text = (nx_str){text.p + 1, text.len - 1};
    while (w->s->trims && text.len && is_space(text.p[text.len - 1])) text.len--;
    add(w, text.p, text.len, false);
}

/* One message. *opened: a folded system text has opened the user's turn. */
static void message(writer *w, const nx_chat_message *m, bool first, bool *opened)
{
    const nx_chat_style *s = w->s;
    bool                 folded = m->role == NX_CHAT_SYSTEM && s->folds_system;
    const char *const   *around = m->role == NX_CHAT_SYSTEM ? s->system
                                  : m->role == NX_CHAT_USER ? s->user
                                                            : s->assistant;

    w->fresh = true;
    if (m->role != NX_CHAT_ASSISTANT && !*opened) {
        if (!first) mark(w, s->again);
        if (folded || m->role == NX_CHAT_USER) mark(w, s->opens_user);
    }
    mark(w, around[0]);
    if (m->role == NX_CHAT_ASSISTANT) {
        w->fresh = true;
        mark(w, s->gap);
    }
    say(w, m->text);
    mark(w, around[1]);
    *opened = folded;
}

nx_status nx_chat_style_write(const nx_chat_style *s, nx_chat_text *out, nx_str bos, nx_str eos,
                              const nx_chat_message *messages, size_t n, bool answer, nx_error *err)
{
    writer w = {.s = s, .out = out, .bos = bos, .eos = eos, .err = err};
    bool   opened = false;

    mark(&w, s->begin);
    for (size_t i = 0; i < n; i++) message(&w, &messages[i], i == 0, &opened);
    w.fresh = true;
    if (answer) mark(&w, s->assistant[0]);
    return w.st;
}

void nx_chat_text_free(nx_chat_text *t)
{
    nx_buf_free(&t->text);
    nx_free(t->spans);
    t->spans = NULL;
    t->n_spans = t->cap = 0;
}
