#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs in C++ as guests: what libstdc++ needs, and LevelDB; see run.
# shellcheck disable=SC2154 # what run sets

# Holds what a program printed: FILE NUMBER-OF-TESTS LAST-LINE
cxx_passed()
{
    ! grep 'not ok' "$1"
    same "number of tests" "$(grep -c ^ok "$1")" "$2"
    same "last line" "$(tail -n 1 "$1")" "$3"
}

test_cxx_passes_its_tests()
{
    need_image cxx
    vm cxx >answer
    cxx_passed answer 7 destroyed
}

test_cxx_threads_pass_their_tests()
{
    need_image cxxthreads
    seq 100 | sed 's/$/ 1000/' >lines
    vm cxxthreads --mem 128M <lines >answer
    # The main thread's are destroyed before what is static.
    cxx_passed answer 17 "destroyed 0 21"
    same sums "$(grep '^sum' answer | sort -V)" \
        "$(seq 1001 1100 | sed 's/^/sum of 2 is /')"
}

test_cxx_says_that_nobody_catches()
{
    need_image cxxthreads
    local status=0

    vm cxxthreads -- terminate 2>errors || status=$?
    same status $status 123
    grep -q Aborted errors
    grep -q terminate errors
}

# Its programs with their files on a disk; LEVELDB_ALL=1 runs the long ones, too.
test_leveldb_passes_its_own_tests()
{
    need_image leveldb-c_test
    make_disk disk 1G
    local name status=0
    local -A long=([autocompact]=yes [issue178]=yes [issue320]=yes)

    for file in "$top"/build/images/leveldb-*.elf; do
        name=$(basename "$file" _test.elf)
        name=${name#leveldb-}
        [ -z "${long[$name]:-}" ] || [ -n "${LEVELDB_ALL:-}" ] || continue
        # Six tests of what exec closes pass whatever fork answers.
        vm "$file" --mem 1G --timeout 600 --disk disk,mount=/data \
            --env TEST_TMPDIR=/data -- --gtest_filter='-*CloseOnExec*' \
            >"$name.log" 2>&1 && grep -qE 'PASS' "$name.log" && continue
        echo "$name:"
        tail -n 20 "$name.log"
        status=1
    done
    e2fsck -fn disk
    return $status
}
