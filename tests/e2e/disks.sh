#!/bin/sh
# SPDX-License-Identifier: MIT
# What conf and start say of disks, who may use an image, and what SeaBIOS boots from them: GRUB's rescue image,
# whose shell is typed at through com1; a GRUB that loads our kernel from a file system; and nothing at all.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
for tool in grub-mkimage mke2fs; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
rescue=/usr/lib/grub-rescue/grub-rescue-floppy.img
[ -f $rescue ] || skip "grub-rescue-pc is not installed"
[ -f /usr/lib/grub/i386-pc/boot.img ] || skip "grub-pc-bin is not installed"
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
# typed TEXT: a line, typed at GRUB's prompt through com1; GRUB answers, and prompts again.
typed() {
    from=$(log_size $n)
    printf '%s\r' "$1" >"$mnt/$n/com1"
    in_time_ $LINENO $patience "GRUB's answer to '$1'" answered
}
# Escape sequences, which move the cursor, are left out.
answered() {
    tail -c "+$((from + 1))" "$mnt/$n/log" | tr -d '\r' | sed 's/\x1b\[[0-9;?]*[A-Za-z]//g' >"$work/answer"
    grep -qa '^grub> $' "$work/answer"
}
for engine in jit interp; do
    n=$(new_vm boot=bios bootmenu=off engine=$engine "disk0=$rescue")
    echo start >"$mnt/$n/ctl"
    await "$mnt/$n/log" 'Press enter to boot'
    printf c >"$mnt/$n/com1" # out of the menu
    await "$mnt/$n/log" 'grub>'
    # More than SeaBIOS's keyboard buffer holds. What is typed is seen, then answered.
    typed 'echo abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'
    same "$(grep -ac '^abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$' "$work/answer")" 1 "GRUB's echo"
    typed 'ls (hd0)/boot/grub/'
    holds "files on the disk: $(cat "$work/answer")" grep -qa 'grub.cfg' "$work/answer"
    typed 'if [ 7 -lt 12 ]; then echo less; fi'
    holds "GRUB's shell" grep -qx less "$work/answer"
    echo destroy >"$mnt/$n/ctl"
done

# --- GRUB loads our kernel from an ext2 image ----------------------------------------------------------
# Boot sector, core image in the gap before the first partition, and that partition at 1 MiB.
mkdir "$work/files"
cp "$build/guest/bzImage" "$work/files/kernel"
mke2fs -q -t ext2 -d "$work/files" "$work/part" 16M
cat >"$work/grub.cfg" <<'END'
serial --unit=0
terminal_input serial
terminal_output serial
set root=(hd0,msdos1)
echo which kernel
read name
linux /$name earlyprintk=ttyS0 console=hvc0 root=ennead rootfstype=9p rw rootflags=trans=virtio,version=9p2000.L init=/init of=grub
boot
END
grub-mkimage -O i386-pc -p '(hd0,msdos1)/' -c "$work/grub.cfg" -o "$work/core" \
    biosdisk part_msdos ext2 linux normal serial terminal echo read
python3 -I -S - /usr/lib/grub/i386-pc/boot.img "$work/core" "$work/part" "$work/hd" <<'END'
import struct, sys
boot, core, part = (bytearray(open(name, "rb").read()) for name in sys.argv[1:4])
sectors = (len(core) + 511) // 512
assert sectors < 2047
struct.pack_into("<Q", boot, 0x5c, 1)  # where the first sector of the core image is
boot[0x64] = 0xff  # on the disk that the BIOS booted
# That sector ends in a list of where the others are: first, how many, the segment they go to.
struct.pack_into("<QHH", core, 0x1f4, 2, sectors - 1, 0x820)
boot[446:462] = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", 2048, len(part) // 512)
boot[462:510] = bytes(48)  # no other partitions
boot[510:512] = b"\x55\xaa"
head = boot[:512] + core
open(sys.argv[4], "wb").write(head + bytes(2048 * 512 - len(head)) + part)
END
sum=$(sha256sum <"$work/hd")
n=$(new_vm boot=bios bootmenu=off "disk0=$work/hd")
echo start >"$mnt/$n/ctl"
await "$mnt/$n/log" 'which kernel'
printf 'kernel\r' >"$mnt/$n/com1"
await "$mnt/$n/log" "vm:~# " # it was not told its number
holds "the kernel is GRUB's" has_text "$mnt/$n/log" 'of=grub'
echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "end"
same "$(sha256sum <"$work/hd")" "$sum" "the image under its layer"
echo destroy >"$mnt/$n/ctl"

# --- a disk that nothing boots from --------------------------------------------------------------------
# The default kernel comes next; with another one in conf that comes first.
n=$(new_vm boot=bios bootmenu=off "disk0=$work/disk")
start_vm $n
holds "the disk was tried: $(cat "$mnt/$n/log")" has_text "$mnt/$n/log" 'Booting from Hard Disk'
holds "then the kernel" has_text "$mnt/$n/log" 'Booting from ROM'
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"
cp "$build/guest/bzImage" "$work/kernel"
echo "kernel $work/kernel" >"$mnt/$n/conf"
start_vm $n
lacks "the disk was tried" has_text "$mnt/$n/log" 'Booting from Hard Disk'
echo destroy >"$mnt/$n/ctl"
