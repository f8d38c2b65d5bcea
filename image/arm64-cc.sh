#!/bin/sh
# Links for arm64. For arm64, rustc asks for a static program at a fixed address; for amd64, it asks for a static-pie.
# The compiled code and glibc also work as a static-pie, so this script links one.
for argument; do
    shift
    case $argument in
        -static) set -- "$@" -static-pie ;;
        -no-pie) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec aarch64-linux-gnu-gcc "$@"
