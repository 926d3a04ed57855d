// SPDX-License-Identifier: MIT
// What a VM may have whose maker is the guest of another: never more than that one was given.
#include "srv/ennead/vm.h"

#include <algorithm>

namespace ennead::srv {

using synthfs::Checked;
using synthfs::Command;
using synthfs::make_fault;

namespace {

// The fault with the line that set `key`, if one did.
synthfs::Fault at_key(synthfs::Fault fault, const std::string& key,
                      const std::vector<Command>& lines) {
    for (const Command& line : lines) {
        if (line.verb() == key && line.words.size() > 1) {
            fault.command = line.line;
            fault.column = line.words[1].column;
        }
    }
    return fault;
}

synthfs::Fault over_limit(const Vm& above, std::uint64_t limit) {
    return make_fault(EDQUOT, "VM %u and those below it share %s of memory", above.number(),
                      synthfs::format_size(limit).c_str());
}

// Whether `limit` lets a VM have more than `most` does; 0 is no limit.
bool exceeds(std::uint64_t limit, std::uint64_t most) {
    return most != 0 && (limit == 0 || limit > most);
}

std::uint64_t lesser(std::uint64_t limit, std::uint64_t most) {
    return exceeds(limit, most) ? most : limit;
}

}  // namespace

bool Vm::is_in_family_of(const Vm& other) const {
    if (this == &other) {
        return true;
    }
    const auto above = parent();
    return above && above->is_in_family_of(other);
}

const std::shared_ptr<synthfs::StreamFile>& Vm::family_events() {
    if (!family_events_) {
        family_events_ =
            synthfs::StreamFile::make({.name = "events", .capacity = 64 * 1024, .lines = true});
    }
    return family_events_;
}

std::size_t Vm::count_below() const {
    std::size_t count = 0;
    for (const auto& weak : children_) {
        if (const auto child = weak.lock()) {
            count += 1 + child->count_below();
        }
    }
    return count;
}

Checked<> Vm::may_have_child() const {
    unsigned depth = 1;
    for (auto at = shared_from_this(); at; at = at->parent(), ++depth) {
        if (at->settings_.nest() < depth) {
            return make_fault(EPERM, "nesting limit: conf of VM %u says nest %u", at->number_,
                              at->settings_.nest());
        }
        if (at->count_below() >= at->settings_.cap()) {
            return make_fault(ENOSPC, "there are %zu VMs below VM %u, and its conf says cap %llu",
                              at->count_below(), at->number_,
                              static_cast<unsigned long long>(at->settings_.cap()));
        }
    }
    return synthfs::success();
}

Settings Vm::child_settings() const {
    Settings settings(services_.installation);
    for (auto at = shared_from_this(); at; at = at->parent()) {
        if (settings.memory_bytes() > at->memory_limit()) {
            [[maybe_unused]] const auto applied =
                settings.apply("mem " + synthfs::format_size(at->memory_limit()));
        }
        const Settings& above = at->settings_;
        const Settings::IoRate rate = settings.io_limit(), most = above.io_limit();
        [[maybe_unused]] const auto applied = settings.apply(
            "disklimit " + synthfs::format_size(lesser(settings.disk_limit(), above.disk_limit())) +
            "\niolimit " + std::to_string(lesser(rate.operations, most.operations)) + ' ' +
            synthfs::format_size(lesser(rate.bytes, most.bytes)));
    }
    return settings;
}

Checked<> Vm::check_child(const Settings& settings, const std::vector<Command>& lines) const {
    if (const auto keys = settings.host_keys(); !keys.empty()) {
        return at_key(make_fault(EPERM,
                                 "%s: a VM made by a guest has the kernel, BIOS and root of this "
                                 "installation, and no files of the host",
                                 keys.front().c_str()),
                      keys.front(), lines);
    }
    if (settings.nest() != 0 && settings.nest() >= settings_.nest()) {
        return at_key(make_fault(EPERM, "nesting limit: conf of VM %u says nest %u", number_,
                                 settings_.nest()),
                      "nest", lines);
    }
    for (auto at = shared_from_this(); at; at = at->parent()) {
        if (settings.memory_bytes() > at->memory_limit()) {
            return at_key(over_limit(*at, at->memory_limit()), "mem", lines);
        }
        const Settings& above = at->settings_;
        if (exceeds(settings.disk_limit(), above.disk_limit())) {
            return at_key(make_fault(EDQUOT, "VM %u may have %s of disk", at->number(),
                                     synthfs::format_size(above.disk_limit()).c_str()),
                          "disklimit", lines);
        }
        const Settings::IoRate rate = settings.io_limit(), most = above.io_limit();
        if (exceeds(rate.operations, most.operations) || exceeds(rate.bytes, most.bytes)) {
            return at_key(make_fault(EDQUOT, "VM %u may have %llu operations and %s a second",
                                     at->number(), static_cast<unsigned long long>(most.operations),
                                     synthfs::format_size(most.bytes).c_str()),
                          "iolimit", lines);
        }
    }
    return synthfs::success();
}

std::uint64_t Vm::memory_limit() const {
    return machine_ ? process_memory_ : settings_.memory_bytes();
}

std::uint64_t Vm::memory_claim() const {
    return machine_ ? process_memory_ * (1 + names_.ram_trees()) : 0;
}

std::uint64_t Vm::memory_claims_below(const Vm* except) const {
    std::uint64_t sum = 0;
    for (const auto& weak : children_) {
        if (const auto child = weak.lock()) {
            sum += (child.get() == except ? 0 : child->memory_claim()) +
                   child->memory_claims_below(except);
        }
    }
    return sum;
}

Checked<> Vm::check_memory(std::uint64_t bytes, std::size_t ram_trees) const {
    const std::uint64_t claim = bytes * (1 + ram_trees);
    for (auto at = parent(); at; at = at->parent()) {
        if (at->memory_claims_below(this) + claim > at->memory_limit()) {
            return over_limit(*at, at->memory_limit());
        }
    }
    return synthfs::success();
}

}  // namespace ennead::srv
