"""What LiteLLM makes of the server: litellm_client.py BASE_URL KEY.

Every check is an assertion; the last line is "litellm VERSION: N checks". Run by
tests/cli/serve_clients.sh.
"""
import importlib.metadata
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched
import litellm  # noqa: E402

checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


url, key = sys.argv[1:3]
options = dict(api_base=url + "/v1", api_key=key, max_tokens=12, temperature=0, num_retries=0, timeout=60)
chat = dict(options, model="openai/tiny")
hello = [{"role": "user", "content": "Hello"}]
tools = [{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}}]
history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"},
           {"role": "assistant", "content": None, "tool_calls": [
               {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}]},
           {"role": "tool", "tool_call_id": "call_1", "name": "add", "content": "4"},
           {"role": "user", "content": "Thanks"}]
whole = litellm.completion(messages=hello, **chat)
check(isinstance(whole.choices[0].message.content, str) and whole.usage.completion_tokens <= 12, "hello")
parts = litellm.completion(messages=hello, stream=True, stream_options={"include_usage": True}, **chat)
check("".join(p.choices[0].delta.content or "" for p in parts if p.choices) == whole.choices[0].message.content, "a stream joins")
check(isinstance(litellm.completion(messages=history, **chat).choices[0].message.content, str), "a tool's answer")
check(isinstance(litellm.completion(messages=history, tools=tools, **chat).choices[0].message.content, str), "tools")
check(isinstance(litellm.completion(messages=hello, top_k=1, min_p=0.1, user="me", **chat).choices[0].message.content, str),
      "members of other servers")
text = litellm.text_completion(prompt="the cat sat", **dict(options, model="text-completion-openai/tiny"))
check(isinstance(text.choices[0].text, str), "a completion")
check("tiny" in " ".join(litellm.get_valid_models(check_provider_endpoint=True, custom_llm_provider="openai",
                                                  api_key=key, api_base=url)), "its models")
try:
    litellm.completion(messages=hello, tools=tools, tool_choice="required", **chat)
    check(False, "a forced call is not refused")
except litellm.BadRequestError as e:
    check("tool_choice" in str(e), e)
try:
    litellm.completion(messages=hello, **dict(chat, api_key="wrong"))
    check(False, "a wrong key is not refused")
except litellm.AuthenticationError:
    check(True, "")
print(f"litellm {importlib.metadata.version('litellm')}: {checks} checks")
