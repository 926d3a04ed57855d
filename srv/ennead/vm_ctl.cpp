// SPDX-License-Identifier: MIT
// The verbs of `N/ctl`.
#include <algorithm>
#include <string_view>

#include "srv/common/step_count.h"
#include "srv/common/trace_rule.h"
#include "srv/ennead/time_text.h"
#include "srv/ennead/vm_dir.h"
#include "srv/ennead/vm_table.h"
#include "synthfs/ctl_file.h"
#include "synthfs/result.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::make_fault;
using synthfs::RequestPtr;
using synthfs::Verb;

synthfs::Fault destroyed() {
    return make_fault(ENODEV, "the VM was destroyed");
}

// `set key value…` as the line of `conf` that it stands for; positions still point into the line
// written.
Command conf_line(const Command& command) {
    Command line = command;
    line.words.erase(line.words.begin());
    return line;
}

// What a guest may do to its own VM: stop doing things. It would not be there to go on after a
// pause; the rest would give it what it was not given.
constexpr std::string_view kOwnVerbs[] = {"pause", "reset", "stop",        "powerdown",
                                          "nmi",   "kill",  "killonclose", "destroy"};

synthfs::CtlFile vm_ctl(VmTable& table, const std::shared_ptr<Vm>& vm) {
    const std::weak_ptr<Vm> weak = vm;
    synthfs::CtlFile ctl{.mode = 0644, .name = "ctl", .errors = vm->errors()->sink(), .verbs = {}};
    ctl.text = [number = std::to_string(vm->number())]() -> Checked<std::string> {
        return number + '\n';
    };

    const auto plain = [&](const char* name, std::function<void(Vm&, CheckedReply<>)> act) {
        ctl.verbs.push_back(Verb{
            .name = name,
            .usage = name,
            .run = [weak, act = std::move(act)](RequestPtr, const Command&, CheckedReply<> reply) {
                if (const auto self = weak.lock()) {
                    act(*self, std::move(reply));
                } else {
                    reply(destroyed());
                }
            }});
    };
    plain("start", [](Vm& self, CheckedReply<> reply) { self.start(std::move(reply)); });
    for (const char* verb : {"pause", "resume", "reset", "stop", "powerdown", "nmi"}) {
        plain(verb,
              [verb](Vm& self, CheckedReply<> reply) { self.control(verb, std::move(reply)); });
    }
    ctl.verbs.push_back(Verb{.name = "step",
                             .max_args = 1,
                             .usage = "step [n]",
                             .run =
                                 [weak](RequestPtr, const Command& command, CheckedReply<> reply) {
                                     const auto count = parse_steps(command);
                                     const auto self = weak.lock();
                                     if (!count) {
                                         reply(count.error());
                                     } else if (self) {
                                         self->control("step " + std::to_string(count.value()),
                                                       std::move(reply));
                                     } else {
                                         reply(destroyed());
                                     }
                                 },
                             .check = check_steps});
    plain("notrace",
          [](Vm& self, CheckedReply<> reply) { self.control("notrace", std::move(reply)); });
    ctl.verbs.push_back(Verb{.name = "trace",
                             .min_args = 1,
                             .max_args = synthfs::kAnyArgs,
                             .usage = kTraceUsage,
                             .run =
                                 [weak](RequestPtr, const Command& command, CheckedReply<> reply) {
                                     if (const auto self = weak.lock()) {
                                         self->control(command.line, std::move(reply));
                                     } else {
                                         reply(destroyed());
                                     }
                                 },
                             .check = check_trace});
    plain("kill", [](Vm& self, CheckedReply<> reply) { reply(self.kill()); });
    ctl.verbs.push_back(Verb{.name = "killonclose",
                             .usage = "killonclose",
                             .run = synthfs::at_once([weak](const Command&) -> Checked<> {
                                 const auto self = weak.lock();
                                 if (!self) {
                                     return destroyed();
                                 }
                                 self->touch();
                                 return synthfs::success();
                             }),
                             .keep = [weak] {
                                 return std::shared_ptr<void>(nullptr, [weak](void*) {
                                     // Without a process there is nothing to kill.
                                     if (const auto self = weak.lock()) {
                                         (void)self->kill();
                                     }
                                 });
                             }});
    ctl.verbs.push_back(Verb{.name = "timeout",
                             .min_args = 1,
                             .max_args = 1,
                             .usage = "timeout time",
                             .run = synthfs::at_once([weak](const Command& command) -> Checked<> {
                                 const auto time = parse_delay(command.arg(0));
                                 const auto self = weak.lock();
                                 if (!time) {
                                     return time.error();
                                 }
                                 return self ? self->set_timeout(time.value()) : destroyed();
                             }),
                             .check = [](const Command& command) -> Checked<> {
                                 const auto time = parse_delay(command.arg(0));
                                 return time ? Checked<>(synthfs::success()) : time.error();
                             }});
    plain("destroy", [&table](Vm& self, CheckedReply<> reply) {
        // Answered first: afterwards this file answers ENODEV.
        reply(synthfs::success());
        table.destroy(self);
    });
    for (const auto& [verb, usage] : {std::pair{"bind", "bind [-abcor] source target"},
                                      {"mount", "mount [-abc] addr target"},
                                      {"unbind", "unbind [source] target"},
                                      {"unmount", "unmount [source] target"}}) {
        ctl.verbs.push_back(Verb{
            .name = verb,
            .min_args = 1,
            .max_args = synthfs::kAnyArgs,
            .usage = usage,
            .run =
                [weak](RequestPtr, const Command& command, CheckedReply<> reply) {
                    if (const auto self = weak.lock()) {
                        self->change_namespace({command}, false, std::move(reply));
                    } else {
                        reply(destroyed());
                    }
                },
            .check = [](const Command& command) { return synthfs::BindTable::check(command); }});
    }
    ctl.verbs.push_back(Verb{.name = "set",
                             .min_args = 1,
                             .max_args = synthfs::kAnyArgs,
                             .usage = "set key value",
                             .run = synthfs::at_once([weak](const Command& command) -> Checked<> {
                                 const auto self = weak.lock();
                                 if (!self) {
                                     return destroyed();
                                 }
                                 return self->configure({conf_line(command)});
                             }),
                             .check = [weak](const Command& command) -> Checked<> {
                                 const auto self = weak.lock();
                                 if (!self) {
                                     return destroyed();
                                 }
                                 Settings trial = self->settings();
                                 return trial.apply({conf_line(command)});
                             }});
    return ctl;
}

}  // namespace

synthfs::SynthNodePtr make_vm_ctl(VmTable& table, const std::shared_ptr<Vm>& vm) {
    return synthfs::make_ctl_file(vm_ctl(table, vm));
}

synthfs::SynthNodePtr make_own_ctl(VmTable& table, const std::shared_ptr<Vm>& vm) {
    synthfs::CtlFile ctl = vm_ctl(table, vm);
    for (Verb& verb : ctl.verbs) {
        if (std::ranges::find(kOwnVerbs, verb.name) == std::end(kOwnVerbs)) {
            verb.check = [name = verb.name](const Command&) -> Checked<> {
                return make_fault(EPERM, "%.*s is not for the VM's own guest",
                                  static_cast<int>(name.size()), name.data());
            };
        }
    }
    return synthfs::make_ctl_file(std::move(ctl));
}

}  // namespace ennead::srv
