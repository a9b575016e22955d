#!/bin/sh
# What an image's base may lack: authorities for TLS, zones for days. What the base has is left alone: it may know more authorities.
# Nothing is downloaded; the files were pinned by sha256 when they were fetched (scripts/fetch_parts.py).
set -eu
ours=/opt/nightshift/base
link() {
    if ! [ -e "$1" ]; then
        mkdir -p "$(dirname "$1")"
        ln -s "$2" "$1"
    fi
}
link /etc/ssl/certs/ca-certificates.crt $ours/ca-certificates.crt
link /usr/share/zoneinfo $ours/zoneinfo
# The native libraries are made for the C library of Debian 12 or a newer one, and need the C++ runtime.
if ! [ -e /usr/lib/x86_64-linux-gnu/libstdc++.so.6 ]; then
    echo "base.sh: the base has no libstdc++6; take a Debian 12 or an image that is made from one" >&2
    exit 1
fi
# Folders that volumes cover; without one, nothing is written there.
mkdir -p /var/lib/nightshift /scratch /cache /etc/nightshift /run/secrets/nightshift
