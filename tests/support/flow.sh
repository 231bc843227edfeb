# What shell flows share; sourced from the repository's root. A flow ends with `exit $bad`.
bad=0
check() { # what, condition...: one line of the test's log
    local what=$1
    shift
    if "$@"; then echo "ok - $what"; else echo "not ok - $what"; bad=1; fi
}
