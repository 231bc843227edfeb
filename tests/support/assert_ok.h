/* For tests: fails with the sentence of the variable `err` when an expression is not STATUS_OK. */
#ifndef CAMBIUM_TESTS_SUPPORT_ASSERT_OK_H
#define CAMBIUM_TESTS_SUPPORT_ASSERT_OK_H

#include "core/base/err.h"

#define ASSERT_OK(expr)                                                                            \
    do {                                                                                           \
        Status assert_ok_ = (expr);                                                                \
        if (assert_ok_ != STATUS_OK)                                                               \
            fail_msg("%s: %s", #expr, err.text);                                                   \
    } while (0)

#endif
