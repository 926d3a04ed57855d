#!/bin/sh
# SPDX-License-Identifier: MIT
# A server that is not root, and what a guest's root promises of its files all the same: owners, set-ID bits and device nodes are kept
# beside plain files, over a restart too; names, sizes, times and files without a name are as on a disk.
. "$(dirname "$0")/lib.sh"

# It has no mount, which /dev/fuse may not allow to nobody: another server shows its tree. And it has its own files, since nobody may
# not be able to look into this directory.
own=$work/own as=
mkdir -p "$own/guest" "$own/state" "$own/share"
cp -R "$build/ennead" "$build/ennead-vm" "$own/"
cp -R "$build/guest/bzImage" "$build/guest/bios.bin" "$build/guest/root" "$own/guest/"
if [ "$(id -u)" = 0 ]; then
    as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
    chown -R nobody:nogroup "$own"
    chmod 711 "$work"
fi
user=$($as id -u)
# shellcheck disable=SC2086
background env TMPDIR="$own/state" $as "$own/ennead" -f --listen "unix!$own/9p"
in_time 10 "the server listens" test -S "$own/9p"
mount_tree
echo "mount unix!$own/9p n/own" >"$mnt/ctl"
in_time 10 "its tree is there" test -e "$mnt/n/own/new"
mnt=$mnt/n/own
n=$(new_vm)
echo "bind $own/share /share" >"$mnt/$n/ctl"
start_vm $n

# attributes DIR: of the files below, made by the lines above them.
attributes() { guest $n "cd $1 && stat -c '%n %f %u:%g %t:%T %s' owned setid dir zero fifo link; cd /"; }
guest $n 'mkdir /var/x && cd /var/x && echo 12345 >owned && chown 1234:4321 owned && chmod 640 owned &&
    cp /bin/busybox setid && chown 7:8 setid && chmod 6755 setid && mkdir dir && chown 5:6 dir && chmod 3777 dir &&
    mknod zero c 1 5 && chmod 622 zero && mkfifo fifo && ln -s owned link && chown -h 9:9 link && cd / && sync' >"$work/out"
expected="owned 81a0 1234:4321 0:0 6
setid 8ded 7:8 0:0 $(stat -Lc %s "$build/guest/root/bin/busybox")
dir 47ff 5:6 0:0 $(guest $n 'stat -c %s /var/x/dir')
zero 2192 0:0 1:5 0
fifo 11a4 0:0 0:0 0
link a1ff 9:9 0:0 5"
same "$(attributes /var/x)" "$expected" "owners, modes and device numbers"
same "$(guest $n 'head -c 3 /var/x/zero | od -An -tx1')" " 00 00 00" "the guest's own device"
# On the host they are plain files of the server's user.
same "$(find "$own/state" \( -type b -o -type c -o -type p -o -type s -o -type l -o -perm /7000 -o ! -user "$user" \) ! -path '*/work*' | head -n 3)" \
    "" "what is odd on the host"

# A directory of the host is shown as it is: the server can give its files to nobody else.
lacks "a file was given away" guest_ $LINENO $n 'cd /share && : >f && chown 1234 f 2>/dev/null'
lacks "a set-ID file was made" guest_ $LINENO $n 'chmod 4755 /share/f 2>/dev/null'
lacks "a device node was made" guest_ $LINENO $n 'mknod /share/zero c 1 5 2>/dev/null'
same "$(stat -c %u "$own/share/f")" "$user" "whose file it is"

# As on a disk, on both.
for dir in /var/x /share; do
    long=$(printf '%255s' | tr ' ' n)
    guest $n "mkdir $dir/p && cd $dir/p && echo x >$long && mv $long m && [ \$(cat m) = x ] && rm m" || fail "$dir: a long name"
    same "$(guest $n "touch ${long}n 2>&1 | sed 's/.*: //'")" "File name too long" "$dir: a name of 256 bytes"
    same "$(guest $n 'exec 3<>f; rm f; echo held >&3; stat -L -c "%s %h" /proc/self/fd/3; cat /proc/self/fd/3; exec 3>&-')" "5 0
held" "$dir: a file without a name"
    same "$(guest $n 'echo old >a; echo new >b; exec 3<a; mv b a; cat <&3; cat a; exec 3<&-; ls')" "old
new
a" "$dir: a rename over an open file"
    guest $n 'echo end | dd of=big bs=1M seek=1048576 conv=notrunc 2>/dev/null; echo begin | dd of=big bs=1 seek=4294967290 conv=notrunc 2>/dev/null'
    same "$(guest $n 'stat -c %s big; tail -c 4 big; dd if=big bs=1 skip=4294967290 count=6 2>/dev/null; echo $(($(stat -c %b big) < 100))')" \
        "1099511627780
end
begin
1" "$dir: a sparse file of a terabyte"
    guest $n 'touch -r /var/x/owned a; [ "$(stat -c %y a)" = "$(stat -c %y /var/x/owned)" ]' || fail "$dir: a time to the nanosecond"
    same "$(guest $n 'stat -f -c %l .')" 255 "$dir: the longest name"
    same "$(guest $n 'mkfifo pipe; (echo through >pipe &) ; cat pipe; cd /; cd ..; pwd')" "through
/" "$dir: a fifo"
done
holds "sparse files are sparse on the host" test "$(du -sm "$own/state" "$own/share" -c | tail -n 1 | cut -f 1)" -lt 50

echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "the machine's end"
start_vm $n
same "$(attributes /var/x)" "$expected" "owners, modes and device numbers after a restart"
echo destroy >"$mnt/$n/ctl"
