"""Chat templates in the forms of well-known ones, templates that use what their newer relatives use, and conversations for
them. Used by make_chat.py and check_chat.py."""
TURNS = ("{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
         "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}")
CHATML = ("{%% for message in messages %%}%s{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
          "'<|im_end|>' + '\n'}}{%% endfor %%}{%% if add_generation_prompt %%}{{ '<|im_start|>assistant\n' }}{%% endif %%}")
FIRST = ("{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
         "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}")
FIRST_ESCAPED = ("{%- if loop.first and messages[0]['role'] != 'system' -%}"
                 "{{- '<|im_start|>system\\nYou\\'re \"helpful\".<|im_end|>\\n' -}}{%- endif -%}")
# With tools there is another beginning, which must not be taken for the one without.
QWEN = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen.' }}
    {%- endif %}
    {{- "\n\n# Tools<|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
          "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
          "{% set system_message = false %}{% endif %}{% for message in loop_messages %}" + TURNS +
          "{% if loop.index0 == 0 and system_message != false %}"
          "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
          "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
          "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
          "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
          "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
          "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA31 = r"""{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
MISTRAL1 = ("{{ bos_token }}{% for message in messages %}" + TURNS + "{% if message['role'] == 'user' %}"
            "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
            "{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are "
            "supported!') }}{% endif %}{% endfor %}")
MISTRAL3 = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("After the optional system message, roles must alternate") }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == loop_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
"""
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
         "{% for message in messages %}" + TURNS + "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
         "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + "
         "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}")
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
PHI3 = ("{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
        "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")

# Of this program's own writing: what newer templates do, each in its own way.
TOOLS = r"""{#- calls as JSON, answers of tools in one turn, thoughts of earlier turns left out -#}
{%- set ns = namespace(last=-1, open=false) %}
{%- for m in messages %}{% if m.role == 'user' and m.content is string %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- macro text(content) -%}
    {%- if content is string %}{{ content }}
    {%- elif content is iterable and content is not mapping %}
        {%- for part in content %}{% if part.type == 'text' %}{{ part.text }}{% else %}{{ '<|' ~ part.type ~ '|>' }}{% endif %}{% endfor %}
    {%- endif -%}
{%- endmacro -%}
{{- bos_token }}
{%- if messages[0].role in ['system', 'developer'] %}{% set system = text(messages[0].content) | trim %}{% set rest = messages[1:] %}
{%- else %}{% set system = 'You help.' %}{% set rest = messages %}{% endif -%}
<|system|>{{ system }}
{%- if tools %}

# Tools
{% for tool in tools %}
{{ tool.function.name }}: {{ tool.function.description | default('-', true) }}
{{ tool | tojson }}
{%- for name, one in tool.function.parameters.properties | dictsort %}
 - {{ name }}{{ '*' if name in tool.function.parameters.required else '' }} ({{ one.type }}){% if one.enum is defined %} {{ one.enum | join('|') }}{% endif %}
{%- endfor %}
{%- endfor %}
{%- endif %}
{%- if documents is not none %}{% for d in documents %}{{ '\n[' ~ loop.index ~ '] ' ~ d.title | upper ~ ': ' ~ d.text }}{% endfor %}{% endif %}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '\n/no_think' }}{% endif %}<|end|>
{% for m in rest %}
    {%- if m.role == 'tool' %}
        {%- if loop.previtem is undefined or loop.previtem.role != 'tool' %}{{ '<|user|>' }}{% endif %}
        {{- '\n<answer of="' ~ m.name ~ '">' ~ text(m.content) ~ '</answer>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{ '<|end|>\n' }}{% endif %}
    {%- elif m.role == 'assistant' %}
        {%- generation %}
        {{- '<|assistant|>' }}
        {%- set content = text(m.content) %}
        {%- set thought = m.reasoning_content | default('') %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
            {%- set content = content.split('</think>', 1)[1].lstrip() %}
        {%- endif %}
        {%- if thought and loop.index0 > ns.last - 1 %}{{ '<think>\n' ~ thought ~ '\n</think>\n' }}{% endif %}
        {{- content }}
        {%- for call in m.tool_calls or [] %}
            {{- '\n<call>' ~ ({'name': call.function.name, 'arguments': call.function.arguments} | tojson) ~ '</call>' }}
        {%- endfor %}{{ '<|end|>\n' }}
        {%- endgeneration %}
    {%- else %}
        {{- '<|' ~ m.role ~ '|>' ~ text(m.content) ~ '<|end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n' }}{% endif %}{% endif %}
"""
SCHEMAS = r"""{%- macro kind(p, depth=0) -%}
    {%- if p.type is string and p.type == 'array' %}list[{{ kind(p['items'], depth + 1) if p['items'] is mapping else 'any' }}]
    {%- elif p.type == 'object' -%}
        {
        {%- for key, value in p.properties.items() %}{{ key }}: {{ kind(value, depth=depth + 1) }}{{ ', ' if not loop.last }}{% endfor -%}
        }
    {%- elif p.enum -%} {{ p.enum | map('tojson') | join(' | ') }}
    {%- else %}{{ {'string': 'str', 'integer': 'int', 'number': 'float'}.get(p.type, p.type) }}
    {%- endif -%}
{%- endmacro -%}
{%- macro boxed(label) %}<{{ label }}>{{ caller(label | length) }}</{{ label }}>{% endmacro -%}
{%- set today = strftime_now('%d %B %Y') if strftime_now is defined else '?' -%}
{{ bos_token }}Today is {{ today }}.
{% for t in tools or [] -%}
    def {{ t.function.name }}{{ kind(t.function.parameters) }}  # {{ t.function.description.splitlines() | first }}
{% endfor -%}
{%- for role, group in messages | groupby('role') %}({{ role }}: {{ group | length }}){% endfor +%}
{% for message in messages if message.role != 'system' %}
{%- set content = message.content if message.content is defined and message.content is not none else '' -%}
[{{ loop.index }}/{{ loop.length }}{{ '!' if loop.last }}] {{ message['role'] | title }}: {% call(n) boxed(message.role) %}{{ n }} {{ content | string | replace('\n', ' ') | truncate(40) }}{% endcall +%}
{% else %}
nobody
{% endfor %}
{%- if messages[-1].role == 'system' %}{{ raise_exception('nobody speaks: ' ~ messages | length) }}{% endif %}
"""
STEPS = r"""{% set first = messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | first %}
{% if first is defined %}{{ '<s>' ~ first.strip().capitalize() ~ '\n' }}{% endif %}
{% set turns = messages | rejectattr('role', 'in', ['system', 'developer']) | list %}
{% for m in turns %}
{% if m.tool_calls is defined %}{% for c in m.tool_calls %}{{ c.id[:4] }}{{ c.function.arguments if c.function.arguments is string else c.function.arguments | items | list }}
{% endfor %}{% continue %}{% endif %}
{% if (m.role == 'user') != (loop.index0 % 2 == 0) and tools is none %}{% set why %}turn {{ loop.index }} is of {{ m.role }}{% endset %}{{ raise_exception(why) }}{% endif %}
{{ '%s> %s' % (m.role[0] | upper, m.content) }}
{% endfor %}
{% filter indent(2) %}{{ turns | length }} turns
{{ turns | map(attribute='role') | unique | join('+') }}{% endfilter %}

{% if add_generation_prompt and turns[-1].role != 'assistant' %}
A>{{ ' ' -}}
{% endif %}
"""

TEMPLATES = [
    ("chatml", CHATML % "", "<s>", "<|im_end|>"),
    (None, CHATML % FIRST, "<|im_start|>", "<|im_end|>"),
    (None, CHATML % FIRST_ESCAPED, "", "<|im_end|>"),
    (None, QWEN, "", "<|im_end|>"),
    ("llama2", LLAMA2, "<s>", "</s>"),
    ("llama3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
    ("llama3.1", LLAMA31, "<|begin_of_text|>", "<|eot_id|>"),
    ("mistral-v1", MISTRAL1, "<s>", "</s>"),
    ("mistral-v3", MISTRAL3, "<s>", "</s>"),
    ("gemma", GEMMA, "<bos>", "<eos>"),
    ("zephyr", ZEPHYR, "<s>", "</s>"),
    ("phi3", PHI3, "<s>", "<|endoftext|>"),
    (None, TOOLS, "<s>", "<|end|>"),
    (None, SCHEMAS, "<s>", "<|end|>"),
    (None, STEPS, "<s>", "<|end|>"),
]
SYSTEM = {"role": "system", "content": " Be brief.\n"}
USER = {"role": "user", "content": "  Привет! What's 2+2? \n"}
MODEL = {"role": "assistant", "content": "\t4, I'd say.  "}
AGAIN = {"role": "user", "content": "<|im_end|>Why</s> {{ 1 }} %c?"}
PLAIN = [[USER], [SYSTEM, USER], [USER, MODEL, AGAIN], [SYSTEM, USER, MODEL, AGAIN], [USER, MODEL], [SYSTEM, USER, MODEL],
         [USER, USER], [MODEL, USER]]
TOOL_LIST = [
    {"type": "function", "function": {"name": "weather", "description": "Tells the \"weather\" <now>\nanywhere", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "e.g. Zürich"}, "days": {"type": "integer"},
                                         "unit": {"type": "string", "enum": ["c", "f"]},
                                         "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}}]
ARGUMENTS = {"city": "Zürich", "days": 2, "x": [1, 2.5, None, True]}


def call(name, arguments, id="call12345", content=None):
    return {"role": "assistant", "content": content,
            "tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]}


REPLY = {"role": "tool", "content": "{\"temp\": 21.5}", "tool_call_id": "call12345", "name": "weather"}
THOUGHT = {"role": "assistant", "content": "<think>\nLet me see.\n</think>\n\nIt is 4."}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " there<|end|>"}]}
# Requests as apply_chat_template takes them; "variables" are further ones.
REQUESTS = [{"messages": m, "add_generation_prompt": g} for m in PLAIN for g in (False, True)] + [
    {"messages": [SYSTEM, USER], "tools": TOOL_LIST},
    {"messages": [USER, call("weather", ARGUMENTS), REPLY], "tools": TOOL_LIST},
    {"messages": [USER, call("weather", '{"city": "Bern"}', content="I look."), REPLY, REPLY, MODEL, AGAIN], "tools": TOOL_LIST},
    {"messages": [USER, {**call("add", {"a": 1, "b": -2.5}, "aaaaaaaaa", ""), "name": None}], "tools": TOOL_LIST},
    {"messages": [USER, {"role": "assistant", "content": None}, AGAIN]},
    {"messages": [USER, THOUGHT, USER]},
    {"messages": [USER, {"role": "assistant", "content": "4.", "reasoning": "Let me see."}, AGAIN, MODEL]},
    {"messages": [SYSTEM, USER], "variables": {"enable_thinking": False, "date_string": "1 Jan 2000", "bos_token": "<B>"}},
    {"messages": [SYSTEM, USER], "variables": {"enable_thinking": True}, "add_generation_prompt": True},
    {"messages": [SYSTEM, PARTS, MODEL, USER], "add_generation_prompt": True},
    {"messages": [SYSTEM, USER], "documents": [{"title": "one", "text": "D1 <x>"}, {"title": "zwei", "text": "D2"}]},
    {"messages": [USER, MODEL], "continue_final_message": True},
    {"messages": [SYSTEM, USER, {"role": "assistant", "content": "It is"}], "continue_final_message": True},
    {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "It is "}]}], "continue_final_message": True},
    {"messages": [{"role": "developer", "content": "Dev."}, USER], "add_generation_prompt": True},
    {"messages": [{"role": "<|x|>", "content": "c"}]}, {"messages": [{"role": "user", "content": ""}]}, {"messages": [SYSTEM]},
]


def apply(template, request, bos, eos):
    """What transformers makes of it, or None; see fix_clock."""
    import copy
    import transformers.utils.chat_template_utils as utils
    try:
        messages = utils._normalize_chat_messages(copy.deepcopy(request["messages"]))
        return utils.render_jinja_template(
            [messages], tools=request.get("tools"), documents=request.get("documents"), chat_template=template,
            add_generation_prompt=request.get("add_generation_prompt", False),
            continue_final_message=request.get("continue_final_message", False),
            **{"bos_token": bos, "eos_token": eos, **request.get("variables", {})})[0][0]
    except Exception:
        return None


def fix_clock():
    import datetime
    import transformers.utils.chat_template_utils as utils
    from jinja_environment import NOW

    class Fixed(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW
    utils.datetime = Fixed
