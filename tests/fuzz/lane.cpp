// SPDX-License-Identifier: MIT
#include "tests/fuzz/lane.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "vmcore/cpu/interp/interp.h"
#include "vmcore/cpu/jit/jit.h"

namespace ennead::vmcore::fuzz {
namespace {

std::unique_ptr<Engine> make_engine(LaneKind kind, Cpu& cpu) {
    if (kind == LaneKind::interpreter) {
        return std::make_unique<Interpreter>(cpu);
    }
    auto jit = std::make_unique<Jit>(cpu);
    jit->set_exact_flags(kind == LaneKind::exact_jit);
    return jit;
}

Segment segment(u16 selector, u32 base, u32 limit, u16 attr) {
    return {.base = base, .limit = limit, .selector = selector, .attr = attr};
}

}  // namespace

Lane::Lane(LaneKind kind)
    : ram_(std::move(GuestRam::create(place::kRam)).value()),
      memory_(*ram_, mmio_),
      cpu_(arena_, CpuWiring{memory_, ports_, interrupts_, clock_, Log()}),
      engine_(make_engine(kind, cpu_)) {
    if (!mmio_.add(place::kDevicePhysical, 0x1000, 4, device_, "recorder") ||
        !ports_.add(0x100, 0x100, 4, device_, "recorder")) {
        std::abort();
    }
}

void Lane::write(u32 address, const u8* bytes, u32 size) {
    std::memcpy(ram_->base() + address, bytes, size);
    ram_->written(PhysAddr{address}, size);
}

std::vector<u32> Lane::stray_pages() const {
    std::vector<u32> pages;
    off_t at = lseek(ram_->fd(), place::kLowEnd, SEEK_DATA);
    while (at >= 0 && at < off_t{place::kHigh}) {
        const off_t end = lseek(ram_->fd(), at, SEEK_HOLE);
        for (; at < end && at < off_t{place::kHigh}; at += kPageSize) {
            pages.push_back(static_cast<u32>(at));
        }
        at = lseek(ram_->fd(), at, SEEK_DATA);
    }
    return pages;
}

void Lane::load(const Case& c, const Layout& layout, const AddressSpaces& spaces,
                const Image& image) {
    Image::for_each_page([&](u32 page) {
        if (!image.same_page(page, ram_->base() + page)) {
            write(page, image.at(page), kPageSize);
        }
    });
    for (const u32 page : stray_pages()) {
        // Only what the host need not keep counts as untouched.
        ram_->written(PhysAddr{page}, kPageSize);
        (void)fallocate(ram_->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, kPageSize);
    }
    device_.history = 0;
    interrupts_ = {};
    state_.reset();
    state_.requests = 0;
    state_.tsc_offset = 0;
    (void)cpu_.take_pending_debug();

    constexpr u32 kAll = 0xffffffff;
    const u16 level = c.user ? 3 : 0;
    const u16 dpl = static_cast<u16>(level << 5);
    const u16 data = static_cast<u16>((c.user ? selector::kData3 : selector::kData0) | level);
    for (Segment& each : state_.seg) {
        each = segment(data, 0, kAll, static_cast<u16>(0xc093 | dpl));
    }
    state_.segment(Seg::cs) =
        c.code16 ? segment(static_cast<u16>(selector::kCode16 | level), 0, 0xfffff,
                           static_cast<u16>(0x9b | dpl))
                 : segment(static_cast<u16>((c.user ? selector::kCode3 : selector::kCode0) | level),
                           0, kAll, static_cast<u16>(0xc09b | dpl));
    state_.segment(Seg::fs) = segment(selector::kFs | 3, c.fs_base, c.fs_limit, 0xc0f3);
    state_.segment(Seg::gs) = segment(selector::kGs | 3, c.gs_base, c.gs_limit, 0xc0f3);
    state_.tr = segment(selector::kTss, place::kTss, 0x67, 0x8b);
    state_.ldtr = segment(0, 0, 0, 0);
    state_.gdtr = {place::kGdt, selector::kCount - 1};
    state_.idtr = {place::kIdt, 0x7ff};
    state_.cr0 = cr0::kPe | cr0::kEt | cr0::kNe | (c.write_protect ? cr0::kWp : 0);
    state_.cr4 = c.cr4;
    switch (c.paging) {
        case PagingKind::off:
            break;
        case PagingKind::pae:
            state_.cr3 = spaces.root(0);
            state_.cr4 |= cr4::kPae;
            (void)read_pdptes(memory_, state_.cr3, state_.pdpte);
            state_.cr0 |= cr0::kPg;
            break;
        case PagingKind::large:
            state_.cr4 |= cr4::kPse;
            [[fallthrough]];
        case PagingKind::small:
            state_.cr3 = spaces.root(0);
            state_.cr0 |= cr0::kPg;
            break;
    }
    state_.efer = c.execute_disable ? efer::kNxe : 0;
    state_.sysenter_cs = selector::kCode0;
    state_.sysenter_esp = place::kStack0;
    state_.sysenter_eip = place::kFastCall;
    state_.cpl = static_cast<u8>(level);
    state_.gpr = c.gpr;
    state_.eflags = c.flags | eflags::kFixed | c.iopl << 12;
    state_.eip = layout.addresses.empty() ? place::kCode : layout.addresses[0];
    state_.instructions = 0;
    engine_->flush();
}

void Lane::apply(const Event& event, const AddressSpaces& spaces) {
    switch (event.kind) {
        case Event::Kind::interrupt:
            interrupts_.vectors.push_back(static_cast<u8>(event.a));
            state_.request(kRequestInterrupt);
            break;
        case Event::Kind::nmi:
            state_.request(kRequestNmi);
            break;
        case Event::Kind::bytes:
            for (u32 n = 0; n < event.bytes.size(); ++n) {
                const u32 at = event.a + n, frame = spaces.frame(0, at);
                if (Image::has(frame)) {
                    write(frame | (at & kPageMask), &event.bytes[n], 1);
                }
            }
            break;
        case Event::Kind::flip: {
            if ((state_.cr0 & cr0::kPg) == 0) {
                break;
            }
            for (unsigned space = 0; space < spaces.count(); ++space) {
                if (const auto entry = spaces.leaf(space, event.a)) {
                    const u8 changed = ram_->base()[*entry] ^ 1;
                    write(*entry, &changed, 1);
                }
            }
            engine_->flush();
            break;
        }
    }
}

}  // namespace ennead::vmcore::fuzz
