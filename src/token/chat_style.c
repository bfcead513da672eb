/* chat_style.c - built-in chat templates: for models that bring none, and for those who name one.
 *
 * A style without a system turn of its own folds the system's text into the user's turn behind it.
 */
#include "token/chat_style.h"

#include <string.h>

#define EACH(body, prompt)                                                                         \
    "{%- for m in messages -%}" body "{%- endfor -%}"                                              \
    "{%- if add_generation_prompt -%}{{ '" prompt "' }}{%- endif -%}"

/* Turns that differ by role alone. */
#define TURNS(system, user, assistant, prompt)                                                     \
    EACH("{%- if m.role == 'system' -%}{{ " system " }}"                                           \
         "{%- elif m.role == 'assistant' -%}{{ " assistant " }}"                                   \
         "{%- else -%}{{ " user " }}{%- endif -%}",                                                \
         prompt)

/* The same, where `open` begins a user's turn, or the system text that is folded into it; `again`
 * stands before each such turn but the first. */
#define FOLDED(again, open, system, user, assistant, prompt)                                       \
    EACH("{%- if m.role == 'assistant' -%}{{ " assistant " }}"                                     \
         "{%- else -%}"                                                                            \
         "{%- if loop.first or loop.previtem.role != 'system' -%}"                                 \
         "{%- if not loop.first -%}{{ " again " }}{%- endif -%}{{ '" open "' }}"                   \
         "{%- endif -%}"                                                                           \
         "{%- if m.role == 'system' -%}{{ " system " }}{%- else -%}{{ " user " }}{%- endif -%}"    \
         "{%- endif -%}",                                                                          \
         prompt)

const nx_chat_style nx_chat_styles[] = {
    {"chatml",
     {"<|im_start|>", "<|im_end|>"},
     EACH("{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}",
          "<|im_start|>assistant\\n")},
    {"llama3",
     {"<|start_header_id|>", "<|eot_id|>"},
     EACH("{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + "
          "'<|eot_id|>' }}",
          "<|start_header_id|>assistant<|end_header_id|>\\n\\n")},
    {"llama2",
     {0},
     FOLDED("bos_token", "[INST] ", "'<<SYS>>\\n' + m.content + '\\n<</SYS>>\\n\\n'",
            "m.content + ' [/INST]'", "' ' + m.content + ' ' + eos_token", "")},
    {"mistral-v7",
     {"[INST]", "[SYSTEM_PROMPT]"},
     TURNS("'[SYSTEM_PROMPT] ' + m.content + '[/SYSTEM_PROMPT]'",
           "'[INST] ' + m.content + '[/INST]'", "' ' + m.content + eos_token", "")},
    {"mistral-v1",
     {0},
     FOLDED("''", "[INST] ", "m.content + '\\n\\n'", "m.content + ' [/INST]'",
            "' ' + m.content + eos_token", "")},
    {"mistral-v3-tekken",
     {"[INST]"},
     FOLDED("''", "[INST]", "m.content + '\\n\\n'", "m.content + '[/INST]'",
            "m.content + eos_token", "")},
    {"mistral-v3",
     {0},
     FOLDED("''", "[INST] ", "m.content + '\\n\\n'", "m.content + '[/INST]'",
            "' ' + m.content + eos_token", "")},
    {"phi3",
     {"<|assistant|>", "<|end|>"},
     TURNS("'<|system|>\\n' + m.content + '<|end|>\\n'", "'<|user|>\\n' + m.content + '<|end|>\\n'",
           "'<|assistant|>\\n' + m.content + '<|end|>\\n'", "<|assistant|>\\n")},
    {"glm4",
     {"[gMASK]", "<|assistant|>"},
     "{{ '[gMASK]<sop>' }}" TURNS("'<|system|>\\n' + m.content", "'<|user|>\\n' + m.content",
                                  "'<|assistant|>\\n' + m.content", "<|assistant|>")},
    {"zephyr",
     {0},
     TURNS("'<|system|>\\n' + m.content + eos_token + '\\n'",
           "'<|user|>\\n' + m.content + eos_token + '\\n'",
           "'<|assistant|>\\n' + m.content + eos_token + '\\n'", "<|assistant|>\\n")},
    {"gemma",
     {"<start_of_turn>", "<end_of_turn>"},
     FOLDED("''", "<start_of_turn>user\\n", "m.content | trim + '\\n\\n'",
            "m.content | trim + '<end_of_turn>\\n'",
            "'<start_of_turn>model\\n' + m.content | trim + '<end_of_turn>\\n'",
            "<start_of_turn>model\\n")},
    {"monarch",
     {0},
     EACH("{{ bos_token + m.role + '\\n' + m.content + eos_token + '\\n' }}", "' + bos_token + "
                                                                              "'assistant\\n")},
    {"granite",
     {"<|start_of_role|>", "<|end_of_role|>"},
     EACH("{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + "
          "'<|end_of_text|>\\n' }}",
          "<|start_of_role|>assistant<|end_of_role|>")},
    {"megrez",
     {"<|role_start|>", "<|turn_end|>"},
     EACH("{{ '<|role_start|>' + m.role + '<|role_end|>' + m.content + '<|turn_end|>' }}",
          "<|role_start|>assistant<|role_end|>")},
    {"minicpm",
     {0},
     TURNS("m.content | trim", "'<用户>' + m.content | trim + '<AI>'", "m.content | trim", "")},
    {"deepseek-coder",
     {"<|EOT|>"},
     TURNS("m.content", "'### Instruction:\\n' + m.content + '\\n'",
           "'### Response:\\n' + m.content + '\\n<|EOT|>\\n'", "### Response:\\n")},
    {"orca-vicuna",
     {0},
     TURNS("'SYSTEM: ' + m.content + '\\n'", "'USER: ' + m.content + '\\n'",
           "'ASSISTANT: ' + m.content + eos_token + '\\n'", "ASSISTANT:")},
    {"vicuna",
     {0},
     TURNS("m.content + '\\n\\n'", "'USER: ' + m.content + '\\n'",
           "'ASSISTANT: ' + m.content + eos_token + '\\n'", "ASSISTANT:")},
    /* For models that were never taught to chat. */
    {"plain",
     {0},
     TURNS("m.content + '\\n\\n'", "'User: ' + m.content + '\\n'",
           "'Assistant: ' + m.content + '\\n'", "Assistant:")},
    {0},
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
