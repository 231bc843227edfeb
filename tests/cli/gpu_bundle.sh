#!/usr/bin/env bash
# The bundle for machines with a GPU (make gpu-bundle): its size, that it stands alone, and its CPU part
# in a root folder that holds the bundle and what every Debian has, and nothing else.
set -u
. tests/support/flow.sh
if [ "$TEST_CONF" != release ]; then
    echo "skip - the bundle is made of the release build"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Of the flags of the `make test` around this, only variables (CC=...) hold for the make below.
case ${MAKEFLAGS-} in
*' -- '*) export MAKEFLAGS="-- ${MAKEFLAGS#* -- }" ;;
*) unset MAKEFLAGS ;;
esac
unset MAKELEVEL MFLAGS

check "make gpu-bundle" make -s gpu-bundle
packed=build/gpu-bundle.tar.gz
[ -s $packed ] || exit 1
check "it packs to at most 48 MiB" [ "$(stat -c %s $packed)" -le $((48 << 20)) ]
root=$folder/root
mkdir -p "$root"/{usr/bin,tmp,proc,dev}
ln -s usr/bin "$root/bin"
check "it unpacks" tar xzf $packed -C "$root/tmp"
bundle=$root/tmp/gpu-bundle
if command -v "${NVCC:-nvcc}" >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
    check "the plug-in is in it" [ -x "$bundle/cambium_cuda.so" ]
else
    check "without nvcc it says that it is the CPU part" grep -q 'none: made without nvcc' "$bundle/about.json"
fi

# All libraries but the compilers' own come from the bundle. (env -i: no LD_LIBRARY_PATH.)
foreign() {
    for program in "$bundle"/cambium "$bundle"/test_*; do env -i "$(command -v ldd)" "$program"; done |
        grep -vE "=> $bundle/lib/|linux-vdso|ld-linux|/lib(c|m|dl|rt|pthread|resolv|util|anl|mvec|stdc\+\+|gcc_s)\.so" | sort -u
}
check "its libraries are its own" [ -z "$(foreign)" ]

# What a Debian of the least size has, as far as the scripts call it, with the C and C++ libraries.
programs="bash awk cat cmp cp cut dirname basename grep head ls mkdir mktemp mv nproc paste realpath rm sed seq sh
    sleep sort stat tail tee timeout tr uniq wc env"
for name in $programs; do
    cp -L "$(PATH=/usr/bin:/bin type -P "$name")" "$root/bin/$name"
done
for program in "$root"/bin/* "$bundle/cambium" "$bundle"/lib/*; do ldd "$program"; done 2>/dev/null |
    grep -oE '(^\s+|=> )/[^ ]+' | grep -oE '/.*' | grep -vF "$folder" | sort -u |
    while read -r file; do
        mkdir -p "$root$(dirname "$file")"
        cp -L "$file" "$root$file"
    done
# Programs find their plug-ins by /proc, so a root without it proves nothing: then the bundle runs in
# this one, with the same programs and nothing else on the path.
enter=(unshare --user --map-root-user --mount bash -c '
    mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec /usr/sbin/chroot "$0" /bin/env -i PATH=/bin "$@"' "$root")
run=/tmp/gpu-bundle/run out=/tmp/out
if ! "${enter[@]}" /bin/bash -c '[ -e /proc/self/exe ] && [ -c /dev/null ]' 2>/dev/null; then
    echo "skip - a root of its own: this system lets no user mount and change it"
    enter=(env -i "PATH=$root/bin")
    run=$root$run out=$root$out
fi
run_bundle() { # exit status that is wanted, options...
    local wanted=$1 status
    shift
    "${enter[@]}" "$run" --out "$out" "$@" >"$folder/lines" 2>"$folder/said"
    status=$?
    cat "$folder/said" "$folder/lines"
    [ $status = "$wanted" ]
}
if "${enter[@]}" "${run%/run}/cambium" info --devices | grep -q '^cuda  *none'; then
    check "the CPU part runs there, and without a GPU that is status 4" run_bundle 4 --short --seconds 400
    check "each line is JSON" bash -c '! grep -vxE "\{\"[a-z_]+\":.*\}" "$1"' - "$folder/lines"
    check "all of it held" grep -q '"end":"all parts".*"failed":0,"skipped":0' "$folder/lines"
    check "report and standard output say the same" cmp "$folder/lines" "$root/tmp/out/report.jsonl"
else
    echo "skip - the CPU part: a GPU is here, and tests/gpu/run is for it"
fi
sed -i '0,/^train [0-9]/s//train 9/' "$bundle/ready/losses-float32"
check "another loss is a failure" run_bundle 1 --short --only curves
check "which is told with its reason" grep -q '"check":"curve-float32".*"ok":false.*differing by' "$folder/lines"
check "a wrong option is status 2" run_bundle 2 --second 3
stopped() {
    "${enter[@]}" "$run" --out "$out" >"$folder/lines" 2>/dev/null &
    local pid=$!
    until grep -q '"check"' "$folder/lines" || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
    kill $pid
    wait $pid
    [ $? = 1 ] && tail -n 1 "$folder/lines" | grep '"end":"stopped'
}
check "stopped from outside it says what it had learnt" stopped
exit $bad
