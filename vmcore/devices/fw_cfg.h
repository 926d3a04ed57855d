// SPDX-License-Identifier: MIT
// The firmware configuration device by which SeaBIOS and kernels of QEMU's PCs are given files.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmcore/devices/device_window.h"
#include "vmcore/log.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// QEMU's specs/fw_cfg. vCPU thread only; items are added before the machine starts.
class FwCfg {
  public:
    using Written = std::function<void(std::span<const u8>)>;

    // Keys with a fixed number that SeaBIOS asks for.
    static constexpr u16 kSignature = 0x00, kId = 0x01, kRamSize = 0x03, kCpuCount = 0x05,
                         kKernelAddress = 0x07, kKernelSize = 0x08, kInitrdAddress = 0x0a,
                         kInitrdSize = 0x0b, kBootMenu = 0x0e, kMaxCpus = 0x0f, kKernelEntry = 0x10,
                         kKernelData = 0x11, kInitrdData = 0x12, kCommandLineAddress = 0x13,
                         kCommandLineSize = 0x14, kCommandLineData = 0x15, kSetupAddress = 0x16,
                         kSetupSize = 0x17, kSetupData = 0x18, kFileDirectory = 0x19;

    explicit FwCfg(GuestRam& ram, Log log = {});

    void reset();

    // Replaces what the key had. bad_value for a key of the device's own.
    Result<> add(u16 key, std::vector<u8> bytes);
    // `bytes` are not copied and must outlive this object.
    Result<> add_view(u16 key, std::span<const u8> bytes);
    Result<> add16(u16 key, u16 value);
    Result<> add32(u16 key, u32 value);
    // A file in the directory. bad_value if the name is empty or longer than 55 bytes, or the
    // directory is full; range_overlap if it is there already. With `written`, the guest may write
    // it by DMA and `written` is then given its whole contents.
    Result<> add_file(std::string_view name, std::vector<u8> bytes, Written written = {});

    Device& ports() { return ports_window_; }    // 0x510, 2 bytes, width 2
    Device& dma_ports() { return dma_window_; }  // 0x514, 8 bytes, width 4

  private:
    struct Item {
        std::string name;  // empty if it is no file
        std::vector<u8> bytes;
        std::span<const u8> view;  // in place of `bytes`, if there are any
        bool writable = false;
        Written written;
    };

    u32 read_ports(u64 offset, unsigned size);
    void write_ports(u64 offset, unsigned size, u32 value);
    u32 read_dma(u64 offset, unsigned size);
    void write_dma(u64 offset, unsigned size, u32 value);
    void select(u16 key);
    [[nodiscard]] std::span<const u8> rest() const;
    void run_dma(u64 address);
    [[nodiscard]] bool transfer(u32 control, u32 length, u64 address);
    [[nodiscard]] bool copy_out(u32 length, u64 address);
    [[nodiscard]] bool copy_in(u32 length, u64 address);
    void rebuild_directory();

    GuestRam& ram_;
    Log log_;
    LogLimit dma_log_{4};
    std::map<u16, Item> items_;
    u16 key_ = 0;
    u64 position_ = 0;
    u32 dma_high_ = 0;
    DeviceWindow<FwCfg> ports_window_{*this, &FwCfg::read_ports, &FwCfg::write_ports};
    DeviceWindow<FwCfg> dma_window_{*this, &FwCfg::read_dma, &FwCfg::write_dma};
};

}  // namespace ennead::vmcore
