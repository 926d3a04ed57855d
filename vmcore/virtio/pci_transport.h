// SPDX-License-Identifier: MIT
// A virtio device as a modern PCI function: registers, features, status, interrupts (virtio 1.2
// §4.1).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "vmcore/devices/pci_device.h"
#include "vmcore/log.h"
#include "vmcore/mem/device.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/virtio/device.h"
#include "vmcore/virtio/queue.h"

namespace ennead::vmcore {

// BAR 0 holds the common, ISR, device and notify structures a page each, BAR 1 the MSI-X table.
// There is one vector for each queue and one for configuration changes. vCPU thread only.
//
// Deliberate gaps: VIRTIO_F_RING_RESET is not offered, and a queue that is enabled after DRIVER_OK
// stays disabled until the next reset.
class PciTransport : public PciDevice, private VirtioTransport {
  public:
    // `device` must outlive this object; wiring.name is replaced by the device's name.
    PciTransport(VirtioDevice& device, GuestRam& ram, Wiring wiring);
    ~PciTransport() override;

    // Bits of device_status, virtio 1.2 §2.1.
    static constexpr u8 kAcknowledge = 1;
    static constexpr u8 kDriver = 2;
    static constexpr u8 kDriverOk = 4;
    static constexpr u8 kFeaturesOk = 8;
    static constexpr u8 kNeedsReset = 64;
    static constexpr u8 kFailed = 128;

    [[nodiscard]] u8 status() const { return status_; }

    void reset() override;

  protected:
    void before_config_read(unsigned offset, unsigned size) override;
    void after_config_write(unsigned offset, unsigned size) override;

  private:
    static constexpr unsigned kCommonLength = 56;

    // The contents of BAR 0.
    class Registers : public Device {
      public:
        explicit Registers(PciTransport& owner) : owner_(owner) {}
        u32 read(u64 offset, unsigned size) override { return owner_.read_register(offset, size); }
        void write(u64 offset, unsigned size, u32 value) override {
            owner_.write_register(offset, size, value);
        }

      private:
        PciTransport& owner_;
    };

    void add_capabilities();
    u32 read_register(u64 offset, unsigned size);
    void write_register(u64 offset, unsigned size, u32 value);

    [[nodiscard]] std::array<u8, kCommonLength> common_image() const;
    void write_common(u64 offset, unsigned size, u32 value);
    void write_queue_register(u64 offset, u32 value);
    u32 read_isr();
    u32 read_device_config(u64 offset, unsigned size) const;

    void write_status(u8 value);
    [[nodiscard]] bool features_acceptable() const;
    void activate();
    void reset_device();
    void notify(u64 queue);
    void raise(u16 vector, u8 isr_bit);
    [[nodiscard]] u16 valid_vector(u32 value) const;
    [[nodiscard]] bool config_window(Device*& contents, u32& offset, u32& length) const;

    void config_changed() override;
    void broken(const char* what) override;

    VirtioDevice& device_;
    GuestRam& ram_;
    Registers registers_{*this};
    const u64 offered_;
    unsigned pci_cfg_ = 0;  // config space offset of the PCI configuration access capability

    u32 device_feature_select_ = 0;
    u32 driver_feature_select_ = 0;
    u64 driver_features_ = 0;
    u16 config_vector_ = kVirtioNoVector;
    u16 queue_select_ = 0;
    u8 status_ = 0;
    u8 config_generation_ = 0;
    u8 isr_ = 0;
    bool active_ = false;  // between activated() and reset() of the device
    std::vector<QueueConfig> configs_;
    std::vector<std::unique_ptr<Queue>> queues_;
    LogLimit broken_lines_{8};
};

}  // namespace ennead::vmcore
