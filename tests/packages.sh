#!/usr/bin/env bash
# Makes the packages and the container image, and tests them: tests/packages.sh PROGRAM [all]. With "all" it also makes
# them again in another folder, and makes those for arm64. Each of the two takes another compilation. If this machine
# can't, the last line says so; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?usage: packages.sh PROGRAM}
if ! tests/setup.sh go || ! (cd image/tools && GOTOOLCHAIN=local GOFLAGS=-mod=readonly go list -m >/dev/null); then
    echo 'NOT RUN: the packages and the container image: they need Go 1.26, see above' >&2
    case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac
fi
make --no-print-directory packages oci
if [ "${2-}" = all ]; then
    tests/reproducible.sh "$program"
    make --no-print-directory packages oci ARCH=arm64
fi
tests/packages-installed.sh "${2-}"
