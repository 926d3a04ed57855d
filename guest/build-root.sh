#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes OUT_DIR/root, the guest's base root: Debian's static i386 BusyBox and the files under root/.
#
# usage: build-root.sh OUT_DIR
#
# BusyBox comes through apt with lists of our own, so the host needs neither a foreign architecture
# nor root. The package is kept below $XDG_CACHE_HOME/ennead and used from there ever after, without
# the network; remove it to have a newer one looked for. The same package and the same files here
# give the same image, times included.
set -eu
umask 022
LC_ALL=C
export LC_ALL

die() {
    echo "build-root: $*" >&2
    exit 1
}

[ $# = 1 ] || { echo "usage: $0 OUT_DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ennead/busybox
mkdir -p "$cache"

work=$(mktemp -d "$out/.root.XXXXXX")
apt= # apt's private directory, while downloading
trap 'rm -rf "$work" "$apt"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Leaves the package in the cache. The file's name, chosen by apt, holds its version.
download() {
    command -v apt-get >/dev/null || die "needs apt-get, to download busybox-static for i386"
    apt=$(mktemp -d "$cache/.apt.XXXXXX") # beside its destination, so that mv is a rename
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/get"
    : >"$apt/status"
    # No foreign architecture is added: to this apt, i386 is the only one there is.
    set -- -q -o APT::Architecture=i386 -o APT::Architectures=i386 -o Dir::State="$apt" \
        -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt" -o APT::Sandbox::User= -o Acquire::Languages=none \
        -o Acquire::Retries=3
    echo "build-root: downloading busybox-static for i386"
    # An index that fails to load (a mirror being updated, a repository without i386) does not
    # matter as long as another one holds the package.
    if ! apt-get "$@" update >"$work/apt.log" 2>&1; then
        echo "build-root: some package lists failed to load, going on with the others"
    fi
    if ! (cd "$apt/get" && apt-get "$@" download busybox-static) >>"$work/apt.log" 2>&1; then
        mv "$work/apt.log" "$out/apt.log"
        tail -n 5 "$out/apt.log" >&2
        die "cannot download busybox-static for i386; full log: $out/apt.log"
    fi
    for deb in "$apt"/get/busybox-static_*_i386.deb; do
        dpkg-deb --info "$deb" >/dev/null || die "damaged package: $deb"
        mv "$deb" "$cache/"
    done
}

newest() { ls -t "$cache"/busybox-static_*_i386.deb 2>/dev/null | head -n 1; }

deb=$(newest)
if [ -z "$deb" ]; then
    download
    deb=$(newest)
fi

# Nothing to do when package, overlay and this script are those of last time.
stamp=$({
    sha256sum <"$deb"
    sha256sum <"$here/build-root.sh"
    cd "$here/root"
    find . | sort
    find . -type f -exec sha256sum {} + | sort
} | sha256sum | cut -c1-64)
if [ -d "$out/root" ] && [ "$(cat "$out/root.stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

root=$work/root
dpkg-deb -x "$deb" "$work/package"
mkdir -p "$root"
cd "$root"
mkdir bin dev etc mnt proc root run sys tmp usr usr/lib usr/local usr/local/bin usr/share var \
    var/log var/tmp
chmod 700 root
chmod 1777 tmp var/tmp
# One directory of programs under all of its customary names.
ln -s bin sbin
ln -s ../bin usr/bin
ln -s ../bin usr/sbin
ln -s ../run var/run
ln -s ../proc/mounts etc/mtab

cp "$work/package/bin/busybox" bin/busybox
chmod 755 bin/busybox
# The program cannot be asked for its applets, for the host may be unable to run i386 code. It holds
# their names as one sorted table of strings that begins with [ and [[.
tr '\0' '\n' <bin/busybox | awk '
    inside && $0 <= last { exit }
    !inside && last == "[" && $0 == "[[" { inside = 1; print last }
    inside { print }
    { last = $0 }' >"$work/applets"
for applet in sh mount mkdir umount setsid dd ifconfig sleep sync poweroff reboot; do
    grep -qxF "$applet" "$work/applets" || die "no applet '$applet' found in $deb"
done
while read -r applet; do
    case $applet in
    busybox) ;;
    init | linuxrc) ln -s ../init "bin/$applet" ;; # process 1 is ours, under any name
    *) ln -s busybox "bin/$applet" ;;
    esac
done <"$work/applets"

(cd "$here/root" && find . -type f) | while read -r file; do
    mkdir -p "$(dirname "$file")"
    cp "$here/root/$file" "$file"
    if [ -x "$here/root/$file" ]; then chmod 755 "$file"; else chmod 644 "$file"; fi
done

# Every time is the package's, so that two builds cannot be told apart.
find . -exec touch -h -r "$work/package/bin/busybox" {} +
cd /

rm -rf "$out/root"
rm -f "$out/root.stamp"
mv "$root" "$out/root"
echo "$stamp" >"$out/root.stamp"
echo "build-root: $out/root from $(basename "$deb")"
