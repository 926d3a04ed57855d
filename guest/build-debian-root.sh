#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes OUT_DIR/debian, a Debian i386 root that an Ennead guest boots from (`conf root PATH`): the
# packages named in debian-packages, and over them our init and the other files under root/. With
# `checks`, OUT_DIR/debian-checks, which has those of debian-check-packages as well.
#
# usage: build-debian-root.sh OUT_DIR [checks]
#
# The packages are only unpacked: that needs neither root nor an i386 processor, and the programs work
# without their maintainer scripts. They come through apt with lists of our own, so the host needs no
# foreign architecture. What they unpack to is kept in $XDG_CACHE_HOME/ennead/debian-<hash>/, where the hash
# covers the lists of packages and this script, and used ever after without the network; remove it for newer
# packages. The root made shares files with it (hard links) where both are on one file system, so a file
# there is replaced, never written to.
set -eu
umask 022
export LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin

die() {
    echo "build-debian-root: $*" >&2
    exit 1
}

usage() {
    echo "usage: $0 OUT_DIR [checks]" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
case $# in
1) name=debian lists=debian-packages ;;
2)
    [ "$2" = checks ] || usage
    name=debian-checks lists="debian-packages debian-check-packages"
    ;;
*) usage ;;
esac
mkdir -p "$1"
out=$(cd "$1" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ennead
mkdir -p "$cache"

# BusyBox applets that init calls and that Debian has only in packages of many megabytes.
applets='ifconfig poweroff reboot'

# shellcheck disable=SC2086 # one or two files
packages=$(cd "$here" && sed 's/#.*//' $lists)
# shellcheck disable=SC2086
hash=$(cd "$here" && cat $lists build-debian-root.sh | sha256sum | cut -c1-16)
done_dir=$cache/debian-$hash
stamp=$hash-$(cd "$here/root" && find . -type f -exec sha256sum {} + | sort | sha256sum | cut -c1-16)
exec 8>"$out/$name.lock"
flock 8 # tests that run at the same time want the same directory
[ "$(cat "$out/$name.stamp" 2>/dev/null)" = "$stamp" ] && [ -d "$out/$name" ] && exit 0

download() { # to $work/archives
    command -v apt-get >/dev/null || die "needs apt-get, to download Debian packages for i386"
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    : >"$work/status"
    # To this apt i386 is the only architecture there is, and nothing is installed.
    set -- -q -y -o APT::Architecture=i386 -o APT::Architectures=i386 -o Dir::State="$work" \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work" -o APT::Sandbox::User= -o Acquire::Languages=none \
        -o Acquire::Retries=3 -o APT::Install-Recommends=false
    echo "build-debian-root: downloading Debian packages for i386 ($([ $name = debian ] && echo 50 || echo 130) MB or so)"
    # A suite whose lists fail to load does not matter as long as the main one is there.
    if ! apt-get "$@" update >"$log" 2>&1; then
        echo "build-debian-root: some package lists failed to load, going on with the others"
    fi
    # shellcheck disable=SC2086 # one word a package
    apt-get "$@" --download-only install $packages >>"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        die "cannot download the packages for i386; full log: $log"
    }
}

unpack() { # $work/archives to $work/root
    # /bin and the like are links into /usr, as on every Debian 12; packages unpack through them.
    mkdir -p "$work/root/usr/bin" "$work/root/usr/sbin" "$work/root/usr/lib"
    for dir in bin sbin lib; do ln -s "usr/$dir" "$work/root/$dir"; done
    mkdir -p "$work/root/var/lib/dpkg/info"
    for deb in "$work"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/root" --keep-directory-symlink --no-same-owner \
            --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' ||
            die "cannot unpack $deb"
        # The sums of its files, where dpkg keeps them.
        package=$(dpkg-deb --field "$deb" Package)
        dpkg-deb --ctrl-tarfile "$deb" | tar -xO --ignore-failed-read ./md5sums 2>/dev/null |
            grep -vE '  usr/share/(doc|man|locale)/' >"$work/root/var/lib/dpkg/info/$package.md5sums" || :
    done
}

complete() { # what maintainer scripts and an installer would have done, as far as it is needed
    cd "$work/root"
    mkdir -p dev proc sys tmp run root mnt var/tmp usr/local/bin
    chmod 1777 tmp var/tmp
    ln -sf ../proc/mounts etc/mtab
    for applet in $applets; do ln -s /bin/busybox "usr/local/bin/$applet"; done
    [ -e bin/sh ] || ln -s dash bin/sh
    # Without byte code python3 would compile its library at every start. It does not depend on the
    # architecture, only on the version; of another version the guest's python3 takes no notice.
    for library in usr/lib/python3.*; do
        "python${library##*/python}" -m compileall -q --invalidation-mode unchecked-hash -s . -x '/tests?/' \
            "$library" >>"$log" 2>&1 || echo "build-debian-root: no byte code for ${library##*/}"
    done
    cd /
}

if [ ! -d "$done_dir" ]; then
    exec 9>"$done_dir.lock"
    flock 9 # any number of these scripts may run at once; one builds, the others wait for it
fi
if [ ! -d "$done_dir" ]; then
    rm -rf "$done_dir".tmp.* # left behind by a build that was killed
    work=$(mktemp -d "$done_dir.tmp.XXXXXX")
    log=$done_dir.log
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    download
    unpack
    complete
    mv "$work/root" "$done_dir"
fi

rm -rf "$out/$name"
cp -al "$done_dir" "$out/$name" 2>/dev/null || {
    rm -rf "$out/$name"
    cp -a "$done_dir" "$out/$name"
}
(cd "$here/root" && find . -type f) | while read -r file; do
    mode=644
    [ ! -x "$here/root/$file" ] || mode=755
    install -D -m $mode "$here/root/$file" "$out/$name/$file" # unlinks what it replaces
done
echo "$stamp" >"$out/$name.stamp"
echo "build-debian-root: $out/$name"
