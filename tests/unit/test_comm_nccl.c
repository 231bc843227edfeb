/* The NCCL plug-in where there is no GPU: it opens, says in one sentence what is missing, and
 * leaves nobody waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/plugin.h"
#include "core/comm/comm.h"
#include "core/cpu/cpu.h"

static Device device;
static Backend pretender; /* says that it has streams, which only a GPU has */

static void *no_stream(Queue *queue)
{
    (void)queue;
    return NULL;
}

static bool skip_without_plugin(void)
{
    Err err;
    if (plugin_symbol("cambium_nccl.so", "cambium_nccl_new", &err))
        return access("/dev/nvidiactl", F_OK) == 0;
    if (!strstr(err.text, "was not built"))
        fail_msg("%s", err.text);
    printf("SKIP: %s\n", err.text);
    return true;
}

static Status join_rank(void *context, Comm *comm, Err *err)
{
    (void)context;
    Comm *nccl;
    return comm_nccl_new(comm, &device, &nccl, err);
}

static void it_opens_and_names_what_is_missing(void **state)
{
    (void)state;
    if (skip_without_plugin())
        skip();
    for (int ranks = 1; ranks <= 3; ranks++) {
        Err err = {.text = ""};
        assert_int_equal(comm_run_threads(device.ops, ranks, NULL, join_rank, NULL, &err),
                         STATUS_FAIL);
        if (!strstr(err.text, "NCCL cannot be used: the GPU could not be found ("))
            fail_msg("%s", err.text);
    }
}

static void a_device_without_streams_is_refused(void **state)
{
    (void)state;
    Device cpu;
    Comm *nccl, *self;
    Err err;
    assert_int_equal(device_open(&cpu, "cpu", &err), STATUS_OK);
    self = comm_self_new(cpu.ops);
    assert_int_equal(comm_nccl_new(self, &cpu, &nccl, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "NCCL joins GPUs, and this device is cpu"));
    comm_free(self);
    device_close(&cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_and_names_what_is_missing),
        cmocka_unit_test(a_device_without_streams_is_refused),
    };
    Err err;
    backend_cpu_register();
    CHECK(device_open(&device, "cpu", &err) == STATUS_OK, "%s", err.text);
    pretender = *device.ops;
    pretender.native_stream = no_stream;
    const Backend *cpu = device.ops;
    device.ops = &pretender;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device.ops = cpu;
    device_close(&device);
    return failed;
}
