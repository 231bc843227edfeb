"""What the official OpenAI client makes of the server: openai_client.py BASE_URL KEY.

Every check is an assertion; the last line is "openai VERSION: N checks". Run by
tests/cli/serve_clients.sh.
"""
import concurrent.futures
import json
import sys

import openai

checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


def raises(error, what, call, **arguments):
    try:
        call(**arguments)
    except error as e:
        check(e.body is not None and e.body.get("message"), f"{what}: no message: {e}")
        return e
    raise AssertionError(f"{what}: no {error.__name__}")


url, key = sys.argv[1:3]
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0, timeout=60)
model = client.models.list().data[0].id
check(client.models.retrieve(model).id == model, "retrieve")
hello = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]

# Completions.
greedy = dict(model=model, prompt="the cat sat", max_tokens=24, temperature=0)
whole = client.completions.create(**greedy)
check(whole.object == "text_completion" and whole.choices[0].finish_reason in ("length", "stop"), "whole")
check(whole.usage.completion_tokens <= 24 and whole.usage.prompt_tokens > 0, "usage")
parts = list(client.completions.create(**greedy, stream=True, stream_options={"include_usage": True}))
check("".join(p.choices[0].text for p in parts if p.choices) == whole.choices[0].text, "stream joins")
check(parts[-1].usage == whole.usage, "stream usage")
scored = client.completions.create(model=model, prompt="the cat sat", max_tokens=0, echo=True, logprobs=3)
logprobs = scored.choices[0].logprobs
check(scored.choices[0].text == "the cat sat", "echo")
check(logprobs.token_logprobs[0] is None and all(x < 0 for x in logprobs.token_logprobs[1:]), "scores")
check(len(logprobs.tokens) == len(logprobs.text_offset) == scored.usage.prompt_tokens, "arrays")
both = client.completions.create(model=model, prompt=["one", "two"], n=2, max_tokens=4, seed=5)
check([c.index for c in both.choices] == [0, 1, 2, 3], "prompts times n")
one = client.completions.create(model=model, prompt="one", max_tokens=4, seed=5)
check(one.choices[0].text == both.choices[0].text, "the seed decides")

# Chat.
chat = client.chat.completions.create(model=model, messages=hello, max_tokens=12, seed=3, logprobs=True, top_logprobs=4)
message = chat.choices[0].message
check(message.role == "assistant" and isinstance(message.content, str), "message")
content = chat.choices[0].logprobs.content
check(len(content) == chat.usage.completion_tokens, "a log-probability for each token")
check(all(len(c.top_logprobs) == 4 and c.top_logprobs[0].logprob >= c.top_logprobs[3].logprob for c in content), "top")
check(all(bytes(c.bytes).decode(errors="replace") == c.token for c in content), "bytes")
parts = list(client.chat.completions.create(model=model, messages=hello, max_tokens=12, seed=3, stream=True))
check("".join(p.choices[0].delta.content or "" for p in parts) == message.content, "chat stream joins")
check(parts[0].choices[0].delta.role == "assistant" and parts[-1].choices[0].finish_reason, "first and last")
for seed in range(8):
    answer = client.chat.completions.create(
        model=model, messages=hello, max_tokens=10 + 9 * seed, seed=seed, response_format={"type": "json_object"})
    check(isinstance(json.loads(answer.choices[0].message.content), dict), "JSON mode")
stopped = client.chat.completions.create(model=model, messages=hello, max_tokens=60, temperature=0, stop=["e", "o", "a"])
check(not set("eoa") & set(stopped.choices[0].message.content), "stop strings")
biased = client.completions.create(model=model, prompt="x", max_tokens=5, temperature=0, logit_bias={"70": 100})
again = client.completions.create(model=model, prompt="x", max_tokens=5, temperature=0, logit_bias={"70": 100},
                                  frequency_penalty=2, presence_penalty=2)
check(len(set(biased.choices[0].text)) == 1 and biased.choices[0].text == again.choices[0].text, "bias and penalties")
extra = client.completions.create(model=model, prompt="x", max_tokens=3, logprobs=2, extra_body={"return_tokens": True, "top_k": 1})
check([t["id"] == t["top"][0]["id"] for t in extra.choices[0].tokens] == [True] * extra.usage.completion_tokens, "extensions")

# Errors.
raises(openai.AuthenticationError, "key", openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0).models.list)
raises(openai.NotFoundError, "model", client.completions.create, model="other", prompt="x")
error = raises(openai.BadRequestError, "type", client.completions.create, model=model, prompt="x", extra_body={"top_p": "x"})
check(error.param == "top_p" and error.type == "invalid_request_error", "the member is named")
error = raises(openai.BadRequestError, "length", client.completions.create, model=model, prompt="x " * 60000)
check(error.code == "context_length_exceeded", "the code")
raises(openai.BadRequestError, "tools", client.chat.completions.create, model=model, messages=hello,
       tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="required")

# Many at once, and one that is left.
def write(i):
    stream = client.completions.create(model=model, prompt=f"number {i}", max_tokens=20, seed=i, stream=True)
    return "".join(p.choices[0].text for p in stream)


alone = [write(i) for i in range(16)]
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    check(list(pool.map(write, range(16))) == alone, "neighbours change nothing")
left = client.completions.create(model=model, prompt="on and on", max_tokens=20000, stream=True, extra_body={"ignore_eos": True})
next(iter(left))
left.close()
check(client.completions.create(**greedy).choices[0].text == whole.choices[0].text, "after one that was left")
print(f"openai {openai.__version__}: {checks} checks")
