#!/bin/bash
# SPDX-License-Identifier: MIT
# images/httpd as a guest, and what it answers held against itself on Linux; see
# run.
# shellcheck disable=SC2154 # what run sets

start_httpd()
{
    need_image httpd
    need_net
    need_command curl
    start_vm httpd --net "$net" "$@"
    until_ok curl -sf "$guest/health"
}

# Sends bytes and prints the status lines that come back: HOST PRINTF-FORMAT
raw()
{
    # shellcheck disable=SC2059 # a format is meant
    timeout 15 bash -c 'exec 3<>"/dev/tcp/$1/80" && printf "$2" >&3 &&
        cat <&3' - "$1" "$2" | tr -d '\r' | grep '^HTTP/' || echo "no answer"
}

# Good and bad requests, and what is to come back.
conversation()
{
    local host=$1 rest=' HTTP/1.1\r\nHost: a\r\n' end='Connection: close\r\n\r\n'
    local long

    long=$(printf 'x%.0s' {1..9000})
    for request in \
        "GET /hello$rest$end" \
        "GET /hello${rest}\r\nGET /items$rest$end" \
        "GET /hello HTTP/1.0\r\n\r\n" \
        "GET /hello HTTP/1.1\r\n\r\n" \
        "GET /hello HTTP/2.0\r\n\r\n" \
        "GET /hello\r\n\r\n" \
        "GET hello$rest$end" \
        "GET http://a/hello$rest$end" \
        "GET /nothing$rest$end" \
        "BREW /hello$rest$end" \
        "GET /hello${rest}Host: b\r\n$end" \
        "GET /hello${rest}Bad : x\r\n$end" \
        "GET /hello${rest}A: b\r\n c\r\n$end" \
        "GET /$long$rest$end" \
        "PUT /items/a${rest}Content-Length: 2\r\n$end{}" \
        "PUT /items/a${rest}Content-Length: 2\r\nContent-Length: 3\r\n$end{}" \
        "PUT /items/a${rest}Content-Length: -1\r\n$end{}" \
        "PUT /items/a${rest}Content-Length: 99999999999999999999\r\n$end" \
        "PUT /items/a${rest}Content-Length: 65537\r\n$end" \
        "PUT /items/a${rest}Transfer-Encoding: chunked\r\n${end}1\r\n[\r\n1\r\n]\r\n0\r\n\r\n" \
        "PUT /items/a${rest}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n${end}{}" \
        "PUT /items/a${rest}Transfer-Encoding: gzip, chunked\r\n${end}{}" \
        "PUT /items/a${rest}Transfer-Encoding: chunked\r\n${end}fffffff\r\n" \
        "PUT /items/a${rest}Transfer-Encoding: chunked\r\n${end}zz\r\n" \
        "PUT /items/a${rest}Content-Length: 4\r\n${end}{]]}" \
        "DELETE /items/a$rest\r\nDELETE /items/a$rest$end" \
        '\x16\x03\x01\x02\x00\x01\r\n\r\n'
    do
        raw "$host" "$request"
    done
}

test_httpd_answers_good_and_bad_requests()
{
    start_httpd
    conversation "$guest" >answers
    cut -d ' ' -f 2 answers | paste -sd ' ' >statuses
    same statuses "$(cat statuses)" "200 200 200 200 400 505 400 400 200 404 405\
 400 400 400 431 201 400 400 400 413 200 400 501 413 400 400 204 404 400"
}

test_httpd_answers_as_it_does_on_linux()
{
    [ -e "$top/build/native/httpd" ] || skip "build/native/httpd is not built"
    start_httpd
    "$top/build/native/httpd" --port 80 >/dev/null &
    linux=$!
    trap 'kill $linux; kill_vm; cat server' EXIT
    until_ok curl -sf localhost/health
    conversation "$guest" >as_guest
    conversation 127.0.0.1 >as_process
    diff as_guest as_process
}

test_httpd_keeps_documents()
{
    start_httpd
    local items=$guest/items

    same put "$(curl -s -w '%{http_code}' -X PUT -d '{"a":[1]}' "$items/x")" 201
    same again "$(curl -s -w '%{http_code}' -X PUT -d '"b\u0000"' "$items/x")" 200
    same get "$(curl -s "$items/x")" '"b\u0000"'
    same list "$(curl -s "$items")" '["x"]'
    head -c 60000 /dev/zero | tr '\0' 1 >large
    same large "$(curl -s -w '%{http_code}' -T large "$items/large")" 201
    curl -s "$items/large" | cmp - large
    same escapes "$(curl -s "$guest/hello?name=%22%0a%ff%e2%82%ac")" \
        '{"hello":"\"\u000a\ufffd€"}'
}

test_httpd_does_not_wait_for_slow_clients()
{
    start_httpd -- --timeout 1 --connections 20
    local i

    for ((i = 0; i < 30; i++)); do
        raw "$guest" 'GET /hello HTTP/1.1\r\nHo' >"slow$i" &
        slow[i]=$!
    done
    same meanwhile "$(curl -s --max-time 10 "$guest/hello")" '{"hello":"world"}'
    wait "${slow[@]}"
    same "answers of 30" "$(cat slow* | sort | uniq -c | sed 's/^ *//')" \
        '30 HTTP/1.1 408 Request Timeout'
    curl -s "$guest/metrics" | grep -q '^http_timeouts_total 30'
}

test_httpd_serves_many_and_counts_them()
{
    need_command wrk
    start_httpd --mem 64M
    local requests

    wrk -t 2 -c 500 -d 2 "http://$guest/hello" >load
    cat load
    ! grep -E 'Socket errors|Non-2xx' load
    requests=$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' load)
    curl -s "$guest/metrics" >metrics
    [ "$(sed -n 's/^http_requests_total{status="2xx"} //p' metrics)" -ge "$requests" ]
    same "open connections" "$(sed -n 's/^http_connections_open //p' metrics)" 1
}

test_httpd_finishes_before_it_ends()
{
    start_httpd
    raw "$guest" 'PUT /items/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{' \
        >begun &
    # One that is idle and one that has begun and goes on after the signal.
    exec 3<>"/dev/tcp/$guest/80" 4<>"/dev/tcp/$guest/80"
    printf 'GET /hello HTTP/1.1\r\nHo' >&3
    sleep 0.3
    pkill -TERM -P "$vm"
    sleep 0.3
    printf 'st: a\r\n\r\n' >&3
    timeout 5 cat <&3 >finished
    grep -q '^Connection: close' finished
    grep -q world finished
    same "the idle one" "$(timeout 5 cat <&4)" ""
    wait "$vm"
    grep -q '^httpd: stopped after' server
}
