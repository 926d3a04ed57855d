// SPDX-License-Identifier: MIT
// The list of live files and the meaning of each.
#include "srv/ennead-vm/live_dir.h"

#include <sys/stat.h>

#include <cstring>
#include <optional>

#include "srv/common/resident.h"
#include "srv/common/step_count.h"
#include "srv/common/trace_rule.h"
#include "srv/ennead-vm/bp_list.h"
#include "srv/ennead-vm/jit_dir.h"
#include "srv/ennead-vm/machine_files.h"
#include "synthfs/ctl_file.h"
#include "synthfs/text_file.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::Fault;
using synthfs::make_fault;
using synthfs::RequestPtr;
using synthfs::StreamFile;
using vmcore::RunState;
using vmcore::Vcpu;

// More than the server can be behind while it still reads at all.
constexpr std::size_t kConsoleRing = 4 * 1024 * 1024;

const char* reason_name(vmcore::OffReason reason) {
    switch (reason) {
        case vmcore::OffReason::poweroff:
            return "poweroff";
        case vmcore::OffReason::stop:
            return "stop";
        case vmcore::OffReason::reset_loop:
            return "resetloop";
        case vmcore::OffReason::panic:
            return "panic";
    }
    return "unknown";
}

// As a word of an event. What no line of words can hold becomes a question mark.
std::string event_word(std::string text) {
    for (char& c : text) {
        if (c == '\0' || c == '\n') {
            c = '?';
        }
    }
    return synthfs::quote(text);
}

std::span<const vmcore::u8> as_u8(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const vmcore::u8*>(bytes.data()), bytes.size()};
}

}  // namespace

Fault wrong_state(RunState state) {
    const char* name = state == RunState::running  ? "running"
                       : state == RunState::paused ? "paused"
                                                   : "off";
    return make_fault(EBUSY, "the machine is %s", name);
}

LiveDir::LiveDir(boost::asio::io_context& io, GuestRoot& guest_root, synthfs::NodePtr tree,
                 std::shared_ptr<const LimitsPage> limits)
    : io_(io),
      on_vcpu_(io),
      guest_root_(guest_root),
      limits_(std::move(limits)),
      trace_(on_vcpu_, io, error_sink()) {
    console_ = make_console();
    com_[0] = make_com(0, "com1");
    com_[1] = make_com(1, "com2");
    events_ = StreamFile::make({.mode = 0400, .name = "events", .lines = true});

    const auto file = [](const char* name, mode_t mode, synthfs::NodePtr node) {
        return synthfs::Entry{
            .name = name, .mode = S_IFREG | mode, .make = [node](mode_t) { return node; }};
    };
    root_ = synthfs::Directory::make(
        {.mode = 0700,
         .entries = {
             file("ctl", 0600, make_ctl()),
             file("events", 0400, events_),
             file("cons", 0600, console_),
             file("consctl", 0600, make_consctl()),
             file("com1", 0600, com_[0]),
             file("com2", 0600, com_[1]),
             file("regs", 0600, make_regs(on_vcpu_, error_sink())),
             file("fpregs", 0600, make_fpregs(on_vcpu_, error_sink())),
             file("mem", 0600, make_mem(on_vcpu_, error_sink())),
             file("vmem", 0600, make_vmem(on_vcpu_, error_sink())),
             file("map", 0400, make_map(on_vcpu_, error_sink())),
             file("io", 0400, make_io(on_vcpu_, error_sink())),
             file("bp", 0600, make_bp()),
             file("trace", 0400, trace_.node()),
             file("stats", 0600, make_stats()),
             file("instructions", 0400, make_instructions()),
             {.name = "jit",
              .mode = S_IFDIR | 0700,
              .make = [node = make_jit()](mode_t) { return node; }},
             {.name = "root", .mode = S_IFDIR | 0700, .make = [tree](mode_t) { return tree; }},
         }});
}

synthfs::ErrorSink LiveDir::error_sink() {
    return [this](const synthfs::ErrorRecord& record) {
        const std::string column = record.column ? std::to_string(*record.column) : "-1";
        events_->append("error " + std::to_string(record.errnum) + ' ' + event_word(record.file) +
                        ' ' + column + ' ' + event_word(record.command) + ' ' +
                        event_word(record.text) + '\n');
    };
}

void LiveDir::state_changed(RunState state, vmcore::OffReason reason, std::uint64_t instructions) {
    switch (state) {
        case RunState::running:
            events_->append("running\n");
            break;
        case RunState::paused:
            events_->append("paused\n");
            break;
        case RunState::off:
            console_->set_eof();
            com_[0]->set_eof();
            com_[1]->set_eof();
            trace_.machine_off();
            events_->append("off " + std::string(reason_name(reason)) + ' ' +
                            std::to_string(on_vcpu_.vcpu().cpu_time_ns()) + ' ' +
                            std::to_string(instructions) + '\n');
            break;
    }
}

void LiveDir::report(const std::string& file, int errnum, std::string text) {
    synthfs::ErrorRecord record;
    record.errnum = errnum;
    record.file = file;
    record.text = std::move(text);
    error_sink()(record);
}

void LiveDir::breakpoint_hit(const vmcore::BreakpointHit& hit) {
    events_->append("breakpoint " + address_text(hit.address) + ' ' + kind_text(hit.kind) + '\n');
}

void LiveDir::input_room() {
    console_->wake();
    com_[0]->wake();
    com_[1]->wake();
}

std::shared_ptr<StreamFile> LiveDir::make_console() {
    StreamFile::Options options;
    options.mode = 0600;
    options.name = "cons";
    options.errors = error_sink();
    options.capacity = options.history = kConsoleRing;
    options.write = [this](RequestPtr, std::span<const std::byte> data,
                           CheckedReply<std::size_t> reply) {
        if (console_->at_eof()) {
            reply(make_fault(EPIPE, "the machine is off"));
            return;
        }
        on_vcpu_([bytes = std::vector<std::byte>(data.begin(), data.end())](
                     Vcpu& v) { return v.machine().console_input(as_u8(bytes)); },
                 [reply = std::move(reply), wanted = data.size()](std::size_t taken) {
                     if (taken == 0 && wanted != 0) {
                         reply(make_fault(EAGAIN, "the guest has not read its input yet"));
                     } else {
                         reply(taken);
                     }
                 });
    };
    return StreamFile::make(std::move(options));
}

std::shared_ptr<StreamFile> LiveDir::make_com(unsigned port, std::string name) {
    StreamFile::Options options;
    options.mode = 0600;
    options.name = std::move(name);
    options.errors = error_sink();
    options.history = 0;
    options.write = [this, port](RequestPtr, std::span<const std::byte> data,
                                 CheckedReply<std::size_t> reply) {
        if (com_[port]->at_eof()) {
            reply(make_fault(EPIPE, "the machine is off"));
            return;
        }
        on_vcpu_([port, bytes = std::vector<std::byte>(data.begin(), data.end())](
                     Vcpu& v) { return v.machine().com_input(port, as_u8(bytes)); },
                 [reply = std::move(reply), wanted = data.size()](std::size_t taken) {
                     if (taken == 0 && wanted != 0) {
                         reply(make_fault(EAGAIN, "the guest has not read its input yet"));
                     } else {
                         reply(taken);
                     }
                 });
    };
    return StreamFile::make(std::move(options));
}

synthfs::NodePtr LiveDir::make_ctl() {
    synthfs::CtlFile ctl{.mode = 0600, .errors = error_sink(), .verbs = {}};
    // Each verb names the states in which it makes sense and what it then does.
    const auto act_if = [this](bool when_running, bool when_paused, auto act,
                               CheckedReply<> reply) {
        on_vcpu_(
            [=](Vcpu& v) {
                const RunState state = v.run_state();
                const bool allowed = (state == RunState::running && when_running) ||
                                     (state == RunState::paused && when_paused);
                if (allowed) {
                    act(v);
                }
                return std::pair(allowed, state);
            },
            [reply = std::move(reply)](std::pair<bool, RunState> result) {
                if (result.first) {
                    reply(synthfs::success());
                } else {
                    reply(wrong_state(result.second));
                }
            });
    };
    const auto verb = [&ctl, act_if](const char* name, bool when_running, bool when_paused,
                                     void (*act)(Vcpu&)) {
        ctl.verbs.push_back({.name = name,
                             .usage = name,
                             .run = [=](RequestPtr, const Command&, CheckedReply<> reply) {
                                 act_if(when_running, when_paused, act, std::move(reply));
                             }});
    };
    verb("pause", true, false, [](Vcpu& v) { v.pause(); });
    verb("resume", false, true, [](Vcpu& v) { v.resume(); });
    ctl.verbs.push_back({.name = "step",
                         .max_args = 1,
                         .usage = "step [n]",
                         .run =
                             [act_if](RequestPtr, const Command& command, CheckedReply<> reply) {
                                 const auto count = parse_steps(command);
                                 if (!count) {
                                     reply(count.error());
                                     return;
                                 }
                                 act_if(
                                     false, true, [n = count.value()](Vcpu& v) { v.step(n); },
                                     std::move(reply));
                             },
                         .check = check_steps});
    verb("reset", true, true, [](Vcpu& v) { v.reset(); });
    verb("stop", true, true, [](Vcpu& v) { v.switch_off(vmcore::OffReason::stop); });
    verb("powerdown", true, false, [](Vcpu& v) { v.machine().press_power_button(); });
    verb("nmi", true, true, [](Vcpu& v) { v.machine().raise_nmi(); });
    ctl.verbs.push_back({.name = "trace",
                         .min_args = 1,
                         .max_args = synthfs::kAnyArgs,
                         .usage = kTraceUsage,
                         .run =
                             [this](RequestPtr, const Command& command, CheckedReply<> reply) {
                                 auto rule = parse_trace(command);
                                 if (rule) {
                                     trace_.add(std::move(rule.value()), std::move(reply));
                                 } else {
                                     reply(rule.error());
                                 }
                             },
                         .check = check_trace});
    ctl.verbs.push_back({.name = "notrace",
                         .usage = "notrace",
                         .run = [this](RequestPtr, const Command&, CheckedReply<> reply) {
                             trace_.end(std::move(reply));
                         }});
    return synthfs::make_ctl_file(std::move(ctl));
}

synthfs::NodePtr LiveDir::make_consctl() {
    synthfs::CtlFile ctl{.mode = 0600, .name = "consctl", .errors = error_sink(), .verbs = {}};
    ctl.verbs.push_back({.name = "size",
                         .min_args = 2,
                         .max_args = 2,
                         .usage = "size rows columns",
                         .run = [this](RequestPtr, const Command& command, CheckedReply<> reply) {
                             const auto rows = synthfs::parse_number(command.arg(0), {1, 65535});
                             const auto columns = synthfs::parse_number(command.arg(1), {1, 65535});
                             if (!rows || !columns) {
                                 reply(rows ? columns.error() : rows.error());
                                 return;
                             }
                             console_size_ = std::to_string(rows.value()) + ' ' +
                                             std::to_string(columns.value());
                             on_vcpu_(
                                 [r = static_cast<vmcore::u16>(rows.value()),
                                  c = static_cast<vmcore::u16>(columns.value())](Vcpu& v) {
                                     v.machine().console_size(c, r);
                                     return true;
                                 },
                                 [reply = std::move(reply)](bool) { reply(synthfs::success()); });
                         }});
    const auto plain = [&](const char* name, void (*act)(vmcore::Machine&)) {
        ctl.verbs.push_back(
            {.name = name,
             .usage = name,
             .run = [this, act](RequestPtr, const Command&, CheckedReply<> reply) {
                 on_vcpu_(
                     [act](Vcpu& v) {
                         act(v.machine());
                         return true;
                     },
                     [reply = std::move(reply)](bool) { reply(synthfs::success()); });
             }});
    };
    plain("break", [](vmcore::Machine& machine) { machine.console_break(); });
    plain("hangup", [](vmcore::Machine& machine) { machine.console_hangup(); });
    ctl.text = [this]() -> Checked<std::string> { return "size " + console_size_ + '\n'; };
    return synthfs::make_ctl_file(std::move(ctl));
}

synthfs::NodePtr LiveDir::make_bp() {
    synthfs::TextFile file{.mode = 0600, .name = "bp", .errors = error_sink()};
    file.text_later = [this](RequestPtr, CheckedReply<std::string> reply) {
        on_vcpu_([](Vcpu& v) { return print_breakpoints(v.machine().cpu().breakpoints.list()); },
                 [reply = std::move(reply)](std::string text) { reply(std::move(text)); });
    };
    // The open need not wait for it: commands are done in order.
    file.truncate = [this]() -> Checked<> {
        on_vcpu_.vcpu().post([](Vcpu& v) { v.machine().cpu().set_breakpoints({}); });
        return synthfs::success();
    };
    file.write = [this](RequestPtr, synthfs::TextWrite write, CheckedReply<> reply) {
        auto list = parse_breakpoints(write.text);
        if (!list) {
            reply(list.error());
            return;
        }
        on_vcpu_(
            [more = std::move(list.value())](Vcpu& v) -> Checked<> {
                BreakpointList all = v.machine().cpu().breakpoints.list();
                if (auto added = add_breakpoints(all, more); !added) {
                    return added;
                }
                v.machine().cpu().set_breakpoints(std::move(all));
                return synthfs::success();
            },
            [reply = std::move(reply)](Checked<> done) { reply(std::move(done)); });
    };
    return synthfs::make_text_file(std::move(file));
}

synthfs::NodePtr LiveDir::make_jit() {
    return make_jit_dir(
        [this](TranslationsWork work) {
            on_vcpu_.vcpu().post([this, work = std::move(work)](Vcpu& v) {
                boost::asio::post(io_, work(v.machine().engine().translations()));
            });
        },
        error_sink());
}

void LiveDir::count(std::function<void(Counters)> then) {
    on_vcpu_(
        [](Vcpu& v) {
            Counters counters = {{"instructions", v.machine().cpu().state.instructions},
                                 {"machine_ns", v.machine().clock().now_ns()},
                                 {"irqs", v.machine().interrupts()}};
            for (auto& each : v.machine().engine().counters()) {
                counters.push_back(std::move(each));
            }
            return counters;
        },
        [this, then = std::move(then)](Counters counters) {
            const p9::ServerCounters& p9 = guest_root_.counters();
            counters.emplace_back("cpu_ns", on_vcpu_.vcpu().cpu_time_ns());
            counters.emplace_back("9p_requests", p9.requests);
            counters.emplace_back("9p_bytes_in", p9.bytes_in);
            counters.emplace_back("9p_bytes_out", p9.bytes_out);
            counters.emplace_back("io_delayed", limits_->io_delayed);
            counters.emplace_back("io_delay_us", limits_->io_delay_us);
            counters.emplace_back("disk_refused", limits_->disk.refused);
            then(std::move(counters));
        });
}

// Counters are shown from where a write has put their zero; those that began again since then, as a
// reset makes them, from their own.
synthfs::NodePtr LiveDir::make_stats() {
    synthfs::TextFile file{.mode = 0600, .name = "stats", .errors = error_sink()};
    file.text_later = [this](RequestPtr, CheckedReply<std::string> reply) {
        count([this, reply = std::move(reply)](const Counters& counters) {
            std::string text;
            const auto line = [&text](const std::string& key, std::uint64_t value) {
                text += key + ' ' + std::to_string(value) + '\n';
            };
            for (const auto& [key, value] : counters) {
                const auto zero = zeros_.find(key);
                line(key,
                     zero != zeros_.end() && zero->second <= value ? value - zero->second : value);
            }
            line("rss", resident_bytes());
            line("disk_used", limits_->disk.limit != 0 ? limits_->disk.used() : 0);
            reply(std::move(text));
        });
    };
    file.write = [this](RequestPtr, synthfs::TextWrite, CheckedReply<> reply) {
        count([this, reply = std::move(reply)](const Counters& counters) {
            zeros_ = {counters.begin(), counters.end()};
            reply(synthfs::success());
        });
    };
    return synthfs::make_text_file(std::move(file));
}

// Never zeroed: `status` shows it.
synthfs::NodePtr LiveDir::make_instructions() {
    synthfs::TextFile file{.mode = 0400, .name = "instructions", .errors = error_sink()};
    file.text_later = [this](RequestPtr, CheckedReply<std::string> reply) {
        on_vcpu_([](Vcpu& v) { return v.machine().cpu().state.instructions; },
                 [reply = std::move(reply)](vmcore::u64 count) {
                     reply("instructions " + std::to_string(count) + '\n');
                 });
    };
    return synthfs::make_text_file(std::move(file));
}

}  // namespace ennead::srv
