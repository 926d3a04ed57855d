// SPDX-License-Identifier: MIT
// The list of files in the tree of a VM's guest.
#include "srv/ennead/guest_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "srv/ennead/top_dir.h"
#include "srv/ennead/vm_dir.h"
#include "srv/ennead/vm_table.h"
#include "synthfs/error_log.h"
#include "synthfs/read_only.h"
#include "synthfs/text_file.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Entry;

// Its own input and output: what it writes there it could as well have typed, or been sent.
constexpr std::string_view kItsPorts[] = {"cons", "com1", "com2", "consctl"};

constexpr char kHelp[] = R"(Virtual machines as files: this one, and those that it makes.

    n=$(cat new)              make one; its files are in $n/
    echo start > $n/ctl       boot it
    cat $n/cons               watch its console (Ctrl-C leaves)
    echo 'uname -a' > $n/cons type into it
    cat $n/wait               wait for its end: N reason code uptime cputime 'text'
    echo destroy > $n/ctl     end it, those it made, and remove its files
    mkdir web; rmdir web      make one by name; destroy one that is off

At the top
    self     this machine's number; its directory can be looked at, and its ctl takes what ends it
    new      reading it makes one and gives its number; `key=value` written before sets its conf
    status   one line each: N name state reason mem uptime
    events   a line for every change        error    the last failures, in words
    version  help

In N/
    ctl      start pause resume reset stop powerdown nmi kill destroy; `step n`, `set key value`
             bind [-abcr] source target, unbind [source] target: source is a directory of this
             machine's own tree, '#ram' or '#vm'
    conf status wait events error cons log regs mem ns root/ and others: as on the host

How many, how deep and how much memory: `cap`, `nest` and `mem` in $(cat self)/conf.
)";

// The files of the machine's own directory. Its tree is the guest's root already.
std::vector<Entry> own_files(VmTable& table, const std::shared_ptr<Vm>& vm,
                             const std::vector<Entry>& files) {
    std::vector<Entry> own;
    for (Entry entry : files) {
        if (entry.name == "root") {
            continue;
        }
        if (entry.name == "ctl") {
            entry.make = [node = make_own_ctl(table, vm)](mode_t) { return node; };
        } else if (std::ranges::find(kItsPorts, entry.name) == std::end(kItsPorts)) {
            entry.make = [make = entry.make](mode_t mode) {
                return synthfs::make_read_only(make(mode));
            };
        }
        own.push_back(std::move(entry));
    }
    return own;
}

}  // namespace

std::shared_ptr<synthfs::Directory> make_guest_tree(VmTable& table, const std::shared_ptr<Vm>& vm,
                                                    const std::vector<Entry>& files) {
    const std::weak_ptr<Vm> weak = vm;
    const auto errors = synthfs::ErrorLog::make(16);
    const auto file = [](const char* name, mode_t mode, synthfs::NodePtr node) {
        return Entry{.name = name, .mode = S_IFREG | mode, .make = [node](mode_t) { return node; }};
    };
    const auto text = [&](const char* name, std::function<std::string()> make) {
        return file(
            name, 0444,
            synthfs::make_text_file({.mode = 0444,
                                     .name = name,
                                     .errors = errors->sink(),
                                     .text = [make]() -> Checked<std::string> { return make(); }}));
    };
    const std::string number = std::to_string(vm->number());
    auto tree = synthfs::Directory::make(
        {.mode = 0755,
         .name = "/",
         .errors = errors->sink(),
         .entries = {file("new", 0600, make_new_file(table, errors->sink(), weak)),
                     text("status",
                          [&table, weak] {
                              const auto vm = weak.lock();
                              return vm ? table.status_text(vm.get()) : std::string();
                          }),
                     file("events", 0444, vm->family_events()),
                     file("error", 0644, synthfs::make_error_file(errors)),
                     text("version", [] { return version_text(); }),
                     text("help", [] { return std::string(kHelp); }),
                     text("self", [number] { return number + '\n'; })},
         .hooks = make_vm_hooks(table, weak)});
    tree->add(number, synthfs::Directory::make({.mode = 0755,
                                                .name = number,
                                                .errors = vm->errors()->sink(),
                                                .entries = own_files(table, vm, files)}));
    return tree;
}

}  // namespace ennead::srv
