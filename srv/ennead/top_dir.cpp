// SPDX-License-Identifier: MIT
// `new`, `ctl`, `conf`, `status`, `events`, `error`, `version`, `stats`, `help`, and
// directories made by name.
#include "srv/ennead/top_dir.h"

#include <sys/stat.h>

#include "srv/ennead/top_ctl.h"
#include "synthfs/clone_file.h"
#include "synthfs/ctl_file.h"
#include "synthfs/result.h"
#include "synthfs/text_file.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::Entry;
using synthfs::make_fault;
using synthfs::RequestPtr;
using synthfs::Setting;
using synthfs::TextWrite;

// `key=value` as a line of `conf`; faults point into the line that was written.
Command conf_line(const Setting& setting) {
    const std::size_t value_column = setting.column + setting.key.size() + 1;
    return Command{.line = setting.command,
                   .words = {{setting.key, setting.column}, {setting.value, value_column}}};
}

synthfs::SynthNodePtr make_ctl(const TopDir& top) {
    synthfs::CtlFile ctl{.mode = 0600, .name = "ctl", .errors = top.errors->sink(), .verbs = {}};
    ctl.verbs.push_back({.name = "quit",
                         .usage = "quit",
                         .run = synthfs::at_once([quit = top.quit](const Command&) -> Checked<> {
                             quit();
                             return synthfs::success();
                         })});
    for (const synthfs::Verb& verb : limit_verbs(top.table)) {
        ctl.verbs.push_back(verb);
    }
    ctl.verbs.insert(ctl.verbs.end(), top.verbs.begin(), top.verbs.end());
    ctl.text = [&table = top.table, settings = top.settings]() -> Checked<std::string> {
        return limits_text(table) + (settings ? settings() : std::string());
    };
    return synthfs::make_ctl_file(std::move(ctl));
}

synthfs::SynthNodePtr make_conf(const TopDir& top) {
    VmTable& table = top.table;
    return synthfs::make_text_file(
        {.mode = 0644,
         .name = "conf",
         .errors = top.errors->sink(),
         .text = [&table]() -> Checked<std::string> { return table.defaults().text(); },
         .write = [&table](RequestPtr, TextWrite write,
                           CheckedReply<> reply) { reply(table.defaults().apply(write.text)); }});
}

synthfs::SynthNodePtr make_fixed_text(const TopDir& top, const char* name,
                                      std::function<std::string()> text) {
    return synthfs::make_text_file(
        {.mode = 0444,
         .name = name,
         .errors = top.errors->sink(),
         .text = [text = std::move(text)]() -> Checked<std::string> { return text(); }});
}

// The VM that `above` is, kept while it is in use; null at the top.
Checked<std::shared_ptr<Vm>> take(const Above& above) {
    auto vm = above ? above->lock() : nullptr;
    if (above && !vm) {
        return make_fault(ENODEV, "the VM was destroyed");
    }
    return vm;
}

}  // namespace

synthfs::SynthNodePtr make_new_file(VmTable& table, synthfs::ErrorSink errors, Above above) {
    synthfs::CloneFile file;
    file.mode = 0600;
    file.errors = std::move(errors);
    file.check = [&table, above](const Setting& setting) -> Checked<> {
        const auto vm = take(above);
        if (!vm) {
            return vm.error();
        }
        Settings trial = table.settings_for(vm.value().get());
        return table.apply(trial, vm.value().get(), {conf_line(setting)});
    };
    file.make = [&table, above](RequestPtr, std::vector<Setting> given,
                                CheckedReply<std::string> reply) {
        const auto in = take(above);
        if (!in) {
            reply(in.error());
            return;
        }
        std::vector<Command> lines;
        for (const Setting& setting : given) {
            lines.push_back(conf_line(setting));
        }
        Settings settings = table.settings_for(in.value().get());
        if (auto applied = table.apply(settings, in.value().get(), lines); !applied) {
            reply(applied.error());
            return;
        }
        auto vm = table.make(settings, in.value().get());
        if (vm) {
            if (!lines.empty()) {
                vm.value()->touch();
            }
            reply(std::to_string(vm.value()->number()) + '\n');
        } else {
            reply(vm.error());
        }
    };
    return synthfs::make_clone_file(std::move(file));
}

synthfs::DirectoryHooks make_vm_hooks(VmTable& table, Above above) {
    synthfs::DirectoryHooks hooks;
    hooks.mkdir = [&table, above](RequestPtr, const std::string& name,
                                  CheckedReply<synthfs::NodePtr> reply) {
        if (const auto in = take(above)) {
            reply(table.make_named(name, in.value().get()));
        } else {
            reply(in.error());
        }
    };
    hooks.rmdir = [&table, above](RequestPtr, const std::string& name, CheckedReply<> reply) {
        const auto in = take(above);
        const auto vm = in ? table.find(name, in.value().get()) : nullptr;
        if (!in) {
            reply(in.error());
        } else if (!vm) {
            reply(make_fault(EPERM, "%s is not a VM", name.c_str()));
        } else if (vm->active()) {
            reply(make_fault(EBUSY, "VM %u is %s", vm->number(), state_name(vm->state())));
        } else if (vm == in.value()) {
            reply(make_fault(EPERM, "a VM's own directory stays"));
        } else {
            // Answered first: who asks may be served by what goes now.
            reply(synthfs::success());
            table.destroy(*vm);
        }
    };
    // A VM made by name is a symbolic link to its number: `rm name` is what removes a link.
    hooks.unlink = hooks.rmdir;
    hooks.rename = [&table, above](RequestPtr, const std::string& from, const std::string& to,
                                   CheckedReply<> reply) {
        const auto in = take(above);
        const auto vm = in ? table.find(from, in.value().get()) : nullptr;
        if (!in) {
            reply(in.error());
        } else if (!vm) {
            reply(make_fault(EPERM, "%s is not a VM", from.c_str()));
        } else if (vm->parent() != in.value()) {
            reply(make_fault(EPERM, "VM %u has its name in the tree of the VM above it",
                             vm->number()));
        } else {
            reply(table.rename(*vm, to));
        }
    };
    return hooks;
}

std::string version_text() {
    return "ennead " ENNEAD_VERSION "\ntree 1\n";
}

std::shared_ptr<synthfs::Directory> make_top_dir(TopDir top) {
    VmTable& table = top.table;
    const auto file = [](const char* name, mode_t mode, synthfs::NodePtr node) {
        return Entry{.name = name, .mode = S_IFREG | mode, .make = [node](mode_t) { return node; }};
    };
    // A directory too, and with none given it is not there.
    const Entry mounted{
        .name = "n", .mode = S_IFDIR | 0755, .make = [node = top.mounted](mode_t) { return node; }};
    return synthfs::Directory::make({
        .mode = 0755,
        .name = "/",
        .errors = top.errors->sink(),
        .entries =
            {
                file("new", 0600, make_new_file(table, top.errors->sink(), std::nullopt)),
                file("ctl", 0600, make_ctl(top)),
                file("conf", 0644, make_conf(top)),
                file("status", 0444,
                     make_fixed_text(top, "status", [&table] { return table.status_text(); })),
                file("events", 0444, top.events),
                file("error", 0644, synthfs::make_error_file(top.errors)),
                file("version", 0444,
                     make_fixed_text(top, "version", [] { return version_text(); })),
                file("stats", 0444,
                     make_fixed_text(top, "stats", [&table] { return server_stats_text(table); })),
                file("help", 0444,
                     make_fixed_text(top, "help", [] { return std::string(help_text()); })),
                mounted,
            },
        .hooks = make_vm_hooks(table, std::nullopt),
    });
}

}  // namespace ennead::srv
