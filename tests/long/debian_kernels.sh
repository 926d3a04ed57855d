#!/bin/sh
# SPDX-License-Identifier: MIT
# Debian's own kernels, 686 and 686-pae, directly and through SeaBIOS: they load their own modules, run our BusyBox
# from an initramfs and from the 9P root, have a console on COM1 and one by virtio, and switch the machine off.
. "$(dirname "$0")/../e2e/lib.sh"
make -s --no-print-directory -C "$here/../.." BUILD="$build" debian-kernel >&2 ||
    skip "there are no kernels of Debian's: their packages could not be had"
patience=120
mount_tree

for flavour in 686 686-pae; do
    kernel=$build/guest/debian-kernel/$flavour
    python3 -I -S "$here/../e2e/initramfs.py" "$work/initrd" "$build/guest/root" "$kernel/modules" virtio_pci \
        virtio_blk virtio_console 9pnet_virtio 9p virtio_rng button evdev
    truncate -s 3M "$work/disk"
    for boot in direct bios; do
        n=$(new_vm mem=256M boot=$boot "kernel=$kernel/vmlinuz" "initrd=$work/initrd" "disk0=$work/disk")
        what="$flavour, boot $boot"

        # In the initramfs, with the virtio console.
        echo "append quiet rdinit=/early" >"$mnt/$n/conf"
        start_vm $n
        holds "$what: the kernel is Debian's" test "$(guest $n 'uname -r' | sed 's/.*[0-9]-\(686.*\)/\1/')" = $flavour
        same "$(guest $n 'cat /sys/class/tty/console/active')" hvc0 "$what: console"
        same "$(guest $n 'lsmod | sed 1d | grep -c .')" "$(guest $n 'grep -c . /modules/order')" "$what: modules loaded"
        lacks "$what: a module that was not loaded" has_text "$mnt/$n/log" 'not loaded'
        same "$(guest $n 'cat /sys/block/vda/size /sys/block/vda/serial; echo')" "$(printf '6144\nennead-disk0')" "$what: disk"
        same "$(guest $n 'sleep 1; echo $((6 * 7)); grep -c "Ennead virtual CPU" /proc/cpuinfo')" "$(printf '42\n1')" "$what: shell"
        same "$(guest $n 'dmesg | grep -E "Oops|BUG:|WARNING:|Call Trace|nobody cared"; :')" "" "$what: complaints of the kernel"
        echo poweroff >"$mnt/$n/cons"
        same "$(ended $n)" "poweroff 0" "$what: end by poweroff"

        # On the 9P root, with COM1 for the console.
        echo "cmdline console=ttyS0 quiet rdinit=/early early.root=9p ennead.vm=$n" >"$mnt/$n/conf"
        start_vm $n
        same "$(guest $n 'cat /sys/class/tty/console/active; grep " / " /proc/mounts | cut -d " " -f 1-3')" \
            "$(printf 'ttyS0\nennead / 9p')" "$what: console and root"
        same "$(guest $n 'echo kept >/kept; sync; ls /modules 2>&1 | grep -c .')" 1 "$what: the initramfs is gone"
        echo powerdown >"$mnt/$n/ctl"
        same "$(ended $n)" "poweroff 0" "$what: end by the power button"

        # What the root was given is there for the next kernel.
        echo "append quiet rdinit=/early early.root=9p" >"$mnt/$n/conf"
        echo cmdline >"$mnt/$n/conf"
        start_vm $n
        same "$(guest $n 'cat /kept')" kept "$what: the scratch layer"
        echo reboot >"$mnt/$n/cons"
        rebooted() { [ "$(grep -aoF "$(prompt $n)" "$mnt/$n/log" | grep -c .)" -gt "$had" ]; }
        had=$(grep -aoF "$(prompt $n)" "$mnt/$n/log" | grep -c .)
        in_time $patience "$what: boot after reboot typed in the guest" rebooted
        echo stop >"$mnt/$n/ctl"
        same "$(ended $n)" "stop 0" "$what: end"
        echo destroy >"$mnt/$n/ctl"
    done
done
