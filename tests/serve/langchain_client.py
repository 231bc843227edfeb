"""What LangChain makes of the server: langchain_client.py BASE_URL KEY.

Every check is an assertion; the last line is "langchain-openai VERSION: N checks". Run by
tests/cli/serve_clients.sh.
"""
import importlib.metadata
import sys

import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI

checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


def refused(call, text, what):
    try:
        call()
    except openai.BadRequestError as e:
        check(text in str(e), f"{what}: {e}")
        return
    raise AssertionError(f"{what}: not refused")


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


url, key = sys.argv[1:3]
options = dict(base_url=url + "/v1", api_key=key, model="tiny", max_retries=0, timeout=60)
chat = ChatOpenAI(**options, max_tokens=12, temperature=0, seed=3)
hello = chat.invoke("Hello")
check(isinstance(hello.content, str) and hello.usage_metadata["output_tokens"] <= 12, "hello")
check(hello.response_metadata["finish_reason"] in ("length", "stop"), "finish reason")
check("".join(c.content for c in chat.stream("Hello")) == hello.content, "a stream joins")
check([m.content for m in chat.batch(["Hello", "Hello"])] == [hello.content] * 2, "a batch")
history = [SystemMessage("Be brief."), HumanMessage("2+2?"),
           AIMessage("", tool_calls=[{"name": "add", "args": {"a": 2, "b": 2}, "id": "call_1"}]),
           ToolMessage("4", tool_call_id="call_1"), AIMessage("4"), HumanMessage("And 3+3?")]
check(isinstance(chat.invoke(history).content, str), "a history with a tool's answer")
check(isinstance(chat.bind_tools([add]).invoke(history).content, str), "tools are told of")
check("".join(c.content for c in chat.bind_tools([add]).stream(history)) == chat.bind_tools([add]).invoke(history).content,
      "and in a stream")
check(isinstance(chat.bind_tools([add], tool_choice="none").invoke("Hello").content, str), "or not")
refused(lambda: chat.bind_tools([add], tool_choice="any").invoke("Hello"), "tool_choice", "a forced call")
refused(lambda: chat.with_structured_output({"title": "n", "type": "object", "properties": {"n": {"type": "integer"}}})
        .invoke("Hello"), "json_schema", "a schema")
parts = [HumanMessage([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}])]
check(chat.invoke(parts).content == hello.content, "parts join")
scored = chat.bind(logprobs=True, top_logprobs=3).invoke("Hello").response_metadata["logprobs"]["content"]
check(len(scored) == hello.usage_metadata["output_tokens"] and len(scored[0]["top_logprobs"]) == 3, "log-probabilities")
text = OpenAI(**options, max_tokens=8, temperature=0)
check(isinstance(text.invoke("the cat sat"), str), "a completion")
check("".join(text.stream("the cat sat")) == text.invoke("the cat sat"), "a completion's stream")
print(f"langchain-openai {importlib.metadata.version('langchain-openai')}: {checks} checks")
