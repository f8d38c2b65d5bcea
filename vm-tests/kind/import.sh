#!/usr/bin/env bash
# Imports the root file system NODE as an image into DOCKER, a folder for /var/lib/docker: import.sh ROOT NODE DOCKER NAME,
# in a mount namespace of its own. The Docker of ROOT does it, so that a machine with that Docker can use the folder.
set -euo pipefail
root=$1 node=$2 docker=$3 name=$4
# dockerd needs a root that is a mount.
mount --bind "$root" "$root"
for dir in proc sys dev; do mount --rbind "/$dir" "$root/$dir"; done
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/run/node"
mount --bind -o ro "$node" "$root/run/node"
mkdir -p "$root/var/lib/docker"
mount --bind "$docker" "$root/var/lib/docker"
NAME=$name chroot "$root" bash -euo pipefail <<'END'
export DOCKER_HOST=unix:///run/docker.sock
dockerd --host $DOCKER_HOST --exec-root /run/exec --pidfile /run/docker.pid --bridge none --iptables=false \
    --ip6tables=false --storage-driver overlay2 >/run/dockerd.log 2>&1 &
server=$!
trap 'kill $server; wait $server || true' EXIT
for _ in {1..300}; do
    ! docker info >/dev/null 2>&1 || break
    kill -0 $server 2>/dev/null || break
    sleep 0.1
done
docker info >/dev/null || { tail -n 20 /run/dockerd.log >&2; exit 1; }
tar -C /run/node --numeric-owner -c . |
    docker import --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' \
    --change 'ENV container=docker' --change 'STOPSIGNAL SIGRTMIN+3' - "$NAME"
END
