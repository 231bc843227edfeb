#!/usr/bin/env bash
# The web page of a merged model in headless Chromium. SCREENSHOTS names a folder that keeps pictures.
repository=$PWD
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
[ -n "$chromium" ] || { echo "skip - the page in a browser: no Chromium (apt-get install chromium python3)"; exit 0; }
command -v python3 >/dev/null || { echo "skip - the page in a browser: no python3 (apt-get install python3)"; exit 0; }
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
. tests/support/server.sh
pictures=$(realpath -m "${SCREENSHOTS:-$folder}")
mkdir -p "$pictures"
cd "$folder" || exit 1
C=$CAMBIUM

awk 'BEGIN { for (d = 0; d < 40; d++) { for (i = 0; i < 80; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >digits.txt
awk 'BEGIN { for (d = 0; d < 40; d++) { for (i = 0; i < 80; i++) { c = (d * 5 + i * 3) % 26
    printf "%c%c ", 97 + c, 97 + (c * 3 + 1) % 26 } printf "\f" } }' >letters.txt
made() {
    "$C" embed --corpus digits.txt --corpus letters.txt --vocab-size 600 --dim 96 -o t.h5 -q &&
        for name in digits letters; do
            "$C" pack -t t.h5 $name.txt -o $name.pack -q &&
                "$C" grow --stages 1+1 --tokens 24K --data $name.pack -o $name --batch 4 --context 256 --heads 2 \
                    --dtype float32 --lr 1e-2 -t t.h5 -q || return 1
        done && "$C" merge digits/model.h5 letters/model.h5 --rule bayes -o both.h5
}
check "makes a merged model" made
check "serves it" start_server both.h5 --weights float32 --context 50000
python3 "$repository/tests/serve/browser.py" "$chromium" "$url/" "$pictures" || bad=1
stop_server || bad=1
server=
exit $bad
