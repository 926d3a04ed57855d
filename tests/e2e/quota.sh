#!/bin/sh
# SPDX-License-Identifier: MIT
# disklimit and iolimit, as the guest meets them: what is written to its root and to a directory of the host, over a restart
# and a kill, and changed while it runs.
. "$(dirname "$0")/lib.sh"
mount_tree
mkdir "$work/share"
n=$(new_vm "append=quiet" disklimit=8M)
echo "bind -c '$work/share' /mnt" >"$mnt/$n/ctl"
stat_of() { sed -n "s/^$1 //p" "$mnt/$n/stats"; }
start_vm $n

same "$(guest $n 'df -k /mnt | tail -n 1 | tr -s " " | cut -d " " -f 2')" 8192 "what df says there is"
out=$(guest $n 'dd if=/dev/zero of=/mnt/a bs=64k count=64 2>&1; dd if=/dev/zero of=/b bs=64k count=100; sync; ls -l /b /mnt/a') || :
holds "the guest is told why" sh -c "echo '$out' | grep -qi 'quota exceeded'"
used=$(stat_of disk_used)
holds "all is used ($used), and no more" test "$used" -gt 8300000 -a "$used" -le 8388608
await "$mnt/$n/events" "$n limit disk"
holds "the host's own file is whole" test "$(stat -c %s "$work/share/a")" = 4194304
guest $n 'rm /b; dd if=/dev/zero of=/mnt/c bs=64k count=32 2>/dev/null; sync; rm /mnt/c' >/dev/null
used=$(stat_of disk_used)
holds "what goes is given back ($used)" test "$used" -lt 5000000
guest $n 'dd if=/dev/zero of=/b bs=64k count=16 2>/dev/null; sync' >/dev/null
used=$(stat_of disk_used)

# Neither a restart nor a kill forgets or counts twice.
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "the end"
start_vm $n
again=$(stat_of disk_used)
holds "used over a restart: $used then $again" test "$again" -ge "$used" -a "$again" -lt $((used + 400000))
kill -9 "$(pgrep -P "$server" -x ennead-vm)"
same "$(ended $n)" "kill SIGKILL" "the end"
start_vm $n
third=$(stat_of disk_used)
holds "used over a kill: $used then $third" test "$third" -ge "$used" -a "$third" -lt $((used + 400000))

# Changed while it runs: the other settings are not.
refused EBUSY "$mnt/$n/ctl" "set mem 96M"
refused EINVAL "$mnt/$n/ctl" "set disklimit much"
echo 'set disklimit 1M' >"$mnt/$n/ctl"
guest $n 'echo more >/mnt/more && sync' >/dev/null 2>&1 || :
holds "less than what is used: no more" test ! -s "$work/share/more"
echo 'set disklimit 0' >"$mnt/$n/ctl"
guest $n 'dd if=/dev/zero of=/mnt/c bs=1M count=20 2>/dev/null && sync' >/dev/null
same "$(stat -c %s "$work/share/c")" 20971520 "without a limit"

# Requests beyond the rate wait, and nothing is refused.
same "$(stat_of io_delayed)" 0 "requests that had to wait, without a limit"
echo 'set iolimit 0 4M' >"$mnt/$n/ctl"
guest $n 'echo 3 >/proc/sys/vm/drop_caches; cat /mnt/a /mnt/a | wc -c' >"$work/size"
echo 'set iolimit 0 0' >"$mnt/$n/ctl"
same "$(tail -n 1 "$work/size")" 8388608 "bytes read"
waited=$(stat_of io_delay_us)
holds "it waited ($waited us)" test "$waited" -gt 500000
refused EINVAL "$mnt/$n/ctl" "set iolimit 1 2 3"

# Who gives up waiting is not kept, and nothing comes to a request that was called off.
echo 'set iolimit 0 100K' >"$mnt/$n/ctl"
same "$(guest $n 'echo 3 >/proc/sys/vm/drop_caches; cat /mnt/c >/dev/null & sleep 1; kill $!; wait $! || echo gone' | tail -n 1)" gone "a reader that is killed"
echo 'set iolimit 0' >"$mnt/$n/ctl"
same "$(guest $n 'cat /mnt/c | wc -c' | tail -n 1)" 20971520 "bytes read after that"
