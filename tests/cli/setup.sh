#!/usr/bin/env bash
# Set-up and installation: missing packages are installed or named, `make info` says what is there,
# flags and headers rebuild what depends on them, and the installed program stands alone.
. tests/support/flow.sh
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
# Of the flags of the `make test` around this, only variables (CC=...) hold for the makes below.
case ${MAKEFLAGS-} in
*' -- '*) export MAKEFLAGS="-- ${MAKEFLAGS#* -- }" ;;
*) unset MAKEFLAGS ;;
esac
unset MAKELEVEL MFLAGS

# Stand-ins for the system's commands, in front of the real ones.
shim() { # name, script
    printf '#!/bin/sh\n%s\n' "$2" >"$here/$1"
    chmod +x "$here/$1"
}
setup() { PATH="$here:$PATH" tests/setup "$@" >"$here/out" 2>&1; }
shim dpkg-query 'for p; do :; done; case $p in absent*) exit 1 ;; removed) echo config-files ;; *) echo installed ;; esac'
shim apt-get "echo \"\$*\" >>$here/apt; [ ! -e $here/stale ] || [ \"\$1\" = update ] && rm -f $here/stale"
calls() { [ "$(cat "$here/apt" 2>/dev/null)" = "$1" ]; }

shim id 'echo 0'
all_there() { setup one two && [ ! -s "$here/out" ] && [ ! -e "$here/apt" ]; }
check "nothing is installed when nothing is missing" all_there
installs() {
    setup one absent1 removed absent2 &&
        calls 'install -y -qq --no-install-recommends absent1 removed absent2'
}
check "root gets the missing packages" installs
stale() {
    rm -f "$here/apt"
    touch "$here/stale"
    setup absent && calls 'install -y -qq --no-install-recommends absent
update -qq
install -y -qq --no-install-recommends absent'
}
check "stale package lists are renewed" stale

shim id 'echo 1000'
shim sudo 'exit 1'
rm -f "$here/apt"
names_command() {
    setup one absent1 absent2
    [ $? = 1 ] && [ ! -e "$here/apt" ] && grep -qx ' *apt-get install absent1 absent2' "$here/out"
}
check "without root the command to type is printed" names_command
shim sudo '[ "$1" = -n ] || exec "$@"'
with_sudo() { setup absent && calls 'install -y -qq --no-install-recommends absent'; }
check "sudo is used where it needs no password" with_sudo

# ---- info ----------------------------------------------------------------------------------------
make -s info CC=cc >"$here/info"
told() { # name, value
    grep -qx "$1  *$2" "$here/info" || { sed 's/^/# /' "$here/info"; return 1; }
}
check "info: HDF5" told hdf5 "$(pkg-config --modversion hdf5)"
check "info: compiler" told compiler "$(cc --version | head -n 1)"
check "info: oneDNN, as the program sees it" bash -c '
    version=$(sed -n "s/^dnnl *//p" "$1") && [ -n "$version" ] &&
    "$CAMBIUM" info --devices | grep -qF "oneDNN $version"' - "$here/info"
check "info: no line is empty" bash -c '! grep -vqE "^[^ ]+ +[^ ]" "$1"' - "$here/info"
for what in isa cores cuda mpi; do check "info: $what" grep -q "^$what " "$here/info"; done
check "info: what is missing is said" bash -c 'make -s info NVCC=/none CC=/none | grep -x "cuda *not found (optional)" >/dev/null'

lacks() { # what is missing, arguments of make: nothing is compiled, and the command is named
    local what=$1
    shift
    ! make "$@" CONF=debug >"$here/out" 2>&1 && grep -qx "$what  *missing: make setup installs it" "$here/out" &&
        grep -q "^Type 'make setup'" "$here/out" && ! grep -q -- " -c -o" "$here/out"
}
check "make without a library names the command" lacks nonesuch "PKG_LIBS=jansson nonesuch"
check "and without oneDNN" lacks dnnl "CFLAGS=-nostdinc"

# ---- install ---------------------------------------------------------------------------------------
# (the release build is the one that is installed)
installed() {
    make -s install PREFIX="$here/usr" && "$here/usr/bin/cambium" --version >/dev/null &&
        make -s uninstall PREFIX="$here/usr" && [ ! -e "$here/usr/bin/cambium" ]
}
if [ "$TEST_CONF" = release ]; then
    check "the installed program runs" installed
    check "a second make does nothing" bash -c '[ "$(make -n)" = "make: Nothing to be done for '"'all'"'." ]'
    check "a header rebuilds what includes it" bash -c '
        [ "$(make -n -W grow/report_page.h | grep -oE "[a-z_]+\.c$" | sort | tr "\n" " ")" = "$(
            grep -l report_page.h grow/*.c | xargs -n1 basename | sort | tr "\n" " ")" ]'
    check "other flags rebuild every object" bash -c '
        [ "$(make -n CFLAGS=-DX | grep -c -- " -c -o")" -gt 200 ]'
    check "DEVELOPER=1 rebuilds none" bash -c '! make -n DEVELOPER=1 | grep -q -- " -c -o"'
else
    echo "skip - installation and rebuilding: this is not the release build"
fi
# Each entry is a line, so lines of this form make it JSON.
listed() {
    local text='"([^"\\]|\\.)*"' list=compile_commands.json
    make -s $list && [ "$(head -n 1 $list)" = "[" ] && [ "$(tail -n 1 $list)" = "]" ] &&
        ! sed '1d;$d' $list | sed '$s/$/,/' |
            grep -vxE "\{\"directory\": $text, \"file\": $text, \"command\": $text\}," &&
        [ "$(grep -c '"file": "core/cpu/isa/act.c"' $list)" = 4 ] && grep -q '"file": "tests/unit/test_utf8.c"' $list
}
check "compile_commands.json lists every file" listed
exit $bad
