#!/bin/bash
# SPDX-License-Identifier: MIT
# Redis as a guest: commands, load, persistence; see run.
# shellcheck disable=SC2154 # what run sets

# Starts it: OPTIONS OF MAYFLY... -- ARGUMENTS OF REDIS...
start_redis()
{
    need_image redis
    need_net
    need_command redis-cli redis-benchmark
    start_vm redis --mem 256M --net "$net" "$@"
    until_ok is_ready
}

is_ready()
{
    [ "$(redis PING)" = PONG ]
}

redis()
{
    timeout 20 redis-cli -h "$guest" "$@"
}

# What its log warns of.
no_warnings()
{
    ! grep -iE '[0-9] # (.*warn|can.t|fail|error)|missing system call' server
}

test_redis_answers()
{
    start_redis -- /etc/redis.conf
    same set "$(redis SET key value)" OK
    same get "$(redis GET key)" value
    same incr "$(redis INCRBY n 41; redis INCR n)" $'41\n42'
    same zset "$(redis ZADD z 2 b 1 a; redis ZRANGE z 0 -1)" $'2\na\nb'
    same script "$(redis EVAL 'return redis.call("GET", KEYS[1])' 1 key)" value
    same expiry "$(redis SET e 1 PX 50; sleep 0.2; redis GET e)" OK
    same lazy "$(redis FLUSHALL ASYNC; redis DBSIZE)" $'OK\n0'
    no_warnings
    redis SHUTDOWN NOSAVE
    wait "$vm"
}

test_redis_serves_many_with_io_threads()
{
    start_redis -- /etc/redis.conf --io-threads 2 --io-threads-do-reads yes
    redis-benchmark -h "$guest" -t set,get,lpush,lrange_100,mset -n 20000 \
        -c 50 -P 16 -d 100 --csv >load
    cat load
    same "number of results" "$(grep -c '^"' load)" 7
    same "list length" "$(redis LLEN mylist)" 40000
    no_warnings
}

test_redis_says_what_needs_fork()
{
    start_redis -- /etc/redis.conf
    [[ $(redis BGSAVE 2>&1) == ERR* ]]
    grep -q "Can't save in background: fork: Function not implemented" server
    same "the fallback" "$(redis SAVE)" OK
    same "then" "$(redis PING)" PONG
}

test_redis_keeps_a_snapshot_on_a_disk()
{
    make_disk disk 64M
    start_redis --disk disk,mount=/data -- /etc/redis.conf --dir /data
    redis EVAL 'for i = 1, 10000 do
        redis.call("SET", "key:" .. i, string.rep("x", 100)) end' 0
    same save "$(redis SAVE)" OK
    stop_vm
    start_redis --disk disk,mount=/data -- /etc/redis.conf --dir /data
    same count "$(redis DBSIZE)" 10000
    same value "$(redis STRLEN key:9999)" 100
}

# What was acknowledged is there after the power failed.
test_redis_keeps_its_log_through_a_power_cut()
{
    local i

    make_disk disk 64M
    for ((i = 1; i <= 2; i++)); do
        start_redis --disk disk,mount=/data -- /etc/redis.conf --dir /data \
            --appendonly yes --appendfsync always
        same "what was there" "$(redis LLEN list)" $(((i - 1) * 300))
        seq 300 | sed 's/^/RPUSH list /' | redis >/dev/null
        kill_vm
    done
    start_redis --disk disk,mount=/data -- /etc/redis.conf --dir /data \
        --appendonly yes
    same "after the last cut" "$(redis LLEN list)" 600
}
