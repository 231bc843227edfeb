/* Which instruction set kernels run with, and what CAMBIUM_ISA may do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/isa.h"
#include "core/base/log.h"

/* The choice is made once per process, so each question is asked in a child. */
static int choice_with(const char *wish)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_set_level(LOG_QUIET);
        if (wish)
            setenv("CAMBIUM_ISA", wish, 1);
        else
            unsetenv("CAMBIUM_ISA");
        _exit((int)cpu_isa());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void best_without_a_wish(void **state)
{
    (void)state;
    assert_int_equal(choice_with(NULL), isa_best());
    assert_int_equal(choice_with(""), isa_best());
}

static void a_lower_wish_is_granted(void **state)
{
    (void)state;
    for (int i = 0; i <= (int)isa_best(); i++)
        assert_int_equal(choice_with(isa_name((Isa)i)), i);
}

static void an_impossible_wish_gives_the_best(void **state)
{
    (void)state;
    assert_int_equal(choice_with("avx3"), isa_best());
    for (int i = (int)isa_best() + 1; i < ISA_COUNT; i++)
        assert_int_equal(choice_with(isa_name((Isa)i)), isa_best());
}

static void tests_may_switch(void **state)
{
    (void)state;
    isa_set(ISA_GENERIC);
    assert_int_equal(cpu_isa(), ISA_GENERIC);
    isa_set(isa_best());
    assert_int_equal(cpu_isa(), isa_best());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_without_a_wish),
        cmocka_unit_test(a_lower_wish_is_granted),
        cmocka_unit_test(an_impossible_wish_gives_the_best),
        cmocka_unit_test(tests_may_switch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
