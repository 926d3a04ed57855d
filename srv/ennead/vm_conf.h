// SPDX-License-Identifier: MIT
// A VM's settings: the keys of `conf`, their defaults and checks.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/result.h"
#include "synthfs/words.h"

namespace ennead::srv {

// What the defaults of paths are: files of this build or installation.
struct Installation {
    std::string vm_program;  // ennead-vm
    std::string kernel;      // bzImage
    std::string root;        // base directory of the default root
    std::string bios{};      // SeaBIOS

    // Looks beside the running program (a build tree), then where `make install` puts things.
    [[nodiscard]] static Installation find();
};

// Values are kept as they are printed: checked, and in one spelling. A copyable value.
class Settings {
  public:
    explicit Settings(const Installation& installation);

    // `key value…` lines. All are checked before any is applied. An empty value restores the
    // default.
    [[nodiscard]] synthfs::Checked<> apply(const std::vector<synthfs::Command>& lines);
    [[nodiscard]] synthfs::Checked<> apply(std::string_view text);

    // Every key, one `key value` line each, such that apply() reads it back.
    // Valid until the next apply().
    [[nodiscard]] const std::string& text() const;

    [[nodiscard]] std::uint64_t memory_bytes() const;
    [[nodiscard]] const std::string& engine() const { return value("engine"); }
    [[nodiscard]] bool boots_through_bios() const { return value("boot") == "bios"; }
    [[nodiscard]] const std::string& bios() const { return value("bios"); }
    [[nodiscard]] bool bios_debug() const { return value("biosdebug") == "on"; }
    [[nodiscard]] const std::string& boot_menu() const { return value("bootmenu"); }
    [[nodiscard]] const std::string& kernel() const { return value("kernel"); }
    [[nodiscard]] std::vector<std::string> initrds() const { return words("initrd"); }
    // Whether the kernel is this installation's, which nobody asked for.
    [[nodiscard]] bool has_default_kernel() const { return kernel() == defaults_.at("kernel"); }
    struct Disk {
        unsigned number;
        std::string path;
        bool written_through;
    };
    [[nodiscard]] std::vector<Disk> disks() const;
    [[nodiscard]] const std::string& root() const { return value("root"); }
    // Of the machine's entropy device; none: its bytes are the host's.
    [[nodiscard]] std::optional<std::uint64_t> seed() const;
    // Whether the guest's tree may be written from outside.
    [[nodiscard]] bool host_write() const { return value("hostwrite") == "on"; }
    // How long the machine may be on; 0: for ever.
    [[nodiscard]] std::chrono::microseconds timeout() const;
    // Bytes that the guest may add to the host's disks; 0: any.
    [[nodiscard]] std::uint64_t disk_limit() const;
    // What it may ask of the host's files and disks in a second; 0: any.
    struct IoRate {
        std::uint64_t operations = 0, bytes = 0;
    };
    [[nodiscard]] IoRate io_limit() const;
    // Whether the key may be set while the machine is on.
    [[nodiscard]] static bool is_limit(std::string_view key);
    // How deep below the VM others may be made by its guest, and how many in all.
    [[nodiscard]] unsigned nest() const;
    [[nodiscard]] std::uint64_t cap() const;
    // The keys whose values are files and directories of the host that are not this installation's.
    [[nodiscard]] std::vector<std::string> host_keys() const;
    // What the kernel of VM `number` is given: `cmdline`, or the default one with `append` added.
    // `shared_root`: others than the guest change files of its root, so it keeps none in mind.
    [[nodiscard]] std::string command_line(unsigned number, bool shared_root = false) const;
    // Whether that tells Linux to keep in mind what it has seen of its root, as far as is known.
    [[nodiscard]] bool lets_guest_keep_names(bool shared_root) const {
        return !shared_root && value("cmdline").empty() &&
               value("append").find("rootflags=") == std::string::npos;
    }

  private:
    [[nodiscard]] const std::string& value(const std::string& key) const { return values_.at(key); }

    // The words of a value that is a list.
    [[nodiscard]] std::vector<std::string> words(const std::string& key) const;

    std::map<std::string, std::string> values_;
    mutable std::string text_;  // made when it is asked for; empty: not yet
    std::map<std::string, std::string> defaults_;
};

}  // namespace ennead::srv
