// SPDX-License-Identifier: MIT
// All VMs of a tree, by number and by name.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "srv/ennead/vm.h"
#include "synthfs/tree.h"

namespace ennead::srv {

// Numbers start at 1 and are never used again. Every VM is a directory of the root; one made by
// name is also a symbolic link of that name. Loop thread only.
class VmTable {
  public:
    explicit VmTable(VmServices& services)
        : services_(services), defaults_(services.installation) {}
    ~VmTable();

    // The directory that VMs appear in; to be called once, before any is made.
    void attach(std::shared_ptr<synthfs::Directory> root) { root_ = std::move(root); }

    // Settings of new VMs.
    [[nodiscard]] Settings& defaults() { return defaults_; }

    synthfs::Checked<std::shared_ptr<Vm>> make(const Settings& settings);
    // Makes one with a name; gives its directory.
    synthfs::Checked<synthfs::NodePtr> make_named(const std::string& name);
    // EEXIST if taken, EINVAL if it could not be a file's name or looks like a number. The VM's own
    // number takes its name away.
    synthfs::Checked<> rename(Vm& vm, const std::string& name);

    // By number or name; null if there is none.
    [[nodiscard]] std::shared_ptr<Vm> find(const std::string& name) const;
    // Ends the VM and removes its files.
    void destroy(Vm& vm);
    void destroy_all();

    [[nodiscard]] std::string status_text() const;

  private:
    struct Row {
        std::shared_ptr<Vm> vm;
        std::vector<synthfs::Entry> files;
        std::shared_ptr<synthfs::Directory> directory;
        std::shared_ptr<synthfs::Directory> named;  // null: the VM has no name but its number
    };
    synthfs::Checked<> check_name(const std::string& name) const;
    [[nodiscard]] static std::shared_ptr<synthfs::Directory> make_dir(const Row& row);

    VmServices& services_;
    Settings defaults_;
    std::shared_ptr<synthfs::Directory> root_;
    std::map<unsigned, Row> rows_;
    unsigned last_number_ = 0;
};

}  // namespace ennead::srv
