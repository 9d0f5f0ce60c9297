#!/bin/sh
# 逐个重启全部进程，不丢请求 · Restart every process, one after the other, without losing a request:
#   deploy/restart.sh [SUPERVISOR_CONF]
# 一个进程起不来时停在这里，其余的继续服务 · A process that does not become ready ends it here; the others go on serving.
set -eu
conf=${1:-/opt/fenpay/deploy/supervisor.conf}
ports=${FENPAY_PORTS:-88}  # fenpay_88 listens on 8888: PORT of deploy/supervisor.conf without its last two digits

for process in $(supervisorctl -c "$conf" status 'fenpay:*' | awk '{print $1}'); do
    supervisorctl -c "$conf" restart "$process"
    url="http://127.0.0.1:$ports${process##*_}/readyz"
    waited=0
    until curl -fs -o /dev/null --max-time 3 "$url"; do
        waited=$((waited + 1))
        if [ "$waited" -gt 60 ]; then
            echo "✘ $process 没有就绪，其余进程未动 · $process is not ready, the others were left alone: $url" >&2
            exit 1
        fi
        sleep 1
    done
    sleep 4  # nginx comes back to a process 2 s (fail_timeout) after it last found it away
done
