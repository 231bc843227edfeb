# Processes of other processes, from /proc alone; sourced.
children_of() { # process: its children, oldest first
    local stat line fields
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue # it has ended
        read -r -a fields <<<"${line##*) }"                # state, parent; a name may have blanks
        [ "${fields[1]}" != "$1" ] || echo "${stat//[!0-9]/}"
    done | sort -n
}
gone() { # processes: ended, within five seconds
    local process i
    for process in "$@"; do
        for i in $(seq 50); do kill -0 "$process" 2>/dev/null || continue 2; sleep 0.1; done
        echo "process $process goes on"
        return 1
    done
}
