// SPDX-License-Identifier: MIT
// A machine for cases to run on, with one of the engines.
#pragma once

#include <memory>
#include <vector>

#include "tests/fuzz/address_spaces.h"
#include "tests/fuzz/case.h"
#include "tests/fuzz/image.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/devices/clock.h"
#include "vmcore/mem/bus.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/mem/physical_memory.h"

namespace ennead::vmcore::fuzz {

enum class LaneKind { interpreter, jit, exact_jit };

// What it is asked goes into a hash, so that two lanes with the same history answer the same.
class HashingDevice final : public Device {
  public:
    u32 read(u64 offset, unsigned size) override {
        note(offset << 8 | size);
        return static_cast<u32>(history >> 16);
    }
    void write(u64 offset, unsigned size, u32 value) override {
        note(offset << 8 | size | 0x80);
        note(value);
    }
    u64 history = 0;

  private:
    void note(u64 what) { history = (history ^ what) * 0x9e3779b97f4a7c15 + 1; }
};

class VectorQueue final : public InterruptSource {
  public:
    bool intr() override { return !vectors.empty(); }
    u8 acknowledge() override {
        if (vectors.empty()) {
            return 0x31;
        }
        const u8 vector = vectors.front();
        vectors.erase(vectors.begin());
        return vector;
    }
    void apic_base_written(u64) override {}
    void tsc_deadline_written(u64 value) override { deadline = value; }
    u64 tsc_deadline() override { return deadline; }
    void ferr_changed(bool) override {}

    std::vector<u8> vectors;
    u64 deadline = 0;
};

class Lane {
  public:
    explicit Lane(LaneKind kind);

    // RAM, registers and devices as the case has them at its beginning.
    void load(const Case& c, const Layout& layout, const AddressSpaces& spaces, const Image& image);
    void apply(const Event& event, const AddressSpaces& spaces);
    ExitReasons run(u64 budget) { return engine_->run(budget); }

    [[nodiscard]] CpuState& state() { return state_; }
    [[nodiscard]] const u8* ram() { return ram_->base(); }
    // The pages between those of an Image that have been touched since the last load.
    [[nodiscard]] std::vector<u32> stray_pages() const;
    [[nodiscard]] Cpu& cpu() { return cpu_; }
    [[nodiscard]] u64 device_history() const { return device_.history; }
    [[nodiscard]] std::size_t waiting_vectors() const { return interrupts_.vectors.size(); }

  private:
    void write(u32 address, const u8* bytes, u32 size);

    std::unique_ptr<GuestRam> ram_;
    Bus mmio_, ports_;
    HashingDevice device_;
    PhysicalMemory memory_;
    VectorQueue interrupts_;
    ManualClock clock_;
    CpuArena arena_;
    CpuState& state_ = arena_.state();
    Cpu cpu_;
    std::unique_ptr<Engine> engine_;
};

}  // namespace ennead::vmcore::fuzz
