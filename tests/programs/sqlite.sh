#!/bin/bash
# SPDX-License-Identifier: MIT
# SQLite as a guest: in memory, on files, on a disk, and without power; see run.
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

test_sqlite_speedtest1_runs_to_its_end_in_memory()
{
    need_image speedtest1

    vm speedtest1 --mem 256M -- --memdb --size 10 --verify :memory: >output
    grep -q TOTAL output
}
