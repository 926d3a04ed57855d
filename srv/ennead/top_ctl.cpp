// SPDX-License-Identifier: MIT
// Limits and defaults of the server as lines, and what it counts.
#include "srv/ennead/top_ctl.h"

#include <time.h>

#include "srv/common/resident.h"
#include "srv/ennead/time_text.h"
#include "synthfs/result.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Command;
using synthfs::Verb;

// `default key value…` as the line of `conf` that it stands for; positions still point into the
// line written.
Command conf_line(const Command& command) {
    Command line = command;
    line.words.erase(line.words.begin());
    return line;
}

constexpr synthfs::Bounds kCapBounds{0, 1'000'000};

std::uint64_t cpu_time_ns() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

std::vector<Verb> limit_verbs(VmTable& table) {
    std::vector<Verb> verbs;
    verbs.push_back({.name = "default",
                     .min_args = 1,
                     .max_args = synthfs::kAnyArgs,
                     .usage = "default key value",
                     .run = synthfs::at_once([&table](const Command& command) {
                         return table.defaults().apply({conf_line(command)});
                     }),
                     .check = [&table](const Command& command) -> Checked<> {
                         Settings trial = table.defaults();
                         return trial.apply({conf_line(command)});
                     }});
    verbs.push_back({.name = "cap",
                     .min_args = 1,
                     .max_args = 1,
                     .usage = "cap n",
                     .run = synthfs::at_once([&table](const Command& command) -> Checked<> {
                         const auto most = synthfs::parse_number(command.arg(0), kCapBounds);
                         if (!most) {
                             return most.error();
                         }
                         table.set_cap(most.value());
                         return synthfs::success();
                     }),
                     .check = [](const Command& command) -> Checked<> {
                         const auto most = synthfs::parse_number(command.arg(0), kCapBounds);
                         return most ? Checked<>(synthfs::success()) : most.error();
                     }});
    verbs.push_back({.name = "reap",
                     .min_args = 1,
                     .max_args = 1,
                     .usage = "reap time",
                     .run = synthfs::at_once([&table](const Command& command) -> Checked<> {
                         const auto time = parse_delay(command.arg(0));
                         if (!time) {
                             return time.error();
                         }
                         table.set_reap(time.value());
                         return synthfs::success();
                     }),
                     .check = [](const Command& command) -> Checked<> {
                         const auto time = parse_delay(command.arg(0));
                         return time ? Checked<>(synthfs::success()) : time.error();
                     }});
    return verbs;
}

std::string limits_text(const VmTable& table) {
    std::string text =
        "cap " + std::to_string(table.cap()) + "\nreap " + format_time(table.reap()) + '\n';
    const std::string settings = table.defaults().text();
    for (std::size_t at = 0; at < settings.size();) {
        const std::size_t end = settings.find('\n', at) + 1;
        text += "default " + settings.substr(at, end - at);
        at = end;
    }
    return text;
}

std::string server_stats_text(const VmTable& table) {
    const VmTable::Counters& counters = table.counters();
    std::string text;
    const auto line = [&text](const char* key, std::uint64_t value) {
        text += std::string(key) + ' ' + std::to_string(value) + '\n';
    };
    line("vms", table.size());
    line("vms_on", table.active());
    line("made", counters.made);
    line("destroyed", counters.destroyed);
    line("reaped", counters.reaped);
    line("refused", counters.refused);
    line("cpu_ns", cpu_time_ns());
    line("rss", resident_bytes());
    return text;
}

}  // namespace ennead::srv
