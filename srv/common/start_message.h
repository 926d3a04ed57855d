// SPDX-License-Identifier: MIT
// What the server tells a new VM process: the machine to build, and which inherited descriptors are
// what.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "synthfs/fault.h"

namespace ennead::srv {

// The VM process inherits these descriptors at fixed numbers, so that its command line says
// nothing.
inline constexpr int kLinkFd =
    3;  // stream socket: the live files over 9P, served by the VM process
inline constexpr int kMessageFd = 4;  // memfd with the encoded StartMessage, offset 0
// SOCK_SEQPACKET: the guest's name space, as NamespaceMessage; the first is there before the
// process.
inline constexpr int kNamespaceFd = 5;
inline constexpr int kFirstGrantFd = 6;

// Travels as text, a `key value` line each; descriptors are numbers of the receiving process.
struct StartMessage {
    unsigned vm = 0;
    std::uint64_t memory_bytes = 0;
    std::string engine = "jit";  // or interp
    std::string command_line;
    int limits_fd = -1;                   // a LimitsPage; -1: none
    int kernel_fd = -1;                   // readable file
    int bios_fd = -1;                     // readable file; -1: the kernel is entered directly
    std::string boot_menu = "choice";     // of the BIOS: off, choice, on
    bool bios_debug = false;              // the debug port speaks on the console
    std::optional<std::uint64_t> seed{};  // of the entropy device; none: the host's random bytes
    struct Initrd {
        int fd = -1;       // readable file
        std::string name;  // what the guest may see of its path: the last part
        bool operator==(const Initrd&) const = default;
    };
    std::vector<Initrd> initrds;
    struct Disk {
        unsigned number = 0;  // 0…3
        int image_fd = -1;
        int layer_fd = -1, map_fd = -1;  // -1: the image is written through
        bool operator==(const Disk&) const = default;
    };
    std::vector<Disk> disks;
    bool disks_first = false;  // of a BIOS: before the kernel

    [[nodiscard]] std::string encode() const;
    [[nodiscard]] static synthfs::Checked<StartMessage> decode(std::string_view text);
};

}  // namespace ennead::srv
