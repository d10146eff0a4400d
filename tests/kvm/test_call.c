/* SPDX-License-Identifier: MIT */
/* Calls of guests that give answers which no guest should give. */
#include "tests/kvm/subject.h"

TestSuite(call, .timeout = 240);

Test(call, believes_no_length_and_no_address_of_an_answer)
{
    struct subject subject = {0};
    char error[MAYFLY_ERROR_BYTES];

    begin(&subject);
    for (uint8_t which = 0; which < 7; which++) {
        uint8_t out[64 + 64];
        struct mayfly_call wrong = {
            .function = "wrong answer",
            .in = &which,
            .in_bytes = 1,
            .out = out,
            .out_room = 64,
        };
        struct mayfly_result result;

        memset(out, 0x77, sizeof(out));
        cr_assert_eq(mayfly_call(subject.guest.vm, &wrong, &result, error),
                     -EFAULT, "%u", which);
        cr_assert_eq(wrong.out_bytes, 0);
        for (size_t i = 0; i < sizeof(out); i++)
            cr_assert_eq(out[i], 0x77, "%u: %zu", which, i);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "wrong answer");
        reset(subject.guest.vm);
    }
    finish(&subject);
}

Test(call, writes_no_input_where_the_guest_itself_cannot)
{
    struct subject subject = {0};
    char error[MAYFLY_ERROR_BYTES];

    begin(&subject);
    for (uint8_t which = 0; which < 5; which++) {
        uint8_t in[4096];
        struct mayfly_call wrong = {
            .function = "wrong room", .in = &which, .in_bytes = 1};
        struct mayfly_call next = {
            .function = "nothing", .in = in, .in_bytes = sizeof(in)};
        struct mayfly_result result;

        memset(in, 0xff, sizeof(in));
        cr_assert_eq(mayfly_call(subject.guest.vm, &wrong, &result, error), 0);
        cr_assert_eq(mayfly_call(subject.guest.vm, &next, &result, error),
                     -EFAULT, "%u", which);
        next.in_bytes = 0; /* nothing to write: it goes on */
        cr_assert_eq(mayfly_call(subject.guest.vm, &next, &result, error), 0);
        cr_assert_eq(result.end, MAYFLY_AT_CALL);
        reset(subject.guest.vm);
        assert_nothing_left(&subject, "wrong room");
        reset(subject.guest.vm);
    }
    finish(&subject);
}

Test(call, has_limits_of_its_own)
{
    static uint8_t in[INPUT_BYTES + 1];
    struct subject subject = {0};
    struct mayfly_call long_input = {
        .function = "nothing", .in = in, .in_bytes = sizeof(in)};
    struct mayfly_call long_name = {
        .function = "0123456789012345678901234567890123456789"
                    "012345678901234567890123"};
    struct mayfly_result result;
    char error[MAYFLY_ERROR_BYTES];

    begin(&subject);
    cr_assert_eq(mayfly_call(subject.guest.vm, &long_input, &result, error),
                 -E2BIG);
    cr_assert_eq(mayfly_call(subject.guest.vm, &long_name, &result, error),
                 -EINVAL);
    assert_nothing_left(&subject, "calls that were not made");
    finish(&subject);
}
