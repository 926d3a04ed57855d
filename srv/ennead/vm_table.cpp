// SPDX-License-Identifier: MIT
// Makes, names, finds and destroys VMs.
#include "srv/ennead/vm_table.h"

#include <algorithm>

#include "srv/ennead/vm_dir.h"
#include "synthfs/result.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

VmTable::~VmTable() {
    destroy_all();
}

Checked<std::shared_ptr<Vm>> VmTable::make(const Settings& settings) {
    if (rows_.size() >= cap_) {
        ++counters_.refused;
        return make_fault(ENOSPC, "there are %zu VMs, and ctl says cap %llu", rows_.size(),
                          static_cast<unsigned long long>(cap_));
    }
    auto vm = Vm::make(services_, ++last_number_, settings);
    if (!vm) {
        return vm.error();
    }
    Row row{.vm = vm.value(),
            .files = make_vm_files(*this, vm.value()),
            .directory = nullptr,
            .named = nullptr};
    row.directory = make_dir(row);
    root_->add(std::to_string(last_number_), row.directory);
    rows_.emplace(last_number_, std::move(row));
    ++counters_.made;
    arm_reaper();
    return vm.value();
}

Checked<synthfs::NodePtr> VmTable::make_named(const std::string& name) {
    if (auto good = check_name(name); !good) {
        return good.error();
    }
    auto vm = make(defaults_);
    if (!vm) {
        return vm.error();
    }
    if (auto named = rename(*vm.value(), name); !named) {
        destroy(*vm.value());
        return named.error();
    }
    return synthfs::NodePtr(rows_.at(vm.value()->number()).named);
}

std::shared_ptr<synthfs::Directory> VmTable::make_dir(const Row& row) {
    return synthfs::Directory::make({.mode = 0755,
                                     .name = std::to_string(row.vm->number()),
                                     .errors = row.vm->errors()->sink(),
                                     .entries = row.files});
}

Checked<> VmTable::check_name(const std::string& name) const {
    if (name.empty() || name.size() > 64 || name == "." || name == ".." ||
        name.find('/') != std::string::npos || std::ranges::any_of(name, [](unsigned char c) {
            return c <= ' ' || c == 0x7f || c == '\'';
        })) {
        return make_fault(EINVAL, "a VM's name has 1 to 64 bytes, no blanks, quotes or slashes");
    }
    if (std::ranges::all_of(name, [](unsigned char c) { return c >= '0' && c <= '9'; })) {
        return make_fault(EINVAL, "a VM's name is not a number");
    }
    if (root_->find(name)) {
        return make_fault(EEXIST, "%s is already there", name.c_str());
    }
    return synthfs::success();
}

Checked<> VmTable::rename(Vm& vm, const std::string& name) {
    const std::string number = std::to_string(vm.number());
    if (name == vm.name()) {
        return synthfs::success();
    }
    Row& row = rows_.at(vm.number());
    if (name == number) {
        root_->remove(vm.name());
        row.named = nullptr;
    } else if (auto good = check_name(name); !good) {
        return good.error();
    } else if (row.named) {
        root_->rename_child(vm.name(), name);
    } else {
        row.named = make_dir(row);
        root_->add(name, row.named);
    }
    vm.set_name(name);
    return synthfs::success();
}

std::shared_ptr<Vm> VmTable::find(const std::string& name) const {
    for (const auto& [number, row] : rows_) {
        if (row.vm->name() == name || std::to_string(number) == name) {
            return row.vm;
        }
    }
    return nullptr;
}

void VmTable::destroy(Vm& vm) {
    const auto at = rows_.find(vm.number());
    if (at == rows_.end()) {
        return;
    }
    const Row row = std::move(at->second);  // lives until the end of this function
    rows_.erase(at);
    ++counters_.destroyed;
    root_->remove(std::to_string(vm.number()));
    if (vm.name() != std::to_string(vm.number())) {
        root_->remove(vm.name());
    }
    row.vm->destroy();
    row.directory->retire();
    if (row.named) {
        row.named->retire();
    }
}

void VmTable::destroy_all() {
    while (!rows_.empty()) {
        destroy(*rows_.begin()->second.vm);
    }
}

std::size_t VmTable::active() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(rows_, [](const auto& each) { return each.second.vm->active(); }));
}

void VmTable::set_reap(std::chrono::microseconds time) {
    reap_ = time;
    arm_reaper();
}

void VmTable::arm_reaper() {
    reaper_.cancel();
    auto next = std::chrono::steady_clock::time_point::max();
    for (const auto& [number, row] : rows_) {
        if (!row.vm->touched()) {
            next = std::min(next, row.made_at + reap_);
        }
    }
    if (reap_ == reap_.zero() || next == next.max()) {
        return;
    }
    reaper_.expires_at(next);
    reaper_.async_wait([this](boost::system::error_code ec) {
        if (!ec) {
            reap_untouched();
        }
    });
}

void VmTable::reap_untouched() {
    const auto now = std::chrono::steady_clock::now();
    std::vector<std::shared_ptr<Vm>> due;
    for (const auto& [number, row] : rows_) {
        if (reap_ != reap_.zero() && !row.vm->touched() && row.made_at + reap_ <= now) {
            due.push_back(row.vm);
        }
    }
    for (const auto& vm : due) {
        ++counters_.reaped;
        services_.log("vm=" + std::to_string(vm->number()) + " what=reaped");
        destroy(*vm);
    }
    arm_reaper();
}

std::string VmTable::status_text() const {
    std::string text;
    for (const auto& [number, row] : rows_) {
        text += row.vm->summary();
    }
    return text;
}

}  // namespace ennead::srv
