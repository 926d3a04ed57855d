// SPDX-License-Identifier: MIT
// `mem`, `vmem`, `map` and `io`.
#include <cstdio>
#include <cstring>

#include "srv/ennead-vm/machine_files.h"
#include "synthfs/data_file.h"
#include "synthfs/text_file.h"
#include "synthfs/words.h"
#include "vmcore/machine/linear_memory.h"
#include "vmcore/machine/memory_map.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::make_fault;
using vmcore::RunState;
using vmcore::Vcpu;

using Into = std::span<std::byte>;
using From = std::span<const std::byte>;

synthfs::SynthNodePtr make_memory_file(const OnVcpu& vcpu, const char* name,
                                       synthfs::ErrorSink errors,
                                       std::function<std::uint64_t()> size,
                                       Checked<std::size_t> (*read)(Vcpu&, std::uint64_t, Into),
                                       Checked<std::size_t> (*write)(Vcpu&, std::uint64_t, From)) {
    synthfs::DataFile file{.mode = 0600, .name = name, .errors = std::move(errors)};
    file.size = std::move(size);
    file.read = [&vcpu, read](synthfs::RequestPtr, std::uint64_t offset, Into into,
                              CheckedReply<std::size_t> reply) {
        vcpu([=](Vcpu& v) { return read(v, offset, into); },
             [reply = std::move(reply)](Checked<std::size_t> n) { reply(std::move(n)); });
    };
    file.write = [&vcpu, write](synthfs::RequestPtr, std::uint64_t offset, From data,
                                CheckedReply<std::size_t> reply) {
        vcpu(
            [=](Vcpu& v) -> Checked<std::size_t> {
                if (v.run_state() != RunState::paused) {
                    return wrong_state(v.run_state());
                }
                return write(v, offset, data);
            },
            [reply = std::move(reply)](Checked<std::size_t> n) { reply(std::move(n)); });
    };
    return synthfs::make_data_file(std::move(file));
}

Checked<std::size_t> read_physical(Vcpu& v, std::uint64_t offset, Into into) {
    vmcore::GuestRam& ram = v.machine().ram();
    if (offset >= ram.size()) {
        return std::size_t{0};
    }
    const std::size_t n = std::min<std::uint64_t>(into.size(), ram.size() - offset);
    std::memcpy(into.data(), ram.base() + offset, n);
    return n;
}

Checked<std::size_t> write_physical(Vcpu& v, std::uint64_t offset, From data) {
    vmcore::GuestRam& ram = v.machine().ram();
    if (offset >= ram.size()) {
        return make_fault(EFAULT, "memory ends at 0x%llx",
                          static_cast<unsigned long long>(ram.size()));
    }
    const std::size_t n = std::min<std::uint64_t>(data.size(), ram.size() - offset);
    std::memcpy(ram.base() + offset, data.data(), n);
    ram.written(vmcore::PhysAddr{offset}, n);
    return n;
}

Checked<std::size_t> read_virtual(Vcpu& v, std::uint64_t offset, Into into) {
    if (offset >> 32 != 0) {
        return std::size_t{0};
    }
    const auto n = vmcore::read_linear(v.machine().cpu().mmu, offset,
                                       {reinterpret_cast<vmcore::u8*>(into.data()), into.size()});
    if (!n) {
        return make_fault(EFAULT, "there is no memory at linear address 0x%08llx",
                          static_cast<unsigned long long>(offset));
    }
    return n.value();
}

Checked<std::size_t> write_virtual(Vcpu& v, std::uint64_t offset, From data) {
    const auto done =
        vmcore::write_linear(v.machine().cpu().mmu, offset,
                             {reinterpret_cast<const vmcore::u8*>(data.data()), data.size()});
    if (!done) {
        return make_fault(EFAULT, "not all of the %zu bytes at linear address 0x%08llx are RAM",
                          data.size(), static_cast<unsigned long long>(offset));
    }
    return data.size();
}

synthfs::SynthNodePtr make_list(const OnVcpu& vcpu, const char* name, synthfs::ErrorSink errors,
                                std::string (*text)(vmcore::Machine&)) {
    synthfs::TextFile file{.mode = 0400, .name = name, .errors = std::move(errors)};
    file.text_later = [&vcpu, text](synthfs::RequestPtr, CheckedReply<std::string> reply) {
        vcpu([text](Vcpu& v) { return text(v.machine()); },
             [reply = std::move(reply)](std::string shown) { reply(std::move(shown)); });
    };
    return synthfs::make_text_file(std::move(file));
}

const char* kind_name(vmcore::MemoryRegion::Kind kind) {
    switch (kind) {
        case vmcore::MemoryRegion::Kind::ram:
            return "ram";
        case vmcore::MemoryRegion::Kind::rom:
            return "rom";
        case vmcore::MemoryRegion::Kind::device:
            return "device";
    }
    return "unknown";
}

std::string map_text(vmcore::Machine& machine) {
    std::string text;
    char range[64];
    for (const vmcore::MemoryRegion& r : vmcore::memory_map(machine.memory())) {
        std::snprintf(range, sizeof range, "0x%08llx 0x%08llx %s ",
                      static_cast<unsigned long long>(r.first),
                      static_cast<unsigned long long>(r.last), kind_name(r.kind));
        text += range + synthfs::quote(r.name) + '\n';
    }
    return text;
}

std::string io_text(vmcore::Machine& machine) {
    std::string text;
    char range[64];
    for (const vmcore::Bus::Range& r : machine.cpu().io.ports.ranges()) {
        std::snprintf(range, sizeof range, "0x%04llx 0x%04llx ",
                      static_cast<unsigned long long>(r.base),
                      static_cast<unsigned long long>(r.base + r.length - 1));
        text += range + synthfs::quote(r.name) + '\n';
    }
    return text;
}

}  // namespace

synthfs::SynthNodePtr make_mem(const OnVcpu& vcpu, synthfs::ErrorSink errors) {
    return make_memory_file(
        vcpu, "mem", std::move(errors), [&vcpu] { return vcpu.vcpu().machine().ram().size(); },
        read_physical, write_physical);
}

// Its size is shown as 0, as that of /proc/PID/mem: who copies whole trees takes no 4 GiB of it.
synthfs::SynthNodePtr make_vmem(const OnVcpu& vcpu, synthfs::ErrorSink errors) {
    return make_memory_file(vcpu, "vmem", std::move(errors), {}, read_virtual, write_virtual);
}

synthfs::SynthNodePtr make_map(const OnVcpu& vcpu, synthfs::ErrorSink errors) {
    return make_list(vcpu, "map", std::move(errors), map_text);
}

synthfs::SynthNodePtr make_io(const OnVcpu& vcpu, synthfs::ErrorSink errors) {
    return make_list(vcpu, "io", std::move(errors), io_text);
}

}  // namespace ennead::srv
