#!/bin/sh
# The public address: traffic status | block-writes | allow-writes | switch | restore. Each ends when it is in force.
set -eu
cd /etc/nginx/traffic

side() {
    address=$(getent hosts "$1" | cut -d ' ' -f 1)
    printf 'set $side %s;\nset $site https://%s;\n' "$1" "$address" >new && mv new site.side
}

writes() {
    case $1 in
        open) printf 'map $request_method $refused { default 0; }\n' >new ;;
        blocked) printf 'map $request_method $refused { default 1; GET 0; HEAD 0; OPTIONS 0; }\n' >new ;;
    esac
    mv new writes.map
}

reload() {
    nginx -t -q
    nginx -s reload
    # An old worker finishes the requests it has: none may be under way when this returns.
    for _ in $(seq 300); do
        sleep 0.1
        pgrep -f 'nginx: worker process is shutting down' >/dev/null || return 0
    done
    echo "requests of before are still under way" >&2
    exit 1
}

case ${1:-} in
    status) ;;
    block-writes) writes blocked; reload ;;
    allow-writes) writes open; reload ;;
    switch) side new; writes open; reload ;; # one reload: the first write that passes lands on the new site
    restore) side old; reload ;;
    first) side old; writes open; exit ;;
    *) echo "usage: traffic status | block-writes | allow-writes | switch | restore" >&2; exit 2 ;;
esac
sed -n 's/^set $side \(.*\);/\1/p' site.side
