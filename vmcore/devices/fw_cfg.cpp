// SPDX-License-Identifier: MIT
// Selector, data and DMA of the firmware configuration device (QEMU, specs/fw_cfg).
#include "vmcore/devices/fw_cfg.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ennead::vmcore {
namespace {

constexpr u16 kFirstFile = 0x20;
constexpr u16 kWriteChannel = 0x4000;  // historic; kept out of the key
constexpr u16 kArchLocal = 0x8000;
constexpr unsigned kMaxFiles = 0x3fff - kFirstFile;
constexpr std::size_t kNameSize = 56;

constexpr u32 kDmaError = 1;
constexpr u32 kDmaRead = 2;
constexpr u32 kDmaSkip = 4;
constexpr u32 kDmaSelect = 8;
constexpr u32 kDmaWrite = 16;

constexpr u64 kDmaSignature = 0x51454d5520434647;  // "QEMU CFG"

u32 load_be32(const u8* p) {
    return u32{p[0]} << 24 | u32{p[1]} << 16 | u32{p[2]} << 8 | p[3];
}

void store_be32(u8* p, u32 v) {
    p[0] = static_cast<u8>(v >> 24);
    p[1] = static_cast<u8>(v >> 16);
    p[2] = static_cast<u8>(v >> 8);
    p[3] = static_cast<u8>(v);
}

}  // namespace

FwCfg::FwCfg(GuestRam& ram, Log log) : ram_(ram), log_(std::move(log)) {
    items_[kSignature].bytes = {'Q', 'E', 'M', 'U'};
    items_[kId].bytes = {0x03, 0, 0, 0};  // bit 0: the ports; bit 1: DMA
    rebuild_directory();
}

void FwCfg::reset() {
    select(0);
    dma_high_ = 0;
}

Result<> FwCfg::add(u16 key, std::vector<u8> bytes) {
    const u16 number = key & static_cast<u16>(~kArchLocal);
    if (key == kSignature || key == kId || key == kFileDirectory || number >= kFirstFile) {
        return Error::bad_value;
    }
    items_[key] =
        Item{.name = {}, .bytes = std::move(bytes), .view = {}, .writable = false, .written = {}};
    return success();
}

Result<> FwCfg::add_view(u16 key, std::span<const u8> bytes) {
    if (auto added = add(key, {}); !added) {
        return added;
    }
    items_[key].view = bytes;
    return success();
}

// Numbers under a fixed key are little-endian.
Result<> FwCfg::add16(u16 key, u16 value) {
    return add(key, {static_cast<u8>(value), static_cast<u8>(value >> 8)});
}

Result<> FwCfg::add32(u16 key, u32 value) {
    return add(key, {static_cast<u8>(value), static_cast<u8>(value >> 8),
                     static_cast<u8>(value >> 16), static_cast<u8>(value >> 24)});
}

Result<> FwCfg::add_file(std::string_view name, std::vector<u8> bytes, Written written) {
    if (name.empty() || name.size() >= kNameSize) {
        return Error::bad_value;
    }
    u16 key = kFirstFile;
    for (const auto& [used, item] : items_) {
        if (item.name == name) {
            return Error::range_overlap;
        }
        if (used >= kFirstFile && used < kWriteChannel) {
            key = static_cast<u16>(used + 1);
        }
    }
    if (key >= kFirstFile + kMaxFiles) {
        return Error::bad_value;
    }
    const bool writable = static_cast<bool>(written);
    items_[key] = Item{std::string(name), std::move(bytes), {}, writable, std::move(written)};
    rebuild_directory();
    return success();
}

// A big-endian count, then for each file: size, key, two reserved bytes, name padded to 56 bytes.
void FwCfg::rebuild_directory() {
    std::vector<u8> out(4);
    u32 count = 0;
    for (const auto& [key, item] : items_) {
        if (item.name.empty()) {
            continue;
        }
        count++;
        const std::size_t at = out.size();
        out.resize(at + 8 + kNameSize);
        store_be32(&out[at], static_cast<u32>(item.bytes.size()));
        out[at + 4] = static_cast<u8>(key >> 8);
        out[at + 5] = static_cast<u8>(key);
        std::memcpy(&out[at + 8], item.name.data(), item.name.size());
    }
    store_be32(out.data(), count);
    items_[kFileDirectory].bytes = std::move(out);
}

void FwCfg::select(u16 key) {
    key_ = key & static_cast<u16>(~kWriteChannel);
    position_ = 0;
}

// What is left of the selected item; nothing for a key without item.
std::span<const u8> FwCfg::rest() const {
    const auto it = items_.find(key_);
    if (it == items_.end()) {
        return {};
    }
    const Item& item = it->second;
    const auto all = item.view.empty() ? std::span<const u8>(item.bytes) : item.view;
    return position_ < all.size() ? all.subspan(position_) : std::span<const u8>();
}

u32 FwCfg::read_ports(u64 offset, unsigned size) {
    // The data register is the byte at 511h; the selector cannot be read.
    u8 data = 0;
    if (offset + size == 2) {
        const auto left = rest();
        data = left.empty() ? 0 : left[0];
        position_++;
    }
    return size == 2 ? u32{data} << 8 : data;
}

void FwCfg::write_ports(u64 offset, unsigned size, u32 value) {
    // Only the 16-bit write selects. Writing through the data register was given up by QEMU too.
    if (offset == 0 && size == 2) {
        select(static_cast<u16>(value));
    }
}

u32 FwCfg::read_dma(u64 offset, unsigned size) {
    u32 value = 0;
    for (unsigned i = 0; i < size; i++) {
        const unsigned byte = static_cast<unsigned>(offset) + i;
        value |= static_cast<u32>(kDmaSignature >> (56 - 8 * byte) & 0xff) << (8 * i);
    }
    return value;
}

void FwCfg::write_dma(u64 offset, unsigned size, u32 value) {
    if (size != 4) {
        return;
    }
    // The register is big-endian: the high half lies first, the low half starts the transfer.
    const u32 half = __builtin_bswap32(value);
    if (offset == 0) {
        dma_high_ = half;
    } else if (offset == 4) {
        const u64 address = u64{dma_high_} << 32 | half;
        dma_high_ = 0;
        run_dma(address);
    }
}

// The descriptor: control, length, address, all big-endian.
void FwCfg::run_dma(u64 address) {
    const auto descriptor = ram_.span(PhysAddr{address}, 16);
    if (!descriptor) {
        // There is nowhere to put the error.
        if (dma_log_.allow()) {
            log_.warn("dev=fw_cfg what=descriptor_outside_ram address=0x%llx",
                      static_cast<unsigned long long>(address));
        }
        return;
    }
    u8* d = descriptor->data();
    const u32 control = load_be32(d);
    const u32 length = load_be32(d + 4);
    const u64 buffer = u64{load_be32(d + 8)} << 32 | load_be32(d + 12);
    const bool good = transfer(control, length, buffer);
    if (!good && dma_log_.allow()) {
        log_.warn("dev=fw_cfg what=bad_transfer control=0x%x length=0x%x address=0x%llx", control,
                  length, static_cast<unsigned long long>(buffer));
    }
    // 0 tells the guest that all is done.
    store_be32(d, good ? 0 : kDmaError);
}

bool FwCfg::transfer(u32 control, u32 length, u64 address) {
    if (control & kDmaSelect) {
        select(static_cast<u16>(control >> 16));
    }
    // "If more than one bit is set, read has precedence, then write, then skip."
    if (control & kDmaRead) {
        return copy_out(length, address);
    }
    if (control & kDmaWrite) {
        return copy_in(length, address);
    }
    if (control & kDmaSkip) {
        position_ += length;
    }
    return true;
}

// What lies beyond the item's end reads as zeros.
bool FwCfg::copy_out(u32 length, u64 address) {
    const auto to = ram_.span(PhysAddr{address}, length);
    if (!to) {
        return false;
    }
    const auto from = rest();
    const std::size_t n = std::min<std::size_t>(from.size(), length);
    std::copy_n(from.begin(), n, to->begin());
    std::fill(to->begin() + static_cast<std::ptrdiff_t>(n), to->end(), u8{0});
    ram_.written(*to);
    position_ += length;
    return true;
}

bool FwCfg::copy_in(u32 length, u64 address) {
    const auto from = ram_.span(PhysAddr{address}, length);
    const auto it = items_.find(key_);
    if (!from || it == items_.end() || !it->second.writable) {
        return false;
    }
    Item& item = it->second;
    if (position_ > item.bytes.size() || length > item.bytes.size() - position_) {
        return false;
    }
    std::copy(from->begin(), from->end(),
              item.bytes.begin() + static_cast<std::ptrdiff_t>(position_));
    position_ += length;
    item.written(item.bytes);
    return true;
}

}  // namespace ennead::vmcore
