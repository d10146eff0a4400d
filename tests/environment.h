/* SPDX-License-Identifier: MIT */
/* What tests ask their surroundings: see the variables in tests/README.md. */
#ifndef TESTS_ENVIRONMENT_H
#define TESTS_ENVIRONMENT_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline bool environment_is_set(const char *name)
{
    const char *value = getenv(name);

    return value && strcmp(value, "1") == 0;
}

/* Skips the test, or fails it, where there is no /dev/kvm. */
static inline void need_kvm(void)
{
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        return;
    if (environment_is_set("REQUIRE_KVM"))
        cr_assert_fail("REQUIRE_KVM is set, and /dev/kvm cannot be used");
    cr_skip_test("no /dev/kvm");
}

/* The directory with mayfly and images/ that is tested. */
static inline const char *build_directory(void)
{
    const char *build = getenv("MAYFLY_BUILD");

    return build ? build : "build";
}

#endif
