#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx as a guest: files, keep-alive, many connections; see run.
# shellcheck disable=SC2154 # what run sets

start_nginx()
{
    need_image nginx
    need_net
    need_command curl
    start_vm nginx --net "$net" "$@"
    until_ok curl -sf "$guest/"
}

test_nginx_serves_the_files_of_its_image()
{
    start_nginx
    curl -s "$guest/" | cmp - "$top/images/nginx/files/srv/index.html"
    same type "$(curl -s -o /dev/null -w '%{content_type}' "$guest/")" text/html
    same missing "$(curl -s -o /dev/null -w '%{http_code}' "$guest/no")" 404
    same range "$(curl -s -r 0-8 "$guest/")" '<!DOCTYPE'
    same connections "$(curl -s -w '%{num_connects} ' -o a "$guest/" \
        -o b "$guest/" -o c "$guest/index.html")" '1 0 0 '
}

test_nginx_serves_a_directory_of_the_host()
{
    mkdir files
    head -c 5000000 /dev/urandom >files/large
    echo small >files/index.html
    start_nginx --share files:/srv
    curl -s "$guest/large" | cmp - files/large
    same small "$(curl -s "$guest/")" small
    same outside "$(curl -s --path-as-is -o /dev/null -w '%{http_code}' \
        "$guest/../etc/nginx/nginx.conf")" 400
}

test_nginx_keeps_thousands_of_connections()
{
    need_command wrk
    start_nginx --mem 256M
    ulimit -n 8192
    wrk -t 2 -c 3000 -d 3 "http://$guest/" >load
    cat load
    ! grep -E 'Socket errors|Non-2xx' load
    [ "$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' load)" -ge 3000 ]
}

test_nginx_ends_by_sigterm()
{
    start_nginx
    stop_vm
}
