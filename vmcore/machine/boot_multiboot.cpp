// SPDX-License-Identifier: MIT
// Multiboot Specification 0.6.96: the header (§3.1), the machine's state (§3.2), what the kernel is
// told (§3.3).
#include <algorithm>

#include "vmcore/machine/boot_parts.h"
#include "vmcore/machine/boot_program.h"
#include "vmcore/machine/multiboot.h"

namespace ennead::vmcore {

using namespace boot;

namespace {

constexpr u32 kHeaderMagic = 0x1badb002, kLoaderMagic = 0x2badb002;
constexpr std::size_t kSearched = 8192;
// Bits 0…15 are requirements. Page-aligned modules and memory information are given in any case, a
// video mode is a wish.
constexpr u32 kKnownRequirements = 0x0007, kRequirements = 0xffff, kHasAddresses = 1u << 16;

// Fields of the information structure.
constexpr u32 kFlags = 0, kMemLower = 4, kMemUpper = 8, kCommandLine = 16, kModsCount = 20,
              kModsAddr = 24, kMmapLength = 44, kMmapAddr = 48, kBootLoaderName = 64,
              kInfoSize = 120;
constexpr u32 kHasMemory = 1u << 0, kHasCommandLine = 1u << 2, kHasModules = 1u << 3,
              kHasMmap = 1u << 6, kHasName = 1u << 9;

Result<Loaded> pieces_by_addresses(std::span<const u8> image, const MultibootHeader& h,
                                   u64 ram_size) {
    if (h.load_addr > h.header_addr || h.header_addr - h.load_addr > h.at) {
        return Error::unknown_kernel;
    }
    const u64 offset = h.at - (h.header_addr - h.load_addr);
    u64 size = image.size() - offset;
    if (h.load_end_addr != 0) {
        if (h.load_end_addr < h.load_addr || h.load_end_addr - h.load_addr > size) {
            return Error::unknown_kernel;
        }
        size = h.load_end_addr - h.load_addr;
    }
    u64 memory_size = size;
    if (h.bss_end_addr != 0) {
        if (h.bss_end_addr < h.load_addr) {
            return Error::unknown_kernel;
        }
        memory_size = std::max<u64>(size, h.bss_end_addr - h.load_addr);
    }
    if (!loadable(ram_size, h.load_addr, memory_size)) {
        return Error::image_too_large;
    }
    return Loaded{.entry = h.entry_addr,
                  .pieces = {{h.load_addr, image.subspan(offset, size), memory_size}}};
}

// Puts the modules behind the kernel, each at a page, in their order.
Result<> place_modules(const std::vector<BootModule>& modules, u64 ram_size, Loaded& loaded) {
    u64 at = std::max<u64>(loaded.end(), kHighMemory);
    for (const BootModule& m : modules) {
        at = (at + kPageMask) & ~u64{kPageMask};
        if (!loadable(ram_size, at, m.bytes.size())) {
            return Error::image_too_large;
        }
        loaded.pieces.push_back({at, m.bytes, m.bytes.size()});
        at += m.bytes.size();
    }
    return success();
}

// The information structure with all it points to, as one piece of memory that is to lie at `base`.
class Information {
  public:
    explicit Information(u32 base) : base_(base), bytes_(kInfoSize) {}

    [[nodiscard]] const std::vector<u8>& bytes() const { return bytes_; }

    void set(u32 field, u32 value) { put(std::span(bytes_), field, value); }
    void flag(u32 bit) { set(kFlags, get<u32>(bytes_, kFlags) | bit); }
    u32 text(std::string_view s) {
        const u32 at = here();
        bytes_.insert(bytes_.end(), s.begin(), s.end());
        bytes_.push_back(0);
        return at;
    }
    void align(std::size_t to) { bytes_.resize((bytes_.size() + to - 1) / to * to); }
    template <class T>
    void append(T value) {
        bytes_.resize(bytes_.size() + sizeof value);
        put(std::span(bytes_), bytes_.size() - sizeof value, value);
    }
    [[nodiscard]] u32 here() const { return base_ + static_cast<u32>(bytes_.size()); }

  private:
    u32 base_;
    std::vector<u8> bytes_;
};

// Fills in what the kernel is told, for a place at `base`. A BIOS has the memory map.
void inform(Program& program, u32 base, const BootImages& images, std::size_t kernel_pieces,
            u64 ram_size, Environment environment) {
    Information info(base);
    info.flag(kHasMemory | kHasCommandLine | kHasMmap | kHasName);
    info.set(kMemLower, kEndOfLowMemory / 1024);
    info.set(kMemUpper, static_cast<u32>((ram_size - kHighMemory) / 1024));

    info.set(kMmapAddr, info.here());
    program.map = Program::Map::multiboot;
    program.map_at = info.here();
    program.map_room = Program::kMapRoom;
    const auto append = [&info](const MemoryRange& r) {
        info.append<u32>(20);  // the size of what follows
        info.append(r.address);
        info.append(r.size);
        info.append(r.type);
    };
    if (environment == Environment::bare) {
        const auto map = memory_map(ram_size);
        std::ranges::for_each(map, append);
        info.set(kMmapLength, static_cast<u32>(map.size()) * 24);
    } else {
        for (u32 i = 0; i < program.map_room; i++) {
            append({});
        }
    }

    std::vector<u32> names;
    for (const BootModule& m : images.initrds) {
        names.push_back(info.text(m.name));
    }
    info.align(4);
    if (!images.initrds.empty()) {
        info.flag(kHasModules);
        info.set(kModsCount, static_cast<u32>(names.size()));
        info.set(kModsAddr, info.here());
        for (std::size_t i = 0; i < names.size(); i++) {
            const Piece& module = program.pieces[kernel_pieces + i];
            info.append(static_cast<u32>(module.address));
            info.append(
                static_cast<u32>(module.address + module.size));  // the first byte behind it
            info.append(names[i]);
            info.append<u32>(0);
        }
    }
    info.set(kCommandLine, info.text(images.command_line));
    info.set(kBootLoaderName, info.text("Ennead"));
    // The kernel may not count on a GDT, but there has to be one.
    info.align(8);
    program.gdt_at = info.here();
    for (const u64 descriptor : kFlatGdt) {
        info.append(descriptor);
    }
    program.information = info.bytes();
    program.information_at = base;
}

// Low memory is the custom; behind everything else if the kernel is there.
u64 place_for_information(const Loaded& loaded, u64 size) {
    const u64 low = (kEndOfLowMemory - size) & ~u64{kPageMask};
    const bool free = size < 0x80000 && !loaded.overlaps(low, low + size);
    return free ? low : (std::max<u64>(loaded.end(), kHighMemory) + kPageMask) & ~u64{kPageMask};
}

}  // namespace

std::optional<MultibootHeader> MultibootHeader::find(std::span<const u8> image) {
    const std::size_t end = std::min(image.size(), kSearched);
    for (u32 at = 0; at + 12 <= end; at += 4) {
        if (get<u32>(image, at) != kHeaderMagic) {
            continue;
        }
        const u32 flags = get<u32>(image, at + 4);
        if (static_cast<u32>(kHeaderMagic + flags + get<u32>(image, at + 8)) != 0) {
            continue;
        }
        MultibootHeader h{};
        h.at = at;
        h.has_addresses = (flags & kHasAddresses) != 0;
        if ((flags & kRequirements & ~kKnownRequirements) != 0 ||
            (h.has_addresses && at + 32 > end)) {
            return std::nullopt;
        }
        if (h.has_addresses) {
            h.header_addr = get<u32>(image, at + 12);
            h.load_addr = get<u32>(image, at + 16);
            h.load_end_addr = get<u32>(image, at + 20);
            h.bss_end_addr = get<u32>(image, at + 24);
            h.entry_addr = get<u32>(image, at + 28);
        }
        return h;
    }
    return std::nullopt;
}

Result<Program> plan_multiboot(const BootImages& images, u64 ram_size, Environment environment) {
    const auto header = MultibootHeader::find(images.kernel);
    if (!header || (!header->has_addresses && !is_elf_kernel(images.kernel))) {
        return Error::unknown_kernel;
    }
    auto loaded = header->has_addresses ? pieces_by_addresses(images.kernel, *header, ram_size)
                                        : elf_pieces(images.kernel, ram_size);
    if (!loaded) {
        return loaded.error();
    }
    const std::size_t kernel_pieces = loaded.value().pieces.size();
    if (auto placed = place_modules(images.initrds, ram_size, loaded.value()); !placed) {
        return placed.error();
    }
    Program program{.pieces = loaded.value().pieces, .entry = loaded.value().entry};
    inform(program, 0, images, kernel_pieces, ram_size, environment);
    const u64 size = program.information.size();
    const u64 at = place_for_information(loaded.value(), size);
    if (!loadable(ram_size, at, size)) {
        return Error::image_too_large;
    }
    inform(program, static_cast<u32>(at), images, kernel_pieces, ram_size, environment);
    program.eax = kLoaderMagic;
    program.ebx = static_cast<u32>(at);
    return check_program(std::move(program), environment);
}

}  // namespace ennead::vmcore
