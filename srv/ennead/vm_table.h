// SPDX-License-Identifier: MIT
// All VMs of a tree, by number and by name.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "srv/ennead/vm.h"
#include "synthfs/tree.h"

namespace ennead::srv {

// Numbers start at 1 and are never used again. Every VM is a directory of the root by its number,
// and by its name if it has one. Loop thread only.
//
// A VM may be made below another, by that one's guest (Vm::parent()). It shows in the tree that
// that guest is given (tree_of), and by number in those of all further up; its name is known in
// that tree alone. With a VM, all below it are destroyed.
class VmTable {
  public:
    explicit VmTable(VmServices& services);
    ~VmTable();

    // The directory that VMs appear in; to be called once, before any is made.
    void attach(std::shared_ptr<synthfs::Directory> root) { root_ = std::move(root); }

    // Settings of new VMs.
    [[nodiscard]] Settings& defaults() { return defaults_; }
    [[nodiscard]] const Settings& defaults() const { return defaults_; }

    // How many VMs there can be. Those that are there stay.
    static constexpr std::uint64_t kDefaultCap = 1024;
    [[nodiscard]] std::uint64_t cap() const { return cap_; }
    void set_cap(std::uint64_t most) { cap_ = most; }
    // After what time one that nobody has touched (Vm::touched()) is destroyed; 0: never. Programs
    // that read everything make such ones.
    static constexpr std::chrono::microseconds kDefaultReap = std::chrono::seconds(60);
    [[nodiscard]] std::chrono::microseconds reap() const { return reap_; }
    void set_reap(std::chrono::microseconds time);

    struct Counters {
        std::uint64_t made = 0, destroyed = 0;  // reaped ones too
        std::uint64_t reaped = 0;
        std::uint64_t refused = 0;  // over the cap
    };
    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] std::size_t size() const { return rows_.size(); }
    // How many are running, paused or being started.
    [[nodiscard]] std::size_t active() const;

    // Settings that a VM has at first; `above` is the VM below which it is made, null at the top.
    [[nodiscard]] Settings settings_for(const Vm* above) const;
    // Whether they may be made into those.
    [[nodiscard]] synthfs::Checked<> apply(Settings& settings, const Vm* above,
                                           const std::vector<synthfs::Command>& lines) const;

    // ENOSPC: there are as many as there can be, everywhere or below `above`. EPERM: none may be
    // made there.
    synthfs::Checked<std::shared_ptr<Vm>> make(const Settings& settings, Vm* above = nullptr);
    // Makes one with a name; gives its directory.
    synthfs::Checked<synthfs::NodePtr> make_named(const std::string& name, Vm* above = nullptr);
    // EEXIST if taken, EINVAL if it could not be a file's name or looks like a number. The VM's own
    // number takes its name away.
    synthfs::Checked<> rename(Vm& vm, const std::string& name);

    // What the guest of `vm` may be given: the VM's own directory and those below it.
    [[nodiscard]] std::shared_ptr<synthfs::Directory> tree_of(Vm& vm);

    // By number or name, as the tree of `above` has them; null if there is none.
    [[nodiscard]] std::shared_ptr<Vm> find(const std::string& name,
                                           const Vm* above = nullptr) const;
    // Ends the VM and those below it, and removes their files.
    void destroy(Vm& vm);
    void destroy_all();

    // Of all VMs, or of `family` and those below it.
    [[nodiscard]] std::string status_text(const Vm* family = nullptr) const;

  private:
    struct Row {
        std::shared_ptr<Vm> vm;
        std::vector<synthfs::Entry> files;
        std::shared_ptr<synthfs::Directory> directory;
        std::shared_ptr<synthfs::Directory> named;  // null: the VM has no name but its number
        std::shared_ptr<synthfs::Directory> tree;   // tree_of(); null until asked for
        std::chrono::steady_clock::time_point made_at = std::chrono::steady_clock::now();
    };
    // Sets the timer for the next VM that is to be reaped, if it stays as it is.
    void arm_reaper();
    void reap_untouched();
    // Where the names of VMs below `above` are; null at the top.
    [[nodiscard]] synthfs::Directory& names_below(const Vm* above);
    synthfs::Checked<> check_name(const std::string& name, const Vm* above);
    [[nodiscard]] static std::shared_ptr<synthfs::Directory> make_dir(const Row& row);

    VmServices& services_;
    Settings defaults_;
    std::shared_ptr<synthfs::Directory> root_;
    std::map<unsigned, Row> rows_;
    unsigned last_number_ = 0;
    std::uint64_t cap_ = kDefaultCap;
    std::chrono::microseconds reap_ = kDefaultReap;
    boost::asio::steady_timer reaper_;
    Counters counters_;
};

}  // namespace ennead::srv
