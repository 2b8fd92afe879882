#!/bin/sh
# Installs the Debian packages that tinydsn builds and tests with, when one of them is missing.
# Does nothing on a machine that has them; says what to do on a machine without apt-get.
set -eu

packages="gcc g++ libc6-dev gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm cmake ninja-build
    ffmpeg python3-dev python3-venv"

have() { command -v "$1" >/dev/null 2>&1; }

python=${1:-python3}
missing=""
# g++: pesq comes as source and is compiled when it is installed.
for tool in gcc g++ ar arm-none-eabi-gcc qemu-system-arm cmake ninja ffmpeg; do
    have "$tool" || missing="$missing $tool"
done
[ -f /usr/include/stdio.h ] || echo '#include <stdio.h>' | gcc -E - >/dev/null 2>&1 || missing="$missing libc-headers"
echo '#include <string.h>' | arm-none-eabi-gcc -E - >/dev/null 2>&1 || missing="$missing newlib"
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python-venv"
"$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' >/dev/null 2>&1 ||
    missing="$missing Python.h"

[ -n "$missing" ] || exit 0
echo "missing on this machine:$missing"

if ! have apt-get; then
    echo "error: no apt-get here; install the above by other means (see CONTRIBUTING.md), then run make again" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif have sudo; then
    as_root="sudo"
else
    echo "error: run as root: apt-get install" $packages >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# shellcheck disable=SC2086
$as_root apt-get install -q -y --no-install-recommends $packages
