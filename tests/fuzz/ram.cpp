// SPDX-License-Identifier: MIT
// Tables, handlers, page tables, data: what a case finds in memory.
#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "tests/fuzz/case.h"
#include "tests/fuzz/random.h"

namespace ennead::vmcore::fuzz {
namespace {

using namespace place;

class RamBuilder {
  public:
    RamBuilder(const Case& c, const Layout& layout) : case_(c), layout_(layout), ram_(kRam) {}

    std::vector<u8> build() {
        descriptors();
        handlers();
        idt();
        data();
        std::ranges::copy(layout_.code, ram_.begin() + kCode);
        other_code();
        frame();
        switch (case_.paging) {
            case PagingKind::off:
                break;
            case PagingKind::pae:
                pae();
                break;
            default:
                two_levels();
                break;
        }
        return std::move(ram_);
    }

  private:
    template <class T>
    void put(u32 address, T value) {
        std::memcpy(ram_.data() + address, &value, sizeof(T));
    }

    static u64 descriptor(u32 base, u32 limit, u16 attr) {
        const bool granular = limit > 0xfffff;
        limit = granular ? limit >> 12 : limit;
        const u32 high = (base & 0xff000000) | (base >> 16 & 0xff) | u32{attr & 0xf0ffu} << 8 |
                         (limit & 0xf0000) | (granular ? 1u << 23 : 0);
        return u64{high} << 32 | u64{base & 0xffff} << 16 | (limit & 0xffff);
    }
    void gdt(u16 selector, u64 value) { put(kGdt + selector, value); }

    void descriptors() {
        constexpr u32 kAll = 0xffffffff;
        constexpr u16 kBig = 0x4000;
        gdt(selector::kCode0, descriptor(0, kAll, kBig | 0x9b));
        gdt(selector::kData0, descriptor(0, kAll, kBig | 0x93));
        gdt(selector::kCode3, descriptor(0, kAll, kBig | 0xfb));
        gdt(selector::kData3, descriptor(0, kAll, kBig | 0xf3));
        gdt(selector::kTss, descriptor(kTss, 0x67, 0x8b));
        gdt(selector::kTss2, descriptor(kTss2, 0x67, 0xe9));
        gdt(selector::kCode16, descriptor(0, 0xfffff, case_.user ? 0xfb : 0x9b));
        gdt(selector::kData16, descriptor(kData, 0xffff, 0xf2));
        gdt(selector::kSmall, descriptor(kData, 0x1fff, kBig | 0xf2));
        gdt(selector::kDown, descriptor(0, kData + 0xfff, kBig | 0xf6));
        gdt(selector::kReadOnly, descriptor(0, kAll, kBig | 0xf0));
        gdt(selector::kAbsent, descriptor(0, kAll, kBig | 0x72));
        gdt(selector::kConforming, descriptor(0, kAll, kBig | 0x9e));
        gdt(selector::kFs, descriptor(case_.fs_base, case_.fs_limit, kBig | 0xf3));
        gdt(selector::kGs, descriptor(case_.gs_base, case_.gs_limit, kBig | 0xf3));
        const u32 target = layout_.addresses.empty() ? kCode : layout_.addresses[case_.landings[0]];
        gdt(selector::kGate, u64{(target & 0xffff0000) | 0xec00} << 32 |
                                 u64{selector::kCode0} << 16 | (target & 0xffff));
        for (const u32 tss : {kTss, kTss2}) {
            put(tss + 4, kStack0);
            put(tss + 8, u32{selector::kData0});
            put(tss + 0x66, u16{0x68});
        }
        put(kTss2 + 0x20, target);
        put(kTss2 + 0x24, u32{2});
        put(kTss2 + 0x38, kStackEnd - 0x800);
        const u16 data = case_.user ? selector::kData3 | 3 : selector::kData0;
        const u16 code = case_.user ? selector::kCode3 | 3 : selector::kCode0;
        for (u32 n = 0; n < 6; ++n) {
            put(kTss2 + 0x48 + n * 4, u32{n == 1 ? code : data});
        }
        if (case_.paging != PagingKind::off) {
            put(kTss2 + 0x1c, u32{case_.paging == PagingKind::pae ? kPdpt : kDirectory});
        }
    }

    // --- handlers: kHandlers + 0 resumes; + 0x100 goes on elsewhere, + 0x200 the same with an
    // error code on the stack
    struct Writer {
        std::vector<u8>& ram;
        u32 at;
        void bytes(std::initializer_list<unsigned> list) {
            for (const unsigned b : list) {
                ram[at++] = static_cast<u8>(b);
            }
        }
        void word(u32 value) {
            std::memcpy(&ram[at], &value, 4);
            at += 4;
        }
    };

    void resume(Writer w, bool with_error_code) {
        if (with_error_code) {
            w.bytes({0x89, 0x04, 0x24});  // mov [esp],eax
        } else {
            w.bytes({0x50});  // push eax
        }
        w.bytes({0x36, 0xa1});  // mov eax,ss:[kFrame]
        w.word(kFrame);
        w.bytes({0x40, 0x83, 0xe0, 0x0f});  // inc eax; and eax,15
        w.bytes({0x36, 0xa3});              // mov ss:[kFrame],eax
        w.word(kFrame);
        w.bytes({0x36, 0x8b, 0x04, 0x85});  // mov eax,ss:[kFrame+eax*4+0x10]
        w.word(kFrame + 0x10);
        w.bytes({0x89, 0x44, 0x24, 0x04});  // mov [esp+4],eax
        w.bytes({0x81, 0x64, 0x24, 0x0c});  // and dword [esp+12],~…
        w.word(~(eflags::kTf | eflags::kNt | (case_.scrub ? eflags::kArith : 0)));
        if (case_.mend) {
            w.bytes({0xb8});
            w.word(case_.user ? selector::kData3 | 3u : u32{selector::kData0});
            w.bytes({0x8e, 0xd8, 0x8e, 0xc0});  // mov ds,eax; mov es,eax
            for (const unsigned gpr : {kEbx, kEbp, kEsi, kEdi}) {
                w.bytes({0xb8 + gpr});
                w.word(case_.gpr[gpr]);
            }
        }
        w.bytes({0x58, 0xcf});  // pop eax; iret
    }

    void handlers() {
        Writer plain{ram_, kHandlers};
        if (case_.scrub) {
            plain.bytes({0x81, 0x64, 0x24, 0x08});
            plain.word(~eflags::kArith);
        }
        plain.bytes({0xcf});
        resume({ram_, kHandlers + 0x100}, false);
        resume({ram_, kHandlers + 0x200}, true);
        // #DB: once in a while the trap flag goes.
        Writer debug{ram_, kHandlers + 0x300};
        debug.bytes({0x50, 0x36, 0xa1});  // push eax; mov eax,ss:[kFrame+8]
        debug.word(kFrame + 8);
        debug.bytes({0x40, 0x36, 0xa3});
        debug.word(kFrame + 8);
        debug.bytes({0xa8, 0x0f, 0x75, 0x08});  // test al,15; jnz over
        debug.bytes({0x81, 0x64, 0x24, 0x0c});  // and dword [esp+12],~TF
        debug.word(~(eflags::kTf));
        debug.bytes({0x81, 0x4c, 0x24, 0x0c});  // or dword [esp+12],RF
        debug.word(eflags::kRf);
        if (case_.scrub) {
            debug.bytes({0x81, 0x64, 0x24, 0x0c});
            debug.word(~eflags::kArith);
        }
        debug.bytes({0x58, 0xcf});
        // A handler with work to do, and its own calls.
        Writer work{ram_, kHandlers + 0x400};
        work.bytes({0x60, 0xe8, 0x02, 0, 0, 0, 0xeb, 0x0e});  // pusha; call +2; jmp over
        work.bytes({0x36, 0xff, 0x05});                       // inc dword ss:[kFrame+0xc]
        work.word(kFrame + 0xc);
        work.bytes({0xb9, 0x05, 0, 0, 0, 0xe2, 0xfe, 0xc3});  // mov ecx,5; loop .; ret
        work.at = kHandlers + 0x400 + 8 + 15;
        if (case_.scrub) {
            work.bytes({0x81, 0x64, 0x24, 0x28});
            work.word(~eflags::kArith);
        }
        work.bytes({0x61, 0xcf});
        ram_[kHandlers + 0x407] = 15;
        // SYSENTER leads here: inc dword ss:[kFrame+0x60]; sysexit
        Writer fast{ram_, kFastCall};
        fast.bytes({0x36, 0xff, 0x05});
        fast.word(kFrame + 0x60);
        fast.bytes({0x0f, 0x35});
    }

    void idt() {
        for (u32 n = 0; n < 256; ++n) {
            u32 handler = kHandlers;
            switch (n) {
                case 1:
                    handler += 0x300;
                    break;
                case 8:
                case 10:
                case 11:
                case 12:
                case 13:
                case 14:
                case 17:
                    handler += 0x200;
                    break;
                case 2:
                case 3:
                case 4:
                    break;
                default:
                    handler += n < 32 ? 0x100 : (n & 1) != 0 ? 0x400 : 0;
                    break;
            }
            const u32 type = n % 5 == 4 ? 0xf : 0xe;  // trap and interrupt gates
            const u32 dpl = n % 7 == 6 ? 0 : 3;
            put(kIdt + n * 8, u64{(handler & 0xffff0000) | (0x80 | dpl << 5 | type) << 8} << 32 |
                                  u64{selector::kCode0} << 16 | (handler & 0xffff));
        }
    }

    void data() {
        Random random(case_.data_seed);
        for (const auto& [first, end] :
             {std::pair{kData, kData + 0x6000}, std::pair{kSpecial - 0x8000, kSpecial}}) {
            for (u32 at = first; at < end; at += 4) {
                u32 value = random.value();
                if (random.chance(10)) {
                    value = random.between(kData, kDataEnd - 8);
                }
                put(at, value);
            }
        }
        for (u32 at = kStack; at < kStackEnd; at += 4) {
            put(at,
                random.chance(50) && !layout_.addresses.empty()
                    ? layout_.addresses[random.below(static_cast<u32>(layout_.addresses.size()))]
                    : random.value());
        }
    }

    // The same functions with another constant, so that it shows which of the pages runs.
    void other_code() {
        std::copy_n(ram_.begin() + kFunctions, 0x1000, ram_.begin() + kOtherCode);
        for (u32 n = case_.first_function; n < case_.units.size(); ++n) {
            const u32 offset = layout_.addresses[n] - kFunctions;
            if (offset + 1 < 0x1000 && ram_[kOtherCode + offset] == 0xb8) {
                ram_[kOtherCode + offset + 1] ^= 0x5a;  // of MOV EAX,imm
            }
        }
    }

    void frame() {
        for (u32 n = 0; n < 16; ++n) {
            put(kFrame + 0x10 + n * 4, layout_.addresses[case_.landings[n]]);
        }
        for (u32 n = 0; n < 64; ++n) {
            put(kTargets + n * 4, layout_.addresses[n % layout_.addresses.size()]);
        }
    }

    // --- page tables: what both formats say of a linear page
    struct Page {
        u32 physical = 0;
        u32 bits = 7;  // P, R/W, U/S
    };
    static u32 rights_at(u32 linear) {
        switch (linear) {
            case kSpecialReadOnly:
            case kReadOnly:
                return 5;
            case kAbsent:
            case kSpecial - 0x1000:
            case kData - 0x1000:
            case kLast + 0x1000:
            case kStackEnd:
                return 6;
            case kSupervisor:
                return 3;
            default:
                break;
        }
        const bool table = linear >= kDirectory && linear < kTablesEnd;
        return table || (linear < kStack && linear != (kFrame & ~kPageMask)) ? 3 : 7;
    }
    Page page_at(u32 linear, bool second) const {
        Page page{physical_page(linear, second), rights_at(linear)};
        if (case_.global && (linear & 0x2000) != 0) {
            page.bits |= 0x100;
        }
        return page;
    }

    void two_levels() {
        for (const bool second : {false, true}) {
            const u32 directory = second ? kDirectory2 : kDirectory, table = directory + 0x1000;
            put(directory, table | 7);
            if (case_.paging == PagingKind::large) {
                put(directory + kLargeAlias / 0x400000 * 4, 0x87u);
            }
            for (u32 n = 0; n < kRam / kPageSize; ++n) {
                const Page page = page_at(n * kPageSize, second);
                put(table + n * 4, page.physical | page.bits);
            }
        }
    }

    void pae() {
        for (const bool second : {false, true}) {
            const u32 pdpt = second ? kPdpt2 : kPdpt, directory = second ? 0x46000 : 0x45000,
                      table = second ? 0x48000 : 0x47000;
            put(pdpt, u64{directory | 1});
            put(directory, u64{table | 7});
            put(directory + kLargeAlias / 0x200000 * 8, u64{0x87});
            for (u32 n = 0; n < kRam / kPageSize; ++n) {
                const Page page = page_at(n * kPageSize, second);
                put(table + n * 8, u64{page.physical | page.bits});
            }
        }
    }

    const Case& case_;
    const Layout& layout_;
    std::vector<u8> ram_;
};

}  // namespace

u32 physical_page(u32 linear, bool second_directory) {
    switch (linear) {
        case kSpecialReadOnly:
            return 0x28000;
        case kAbsent:
        case kSpecial - 0x1000:
        case kData - 0x1000:
        case kLast + 0x1000:
        case kStackEnd:
        case kSupervisor:
            return 0x29000;
        case kDataAlias:
            return kData;
        case kCodeAlias:
        case kCodeAlias + 0x1000:
            return kCode + linear - kCodeAlias;
        case kDevice:
            return kDevicePhysical;
        case kFunctions:
            return second_directory ? kOtherCode : linear;
        case kData + 0x1000:
            return second_directory ? kOtherData : linear;
        default:
            return linear;
    }
}

std::vector<u8> build_ram(const Case& c, const Layout& layout) {
    return RamBuilder(c, layout).build();
}

}  // namespace ennead::vmcore::fuzz
