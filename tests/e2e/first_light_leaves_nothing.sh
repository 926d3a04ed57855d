#!/bin/sh
# SPDX-License-Identifier: MIT
# rc/first-light: a shell in a machine from a script or a terminal, and nothing left afterwards.
. "$(dirname "$0")/lib.sh"
script=$here/../../rc/first-light
export ENNEAD="$build/ennead" XDG_RUNTIME_DIR="$work/run"
mkdir "$XDG_RUNTIME_DIR"

nothing_left() {
    [ -z "$(ls -A "$XDG_RUNTIME_DIR")" ] && [ -z "$(ls -A "$TMPDIR")" ] && ! pgrep -f -- "ennead.*$work" >/dev/null
}

# From a script.
printf 'echo sum=$((40+2))\npoweroff\n' | timeout 60 sh "$script" >"$work/out"
holds "the answer is there: $(tail -n 3 "$work/out")" grep -q '^sum=42' "$work/out"
in_time 5 "nothing is left after a script" nothing_left
# The end of input is no reason to leave: the guest's own end is.
echo 'sleep 1; echo late=$((50*2)); poweroff' | timeout 60 sh "$script" >"$work/out"
holds "what came after the end of input is there" grep -q '^late=100' "$work/out"
in_time 5 "nothing is left" nothing_left

# What is wrong is said.
status=0
ENNEAD=$work/missing timeout 10 sh "$script" </dev/null >/dev/null 2>"$work/err" || status=$?
lacks "a missing program is a success" test $status = 0
lacks "first-light hangs without its program" test $status = 124
in_time 5 "nothing is left" nothing_left

# Interrupted while it boots, as a terminal or a service manager does: everything in the group.
for signal in INT TERM HUP; do
    mkfifo "$work/input"
    : >"$work/out" # of the run before, or it would seem to boot already
    # Not as a background job of this shell, which would have SIGINT ignored for good.
    python3 -I -S -c 'import os, signal, sys
os.setsid()
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp("sh", ["sh", sys.argv[1]])' "$script" <>"$work/input" >"$work/out" 2>&1 &
    light=$!
    jobs="${jobs:-} $light"
    in_time $patience "it boots" grep -qa 'Linux version' "$work/out"
    kill "-$signal" -- "-$light"
    in_time 5 "nothing is left after SIG$signal" nothing_left
    status=0
    wait $light 2>/dev/null || status=$?
    lacks "interruption is a success" test $status = 0
    rm "$work/input"
done

# From a terminal.
cat >"$work/terminal.py" <<'PY'
"""Runs a command in a terminal: waits for a prompt, types, leaves as told; checks the terminal."""
import os, pty, select, signal, struct, sys, termios, fcntl, time

how, command = sys.argv[1], sys.argv[2:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 37, 113, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in 0, 1, 2:
        os.dup2(slave, fd)
    os.closerange(3, 100)
    os.execvp(command[0], command)

seen = b""
def until(text, seconds=60):
    global seen
    end = time.monotonic() + seconds
    while text not in seen:
        left = end - time.monotonic()
        if left <= 0 or not select.select([master], [], [], left)[0]:
            os.kill(pid, signal.SIGTERM)
            sys.exit(f"{text!r} did not come; the terminal shows:\n{seen.decode(errors='replace')[-1000:]}")
        seen += os.read(master, 65536)
    seen = seen[seen.index(text) + len(text):]

until(b"vm1:~# ")
assert termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG) == 0, "the terminal is not raw"
os.write(master, b"echo sum=$((40+2))\r")
until(b"sum=42\r")
os.write(master, b"stty size\r")
until(b"37 113\r")
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
os.write(master, b"sleep 1; stty size\r")
until(b"40 120\r")
# Ctrl-C goes to the guest, not to us.
os.write(master, b"sleep 1000; echo slept=$((1+1))\r")
until(b"slept=$((1+1))")
time.sleep(0.3)
os.write(master, b"\x03")
until(b"# ")
os.write(master, b"echo status=$?\r")
until(b"status=130\r")
if how == "leave":
    os.write(master, b"\x1d")
elif how == "poweroff":
    os.write(master, b"poweroff\r")
elif how == "hangup":
    os.close(slave)
    os.close(master)

end = time.monotonic() + 20
status = 0
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    assert time.monotonic() < end, "the command did not end"
    if how == "hangup":
        time.sleep(0.05)
    elif select.select([master], [], [], 0.05)[0]:
        os.read(master, 65536)
if how != "hangup":
    assert termios.tcgetattr(slave) == before, "the terminal's settings were not given back"
PY
for how in leave poweroff hangup; do
    holds "a terminal that ends by $how" python3 -I "$work/terminal.py" $how sh "$script"
    in_time 5 "nothing is left after $how" nothing_left
done
