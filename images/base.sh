#!/bin/sh
# What every image adds to its base, which is a Debian 12: authorities for TLS, zones for days, the C++ runtime of the native libraries.
# Packages are checked by the distribution's own signatures; everything else that images hold is pinned by sha256 (scripts/, Cargo.lock).
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates tzdata libstdc++6 libgcc-s1
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# Folders that volumes cover; without one, nothing is written there.
mkdir -p /var/lib/nightshift /scratch /cache /etc/nightshift /run/secrets/nightshift
