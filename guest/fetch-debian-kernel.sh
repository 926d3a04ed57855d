#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches Debian's own i386 kernels, which no part of Ennead was made for, to boot them in tests: for each FLAVOUR
# OUT_DIR/debian-kernel/FLAVOUR/vmlinuz and, below modules/, the modules that a virtual machine may want.
#
# usage: fetch-debian-kernel.sh OUT_DIR FLAVOUR...      (686, 686-pae)
#
# The packages are only unpacked. They come through apt with lists of our own, so the host needs no foreign
# architecture. They are kept in $XDG_CACHE_HOME/ennead/debian-kernel/ and used ever after without the network;
# remove them for newer ones.
set -eu
umask 022
export LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin

die() {
    echo "fetch-debian-kernel: $*" >&2
    exit 1
}

[ $# -ge 2 ] || { echo "usage: $0 OUT_DIR FLAVOUR..." >&2; exit 2; }
mkdir -p "$1/debian-kernel"
out=$(cd "$1/debian-kernel" && pwd)
shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ennead/debian-kernel
mkdir -p "$cache"

# Directories and files below the modules' kernel/.
wanted='drivers/virtio drivers/block/virtio_blk.ko drivers/char/virtio_console.ko drivers/char/hw_random
    drivers/acpi/button.ko drivers/input/evdev.ko fs/9p fs/netfs fs/fscache net/9p
    fs/ext4 fs/jbd2 fs/mbcache.ko lib/crc16.ko lib/libcrc32c.ko crypto/crc32c_generic.ko'

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# To this apt i386 is the only architecture there is, and nothing is installed.
apt() {
    tool=$1
    shift
    "$tool" -q -o APT::Architecture=i386 -o APT::Architectures=i386 -o Dir::State="$work" \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" -o Dir::Cache="$work" \
        -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# The packages of the flavours named, to the cache.
download() {
    command -v apt-get >/dev/null || die "needs apt-get, to download Debian packages for i386"
    work=$(mktemp -d "$cache/.apt.XXXXXX") # beside their destination, so that mv is a rename
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/get"
    : >"$work/status"
    log=$out/download.log
    echo "fetch-debian-kernel: downloading Debian's kernels for i386: $* (50 MB each)"
    # A suite whose lists fail to load does not matter as long as the main one is there.
    if ! apt apt-get update >"$log" 2>&1; then
        echo "fetch-debian-kernel: some package lists failed to load, going on with the others"
    fi
    for flavour in "$@"; do
        # The package of that name is empty; it depends on the newest one.
        package=$(apt apt-cache show "linux-image-$flavour" 2>>"$log" |
            sed -n "s/^Depends: \(linux-image-[0-9][^ ]*-$flavour\) .*/\1/p" | head -n 1)
        [ -n "$package" ] || die "no package linux-image-$flavour for i386; log: $log"
        (cd "$work/get" && apt apt-get download "$package") >>"$log" 2>&1 || {
            tail -n 5 "$log" >&2
            die "cannot download $package; full log: $log"
        }
        deb=$(echo "$work/get/$package"_*_i386.deb)
        dpkg-deb --info "$deb" >/dev/null || die "damaged package: $deb"
        mv "$deb" "$cache/$flavour.deb"
    done
    rm -rf "$work"
    work=
}

# Any number of these scripts may run at once; one downloads, the others wait for it.
exec 9>"$cache/lock"
flock 9
missing=
for flavour in "$@"; do
    [ -e "$cache/$flavour.deb" ] || missing="$missing $flavour"
done
# shellcheck disable=SC2086 # one word a flavour
[ -z "$missing" ] || download $missing

for flavour in "$@"; do
    stamp=$(echo "$wanted" | cat - "$cache/$flavour.deb" | sha256sum | cut -c1-16)
    [ "$(cat "$out/$flavour/stamp" 2>/dev/null)" != "$stamp" ] || continue
    work=$(mktemp -d "$out/.unpack.XXXXXX")
    set --
    for each in $wanted; do set -- "$@" "./lib/modules/*/kernel/$each"; done
    dpkg-deb --fsys-tarfile "$cache/$flavour.deb" |
        tar -x -C "$work" --no-same-owner --wildcards './boot/vmlinuz-*' "$@" ||
        die "cannot unpack $cache/$flavour.deb"
    mkdir "$work/kernel"
    mv "$work"/boot/vmlinuz-* "$work/kernel/vmlinuz"
    mv "$work"/lib/modules/*/kernel "$work/kernel/modules"
    echo "$stamp" >"$work/kernel/stamp"
    rm -rf "${out:?}/$flavour"
    mv "$work/kernel" "$out/$flavour"
    rm -rf "$work"
    work=
    echo "fetch-debian-kernel: $out/$flavour"
done
