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

// Numbers start at 1 and are never used again. Every VM is a directory of the root; one made by
// name is also a symbolic link of that name. Loop thread only.
class VmTable {
  public:
    explicit VmTable(VmServices& services)
        : services_(services), defaults_(services.installation), reaper_(services.io) {}
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

    // ENOSPC: there are as many as there can be.
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
        std::chrono::steady_clock::time_point made_at = std::chrono::steady_clock::now();
    };
    // Sets the timer for the next VM that is to be reaped, if it stays as it is.
    void arm_reaper();
    void reap_untouched();
    synthfs::Checked<> check_name(const std::string& name) const;
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
