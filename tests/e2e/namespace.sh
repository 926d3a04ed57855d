#!/bin/sh
# SPDX-License-Identifier: MIT
# A guest's tree is composed of what is bound: before it starts, while it runs, and again in another
# machine that is given the same lines.
. "$(dirname "$0")/lib.sh"
mount_tree

src=$work/src
mkdir -p "$src/sub" "$work/more/sub" "$work/layer/dir" "$work/it's a dir"
echo one >"$src/one" && echo deep >"$src/sub/deep"
echo two >"$work/more/two" && echo hidden >"$work/more/one"
echo lower >"$work/layer/dir/file"
echo quoted >"$work/it's a dir/file"
base=$build/guest/root

n=$(new_vm)
same "$(cat "$mnt/$n/ns")" "bind -o $base /" "ns at first"

answers ENOENT open "$mnt/$n/root"

# Before the start.
echo "bind $src /src" >"$mnt/$n/ctl"
echo "bind -r $work/more /mnt/more" >>"$mnt/$n/ns"
same "$(cat "$mnt/$n/ns")" "bind -o $base /
bind -r $work/more /mnt/more
bind $src /src" "ns before the start"
start_vm $n
same "$(guest $n 'cat /src/one /src/sub/deep /mnt/more/two')" "one
deep
two" "what was bound before the start"
guest $n 'echo made >/src/made; mkdir /src/newdir; sync'
same "$(cat "$src/made")" made "a file that the guest made in a host directory"
holds "a directory that the guest made" test -d "$src/newdir"
lacks "a read-only bind was written" guest_ $LINENO $n 'echo x >/mnt/more/two 2>/dev/null'
lacks "a directory was made in a read-only bind" guest_ $LINENO $n 'mkdir /mnt/more/x 2>/dev/null'
lacks "a bind's target was removed" guest_ $LINENO $n 'rmdir /src 2>/dev/null'
same "$(guest $n 'cd /src && cd .. && pwd && ls -d src')" "/
src" "above a bind's root"

# While it runs: a union, an overlay, memory. The guest has looked at /src before.
echo "bind -a $work/more /src" >"$mnt/$n/ctl"
same "$(guest $n 'cat /src/one /src/two; echo $(ls /src)')" "one
two
made newdir one sub two" "a union"
lacks "a file was made in a union that takes none" guest_ $LINENO $n 'echo x >/src/x 2>/dev/null'
echo "bind -o $work/layer /over" >"$mnt/$n/ctl"
guest $n 'echo changed >/over/dir/file && echo new >/over/dir/new && cat /over/dir/file' >"$work/out"
same "$(cat "$work/out")" changed "a file of an overlay"
same "$(cat "$work/layer/dir/file")" lower "the file below it"
lacks "an overlay wrote to its source" test -e "$work/layer/dir/new"
guest $n 'rm /over/dir/file; ls /over/dir' >"$work/out"
same "$(cat "$work/out")" new "a file removed from an overlay"
echo "bind -c '#ram' /memory" >"$mnt/$n/ctl"
same "$(guest $n 'echo kept >/memory/f; mkdir /memory/d; cat /memory/f; echo $(ls /memory)')" "kept
d f" "a tree in memory"
full=$(guest $n 'dd if=/dev/zero of=/memory/big bs=1M count=400 oflag=direct 2>&1 | grep -c "No space left"; rm /memory/big')
same "$full" 1 "a full tree in memory says so"
echo "bind '$(echo "$work" | sed "s/'/''/g")/it''s a dir' '/quoted name'" >"$mnt/$n/ctl"
same "$(guest $n 'cat "/quoted name/file"')" quoted "names with quotes and blanks"

# The host sees the same tree, and cannot change it.
same "$(cat "$mnt/$n/root/src/one" "$mnt/$n/root/over/dir/new" "$mnt/$n/root/memory/f")" "one
new
kept" "files of the guest seen from the host"
same "$(echo $(ls "$mnt/$n/root/src"))" "made newdir one sub two" "a union seen from the host"
same "$(readlink "$mnt/$n/root/etc/mtab")" "$(readlink "$base/etc/mtab")" "a link of the guest"
same "$(stat -c '%a %U' "$mnt/$n/root")" "700 $(id -un)" "mode and owner of root/"
answers EROFS write "$mnt/$n/root/src/one" x
answers EROFS mkdir "$mnt/$n/root/src/x"
answers EROFS unlink "$mnt/$n/root/src/one"
answers EROFS rename "$mnt/$n/root/src/one" "$mnt/$n/root/src/uno"
answers ENOENT open "$mnt/$n/root/missing"

# Mistakes change nothing, there or here.
cat "$mnt/$n/ns" >"$work/before"
refused ENOENT "$mnt/$n/ctl" "bind $work/missing /x" missing
refused ENOTDIR "$mnt/$n/ctl" "bind $src/one /x" one
refused EINVAL "$mnt/$n/ctl" "bind src /x" absolute
refused EINVAL "$mnt/$n/ctl" "bind -q $src /x" flag
refused EINVAL "$mnt/$n/ctl" "bind $src" usage
refused EINVAL "$mnt/$n/ns" "bind -ab $src /x" exclude
refused EINVAL "$mnt/$n/ns" "nonsense"
refused EINVAL "$mnt/$n/ns" "bind $src /x
bind '$src /y"
refused ENOENT "$mnt/$n/ns" "bind $src /x
bind $work/missing /y"
refused ENOTDIR "$mnt/$n/ctl" "bind $src /etc/hosts" /etc/hosts
refused ELOOP "$mnt/$n/ctl" "bind $mnt /x" tree
refused ELOOP "$mnt/$n/ctl" "bind $mnt/$n /x" tree
refused ELOOP "$mnt/$n/ctl" "bind $TMPDIR/$(ls "$TMPDIR")/$n /x" scratch
refused EEXIST "$mnt/$n/ctl" "bind -b $src /src"
refused ENOENT "$mnt/$n/ctl" 'unbind /nothing'
refused EBUSY "$mnt/$n/ctl" 'unbind /'
refused EBUSY "$mnt/$n/ctl" "bind -ob $src /over" scratch
refused EOPNOTSUPP "$mnt/$n/ctl" "bind -o '#vm' /vm" overlay
same "$(cat "$mnt/$n/ns")" "$(cat "$work/before")" "ns after mistakes"

# A directory that has the tree and the scratch layers below it does not give them.
echo "bind -r $work /all" >"$mnt/$n/ctl"
same "$(guest $n 'cat /all/src/one')" one "a file below"
lacks "the guest entered the tree it is in" guest_ $LINENO $n "ls /all/vm 2>/dev/null"
lacks "the guest entered scratch layers" guest_ $LINENO $n "ls /all/state/* 2>/dev/null"

# The same lines in another machine. What memory and scratch layers hold is each machine's own.
m=$(new_vm)
cat "$mnt/$n/ns" >"$mnt/$m/ns"
holds "both have the same ns" cmp "$mnt/$n/ns" "$mnt/$m/ns"
start_vm $m
same "$(guest $m 'cat /src/one /src/two /over/dir/file "/quoted name/file"; ls /memory')" "one
two
lower
quoted" "the same name space in another machine"
guest $m 'echo seen >/src/one; sync'
same "$(cat "$src/one")" seen "a file that the other machine wrote"

# Taken away again: also from those who have files of it open.
guest $n 'exec 3</src/made'
echo "unbind $src /src" >"$mnt/$n/ctl"
lacks "the guest reads what was unbound" guest_ $LINENO $n 'cat <&3 2>/dev/null'
lacks "the guest finds what was unbound" guest_ $LINENO $n 'exec 3<&-; cat /src/made 2>/dev/null'
same "$(guest $n 'echo $(ls /src); cat /src/one')" "one sub two
hidden" "what is left of the union"
echo 'unbind /src' >"$mnt/$n/ctl"
lacks "a target that was not there before stays" guest_ $LINENO $n 'ls -d /src 2>/dev/null'
# Replacing: what is named again is still the same.
grep -v -e ' /over$' "$mnt/$n/ns" >"$work/lines"
cat "$work/lines" >"$mnt/$n/ns"
same "$(cat "$mnt/$n/ns")" "$(cat "$work/lines")" "ns replaced"
same "$(guest $n 'cat /memory/f')" kept "memory that was named again"
echo '# nothing' >"$mnt/$n/ns"
same "$(cat "$mnt/$n/ns")" "bind -o $base /" "ns cleared"
lacks "memory outlives its bind" guest_ $LINENO $n 'cat /memory/f 2>/dev/null'
same "$(guest $n 'echo $((6*7))')" 42 "the guest after all that"

# What a guest changed in an overlay is there when it is bound again.
echo "bind -o $work/layer /over" >"$mnt/$n/ctl"
same "$(guest $n 'ls /over/dir')" new "an overlay bound again"

# root/ is there as long as the process.
echo stop >"$mnt/$n/ctl"
ended $n >/dev/null
same "$(cat "$mnt/$n/root/over/dir/new")" new "a file of a machine that has stopped"
echo kill >"$mnt/$n/ctl"
in_time 5 "root/ goes with the process" test ! -e "$mnt/$n/root"

# A machine that began without host directories keeps in mind what it saw, but not what a directory
# shows: it has looked at /mnt, empty, before something is bound there.
c=$(new_vm)
start_vm $c
same "$(guest $c 'ls -A /mnt; ls -d /mnt')" /mnt "an empty directory"
echo "bind $src /mnt" >"$mnt/$c/ctl"
same "$(guest $c 'cat /mnt/sub/deep; ls -d /mnt/one')" "deep
/mnt/one" "the same directory after a bind"
echo "unbind /mnt" >"$mnt/$c/ctl"
guest $c 'echo 3 >/proc/sys/vm/drop_caches' >/dev/null
same "$(guest $c 'ls -A /mnt; ls -d /mnt')" /mnt "the directory after its unbind"

# What the host changes shows in a machine that began with host directories.
same "$(guest $m 'cat /src/sub/deep')" deep "a file before the host changes it"
echo deeper >"$src/sub/deep" && echo fresh >"$src/sub/fresh"
same "$(guest $m 'cat /src/sub/deep /src/sub/fresh')" "deeper
fresh" "files that the host changed"

# The one-liner of the specification.
mkdir "$mnt/build" && echo "bind $src /src" >"$mnt/build/ctl" && echo start >"$mnt/build/ctl"
b=$(cat "$mnt/build/ctl")
await "$mnt/build/log" "$(prompt "$b")"
same "$(guest "$b" 'cat /src/sub/deep')" deeper "mkdir, bind, start"
