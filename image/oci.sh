#!/usr/bin/env bash
# Writes the container image, as an OCI archive: image/oci.sh PROGRAM ARCH. The image contains only the program, which
# is also the entrypoint. The same program gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?usage: oci.sh PROGRAM ARCH} arch=$2
version=$(image/version.sh)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}
export TZ=UTC LC_ALL=C
umask 022
layout=target/packaging/oci-$arch
rm -rf "$layout"
mkdir -p "$layout/blobs/sha256" target/packages

archive() { # FILE...: in this order
    tar --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -c "$@"
}
# blob MEDIA-TYPE: adds the text on standard input to the layout, and sets $descriptor.
digest='' descriptor=''
blob() {
    cat >"$layout/blob"
    digest=$(sha256sum "$layout/blob" | cut -d ' ' -f 1)
    descriptor=$(printf '"mediaType":"%s","digest":"sha256:%s","size":%d' "$1" "$digest" "$(stat -c %s "$layout/blob")")
    mv "$layout/blob" "$layout/blobs/sha256/$digest"
}
oci=application/vnd.oci.image

install -m 755 "$program" "$layout/kube-audit-bootstrap"
archive -C "$layout" kube-audit-bootstrap >"$layout/layer.tar"
plain=$(sha256sum "$layout/layer.tar" | cut -d ' ' -f 1)
blob $oci.layer.v1.tar+gzip < <(gzip -9n <"$layout/layer.tar")
layer=$descriptor
rm "$layout/kube-audit-bootstrap" "$layout/layer.tar"

blob $oci.config.v1+json < <(printf '%s' \
    "{\"created\":\"$(date -u -d "@$epoch" +%FT%TZ)\",\"architecture\":\"$arch\",\"os\":\"linux\"," \
    "\"config\":{\"Entrypoint\":[\"/kube-audit-bootstrap\"],\"Labels\":{" \
    "\"org.opencontainers.image.title\":\"kube-audit-bootstrap\"," \
    "\"org.opencontainers.image.version\":\"$version\"," \
    '"org.opencontainers.image.licenses":"Apache-2.0"}},' \
    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$plain\"]}}")
config=$descriptor
blob $oci.manifest.v1+json < <(printf '%s' \
    "{\"schemaVersion\":2,\"mediaType\":\"$oci.manifest.v1+json\",\"config\":{$config},\"layers\":[{$layer}]}")

printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
# containerd looks for the second name.
printf '%s' "{\"schemaVersion\":2,\"mediaType\":\"$oci.index.v1+json\",\"manifests\":[{$descriptor," \
    "\"platform\":{\"architecture\":\"$arch\",\"os\":\"linux\"}," \
    "\"annotations\":{\"org.opencontainers.image.ref.name\":\"$version\"," \
    "\"io.containerd.image.name\":\"localhost/kube-audit-bootstrap:$version\"}}]}" >"$layout/index.json"
suffix=''
[ "$arch" = amd64 ] || suffix=-$arch
out=target/packages/kube-audit-bootstrap-$version$suffix.oci.tar
archive -C "$layout" oci-layout index.json blobs >"$out"
echo "created image: $out"
