// SPDX-License-Identifier: MIT
// The registers of the virtio PCI transport.
#include "vmcore/virtio/pci_transport.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace ennead::vmcore {
namespace {

constexpr u16 kVirtioVendor = 0x1af4;
constexpr u16 kModernDeviceBase = 0x1040;  // plus the device ID, §4.1.2

constexpr unsigned kRegisterBar = 0;
constexpr unsigned kMsixBar = 1;
constexpr u32 kRegionSize = 0x1000;
constexpr u32 kCommonRegion = 0x0000;
constexpr u32 kIsrRegion = 0x1000;
constexpr u32 kDeviceRegion = 0x2000;
constexpr u32 kNotifyRegion = 0x3000;
constexpr u32 kBarSize = 0x4000;
constexpr u32 kNotifyMultiplier = 4;

// §4.1.4, cfg_type of a vendor-specific capability.
constexpr u8 kCapabilityVendor = 0x09;
constexpr u8 kCfgCommon = 1;
constexpr u8 kCfgNotify = 2;
constexpr u8 kCfgIsr = 3;
constexpr u8 kCfgDevice = 4;
constexpr u8 kCfgPci = 5;

// Inside a capability, counted from its id byte.
constexpr unsigned kCapBar = 4;
constexpr unsigned kCapOffset = 8;
constexpr unsigned kCapLength = 12;
constexpr unsigned kCapPciData = 16;

constexpr u8 kIsrQueue = 1;
constexpr u8 kIsrConfig = 2;

// §4.1.4.3, the common configuration structure.
enum CommonRegister : u64 {
    device_feature_select = 0,
    device_feature = 4,
    driver_feature_select = 8,
    driver_feature = 12,
    config_msix_vector = 16,
    num_queues = 18,
    device_status = 20,
    config_generation = 21,
    queue_select = 22,
    queue_size = 24,
    queue_msix_vector = 26,
    queue_enable = 28,
    queue_notify_off = 30,
    queue_desc = 32,
    queue_driver = 40,
    queue_device = 48,
};

// The width a driver must use for a register (§4.1.3.1), 64-bit ones as two halves; 0 where none
// starts.
unsigned register_width(u64 offset) {
    switch (offset) {
        case device_status:
        case config_generation:
            return 1;
        case config_msix_vector:
        case num_queues:
        case queue_select:
        case queue_size:
        case queue_msix_vector:
        case queue_enable:
        case queue_notify_off:
            return 2;
        default:
            return offset % 4 == 0 && offset < 56 ? 4 : 0;
    }
}

u32 all_ones(unsigned size) {
    return size >= 4 ? 0xffff'ffffu : (1u << (8 * size)) - 1;
}

PhysAddr with_half(PhysAddr address, bool high, u32 value) {
    const u64 old = raw(address);
    return PhysAddr{high ? (u64{value} << 32) | (old & 0xffff'ffff)
                         : (old & ~u64{0xffff'ffff}) | value};
}

// PCI class codes: what lspci says about the function; drivers go by the IDs.
u32 class_code_of(u16 virtio_id) {
    switch (virtio_id) {
        case 3:
            return 0x078000;  // communication controller, other
        case 2:
        case 9:
            return 0x018000;  // mass storage controller, other
        default:
            return 0xff0000;  // fits no class
    }
}

PciDevice::Wiring named(PciDevice::Wiring wiring, const VirtioDevice& device) {
    wiring.name = device.name();
    return wiring;
}

}  // namespace

PciTransport::PciTransport(VirtioDevice& device, GuestRam& ram, Wiring wiring)
    // §4.1.2.1: revision 1 or higher, subsystem ID 0x40 or higher, tell that there is no legacy
    // interface.
    : PciDevice({.vendor = kVirtioVendor,
                 .device = static_cast<u16>(kModernDeviceBase + device.id()),
                 .revision = 1,
                 .class_code = class_code_of(device.id()),
                 .subsystem_vendor = kVirtioVendor,
                 .subsystem = static_cast<u16>(kModernDeviceBase + device.id()),
                 .interrupt_pin = 1},
                named(std::move(wiring), device)),
      device_(device),
      ram_(ram),
      offered_(device.features() | kVirtioFVersion1 | kVirtioFEventIdx | kVirtioFIndirectDesc) {
    const auto sizes = device.queue_sizes();
    assert(sizes.size() <= kRegionSize / kNotifyMultiplier);
    assert(device.config().size() <= kRegionSize);
    configs_.resize(sizes.size());
    queues_.resize(sizes.size());
    add_memory_bar(kRegisterBar, kBarSize, registers_);
    add_msix(kMsixBar, static_cast<unsigned>(sizes.size()) + 1);
    add_capabilities();
    device_.attach(this);
    reset_device();
}

PciTransport::~PciTransport() {
    if (active_) {
        device_.reset();
    }
    device_.attach(nullptr);
}

void PciTransport::add_capabilities() {
    const auto add = [this](u8 type, u32 offset, u32 length, std::span<const u8> tail,
                            std::span<const u8> writable = {}) {
        // cap_len, cfg_type, bar, id, two bytes of padding, offset, length, and what the type adds.
        std::vector<u8> body{static_cast<u8>(16 + tail.size()), type, kRegisterBar, 0, 0, 0};
        for (const u32 field : {offset, length}) {
            for (unsigned i = 0; i < 4; ++i) {
                body.push_back(static_cast<u8>(field >> (8 * i)));
            }
        }
        body.insert(body.end(), tail.begin(), tail.end());
        return add_capability(kCapabilityVendor, body, writable);
    };
    const std::array<u8, 4> multiplier{kNotifyMultiplier, 0, 0, 0};
    add(kCfgCommon, kCommonRegion, kCommonLength, {});
    add(kCfgNotify, kNotifyRegion, static_cast<u32>(configs_.size()) * kNotifyMultiplier,
        multiplier);
    add(kCfgIsr, kIsrRegion, 1, {});
    if (!device_.config().empty()) {
        add(kCfgDevice, kDeviceRegion, static_cast<u32>(device_.config().size()), {});
    }
    // §4.1.4.9: the driver sets bar, offset and length, then moves data through pci_cfg_data.
    std::array<u8, 18> writable{};
    writable[kCapBar - 2] = 0xff;
    std::fill(writable.begin() + kCapOffset - 2, writable.end(), u8{0xff});
    const std::array<u8, 4> data{};
    pci_cfg_ = add(kCfgPci, 0, 0, data, writable);
}

void PciTransport::reset() {
    reset_device();
    PciDevice::reset();
}

// --- Access through config space ---

bool PciTransport::config_window(Device*& contents, u32& offset, u32& length) const {
    u32 bar_size = 0;
    contents = bar_contents(config_value(pci_cfg_ + kCapBar, 1), bar_size);
    offset = config_value(pci_cfg_ + kCapOffset, 4);
    length = config_value(pci_cfg_ + kCapLength, 4);
    // §4.1.4.9.1: the length is 1, 2 or 4 and the offset a multiple of it.
    return contents != nullptr && (length == 1 || length == 2 || length == 4) &&
           offset % length == 0 && offset < bar_size;
}

void PciTransport::before_config_read(unsigned offset, unsigned size) {
    Device* contents = nullptr;
    u32 at = 0;
    u32 length = 0;
    if (offset + size > pci_cfg_ + kCapPciData && offset < pci_cfg_ + kCapPciData + 4 &&
        config_window(contents, at, length)) {
        set_config_value(pci_cfg_ + kCapPciData, length, contents->read(at, length));
    }
}

void PciTransport::after_config_write(unsigned offset, unsigned size) {
    Device* contents = nullptr;
    u32 at = 0;
    u32 length = 0;
    if (offset + size > pci_cfg_ + kCapPciData && offset < pci_cfg_ + kCapPciData + 4 &&
        config_window(contents, at, length)) {
        contents->write(at, length, config_value(pci_cfg_ + kCapPciData, length));
    }
}

// --- BAR 0 ---

u32 PciTransport::read_register(u64 offset, unsigned size) {
    const u64 region = offset & ~u64{kRegionSize - 1};
    const u64 at = offset - region;
    switch (region) {
        case kCommonRegion:
            if (at + size <= kCommonLength) {
                const auto image = common_image();
                u32 value = 0;
                std::memcpy(&value, image.data() + at, size);
                return value;
            }
            break;
        case kIsrRegion:
            if (at == 0) {
                return read_isr();
            }
            break;
        case kDeviceRegion:
            return read_device_config(at, size);
        default:
            break;
    }
    return all_ones(size);
}

void PciTransport::write_register(u64 offset, unsigned size, u32 value) {
    const u64 region = offset & ~u64{kRegionSize - 1};
    const u64 at = offset - region;
    switch (region) {
        case kCommonRegion:
            write_common(at, size, value);
            break;
        case kDeviceRegion:
            if (at + size <= device_.config().size()) {
                device_.config_write(at, size, value);
            }
            break;
        // The address alone tells the queue: without VIRTIO_F_NOTIFICATION_DATA the value is its
        // number again.
        case kNotifyRegion:
            if (at % kNotifyMultiplier == 0) {
                notify(at / kNotifyMultiplier);
            }
            break;
        default:
            break;
    }
}

u32 PciTransport::read_isr() {
    // §4.1.4.5.1: reading takes the bits away and the interrupt back.
    const u8 value = std::exchange(isr_, u8{0});
    set_intx(false);
    return value;
}

u32 PciTransport::read_device_config(u64 offset, unsigned size) const {
    const auto config = device_.config();
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const u8 byte = offset + i < config.size() ? config[offset + i] : 0xff;
        value |= u32{byte} << (8 * i);
    }
    return value;
}

std::array<u8, PciTransport::kCommonLength> PciTransport::common_image() const {
    std::array<u8, kCommonLength> image{};
    const auto put = [&image](u64 at, unsigned size, u64 value) {
        std::memcpy(image.data() + at, &value, size);
    };
    const auto half = [](u64 value, u32 select) {
        return select == 0 ? value & 0xffff'ffff : select == 1 ? value >> 32 : 0;
    };
    put(device_feature_select, 4, device_feature_select_);
    put(device_feature, 4, half(offered_, device_feature_select_));
    put(driver_feature_select, 4, driver_feature_select_);
    put(driver_feature, 4, half(driver_features_, driver_feature_select_));
    put(config_msix_vector, 2, config_vector_);
    put(num_queues, 2, configs_.size());
    put(device_status, 1, status_);
    put(config_generation, 1, config_generation_);
    put(queue_select, 2, queue_select_);
    // §4.1.4.3.1: a queue that does not exist has size 0.
    if (queue_select_ < configs_.size()) {
        const QueueConfig& queue = configs_[queue_select_];
        put(queue_size, 2, queue.size);
        put(queue_msix_vector, 2, queue.msix_vector);
        put(queue_enable, 2, queue.enabled ? 1 : 0);
        put(queue_notify_off, 2, queue_select_);
        put(queue_desc, 8, raw(queue.descriptors));
        put(queue_driver, 8, raw(queue.driver));
        put(queue_device, 8, raw(queue.device));
    } else {
        put(queue_msix_vector, 2, kVirtioNoVector);
    }
    return image;
}

void PciTransport::write_common(u64 offset, unsigned size, u32 value) {
    if (register_width(offset) != size) {
        return;
    }
    switch (offset) {
        case device_feature_select:
            device_feature_select_ = value;
            break;
        case driver_feature_select:
            driver_feature_select_ = value;
            break;
        case driver_feature:
            // §3.1.1: once FEATURES_OK is set the features stand.
            if ((status_ & kFeaturesOk) == 0 && driver_feature_select_ < 2) {
                const unsigned shift = 32 * driver_feature_select_;
                driver_features_ =
                    (driver_features_ & ~(u64{0xffff'ffff} << shift)) | (u64{value} << shift);
            }
            break;
        case config_msix_vector:
            config_vector_ = valid_vector(value);
            break;
        case device_status:
            write_status(static_cast<u8>(value));
            break;
        case queue_select:
            queue_select_ = static_cast<u16>(value);
            break;
        default:
            write_queue_register(offset, value);
            break;
    }
}

void PciTransport::write_queue_register(u64 offset, u32 value) {
    if (queue_select_ >= configs_.size()) {
        return;
    }
    QueueConfig& queue = configs_[queue_select_];
    if (offset == queue_msix_vector) {
        queue.msix_vector = valid_vector(value);
        return;
    }
    // §4.1.4.3.2: the rest is set before queue_enable, and nothing but a reset takes that back.
    if (queue.enabled || active_) {
        return;
    }
    switch (offset) {
        case queue_size:
            queue.size = static_cast<u16>(value);
            break;
        case queue_enable:
            queue.enabled = value == 1;
            break;
        case queue_desc:
            queue.descriptors = with_half(queue.descriptors, false, value);
            break;
        case queue_desc + 4:
            queue.descriptors = with_half(queue.descriptors, true, value);
            break;
        case queue_driver:
            queue.driver = with_half(queue.driver, false, value);
            break;
        case queue_driver + 4:
            queue.driver = with_half(queue.driver, true, value);
            break;
        case queue_device:
            queue.device = with_half(queue.device, false, value);
            break;
        case queue_device + 4:
            queue.device = with_half(queue.device, true, value);
            break;
        default:
            break;
    }
}

u16 PciTransport::valid_vector(u32 value) const {
    // §4.1.5.1.2.1: a vector that cannot be had reads back as NO_VECTOR.
    return value < msix_vectors() ? static_cast<u16>(value) : kVirtioNoVector;
}

// --- Device status ---

void PciTransport::write_status(u8 value) {
    if (value == 0) {
        reset_device();
        return;
    }
    // §2.1.1: the driver only adds bits; NEEDS_RESET belongs to the device.
    u8 added = static_cast<u8>(value & ~status_ & ~kNeedsReset);
    if ((added & kFeaturesOk) != 0 && !features_acceptable()) {
        // §3.1.1: the driver reads the status again and finds that its choice was refused.
        added = static_cast<u8>(added & ~kFeaturesOk);
    }
    if ((added & kDriverOk) != 0 && ((status_ | added) & kFeaturesOk) == 0) {
        added = static_cast<u8>(added & ~kDriverOk);
    }
    status_ |= added;
    if ((added & kDriverOk) != 0) {
        activate();
    }
}

bool PciTransport::features_acceptable() const {
    // §6.1: a device without a legacy interface may refuse a driver that does not accept VERSION_1.
    return (driver_features_ & ~offered_) == 0 && (driver_features_ & kVirtioFVersion1) != 0;
}

void PciTransport::activate() {
    for (const QueueConfig& config : configs_) {
        if (config.enabled) {
            if (const char* problem = config.defect(ram_)) {
                broken(problem);
                return;
            }
        }
    }
    std::vector<Queue*> running(configs_.size(), nullptr);
    for (std::size_t i = 0; i < configs_.size(); ++i) {
        if (!configs_[i].enabled) {
            continue;
        }
        queues_[i] = std::make_unique<Queue>(
            configs_[i], ram_, driver_features_,
            Queue::Hooks{.interrupt = [this, i] { raise(configs_[i].msix_vector, kIsrQueue); },
                         .broken = [this](const char* what) { broken(what); }});
        running[i] = queues_[i].get();
    }
    active_ = true;
    device_.activated(driver_features_, running);
    // A driver may have filled its queues, and notified, before DRIVER_OK.
    for (std::size_t i = 0; i < running.size(); ++i) {
        notify(i);
    }
}

void PciTransport::reset_device() {
    if (active_) {
        active_ = false;
        device_.reset();
    }
    const auto sizes = device_.queue_sizes();
    for (std::size_t i = 0; i < configs_.size(); ++i) {
        queues_[i].reset();
        // §4.1.4.3.1: after reset a queue has the largest size the device takes.
        configs_[i] = QueueConfig{.max_size = sizes[i], .size = sizes[i]};
    }
    device_feature_select_ = driver_feature_select_ = 0;
    driver_features_ = 0;
    config_vector_ = kVirtioNoVector;
    queue_select_ = 0;
    status_ = 0;
    isr_ = 0;
    set_intx(false);
}

// --- Events ---

void PciTransport::notify(u64 queue) {
    if (active_ && queue < queues_.size() && queues_[queue] && !queues_[queue]->stopped()) {
        device_.queue_notified(static_cast<unsigned>(queue));
    }
}

void PciTransport::raise(u16 vector, u8 isr_bit) {
    // §4.1.4.5.1: the configuration bit is always set, the queue bit only while MSI-X is disabled.
    if (!msix_enabled() || isr_bit == kIsrConfig) {
        isr_ |= isr_bit;
    }
    set_intx(isr_ != 0);
    signal_msix(vector);  // NO_VECTOR is larger than every vector
}

void PciTransport::config_changed() {
    ++config_generation_;
    if ((status_ & kDriverOk) != 0) {
        raise(config_vector_, kIsrConfig);
    }
}

void PciTransport::broken(const char* what) {
    for (const auto& queue : queues_) {
        if (queue) {
            queue->stop();
        }
    }
    if ((status_ & kNeedsReset) != 0) {
        return;
    }
    status_ |= kNeedsReset;
    if (broken_lines_.allow()) {
        log().warn("dev=%s what=driver_broken why='%s'", name().c_str(), what);
    }
    // §2.1.2: the driver hears of it by a configuration change notification.
    if ((status_ & kDriverOk) != 0) {
        raise(config_vector_, kIsrConfig);
    }
}

}  // namespace ennead::vmcore
