"""What the command `llm` and its library make of the server: llm_client.py BASE_URL KEY.

Every check is an assertion; the last line is "llm VERSION: N checks". Run by
tests/cli/serve_clients.sh in a folder of its own.
"""
import importlib.metadata
import os
import pathlib
import subprocess
import sys

url, key = sys.argv[1:3]
folder = pathlib.Path("llm_user").absolute()
folder.mkdir(exist_ok=True)
(folder / "keys.json").write_text('{"cambium": "%s"}' % key)
(folder / "extra-openai-models.yaml").write_text(f"""
- model_id: tiny
  model_name: tiny
  api_base: "{url}/v1"
  api_key_name: cambium
  supports_tools: true
- model_id: tiny-text
  model_name: tiny
  api_base: "{url}/v1"
  api_key_name: cambium
  completion: true
""")
os.environ["LLM_USER_PATH"] = str(folder)
os.environ["LLM_LOAD_PLUGINS"] = ""  # none but its own
import llm  # noqa: E402

checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


def command(*arguments):
    done = subprocess.run([sys.executable, "-m", "llm", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


check("tiny" in command("models"), "the model is listed")
greedy = ["-o", "temperature", "0", "-o", "max_tokens", "8"]
whole = command("-m", "tiny", "Hello", "--no-stream", *greedy)
check(whole == command("-m", "tiny", "Hello", *greedy), "the same in a stream")
check(isinstance(command("-m", "tiny", "And more", "-c", *greedy), str), "a conversation goes on")
check(isinstance(command("-m", "tiny-text", "the cat sat", *greedy), str), "a completion")
model = llm.get_model("tiny")
conversation = model.conversation()
first = conversation.prompt("Hello", temperature=0, max_tokens=8, system="Be brief.")
check(first.text() == "".join(model.prompt("Hello", temperature=0, max_tokens=8, system="Be brief.")), "the library")
check(isinstance(conversation.prompt("More", temperature=0, max_tokens=8).text(), str), "its conversation")
check(isinstance(model.chain("2+2?", tools=[add], options=dict(max_tokens=8)).text(), str), "tools")
results = [llm.ToolResult(name="add", output="4", tool_call_id="call_1")]
check(isinstance(conversation.prompt("", tool_results=results, temperature=0, max_tokens=8).text(), str), "a tool's answer")
print(f"llm {importlib.metadata.version('llm')}: {checks} checks")
