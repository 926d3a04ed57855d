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
    auto vm = Vm::make(services_, ++last_number_, settings);
    if (!vm) {
        return vm.error();
    }
    Row row{vm.value(), make_vm_files(*this, vm.value()), nullptr, nullptr};
    row.directory = make_dir(row);
    root_->add(std::to_string(last_number_), row.directory);
    rows_.emplace(last_number_, std::move(row));
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

std::string VmTable::status_text() const {
    std::string text;
    for (const auto& [number, row] : rows_) {
        text += row.vm->summary();
    }
    return text;
}

}  // namespace ennead::srv
