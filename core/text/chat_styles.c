#include "core/text/chat_styles.h"

#include <stddef.h>
#include <string.h>

/* A message without content (an answer that only called tools) counts as an empty one. */
#define CONTENT "(message.content or '')"
#define FOR_EACH(list) "{% for message in " list " %}"
#define END_EACH "{% endfor %}"

/* With a system message in `system`, "" where there is none, and the others in `rest`. */
#define SPLIT_SYSTEM                                                                               \
    "{% set has_system = messages and messages[0].role == 'system' %}"                             \
    "{% set system = messages[0].content or '' if has_system else '' %}"                           \
    "{% set rest = messages[1:] if has_system else messages %}"
#define REFUSE_SYSTEM                                                                              \
    "{% if messages and messages[0].role == 'system' %}"                                           \
    "{{ raise_exception('this chat template has no place for a system message') }}{% endif %}"
#define ALTERNATE                                                                                  \
    "{% if message.role not in ('user', 'assistant') %}"                                           \
    "{{ raise_exception('this chat template has no place for a message of the role ' ~ "           \
    "message.role) }}{% endif %}"                                                                  \
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"                                  \
    "{{ raise_exception('this chat template takes messages of user and assistant in turns, the "   \
    "user first') }}{% endif %}"
#define ANSWER(text) "{% if add_generation_prompt %}{{ '" text "' }}{% endif %}"

#define LLAMA3_TURN(role, content)                                                                 \
    "{{ '<|start_header_id|>' + " role " + '<|end_header_id|>\\n\\n' + " content                   \
    " + '<|eot_id|>' }}"

static const struct {
    const char *name, *source;
} styles[] = {
    {"chatml",
     FOR_EACH("messages") "{{ '<|im_start|>' + message.role + '\\n' + " CONTENT
                          " + '<|im_end|>\\n' }}" END_EACH ANSWER("<|im_start|>assistant\\n")},
    {"llama2", SPLIT_SYSTEM FOR_EACH("rest") ALTERNATE
     "{% if message.role == 'user' %}"
     "{% set text = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + " CONTENT
     " if loop.first and has_system else " CONTENT " %}"
     "{{ bos_token + '[INST] ' + text | trim + ' [/INST]' }}"
     "{% else %}{{ ' ' + " CONTENT " | trim + ' ' + eos_token }}{% endif %}" END_EACH},
    {"llama3", "{{ bos_token }}" FOR_EACH("messages") LLAMA3_TURN("message.role", CONTENT " | trim")
                   END_EACH ANSWER("<|start_header_id|>assistant<|end_header_id|>\\n\\n")},
    {"llama3.1", SPLIT_SYSTEM
     "{{ bos_token }}" LLAMA3_TURN("'system'",
                                   "'Cutting Knowledge Date: December 2023\\nToday Date: ' + "
                                   "(date_string or '26 Jul 2024') + '\\n\\n' + system | trim")
         FOR_EACH("rest") "{% if message.role == 'system' %}"
                          "{{ raise_exception('a system message has no place here in this chat "
                          "template') }}{% endif %}" LLAMA3_TURN("message.role", CONTENT " | trim")
                              END_EACH ANSWER(
                                  "<|start_header_id|>assistant<|end_header_id|>\\n\\n")},
    {"mistral-v1", REFUSE_SYSTEM "{{ bos_token }}" FOR_EACH("messages") ALTERNATE
     "{% if message.role == 'user' %}{{ '[INST] ' + " CONTENT " + ' [/INST]' }}"
     "{% else %}{{ " CONTENT " + eos_token }}{% endif %}" END_EACH},
    {"mistral-v3", SPLIT_SYSTEM "{{ bos_token }}" FOR_EACH("rest") ALTERNATE
     "{% if message.role == 'user' %}{{ '[INST] ' + (system + '\\n\\n' if loop.last "
     "and has_system else '') + " CONTENT " + '[/INST]' }}"
     "{% else %}{{ ' ' + " CONTENT " | trim + eos_token }}{% endif %}" END_EACH},
    {"gemma", REFUSE_SYSTEM "{{ bos_token }}" FOR_EACH("messages") ALTERNATE
     "{{ '<start_of_turn>' + ('user' if message.role == 'user' else 'model') + '\\n' + " CONTENT
     " | trim + '<end_of_turn>\\n' }}" END_EACH ANSWER("<start_of_turn>model\\n")},
    {"zephyr",
     FOR_EACH("messages") "{% if message.role in ('system', 'user', 'assistant') %}"
                          "{{ '<|' + message.role + '|>\\n' + " CONTENT
                          " + eos_token + '\\n' }}{% endif %}" END_EACH ANSWER("<|assistant|>\\n")},
    {"phi3",
     FOR_EACH("messages") "{% if message.role in ('system', 'user', 'assistant') %}"
                          "{{ '<|' + message.role + '|>\\n' + " CONTENT
                          " + '<|end|>\\n' }}{% endif %}" END_EACH
                          "{{ '<|assistant|>\\n' if add_generation_prompt else eos_token }}"},
};
enum { N_STYLES = sizeof styles / sizeof *styles };

const char *chat_style_source(const char *name)
{
    for (int i = 0; i < N_STYLES; i++)
        if (strcmp(name, styles[i].name) == 0)
            return styles[i].source;
    return NULL;
}

const char *chat_style_names(void)
{
    return "chatml, llama2, llama3, llama3.1, mistral-v1, mistral-v3, gemma, zephyr, phi3";
}
