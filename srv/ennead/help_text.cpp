// SPDX-License-Identifier: MIT
// The page of text that teaches the tree.
#include "srv/ennead/top_dir.h"

namespace ennead::srv {

std::string_view help_text() {
    return R"(Virtual machines as files.

    n=$(cat new)              make a VM; its files are in $n/
    echo start > $n/ctl       boot it
    cat $n/cons               watch its console (Ctrl-C leaves)
    echo 'uname -a' > $n/cons type into it
    cat $n/status             state reason exit uptime instructions
    cat $n/wait               wait for its end: N reason code uptime cputime 'text'
    echo destroy > $n/ctl     end it and remove its files
    mkdir web; rmdir web      make a VM by name; destroy one that is off
    echo quit > ctl           end the server and every VM

At the top
    new      reading it makes a VM and gives its number; `key=value` written before sets its conf
    conf     settings of new VMs            status   one line a VM: N name state reason mem uptime
    events   a line for every change        error    the last failures, in words
    version  help  stats
    ctl      `cap n` (VMs there can be), `reap time` (of VMs never touched), `default key value`, quit;
             export ADDR [PATH] [-r], unexport ADDR: the tree for 9P clients;
             mount [-abc] ADDR n/NAME, unmount [ADDR] n/NAME; ADDR is unix!PATH or tcp!HOST!PORT
    n/       other servers' trees: n/host/3/ctl drives a machine there

In N/
    ctl      start pause resume reset stop powerdown nmi kill destroy; `step n`, `set key value`
             bind [-abcor] source target, mount [-abc] ADDR target,
             unbind [source] target (unmount too)
             `timeout time` stops it then; killonclose: kill when this open of ctl is closed
    conf     every setting; `cat 1/conf > 2/conf` copies a machine
    name  status  wait  events  error
    cons     console: history, then what comes; writes are input
    log      all console output, kept       com1 com2  serial ports
    consctl  `size rows columns`, `break`, `hangup`
    regs     registers; written while paused    fpregs  x87 and SSE, likewise
    mem      physical memory, as large as it is; written while paused
    vmem     memory by linear address; written while paused
    map      what is where in memory            io      ports
    bp       breakpoints: `rwx address length hits`; > replaces, >> adds
    trace    what `trace insn|irq|exc|io|mmio|9p [lo-hi] [cr3=0x...]` in ctl asks for, as long as
             somebody reads; `notrace` ends it
    ns       the guest's name space, bind and mount lines; `cat 1/ns > 2/ns` copies it
    root/    its tree, to be looked at         stats    counters
    jit/     stats, blocks (a line for each), block/ADDRESS: guest and host code

Settings
    mem 128M   cpus 1   engine jit|interp   boot direct|bios
    bios PATH   biosdebug on|off   bootmenu off|choice|on (Esc, in com1)
    disk0 PATH ... disk3 PATH (changes are the VM's own; `disk0 PATH rw`: the file's)
    kernel PATH   initrd PATH...   root PATH   cmdline TEXT (whole)   append TEXT (added)
    disklimit SIZE (that the guest may add to the host's disks)   iolimit OPS BYTES (a second); 0: none.
             These two may be set while it runs.
    timeout TIME (after start; 0: none)   nest N (levels of VMs its guest may make)   cap N (how many)
    hostwrite off|on (root/ can be written)
    seed NUMBER (of the random device)

Name spaces: `bind $PWD /src`, source a host directory, '#ram' (memory), n/NAME, or '#vm' (the VM's
    own directory and the VMs that its guest makes); `mount ADDR /far`: what a 9P server has;
    at once while it runs
    -b before, -a after what is there (a union), -c new files go here, -r read-only
    -o overlay: changes go to the VM's scratch layer

Tools that read everything (grep -r) wait at streams as at a FIFO: leave out
    cons com1 com2 events wait trace
)";
}

}  // namespace ennead::srv
