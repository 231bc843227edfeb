#!/usr/bin/env bash
# serve under the clients that people have: the OpenAI package, LangChain, LiteLLM and llm. PYTHON
# names a Python that has some of them (pip install openai langchain-openai litellm llm); each that it
# lacks is skipped.
repository=$PWD
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
. tests/support/server.sh
python=${OPENAI_PYTHON:-${PYTHON:-python3}}
cd "$folder" || exit 1
has() { "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "$1" 2>/dev/null; }
cat >tools.jinja <<'END'
{% if tools %}tools: {{ tools | tojson }}
{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content or '' }}
{%- for c in m.tool_calls or [] %} {{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}

{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}
END
ready=
for client in openai langchain_openai litellm llm; do
    if ! has $client; then
        echo "skip - $client: $python does not have it"
        continue
    fi
    if [ -z "$ready" ]; then
        "$CAMBIUM" import "$repository/tests/golden/hf_llama" -o tiny.h5 >/dev/null 2>&1
        check "starts" start_server tiny.h5 --weights float32 --context 30000 --kv-tokens 200K --api-key 'open sesame' --chat-template tools.jinja
        ready=1
    fi
    check "$client is content" "$python" "$repository/tests/serve/${client%_openai}_client.py" "$url" 'open sesame'
done
[ -z "$ready" ] || check "leaves well" stop_server
server=
exit $bad
