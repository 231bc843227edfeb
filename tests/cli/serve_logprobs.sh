#!/usr/bin/env bash
# serve: log-probabilities of a prompt's own tokens and of what might stand there instead: the same as
# `eval` computes, with and without neighbours, a cached beginning, merged models and ranks.
repository=$PWD
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
. tests/support/server.sh
. tests/support/two_experts.sh
cd "$folder" || exit 1
"$CAMBIUM" import "$repository/tests/golden/hf_llama" -o tiny.h5 >/dev/null 2>&1
model="tiny.h5 --weights float32 --context 4000 --kv-tokens 40K --prefill 100"

echoed() { # prompt, K, more members...: an answer of the prompt alone
    post /v1/completions "{\"prompt\":\"$1\",\"max_tokens\":0,\"echo\":true,\"logprobs\":$2${3:-}}"
}
numbers_of() { # an answer's token_logprobs, one a line
    sed 's/.*"token_logprobs":\[\([^]]*\)\].*/\1/' | tr , '\n' | awk 1
}
tops_of() { # an answer's top_logprobs, one object a line
    sed 's/.*"top_logprobs":\[\(.*\)\],"text_offset".*/\1/; s/},{/}\n{/g; s/^null,/null\n/' | awk 1
}
near() { # two files of numbers: the same within 2e-5
    paste "$1" "$2" | awk '$1 == "null" && $2 == "null" { n++; next }
        { n++; d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > 2e-5) bad = 1 } END { exit bad || n < 3 }'
}
# Each token is among the alternatives at its place, with the same number to the last digit, and
# nothing is better than the best one.
consistent() { # file, K
    numbers_of <"$1" >numbers
    tops_of <"$1" >tops
    [ "$(wc -l <numbers)" = "$(wc -l <tops)" ] && paste numbers tops | awk -F'\t' -v k="$2" '
        NR == 1 { if ($1 != "null" || $2 != "null") bad = 1; next }
        { n = gsub(/":-/, "\":-", $2); if (n < k || n > k + 1 || index($2, ":" $1) == 0) { bad = 1; print } }
        END { exit bad || NR < 3 }'
}
text="the cat sat on the mat and ate"
check "starts" start_server $model
echoed "$text" 2 >two
check "two alternatives at every place, and the token itself" consistent two 2
echoed "$text" 20 >twenty
check "twenty" consistent twenty 20
check "the tokens' own numbers do not depend on how many" cmp <(numbers_of <two) <(numbers_of <twenty)
echoed "$text" 0 >none
check "nor on there being any" cmp <(numbers_of <two) <(numbers_of <none)
echoed 'café ☕ 漢字 😀' 20 >bytes
check "bytes that are no characters have names of their own" grep -qF '"bytes:\\x' bytes
check "so that none is lost" consistent bytes 20
post /v1/completions "{\"prompt\":\"$text\",\"max_tokens\":3,\"echo\":true,\"logprobs\":2,\"ignore_eos\":true}" >more
check "what is written follows what was read" consistent more 2
check "with as many tokens more" [ "$(numbers_of <more | wc -l)" = $(($(numbers_of <two | wc -l) + 3)) ]
post /v1/completions '{"prompt":"a","max_tokens":9,"logprobs":1,"temperature":0,"logit_bias":{"70":100}}' >biased
check "a token that was pushed is among its alternatives" awk '{ exit !/"top_logprobs":\[\{"[^"]*":[-0-9.]+,"[^"]*":[-0-9.]+\}/ }' biased

# ---- the numbers are those of eval -----------------------------------------------------------------
mkdir -p data/choice
echo '{"context": "the cat sat on the mat and", "continuation": "ate"}' >data/choice/lambada_openai.jsonl
"$CAMBIUM" eval tiny.h5 --tasks lambada_openai --data data --weights float32 --save-items items.jsonl -q >/dev/null 2>&1
offsets() { sed 's/.*"text_offset":\[\([^]]*\)\].*/\1/' "$1" | tr , '\n'; }
paste <(numbers_of <two) <(offsets two) | awk '$2 >= 26 { sum += $1 } END { printf "%.6f\n0\n0\n", sum }' >here
sed -n 's/.*"logprobs":\[\([^],]*\).*/\1/p' items.jsonl | awk '{ print; print 0; print 0 }' >there
check "a text's score is what eval says" near here there

# ---- neighbours, cached beginnings, pieces ---------------------------------------------------------
for i in 1 2 3 4 5 6; do echoed "$text $i" 3 >"alone.$i"; done
for i in 1 2 3 4 5 6; do echoed "$text $i" 3 >"together.$i" & clients[i]=$!; done
wait "${clients[@]}"
same=0
for i in 1 2 3 4 5 6; do cmp -s <(numbers_of <"alone.$i") <(numbers_of <"together.$i") && consistent "together.$i" 3 && same=$((same + 1)); done
check "neighbours change nothing, to the last digit ($same)" [ $same = 6 ]
post /v1/completions "{\"prompt\":[\"$text\",\"no\",\"$text\"],\"max_tokens\":0,\"echo\":true,\"logprobs\":2}" |
    sed 's/{"index":/\n&/g' >several
check "prompts of one request are told apart" near <(numbers_of <two) <(sed -n 4p several | numbers_of)
long=$(printf 'all these words are the same %.0s' $(seq 30))
echoed "$long" 2 >first
check "a long prompt, in pieces" consistent first 2
post /v1/completions "{\"prompt\":\"$long and\",\"max_tokens\":4}" >/dev/null
echoed "$long" 2 >again
check "a beginning that is cached is scored all the same" near <(numbers_of <first) <(numbers_of <again)
check "and has its alternatives" consistent again 2
post /v1/completions "{\"prompt\":\"$text\",\"max_tokens\":2,\"echo\":true,\"logprobs\":2,\"ignore_eos\":true,\"stream\":true}" -N >stream
check "a stream has them too" near <(numbers_of <two) <(sed -n 1p stream | numbers_of | head -n "$(numbers_of <two | wc -l)")
check "leaves well" stop_server
check "starts with a small buffer" start_server $model --stream-buffer 2000
post /v1/completions "{\"prompt\":\"$long\",\"max_tokens\":2,\"echo\":true,\"logprobs\":20,\"ignore_eos\":true,\"stream\":true}" -N >stream
check "an echo larger than the buffer of a stream arrives" grep -q '^data: \[DONE\]' stream
stop_server

# ---- merged models, ranks --------------------------------------------------------------------------
check "two experts are trained and merged" two_experts train --layers 1 --tokens 40000
check "starts with a merged model" start_server both.h5 --weights float32 --context 400 --kv-tokens 4000 --prefill 7
numbers="1 2 3 4 5 6 7 8 9 10 k l"
echoed "$numbers" 3 >merged
check "which has alternatives" consistent merged 3
mkdir -p merged.data/choice
echo "{\"context\": \"${numbers% *}\", \"continuation\": \"l\"}" >merged.data/choice/lambada_openai.jsonl
"$CAMBIUM" eval both.h5 --tasks lambada_openai --data merged.data --weights float32 --save-items merged.jsonl -q >/dev/null 2>&1
paste <(numbers_of <merged) <(offsets merged) | awk '$2 >= 22 { sum += $1 } END { printf "%.6f\n0\n0\n", sum }' >here
sed -n 's/.*"logprobs":\[\([^],]*\).*/\1/p' merged.jsonl | awk '{ print; print 0; print 0 }' >there
check "as eval has them" near here there
stop_server
check "starts on ranks" start_server $model --ranks 2 --grid kvp=2,tpa=1
echoed "$text" 2 >ranks
check "which give the same" near <(numbers_of <two) <(numbers_of <ranks)
check "and the alternatives" consistent ranks 2
stop_server
server=
exit $bad
