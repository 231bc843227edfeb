# What is here: GPU, driver, NVIDIA's libraries. Sets $device and LD_LIBRARY_PATH.

# Whether the machine has a GPU, be it of use or not.
gpu_here() { compgen -G '/dev/nvidia[0-9]*' >/dev/null; }

# Folders in which a library of NVIDIA's may be: the toolkit's, the system's, those of Python's wheels.
library_folders() {
    local site
    tr ':' '\n' <<<"${LD_LIBRARY_PATH:-}"
    printf '%s\n' /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64 /usr/lib/*-linux-gnu /usr/lib64
    if command -v "$python" >/dev/null; then
        for site in $("$python" -c 'import sys; print("\n".join(p for p in sys.path if p))' 2>/dev/null); do
            printf '%s\n' "$site"/nvidia/*/lib
        done
    fi
    printf '%s\n' {/usr,/usr/local,/opt/*,"${HOME:-/root}/.local"}/lib/python3*/{site,dist}-packages/nvidia/*/lib
}

find_libraries() {
    local folders library at folder path=
    folders=$(library_folders | grep '^/')
    for library in libcublasLt.so.13 libcudnn.so.9 libnvrtc.so.13 libcudart.so.13 libnccl.so.2; do
        at=
        while IFS= read -r folder; do
            [ -e "$folder/$library" ] && { at=$folder/$library; break; }
        done <<<"$folders"
        if [ -z "$at" ]; then
            line "{\"library\":\"$library\",\"file\":null}"
            case $library in libcublasLt* | libcudnn* | libnvrtc*) ! gpu_here || not_used found "$library was not found" ;; esac
            continue
        fi
        case :$path: in *":${at%/*}:"*) ;; *) path=$path${path:+:}${at%/*} ;; esac
        line "{\"library\":\"$library\",\"file\":$(quoted "$(realpath "$at")")}"
    done
    export LD_LIBRARY_PATH=$path
}

# Clocks and memory as the driver has them; they change with load, so they are asked for again at the end.
clocks() {
    local names=name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,temperature.gpu,power.draw
    command -v nvidia-smi >/dev/null || return 0
    line "{\"when\":\"$1\",\"nvidia-smi\":\"$names\",\"is\":$(
        quoted "$(timeout 10 nvidia-smi --query-gpu=$names --format=csv,noheader 2>&1 | head -n 8)")}"
}

part_found() {
    local cuda
    line "$(cat about.json)"
    if ! ./cambium --version >"$out/version.log" 2>&1; then
        line "{\"check\":\"start\",\"ok\":false,\"said\":$(quoted "$(cat "$out/version.log")")}"
        say "the program does not start (it needs the C library that about.json names, or a newer one):"
        cat "$out/version.log" >&2
        return 1
    fi
    device=cuda
    user_path=${LD_LIBRARY_PATH-}
    find_libraries
    ./cambium info --devices >"$out/info.log" 2>&1
    while IFS= read -r cuda; do line "{\"info\":$(quoted "$cuda")}"; done <"$out/info.log"
    cuda=$(sed -nE 's/^cuda +//p' "$out/info.log")
    clocks begin
    case $cuda in
    none:* | '')
        device=cpu
        say "no GPU (${cuda#none: }): the CPU part follows"
        line "{\"no_gpu\":$(quoted "${cuda#none: }")}"
        # A GPU that is in the machine and cannot be used is a fault, not an absence.
        ! gpu_here || line "{\"check\":\"device\",\"ok\":false,\"said\":$(quoted "$cuda")}"
        ;;
    *)
        say "GPU: $cuda"
        while IFS= read -r cuda; do not_used found "$cuda"; done < <(sed -nE 's/^ +(.* by .*own kernels.*)/\1/p' "$out/info.log")
        ;;
    esac
}
