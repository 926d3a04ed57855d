#!/bin/sh
# SPDX-License-Identifier: MIT
# The power button, the reset button and the plug of a machine.
. "$(dirname "$0")/lib.sh"
mount_tree

banners() { grep -ac 'Linux version' "$mnt/$n/log"; }
prompts() { grep -aoF "$(prompt $n)" "$mnt/$n/log" | grep -c .; }
booted_again() { [ "$(banners)" = $((boots + 1)) ] && [ "$(prompts)" -gt "$had" ]; }

n=$(new_vm)
for verb in pause resume reset stop powerdown nmi kill; do
    refused EBUSY "$mnt/$n/ctl" $verb
done
background cat "$mnt/$n/events" >"$work/events"
start_vm $n
refused EBUSY "$mnt/$n/ctl" start

# The reset button: everything in the guest begins anew, what it had written remains.
guest $n 'echo kept >/kept; echo lost >/tmp/lost; sync'
for from in running paused; do
    [ $from = running ] || echo pause >"$mnt/$n/ctl"
    boots=$(banners) had=$(prompts)
    echo reset >"$mnt/$n/ctl"
    same "$(state $n)" $from "state after reset"
    [ $from = running ] || echo resume >"$mnt/$n/ctl"
    in_time $patience "second boot after reset from $from" booted_again
done
same "$(guest $n 'cat /kept')" kept "a file written before the reset"
lacks "a file in memory outlives the reset" guest_ $LINENO $n 'test -e /tmp/lost'

# The guest resets itself.
boots=$(banners) had=$(prompts)
echo reboot >"$mnt/$n/cons"
in_time $patience "boot after reboot typed in the guest" booted_again
lacks "wait ends while the machine runs" timeout 0.5 cat "$mnt/$n/wait"

# The power button: the guest switches itself off.
echo powerdown >"$mnt/$n/ctl"
same "$(ended $n)" "poweroff 0" "end by the power button"
refused EBUSY "$mnt/$n/ctl" pause 'the machine is off'
# shellcheck disable=SC2094 # one descriptor
same "$({ echo pause >&3 || cat <&3; } 3<>"$mnt/$n/ctl" 2>/dev/null)" "the machine is off" "what ctl says to pause"
same "$(cut -d ' ' -f 1-3 "$mnt/$n/status")" "stopped poweroff 0" "status"
refused EBUSY "$mnt/$n/ctl" powerdown
refused EPIPE "$mnt/$n/cons" "anybody there?"
await "$work/events" "$n state stopped poweroff"

# The plug: off at once, whatever the guest does, and also while paused.
start_vm $n
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end by stop"
same "$(state $n)" stopped "state after stop"

# By the clock, and with whoever started it.
printf 'start\ntimeout 10ms\n' >"$mnt/$n/ctl"
same "$(ended $n)" "timeout 0" "end by timeout"
exec 9>"$mnt/$n/ctl"
printf 'killonclose\nstart\n' >&9
same "$(state $n)" running "state while ctl is open"
exec 9>&-
same "$(ended $n)" "kill SIGKILL" "end as ctl is closed"
start_vm $n
echo pause >"$mnt/$n/ctl"
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end by stop while paused"

# A panic of the guest is told, with everything left to look at.
start_vm $n
echo 'echo c >/proc/sysrq-trigger' >"$mnt/$n/cons"
same "$(ended $n)" "panic 0" "end by a panic"
same "$(cut -d ' ' -f 1-3 "$mnt/$n/status")" "stopped panic 0" "status"
holds "wait says so in words" grep -q "panicked" "$work/wait.$n"
await "$work/events" "$n state stopped panic 0"
await "$mnt/$n/log" "Kernel panic - not syncing: sysrq triggered crash"
holds "registers can be read" grep -qx 'mode protected32' "$mnt/$n/regs"
holds "memory has the kernel's last words" grep -qa 'not syncing: sysrq' "$mnt/$n/mem"
start_vm $n
same "$(guest $n 'echo $((11*11))')" 121 "the machine after the panic"

# A kernel that does not know of it resets the machine, which is not a panic to us.
echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "end"
echo 'append initcall_blacklist=pvpanic_mmio_driver_init' >"$mnt/$n/conf"
start_vm $n
boots=$(banners) had=$(prompts)
echo 'echo c >/proc/sysrq-trigger' >"$mnt/$n/cons"
in_time $patience "boot after a panic that nobody was told of" booted_again
