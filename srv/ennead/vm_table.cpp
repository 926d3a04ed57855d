// SPDX-License-Identifier: MIT
// Makes, names, finds and destroys VMs.
#include "srv/ennead/vm_table.h"

#include <algorithm>

#include "srv/ennead/guest_tree.h"
#include "srv/ennead/vm_dir.h"
#include "synthfs/result.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

VmTable::VmTable(VmServices& services)
    : services_(services), defaults_(services.installation), reaper_(services.io) {
    services_.tree_of = [this](Vm& vm) -> synthfs::NodePtr { return tree_of(vm); };
}

VmTable::~VmTable() {
    destroy_all();
    services_.tree_of = nullptr;
}

Settings VmTable::settings_for(const Vm* above) const {
    return above != nullptr ? above->child_settings() : defaults_;
}

Checked<> VmTable::apply(Settings& settings, const Vm* above,
                         const std::vector<synthfs::Command>& lines) const {
    Settings next = settings;
    if (auto applied = next.apply(lines); !applied) {
        return applied;
    }
    if (above != nullptr) {
        if (auto allowed = above->check_child(next, lines); !allowed) {
            return allowed;
        }
    }
    settings = std::move(next);
    return synthfs::success();
}

Checked<std::shared_ptr<Vm>> VmTable::make(const Settings& settings, Vm* above) {
    if (above != nullptr) {
        if (auto allowed = above->may_have_child(); !allowed) {
            ++counters_.refused;
            return allowed.error();
        }
    }
    if (rows_.size() >= cap_) {
        ++counters_.refused;
        // How many others there are is nothing for a guest.
        return above != nullptr ? make_fault(ENOSPC, "the server takes no more VMs")
                                : make_fault(ENOSPC, "there are %zu VMs, and ctl says cap %llu",
                                             rows_.size(), static_cast<unsigned long long>(cap_));
    }
    auto vm = Vm::make(services_, ++last_number_, settings,
                       above != nullptr ? above->shared_from_this() : nullptr);
    if (!vm) {
        return vm.error();
    }
    Row row{.vm = vm.value(),
            .files = make_vm_files(*this, vm.value()),
            .directory = nullptr,
            .named = nullptr,
            .tree = nullptr};
    row.directory = make_dir(row);
    const std::string number = std::to_string(last_number_);
    root_->add(number, row.directory);
    for (auto at = vm.value()->parent(); at; at = at->parent()) {
        tree_of(*at)->add(number, row.directory);
    }
    rows_.emplace(last_number_, std::move(row));
    ++counters_.made;
    arm_reaper();
    return vm.value();
}

std::shared_ptr<synthfs::Directory> VmTable::tree_of(Vm& vm) {
    const auto found = rows_.find(vm.number());
    if (found == rows_.end()) {
        return nullptr;
    }
    Row& row = found->second;
    if (!row.tree) {
        row.tree = make_guest_tree(*this, row.vm, row.files);
        for (const auto& [number, other] : rows_) {
            if (other.vm != row.vm && other.vm->is_in_family_of(vm)) {
                row.tree->add(std::to_string(number), other.directory);
            }
            if (other.named && other.vm->parent() == row.vm) {
                row.tree->add(other.vm->name(), other.named);
            }
        }
    }
    return row.tree;
}

synthfs::Directory& VmTable::names_below(const Vm* above) {
    return above != nullptr ? *tree_of(*rows_.at(above->number()).vm) : *root_;
}

Checked<synthfs::NodePtr> VmTable::make_named(const std::string& name, Vm* above) {
    if (auto good = check_name(name, above); !good) {
        return good.error();
    }
    auto vm = make(settings_for(above), above);
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

Checked<> VmTable::check_name(const std::string& name, const Vm* above) {
    if (name.empty() || name.size() > 64 || name == "." || name == ".." ||
        name.find('/') != std::string::npos || std::ranges::any_of(name, [](unsigned char c) {
            return c <= ' ' || c == 0x7f || c == '\'';
        })) {
        return make_fault(EINVAL, "a VM's name has 1 to 64 bytes, no blanks, quotes or slashes");
    }
    if (std::ranges::all_of(name, [](unsigned char c) { return c >= '0' && c <= '9'; })) {
        return make_fault(EINVAL, "a VM's name is not a number");
    }
    if (names_below(above).find(name)) {
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
    const auto above = vm.parent();
    if (vm.is_nested() && !above) {
        return make_fault(ENODEV, "the VM was destroyed");
    }
    synthfs::Directory& names = names_below(above.get());
    if (name == number) {
        names.remove(vm.name());
        row.named = nullptr;
    } else if (auto good = check_name(name, above.get()); !good) {
        return good.error();
    } else if (row.named) {
        names.rename_child(vm.name(), name);
    } else {
        row.named = make_dir(row);
        names.add(name, row.named);
    }
    vm.set_name(name);
    return synthfs::success();
}

std::shared_ptr<Vm> VmTable::find(const std::string& name, const Vm* above) const {
    for (const auto& [number, row] : rows_) {
        const bool by_number =
            std::to_string(number) == name && (above == nullptr || row.vm->is_in_family_of(*above));
        if (by_number || (row.vm->name() == name && row.vm->parent().get() == above)) {
            return row.vm;
        }
    }
    return nullptr;
}

void VmTable::destroy(Vm& vm) {
    if (!rows_.contains(vm.number())) {
        return;
    }
    std::vector<std::shared_ptr<Vm>> children;
    for (const auto& [number, other] : rows_) {
        if (other.vm->parent().get() == &vm) {
            children.push_back(other.vm);
        }
    }
    for (const auto& child : children) {
        destroy(*child);
    }
    const std::string number = std::to_string(vm.number());
    const auto above = vm.parent();
    root_->remove(number);
    for (auto each = above; each; each = each->parent()) {
        tree_of(*each)->remove(number);
    }
    if (vm.name() != number) {
        names_below(above.get()).remove(vm.name());
    }
    const auto at = rows_.find(vm.number());
    const Row row = std::move(at->second);  // lives until the end of this function
    rows_.erase(at);
    ++counters_.destroyed;
    row.vm->destroy();
    row.directory->retire();
    if (row.named) {
        row.named->retire();
    }
    if (row.tree) {
        row.tree->retire();
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

std::string VmTable::status_text(const Vm* family) const {
    std::string text;
    for (const auto& [number, row] : rows_) {
        if (family == nullptr || row.vm->is_in_family_of(*family)) {
            text += row.vm->summary();
        }
    }
    return text;
}

}  // namespace ennead::srv
