/* SPDX-License-Identifier: MIT */
/* The native transport: where its table is. */
#include <criterion/criterion.h>
#include <errno.h>

#include "virtio/native.h"

Test(native, wants_a_boot_page)
{
    static uint8_t ram[MF_BOOT_PAGE];
    struct gmem low = {.regions = {{0, sizeof(ram), ram}}, .count = 1};
    struct gmem none = {.count = 0};
    struct native native;

    cr_assert_eq(native_init(&native, &low), -EFAULT);
    cr_assert_eq(native_init(&native, &none), -EFAULT);
}
