#!/bin/sh
# Links for arm64. rustc asks for a static program at a fixed address there, where it asks for a static-pie on amd64; what
# it compiled, and glibc, can be that as well.
for argument; do
    shift
    case $argument in
        -static) set -- "$@" -static-pie ;;
        -no-pie) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec aarch64-linux-gnu-gcc "$@"
