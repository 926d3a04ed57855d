#!/bin/sh
# SPDX-License-Identifier: MIT
# What conf and start say of disks, who may use an image, and GRUB's rescue image, which comes up from a disk
# under SeaBIOS and leaves its menu on a key from com1.
. "$(dirname "$0")/lib.sh"
rescue=/usr/lib/grub-rescue/grub-rescue-floppy.img
[ -f $rescue ] || skip "grub-rescue-pc is not installed"
mount_tree

# --- what conf and start say -------------------------------------------------------------------------
n=$(new_vm)
truncate -s 4M "$work/disk"
refused EINVAL "$mnt/$n/conf" 'disk0 disk' relative
refused EINVAL "$mnt/$n/conf" "disk0 $work/disk ro" 'nothing or rw'
refused EINVAL "$mnt/$n/conf" "disk4 $work/disk" 'no such setting'
echo "disk0 $work/missing" >"$mnt/$n/conf"
refused ENOENT "$mnt/$n/ctl" start "$work/missing"
echo "disk0 $work" >"$mnt/$n/conf"
refused EISDIR "$mnt/$n/ctl" start "regular file"
truncate -s 511 "$work/small"
echo "disk0 $work/small" >"$mnt/$n/conf"
refused EINVAL "$mnt/$n/ctl" start "less than 512"
echo "disk3 $work/disk rw" >"$mnt/$n/conf"
holds "conf shows a disk" grep -qx "disk3 $work/disk rw" "$mnt/$n/conf"
printf '%s\n' disk0 disk3 >"$mnt/$n/conf"
lacks "an empty value takes the disk away" grep -q "^disk3.*disk" "$mnt/$n/conf"

# One writer, or any number of readers.
one=$(new_vm "disk0=$work/disk") two=$(new_vm "disk0=$work/disk") three=$(new_vm)
echo "disk0 $work/disk rw" >"$mnt/$three/conf"
start_vm $one
start_vm $two
refused EBUSY "$mnt/$three/ctl" start 'in use'
echo stop >"$mnt/$one/ctl"
kill -KILL "$(vm_process $two)"
same "$(ended $one)" "stop 0" "end"
same "$(ended $two)" "kill SIGKILL" "end"
start_vm $three
refused EBUSY "$mnt/$one/ctl" start 'being written'
echo "disk1 $work/disk rw" >"$mnt/$two/conf"
echo disk0 >"$mnt/$two/conf"
refused EBUSY "$mnt/$two/ctl" start 'in use'
kill -KILL "$(vm_process $three)"
same "$(ended $three)" "kill SIGKILL" "end"
start_vm $two
for m in $n $one $two $three; do echo destroy >"$mnt/$m/ctl"; done

# --- GRUB's rescue image -----------------------------------------------------------------------------
for engine in jit interp; do
    n=$(new_vm boot=bios bootmenu=off engine=$engine "disk0=$rescue")
    echo start >"$mnt/$n/ctl"
    await "$mnt/$n/log" 'Press enter to boot'
    printf c >"$mnt/$n/com1" # out of the menu
    await "$mnt/$n/log" 'grub>'
    echo destroy >"$mnt/$n/ctl"
done
