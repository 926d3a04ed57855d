// SPDX-License-Identifier: MIT
// The list of files under /vm/N: durable ones are functions of the Vm, live ones belong to its
// process.
#include "srv/ennead/vm_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include "srv/ennead/live_file.h"
#include "srv/ennead/vm_table.h"
#include "synthfs/read_only.h"
#include "synthfs/shown_as.h"
#include "synthfs/text_file.h"
#include "synthfs/tree.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Entry;
using synthfs::make_fault;
using synthfs::RequestPtr;
using synthfs::TextFile;
using synthfs::TextWrite;

// Nodes may outlive the VM while somebody has them open; retired, they no longer call these
// functions.
using WeakVm = std::weak_ptr<Vm>;

synthfs::SynthNodePtr make_conf(const WeakVm& weak, synthfs::ErrorSink errors) {
    return synthfs::make_text_file({.mode = 0644,
                                    .name = "conf",
                                    .errors = std::move(errors),
                                    .text = [weak]() -> Checked<std::string> {
                                        const auto vm = weak.lock();
                                        return vm ? vm->settings().text() : std::string();
                                    },
                                    .write =
                                        [weak](RequestPtr, TextWrite write, CheckedReply<> reply) {
                                            const auto lines = synthfs::parse_commands(write.text);
                                            const auto vm = weak.lock();
                                            if (!lines) {
                                                reply(lines.error());
                                            } else if (vm) {
                                                reply(vm->configure(lines.value()));
                                            } else {
                                                reply(make_fault(ENODEV, "the VM was destroyed"));
                                            }
                                        }});
}

synthfs::SynthNodePtr make_name(VmTable& table, const WeakVm& weak, synthfs::ErrorSink errors) {
    return synthfs::make_text_file(
        {.mode = 0644,
         .name = "name",
         .errors = std::move(errors),
         .text = [weak]() -> Checked<std::string> {
             const auto vm = weak.lock();
             return vm ? vm->name() + '\n' : std::string();
         },
         .write =
             [&table, weak](RequestPtr, TextWrite write, CheckedReply<> reply) {
                 const auto lines = synthfs::parse_commands(write.text);
                 const auto vm = weak.lock();
                 if (!lines) {
                     reply(lines.error());
                 } else if (lines.value().size() != 1 || lines.value()[0].words.size() != 1) {
                     reply(make_fault(EINVAL, "a VM's name is one word"));
                 } else if (vm) {
                     reply(table.rename(*vm, lines.value()[0].verb()));
                 } else {
                     reply(make_fault(ENODEV, "the VM was destroyed"));
                 }
             }});
}

synthfs::SynthNodePtr make_status(const WeakVm& weak, synthfs::ErrorSink errors) {
    return synthfs::make_text_file(
        {.mode = 0444,
         .name = "status",
         .errors = std::move(errors),
         .text_later = [weak](RequestPtr, CheckedReply<std::string> reply) {
             if (const auto vm = weak.lock()) {
                 vm->status_text(std::move(reply));
             } else {
                 reply(make_fault(ENODEV, "the VM was destroyed"));
             }
         }});
}

synthfs::SynthNodePtr make_ns(const WeakVm& weak, synthfs::ErrorSink errors) {
    return synthfs::make_text_file({.mode = 0644,
                                    .name = "ns",
                                    .errors = std::move(errors),
                                    .text = [weak]() -> Checked<std::string> {
                                        const auto vm = weak.lock();
                                        return vm ? vm->namespace_text() : std::string();
                                    },
                                    .write =
                                        [weak](RequestPtr, TextWrite write, CheckedReply<> reply) {
                                            auto lines = synthfs::parse_commands(write.text);
                                            const auto vm = weak.lock();
                                            if (!lines) {
                                                reply(lines.error());
                                            } else if (vm) {
                                                vm->change_namespace(std::move(lines.value()),
                                                                     write.truncate,
                                                                     std::move(reply));
                                            } else {
                                                reply(make_fault(ENODEV, "the VM was destroyed"));
                                            }
                                        }});
}

}  // namespace

std::vector<Entry> make_vm_files(VmTable& table, const std::shared_ptr<Vm>& vm) {
    const WeakVm weak = vm;
    const synthfs::ErrorSink errors = vm->errors()->sink();
    const auto durable = [](const char* name, mode_t mode, synthfs::NodePtr node) {
        return Entry{.name = name, .mode = S_IFREG | mode, .make = [node](mode_t) { return node; }};
    };
    const auto live_file = [&](std::string path, mode_t mode) {
        return LiveFile{.mode = mode,
                        .name = std::move(path),
                        .errors = errors,
                        .tree = [weak]() -> synthfs::NodePtr {
                            const auto vm = weak.lock();
                            return vm ? vm->tree() : nullptr;
                        },
                        .log = vm->errors()};
    };
    const auto live = [&](const char* name, mode_t mode, bool stream,
                          std::function<std::uint64_t()> size = {}) {
        LiveFile file = live_file(name, mode);
        file.stream = stream;
        file.size = std::move(size);
        return durable(name, mode, make_live_file(std::move(file)));
    };
    const auto list = [&](const char* name, mode_t mode) {
        LiveFile file = live_file(name, mode);
        file.list = true;
        return durable(name, mode, make_live_file(std::move(file)));
    };
    const auto directory = [](const char* name, mode_t mode, synthfs::NodePtr node) {
        return Entry{.name = name, .mode = S_IFDIR | mode, .make = [node](mode_t) { return node; }};
    };
    const auto jit = [&] {
        const auto in_jit = [&](const char* name, mode_t mode) {
            return durable(name, mode, make_live_file(live_file(std::string("jit/") + name, mode)));
        };
        return synthfs::Directory::make(
            {.mode = 0555,
             .name = "jit",
             .errors = errors,
             .entries = {in_jit("stats", 0444), in_jit("blocks", 0400),
                         directory("block", 0500,
                                   make_live_directory(
                                       {.mode = 0500, .files = live_file("jit/block", 0400)}))}});
    };
    const auto memory_size = [weak]() -> std::uint64_t {
        const auto vm = weak.lock();
        return vm ? vm->settings().memory_bytes() : 0;
    };
    return {
        durable("ctl", 0644, make_vm_ctl(table, vm)),
        durable("conf", 0644, make_conf(weak, errors)),
        durable("name", 0644, make_name(table, weak, errors)),
        durable("status", 0444, make_status(weak, errors)),
        durable("wait", 0444, vm->wait()),
        durable("events", 0444, vm->events()),
        durable("error", 0644, synthfs::make_error_file(vm->errors())),
        durable("cons", 0600, vm->console().stream()),
        durable("log", 0644, vm->console().log()),
        durable("ns", 0644, make_ns(weak, errors)),
        live("com1", 0600, true),
        live("com2", 0600, true),
        live("consctl", 0600, false),
        live("regs", 0600, false),
        live("fpregs", 0600, false),
        live("mem", 0600, false, memory_size),
        live("vmem", 0600, false),
        live("map", 0400, false),
        live("io", 0400, false),
        list("bp", 0600),
        live("trace", 0400, true),
        live("stats", 0644, false),
        directory("jit", 0555, jit()),
        {.name = "root",
         .mode = S_IFDIR | 0700,
         // Once for each process: as long as it is the same tree it has to be the same node.
         .make = [weak, tree = synthfs::NodePtr(),
                  shown = synthfs::NodePtr()](mode_t mode) mutable -> synthfs::NodePtr {
             const auto vm = weak.lock();
             const synthfs::NodePtr now = vm ? vm->guest_tree() : nullptr;
             if (now != tree) {
                 tree = now;
                 shown = now ? synthfs::make_shown_as(
                                   now, {.mode = mode & 0777, .uid = geteuid(), .gid = getegid()})
                             : nullptr;
                 if (shown && !vm->settings().host_write()) {
                     shown = synthfs::make_read_only(std::move(shown));
                 }
             }
             return shown;
         },
         .fresh = true},
    };
}

}  // namespace ennead::srv
