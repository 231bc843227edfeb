# What flows of several processes share; sourced after flow.sh, with $bin the folder of the program.
# Where processes cannot be had the flow ends here, with what came before.
skipped() { echo "skip - several processes: $1"; exit "$bad"; }
command -v mpirun >/dev/null || skipped "mpirun is not installed"
[ -e "$bin/cambium_mpi.so" ] || skipped "cambium_mpi.so was not built"
[ "$TEST_CONF" != tsan ] || skipped "Open MPI is not built for the thread sanitizer"
# As root in a container with few cores: more processes than cores, none bound to a core, messages
# through shared memory without ptrace, nothing but this machine.
mpi() { # ranks, command...
    local ranks=$1
    shift
    exec mpirun --allow-run-as-root --oversubscribe --bind-to none --timeout 100 \
        --mca btl self,vader --mca btl_vader_single_copy_mechanism none -n "$ranks" "$@"
}
export -f mpi
export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" # Open MPI keeps what it allocates
export OMP_NUM_THREADS=1
