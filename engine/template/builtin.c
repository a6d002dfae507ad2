/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

static const char CHATML[] =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* Gemma knows two roles, user and model; a system message opens the first turn. */
static const char GEMMA[] =
    "{% set ns = namespace(system='') %}"
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{% set ns.system = ns.system + message['content'] + '\\n\\n' %}"
    "{% else %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' }}"
    "{{ ns.system + message['content'] | trim + '<end_of_turn>\\n' }}"
    "{% set ns.system = '' %}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";

weir_str weir_template_builtin(weir_str architecture)
{
    bool gemma = architecture.n >= 5 && memcmp(architecture.p, "gemma", 5) == 0;
    return weir_str_from(gemma ? GEMMA : CHATML);
}
