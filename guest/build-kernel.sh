#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the guest's kernel from Debian's linux-source-6.1 and linux/ennead.config: OUT_DIR/bzImage.
#
# usage: build-kernel.sh OUT_DIR
#
# A build takes minutes, so its result is kept in $XDG_CACHE_HOME/ennead/kernel-<hash>/, where the
# hash covers everything that goes in. Beside bzImage lie vmlinux, System.map and the final config,
# for debugging. Any number of these scripts may run at once; one builds, the others wait for it.
set -eu
umask 022
export LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own compiler, whatever else the caller has

tarball=/usr/src/linux-source-6.1.tar.xz
objects=870 # roughly how many files get compiled; only for the progress line

die() {
    echo "build-kernel: $*" >&2
    exit 1
}

[ $# = 1 ] || { echo "usage: $0 OUT_DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
fragment=$here/linux/ennead.config

[ -r "$tarball" ] || die "$tarball is missing: install the package linux-source-6.1"
for need in gcc:gcc ld:binutils make:make flex:flex bison:bison bc:bc lz4:lz4 xz:xz-utils \
    flock:util-linux; do
    command -v "${need%%:*}" >/dev/null || die "${need%%:*} is missing: install the package ${need#*:}"
done

# The package's version stands for its 130 MB; a tarball of other origin is read in full.
version=$(dpkg-query -W -f '${Version}' linux-source-6.1 2>/dev/null) ||
    version=$(sha256sum <"$tarball")
hash=$({
    echo "$version"
    gcc --version | head -n 1
    ld --version | head -n 1
    cat "$fragment" "$here/build-kernel.sh"
} | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ennead
done_dir=$cache/kernel-$hash
log=$cache/kernel-$hash.log
mkdir -p "$cache"

# ACPICA is some 150 small files that each read the same large headers again: a tenth of the whole
# build. Compiled as two files, they take seconds. The few that set a macro before their includes,
# to have tables defined there, stay alone.
fold_acpica() (
    cd "$1/drivers/acpi/acpica"
    parts='folded1.o folded2.o'
    n=0
    for object in $(awk '/^acpi-(y|\$\(CONFIG_PCI\))/ { on = 1 } on { print } !/\\$/ { on = 0 }' \
        Makefile | tr ' \t' '\n\n' | grep '\.o$'); do
        name=${object%.o}
        if grep -qE '^#define (DEFINE|ACPI_DEFINE|ACPI_CREATE)_' "$name.c"; then
            parts="$parts $object"
            continue
        fi
        n=$((n + 1))
        {
            echo "#undef _COMPONENT"
            echo "#undef EXPORT_ACPI_INTERFACES"
            echo "#undef ACPI_FADT_GPE_BLOCK_ADDRESS"
            echo "#undef _acpi_module_name"
            echo "#define _acpi_module_name _acpi_module_name_$name"
            echo "#include \"$name.c\""
        } >>"folded$((n % 2 + 1)).c"
    done
    [ $n -gt 100 ] || die "drivers/acpi/acpica/Makefile is not what this script expects"
    sed -i '/^acpi-/,$d' Makefile
    echo "acpi-y := $parts" >>Makefile
)

# A file system that does not say how finely it counts time is taken to count seconds; 9p of this version does not say,
# and so utimensat(2) would cut off what the server can keep (cp -a, tar, rsync).
count_nanoseconds() {
    file=$1/fs/9p/vfs_super.c
    sed -i 's/^\tsb->s_time_min = 0;$/&\n\tsb->s_time_gran = 1;/' "$file"
    grep -q 's_time_gran = 1;' "$file" || die "fs/9p/vfs_super.c is not what this script expects"
}

# kbuild in a clean environment: no ARCH, CFLAGS or MAKEFLAGS of the caller's leaks in, and neither
# the builder's name nor the hour gets into the image. The empty cmd_ variables switch off checks of
# each object that only matter to those who change the source: a tenth of a second a file.
kbuild() {
    env -i PATH="$PATH" HOME="$work" LC_ALL=C \
        KBUILD_BUILD_USER=ennead KBUILD_BUILD_HOST=ennead \
        KBUILD_BUILD_TIMESTAMP="$(date -u -r "$tarball")" \
        make -C "$work/source" ARCH=i386 cmd_check_local_export= cmd_gen_ksymdeps= "$@" \
        >>"$log" 2>&1
}

# Every line of the fragment must stand in the final configuration: kconfig drops without a word
# what some dependency forbids.
check_config() {
    awk -v config="$work/source/.config" '
        BEGIN { while ((getline line < config) > 0) have[line] = 1
                for (line in have) if (line ~ /^CONFIG_/) { split(line, part, "="); set[part[1]] = 1 } }
        /^CONFIG_/ && !($0 in have) { print "  " $0; lost = 1 }
        /^# CONFIG_.* is not set$/ && ($2 in set) { print "  " $0; lost = 1 }
        END { exit lost }' "$fragment" >&2 ||
        die "these lines of $fragment did not survive (log: $log)"
}

failed() {
    echo "build-kernel: $1" >&2
    grep -E 'error|Error|\*\*\*' "$log" | head -n 10 >&2 || true
    die "full log: $log"
}

build() {
    work=$(mktemp -d "$done_dir.tmp.XXXXXX")
    job=
    # make runs in a process group of its own, so that it can be ended with all of its children; a
    # background job of a script would not hear the terminal's interrupt anyway.
    trap '[ -z "$job" ] || kill -- -$job 2>/dev/null || true; wait; rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    : >"$log"
    SECONDS=0

    echo "build-kernel: unpacking linux-source-6.1 $version"
    mkdir "$work/source"
    # Nothing of these is compiled; leaving them out halves the unpacking.
    tar -xf "$tarball" -C "$work/source" --strip-components=1 \
        --exclude='linux-source-6.1/drivers/gpu/*.[ch]' \
        --exclude='linux-source-6.1/drivers/net/ethernet/*.[ch]' \
        --exclude='linux-source-6.1/drivers/net/wireless/*.[ch]' \
        --exclude='linux-source-6.1/drivers/media/*.[ch]' \
        --exclude='linux-source-6.1/sound/*.[ch]' \
        --exclude='linux-source-6.1/Documentation/*.rst' \
        --exclude='linux-source-6.1/Documentation/*.yaml' \
        --exclude='linux-source-6.1/tools/testing' \
        2>>"$log" || failed "cannot unpack $tarball"
    fold_acpica "$work/source"
    count_nanoseconds "$work/source"
    kbuild KCONFIG_ALLCONFIG="$fragment" allnoconfig || failed "configuring the kernel failed"
    check_config

    set -m
    kbuild -j"$(nproc)" bzImage 9>&- &
    job=$!
    set +m
    while kill -0 $job 2>/dev/null; do
        sleep 1
        if [ $((SECONDS % 5)) = 0 ]; then
            printf 'build-kernel: %d of about %d files compiled, %d s\n' \
                "$(grep -c '^  \(CC\|AS\) ' "$log")" $objects $SECONDS
        fi
    done
    wait $job || { job=; failed "compiling the kernel failed"; }
    job=

    mkdir "$work/result"
    cp "$work/source/arch/x86/boot/bzImage" "$work/source/vmlinux" "$work/source/System.map" \
        "$work/result/"
    cp "$work/source/.config" "$work/result/config"
    mv "$work/result" "$done_dir"
    echo "build-kernel: kernel built in $SECONDS s"
}

if [ ! -e "$done_dir/bzImage" ]; then
    exec 9>"$done_dir.lock"
    if ! flock -n 9; then
        echo "build-kernel: waiting for another build of the same kernel"
        flock 9
    fi
    if [ ! -e "$done_dir/bzImage" ]; then
        rm -rf "$done_dir".tmp.* # left behind by a build that was killed
        build
    fi
fi

# Replaced only when different, and in one step: whoever starts a VM meanwhile gets a whole image.
if ! cmp -s "$done_dir/bzImage" "$out/bzImage"; then
    cp "$done_dir/bzImage" "$out/bzImage.new"
    mv "$out/bzImage.new" "$out/bzImage"
    echo "build-kernel: $out/bzImage"
fi
