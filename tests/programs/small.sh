#!/bin/bash
# SPDX-License-Identifier: MIT
# Lua and zlib as guests; see run.
# shellcheck disable=SC2154 # what run sets

test_lua_runs_a_script_from_standard_input()
{
    need_image lua
    local answer

    answer=$(vm lua -- - <<<'print(_VERSION, 2^53 | 0, ("%q"):format("\n"))')
    same answer "$answer" $'Lua 5.4\t9007199254740992\t"\\\n"'
}

test_lua_says_how_a_script_failed()
{
    need_image lua
    local status=0

    echo 'error("no")' | vm lua -- - 2>errors || status=$?
    same status $status 1
    grep -q 'stdin:1: no' errors
}

# Each file of the suite as a script of its own. musl takes every locale's name
# and Lua expects more of one that was taken, so there is none but "C".
test_lua_passes_its_own_tests()
{
    need_image lua
    [ -d "${LUA_TESTS:-}" ] ||
        skip "Lua's tests are not among Debian's sources: LUA_TESTS=DIR"
    local name status=0
    local -A needs_more=([main]='runs itself by os.execute()'
        [all]='runs the others' [heavy]='needs all memory' [big]='slow'
        [verybig]='slow')
    local setup="_port = true; _soft = true
        local set = os.setlocale
        os.setlocale = function(name, ...)
            if name and name ~= '' and name ~= 'C' then return nil end
            return set(name, ...)
        end"

    for file in "$LUA_TESTS"/*.lua; do
        name=$(basename "$file" .lua)
        [ -z "${needs_more[$name]:-}" ] || continue
        vm lua --mem 256M --env PATH=/bin --share "$LUA_TESTS:/tests" -- -W -e "$setup" \
            -e 'package.path = "/tests/?.lua"' "/tests/$name.lua" \
            >"$name.log" 2>&1 && continue
        echo "$name:"
        tail -n 6 "$name.log"
        status=1
    done
    return $status
}

test_zlib_passes_its_own_tests()
{
    need_image zlib
    local answer

    answer=$(vm zlib | sed 1d)
    same answer "$answer" 'uncompress(): hello, hello!
gzread(): hello, hello!
gzgets() after gzseek:  hello!
inflate(): hello, hello!
large_inflate(): OK
after inflateSync(): hello, hello!
inflate with dictionary: hello, hello!'
}

test_zlib_compresses_what_gzip_reads()
{
    need_image minigzip speedtest1
    need_command gzip

    cp "$top/build/images/speedtest1.elf" plain
    vm minigzip <plain >packed
    gzip -dc packed | cmp - plain
    gzip -9c plain | vm minigzip -- -d | cmp - plain
}
