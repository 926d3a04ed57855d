// SPDX-License-Identifier: MIT
// A PCI function with a type-0 configuration space: BARs, capabilities, INTx and MSI-X.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vmcore/devices/irq.h"
#include "vmcore/devices/pci_function.h"
#include "vmcore/log.h"
#include "vmcore/mem/bus.h"
#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// The MSI-X table and the pending bits of one function (PCI 3.0 §6.8.2), as the contents of a BAR
// of their own: the table at offset 0, the pending bit array at pba_offset(). vCPU thread only.
class MsixTable : public Device {
  public:
    static constexpr unsigned kMaxVectors = 2048;

    MsixTable(unsigned vectors, MsiSink sink);

    [[nodiscard]] unsigned vectors() const { return static_cast<unsigned>(entries_.size()); }
    [[nodiscard]] u32 pba_offset() const { return pba_offset_; }
    [[nodiscard]] u32 bar_size() const { return bar_size_; }
    [[nodiscard]] bool enabled() const { return enabled_; }
    [[nodiscard]] bool pending(unsigned vector) const { return entries_.at(vector).pending; }

    // Follows bits 15 and 14 of the message control word; sends what was held back and no longer
    // is.
    void set_control(bool enabled, bool function_masked);
    // Sends the message of a vector, or remembers it while the vector or the function is masked.
    // Nothing happens while MSI-X is disabled or when there is no such vector.
    void signal(unsigned vector);
    void reset();

    u32 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u32 value) override;

  private:
    struct Entry {
        std::array<u32, 4> words{0, 0, 0,
                                 kMasked};  // address low, address high, data, vector control
        bool pending = false;
    };
    static constexpr u32 kMasked = 1;

    [[nodiscard]] u32 dword(u64 offset) const;
    void send_if_unmasked(Entry& entry);

    std::vector<Entry> entries_;
    MsiSink sink_;
    u32 pba_offset_;
    u32 bar_size_;
    bool enabled_ = false;
    bool function_masked_ = false;
};

// Derived classes (or whoever builds the device) add BARs and capabilities before the guest runs;
// afterwards the guest moves the BARs and this class claims their ranges on the buses. An address
// range that clashes with another device stays unclaimed until the guest writes this function's
// command register or a BAR again.
//
// A deliberate gap: the bus-master bit is kept but not obeyed; a guest notices only that a function
// which it has not reset may still write to memory it handed over. vCPU thread only.
class PciDevice : public PciFunction {
  public:
    struct Identity {
        u16 vendor = 0;
        u16 device = 0;
        u8 revision = 0;
        u32 class_code = 0;  // 24 bits: base class, sub-class, programming interface
        u16 subsystem_vendor = 0;
        u16 subsystem = 0;
        u8 interrupt_pin = 0;  // 1…4 for INTA…INTD, 0 for none
    };
    struct Wiring {
        Bus& ports;
        Bus& mmio;
        IrqLine intx;  // may be empty
        MsiSink msi;   // may be empty
        Log log;
        std::string name;  // names the ranges on the buses and the log lines
    };

    PciDevice(const Identity& identity, Wiring wiring);
    ~PciDevice() override;
    PciDevice(const PciDevice&) = delete;
    PciDevice& operator=(const PciDevice&) = delete;

    // `index` 0…5 and unused; `size` a power of two, at least 16 (memory) or 4 (I/O); `contents`
    // must outlive this object and sees offsets into the BAR.
    void add_memory_bar(unsigned index, u32 size, Device& contents, unsigned width = 4);
    void add_io_bar(unsigned index, u32 size, Device& contents, unsigned width = 1);
    // Appends a capability; `body` is what follows its id and next bytes, `writable` says (bit by
    // bit) what of it the guest may change; shorter than `body` means the rest is read-only.
    // Returns the offset of its id byte.
    unsigned add_capability(u8 id, std::span<const u8> body, std::span<const u8> writable = {});
    // Adds the capability and its BAR; call once.
    void add_msix(unsigned bar_index, unsigned vectors);

    // The level of the function's interrupt pin; what reaches the wire also depends on the INTx
    // disable bit and on MSI-X being enabled.
    void set_intx(bool asserted);
    [[nodiscard]] bool msix_enabled() const { return msix_ && msix_->enabled(); }
    void signal_msix(unsigned vector);
    [[nodiscard]] unsigned msix_vectors() const { return msix_ ? msix_->vectors() : 0; }

    u32 config_read(unsigned offset, unsigned size) override;
    void config_write(unsigned offset, unsigned size, u32 value) override;
    // Back to the state after power-on: nothing decoded, nothing pending.
    void reset() override;

  protected:
    // For capabilities whose registers act: called before the bytes are fetched, and after they
    // were stored.
    virtual void before_config_read(unsigned /*offset*/, unsigned /*size*/) {}
    virtual void after_config_write(unsigned /*offset*/, unsigned /*size*/) {}

    [[nodiscard]] u32 config_value(unsigned offset, unsigned size) const;
    void set_config_value(unsigned offset, unsigned size, u32 value);
    // The device behind a BAR and its size; null if there is no such BAR.
    [[nodiscard]] Device* bar_contents(unsigned index, u32& size) const;
    [[nodiscard]] const Log& log() const { return wiring_.log; }
    [[nodiscard]] const std::string& name() const { return wiring_.name; }

  private:
    static constexpr unsigned kBarCount = 6;
    struct Bar {
        Device* contents = nullptr;
        u32 size = 0;
        unsigned width = 1;
        bool io = false;
        bool claimed = false;
        u64 base = 0;  // valid while claimed
    };

    void add_bar(unsigned index, const Bar& bar, u32 type_bits);
    void define(unsigned offset, unsigned size, u32 value, u32 writable);
    [[nodiscard]] bool wanted_base(unsigned index, u64& base) const;
    void update_bars();
    void update_msix();
    void update_intx();
    Bus& bus_of(const Bar& bar) { return bar.io ? wiring_.ports : wiring_.mmio; }

    Wiring wiring_;
    std::array<u8, 256> config_{};
    std::array<u8, 256> writable_{};
    std::array<u8, 256> initial_{};
    std::array<Bar, kBarCount> bars_{};
    std::unique_ptr<MsixTable> msix_;
    unsigned msix_capability_ = 0;
    unsigned last_link_ = 0x34;  // the byte that names the next capability
    unsigned next_free_ = 0x40;  // where the next capability goes
    bool intx_asserted_ = false;
    bool line_ = false;
    LogLimit clash_lines_{4};
};

}  // namespace ennead::vmcore
