/* SPDX-License-Identifier: MIT */
/* Whole VMs through the public library: what these tests share. */
#ifndef TESTS_KVM_KVM_TEST_H
#define TESTS_KVM_KVM_TEST_H

/*
 * A test fills a struct guest (at least the image's name), calls run_guest(),
 * and looks at what it finds there:
 *
 *   struct guest guest = {.image = "hello"};
 *
 *   run_guest(&guest);
 *   cr_assert_str_eq(guest.output, "...");
 *
 * Without /dev/kvm that skips the test, or fails it if REQUIRE_KVM is 1. Input
 * and output are files unless options.in, .out or .err is set: 0 stands for
 * "not set" there, because no test wants the terminal.
 */

#include <criterion/criterion.h>

#include "tests/environment.h"
#include "vmm/mayfly.h"

#define GUEST_ARGS_MAX    8
#define GUEST_OUTPUT_ROOM 16384

struct guest {
    const char *image; /* of images/, or NULL if `image_fd` is set */
    int image_fd;
    bool restore;                     /* image_fd is open on a snapshot */
    const char *args[GUEST_ARGS_MAX]; /* behind the image's name */
    const char *input;                /* text for standard input, or NULL */
    struct mayfly_options options;

    struct mayfly *vm;
    struct mayfly_result result;
    struct mayfly_stats stats;
    char output[GUEST_OUTPUT_ROOM]; /* as text */
    char errors[GUEST_OUTPUT_ROOM];
    struct mayfly_frame frames[MAYFLY_FRAMES_MAX]; /* of a crash */
    unsigned frame_count;

    const char *argv[GUEST_ARGS_MAX + 1];
    int out_file, err_file; /* -1: not ours */
};

/*
 * Opens build/images/NAME.elf. In a process that the test has forked, a missing
 * one ends that process: a test cannot fail there.
 */
int open_image(const char *name);

/*
 * Creates the VM and loads the image; both have to work. The process has no
 * huge pages from then on if the VM does not ask for them: counts of pages are
 * exact.
 */
void load_guest(struct guest *guest);

/* load_guest(), mayfly_run(), collect_guest(). */
void run_guest(struct guest *guest);

/* After mayfly_run: statistics, frames, output; then destroys the VM. */
void collect_guest(struct guest *guest);

/*
 * Writes a snapshot of a guest that has stopped for one, or waits for a call.
 * Returns its file; the VM stays.
 */
int write_snapshot(struct guest *guest);

/* load_guest(), mayfly_run(), write_snapshot(). */
int take_snapshot(struct guest *guest);

/* A guest that ended by exit(status) and printed this (NULL: whatever). */
void assert_exited(const struct guest *guest, int status, const char *output);

/* The innermost frame with this name, or -1. */
int find_frame(const struct guest *guest, const char *name);

#endif
