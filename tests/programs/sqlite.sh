#!/bin/bash
# SPDX-License-Identifier: MIT
# SQLite as a guest: in memory, on files that it was given, on a disk, and without
# power; see run.
# shellcheck disable=SC2154 # what run sets

test_sqlite_works_in_memory()
{
    need_image sqlite
    local answer

    answer=$(vm sqlite -- :memory: <<'SQL'
create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
    insert into t select i, hex(i) from n;
select count(*), sum(a), max(length(b)) from t;
create virtual table f using fts5(x);
insert into f values ('a mayfly lives for a day'), ('a tortoise does not');
select x from f where f match 'mayfly';
pragma integrity_check;
SQL
    )
    same answer "$answer" '10000|50005000|10
a mayfly lives for a day
ok'
}

test_sqlite_keeps_a_file_in_tmp()
{
    need_image sqlite
    local answer

    answer=$(vm sqlite -- /tmp/a.db 'pragma journal_mode=wal' \
        'create table t(a)' 'insert into t values (1), (2)' \
        'select sum(a) from t' 'pragma integrity_check' .tables)
    same answer "$answer" $'wal\n3\nok\nt'
}

# A database in DIRECTORY/a.db, larger than one piece of a file in memory:
# DIRECTORY
make_database()
{
    mkdir "$1"
    vm sqlite --share "$1,rw:/db" -- /db/a.db 'create table t(k integer primary
        key, v)' 'create index i on t(v)' 'with recursive n(i) as (select 1
        union all select i + 1 from n where i < 20000) insert into t
        select i, hex(zeroblob(40)) || i from n'
}

# Reads and writes /a.db of the guest's archive, with each journal, and with two
# connections of which one locks the other out: IMAGE OPTIONS...
use_archived()
{
    local journal

    same "read only" "$(vm "$@" --mem 64M -- -readonly /a.db 'select max(k) from t' \
        "select count(*) from t where v like '%77'")" $'20000\n200'
    same "by a mapping" "$(vm "$@" --mem 64M -- /a.db 'pragma mmap_size=1048576' \
        'select sum(k), count(v) from t')" $'1048576\n200010000|20000'
    for journal in delete truncate persist memory wal off; do
        vm "$@" --mem 64M -- -batch /a.db >answer 2>errors <<SQL || true
pragma journal_mode=$journal;
update t set v = 'changed' where k % 2;
insert into t select k + 20000, v from t;
select count(*), sum(v = 'changed') from t;
.connection 1
.open /a.db
select count(*) from t;
.connection 0
begin immediate;
delete from t where k > 20010;
.connection 1
insert into t values(50000, 'locked out');
.connection 0
commit;
.connection 1
insert into t values(50000, 'let in');
select count(*) from t;
vacuum;
pragma integrity_check;
SQL
        same "answer with $journal" "$(cat answer)" "$journal
40000|20000
40000
20011
ok"
        same "errors with $journal" "$(cat errors)" \
            "Runtime error near line 12: database is locked (5)"
    done
}

test_sqlite_opens_a_database_that_the_command_line_gives()
{
    need_image sqlite
    make_database db
    cp db/a.db kept
    tar -cf db.tar -C db .
    use_archived sqlite --files db
    use_archived sqlite --files db.tar
    # What the guest wrote was its own copy.
    cmp kept db/a.db
    tar -xOf db.tar ./a.db | cmp - kept
}

test_sqlite_opens_a_database_in_its_image()
{
    need_image sqlite
    make_database db
    "$top/build/mayfly-cc" --files db -o sqlite.elf \
        "$top"/build/programs/guest/sqlite/{sqlite3,shell}.o
    use_archived ./sqlite.elf
}

test_sqlite_speedtest1_runs_to_its_end_in_memory()
{
    need_image speedtest1

    vm speedtest1 --mem 256M -- --memdb --size 10 --verify :memory: >output
    grep -q TOTAL output
}

test_sqlite_speedtest1_runs_to_its_end_on_a_disk()
{
    need_image speedtest1
    make_disk disk 64M

    vm speedtest1 --mem 256M --disk disk,mount=/data -- --size 5 --verify \
        /data/speed.db >output
    grep -q TOTAL output
    e2fsck -fn disk
}

# Transactions that move amounts between rows, so that each one keeps the sum.
# A rollback journal that is deleted commits them: "full" leaves it to the next
# transaction to make that last, "extra" does not.
transactions()
{
    local i

    echo "pragma journal_mode=$1; pragma synchronous=extra;"
    for ((i = 0; i < 3000; i++)); do
        echo "begin; update t set v = v - $i where k = $((i % 100));
            update t set v = v + $i where k = $(((i + 7) % 100));
            insert into log values ($i, hex(randomblob(200))); commit;
            select 'done $i';"
    done
}

# The monitor is killed in the middle of them: what was reported as done is
# there on the next boot, nothing is by half, and the file system is good.
power_cuts()
{
    need_image sqlite
    local mode=$1 i last disk=--disk\ disk,mount=/data

    make_disk disk 64M
    # shellcheck disable=SC2086 # two words
    vm sqlite $disk -- /data/a.db 'create table t(k integer primary key, v)' \
        'create table log(n, filler)' 'with recursive n(i) as (select 0 union all
        select i + 1 from n where i < 99) insert into t select i, 1000 from n'
    for ((i = 0; i < ${POWER_CUTS:-3}; i++)); do
        # shellcheck disable=SC2086
        transactions "$mode" | vm sqlite $disk -- /data/a.db >progress &
        # shellcheck disable=SC2034 # for kill_vm
        vm=$!
        until_ok grep -q 'done 20' progress
        sleep "0.$((RANDOM % 10))"
        kill_vm
        last=$(sed -n 's/^done //p' progress | tail -n 1)
        # shellcheck disable=SC2086
        vm sqlite $disk -- /data/a.db 'pragma integrity_check' \
            'select sum(v), count(*) from t' \
            "select count(*) >= $last + 1 from log" 'delete from log' >after
        same "after cut $i at $last" "$(cat after)" $'ok\n100000|100\n1'
    done
    e2fsck -fn disk
}

test_sqlite_survives_power_cuts_with_a_rollback_journal()
{
    power_cuts delete
}

test_sqlite_survives_power_cuts_with_a_write_ahead_log()
{
    power_cuts wal
}
