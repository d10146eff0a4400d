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

# The suite as it is meant to be called, in its portable variant, which makes no
# processes; then files that test more without `_port`, each as a script. musl takes
# every locale's name and Lua expects more of one that was taken, so there is none
# but "C".
test_lua_passes_its_own_tests()
{
    need_image lua
    [ -d "${LUA_TESTS:-}" ] ||
        skip "Lua's tests are not among Debian's sources: LUA_TESTS=DIR"
    local name status=0
    local setup="local set = os.setlocale
        os.setlocale = function(name, ...)
            if name and name ~= '' and name ~= 'C' then return nil end
            return set(name, ...)
        end"
    local -a lua=(vm lua --mem 1G --env PATH=/bin --files "$LUA_TESTS" -- -W -e)

    "${lua[@]}" "_port = true; $setup" all.lua >all.log 2>&1 || status=$?
    grep -q 'final OK' all.log || status=1
    [ $status = 0 ] || tail -n 20 all.log
    for name in attrib gc math strings; do
        "${lua[@]}" "$setup" $name.lua >$name.log 2>&1 && continue
        echo "$name:"
        tail -n 6 $name.log
        status=1
    done
    return $status
}

# Its `make test` and, of `make cover`, the program.
test_zlib_passes_its_own_tests()
{
    need_image zlib zlib64 minigzip minigzip64 infcover
    local size answer

    for size in '' 64; do
        answer=$(vm zlib$size | sed 1d)
        same "answer of zlib$size" "$answer" 'uncompress(): hello, hello!
gzread(): hello, hello!
gzgets() after gzseek:  hello!
inflate(): hello, hello!
large_inflate(): OK
after inflateSync(): hello, hello!
inflate with dictionary: hello, hello!'
        same "answer of minigzip$size" "$(echo hello world | vm minigzip$size |
            vm minigzip$size -- -d)" 'hello world'
    done
    vm infcover 2>covered
    grep -q '^copy direct from output:' covered
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
