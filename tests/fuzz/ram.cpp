// SPDX-License-Identifier: MIT
// Tables, handlers, data, code: what a case finds in memory.
#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "tests/fuzz/address_spaces.h"
#include "tests/fuzz/case.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/random.h"

namespace ennead::vmcore::fuzz {
namespace {

using namespace place;

class RamBuilder {
  public:
    RamBuilder(const Case& c, const Layout& layout, const AddressSpaces& spaces)
        : case_(c), layout_(layout), spaces_(spaces) {}

    Image build() {
        descriptors();
        handlers();
        idt();
        data();
        std::ranges::copy(layout_.code, image_.at(kCode));
        other_code();
        frame();
        if (spaces_.paging()) {
            move_contents();
            spaces_.write_tables(image_);
        }
        return std::move(image_);
    }

  private:
    template <class T>
    void put(u32 address, T value) {
        image_.put(address, value);
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
            put(kTss2 + 0x1c, AddressSpaces::root(0));
        }
    }

    // --- handlers: kHandlers + 0 resumes; + 0x100 goes on elsewhere, + 0x200 the same with an
    // error code on the stack
    struct Writer {
        Image& image;
        u32 at;
        void bytes(std::initializer_list<unsigned> list) {
            for (const unsigned b : list) {
                *image.at(at++) = static_cast<u8>(b);
            }
        }
        void word(u32 value) {
            image.put(at, value);
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
        Writer plain{image_, kHandlers};
        if (case_.scrub) {
            plain.bytes({0x81, 0x64, 0x24, 0x08});
            plain.word(~eflags::kArith);
        }
        plain.bytes({0xcf});
        resume({image_, kHandlers + 0x100}, false);
        resume({image_, kHandlers + 0x200}, true);
        // #DB: once in a while the trap flag goes.
        Writer debug{image_, kHandlers + 0x300};
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
        Writer work{image_, kHandlers + 0x400};
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
        *image_.at(kHandlers + 0x407) = 15;
        // To the next address space.
        Writer next{image_, kHandlers + 0x600};
        next.bytes({0x50, 0x36, 0xa1});  // push eax; mov eax,ss:[kFrame+0x80]
        next.word(kFrame + 0x80);
        next.bytes({0x40, 0x83, 0xe0, 0x03, 0x36, 0xa3});  // inc eax; and eax,3; mov ss:[…],eax
        next.word(kFrame + 0x80);
        next.bytes({0x36, 0x8b, 0x04, 0x85});  // mov eax,ss:[kFrame+eax*4+0x90]
        next.word(kFrame + 0x90);
        next.bytes({0x0f, 0x22, 0xd8});  // mov cr3,eax
        if (case_.scrub) {
            next.bytes({0x81, 0x64, 0x24, 0x0c});
            next.word(~eflags::kArith);
        }
        next.bytes({0x58, 0xcf});
        // Changes an entry of page tables and drops a translation: xor ss:[eax],ecx; invlpg
        // ss:[edx]
        Writer change{image_, kHandlers + 0x680};
        change.bytes({0x36, 0x31, 0x08, 0x36, 0x0f, 0x01, 0x3a});
        // … and all of them: CR4.PGE changes twice.
        Writer change_all{image_, kHandlers + 0x6c0};
        change_all.bytes({0x36, 0x31, 0x08, 0x0f, 0x20, 0xe0, 0x34, 0x80, 0x0f, 0x22, 0xe0});
        change_all.bytes({0x34, 0x80, 0x0f, 0x22, 0xe0});
        for (Writer* const each : {&change, &change_all}) {
            if (case_.scrub) {
                each->bytes({0x81, 0x64, 0x24, 0x08});
                each->word(~eflags::kArith);
            }
            each->bytes({0xcf});
        }
        // SYSENTER leads here: inc dword ss:[kFrame+0x60]; sysexit
        Writer fast{image_, kFastCall};
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
                    handler += n < 32                                                  ? 0x100
                               : n == vector::kChange                                  ? 0x680
                               : n == vector::kChangeAndFlush                          ? 0x6c0
                               : n >= vector::kFirstSwitch && n <= vector::kLastSwitch ? 0x600
                               : (n & 1) != 0                                          ? 0x400
                                                                                       : 0;
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

    // The same functions with differences, so that it shows which of the pages runs.
    void other_code() {
        std::memcpy(image_.at(kOtherCode), image_.at(kFunctions), kPageSize);
        for (u32 n = 0; n < case_.units.size(); ++n) {
            put_unit(n, true, kFunctions, kOtherCode);
        }
    }
    // What of the unit lies in the linear page, into the frame. `altered`: some do something else
    // there, and take as many bytes.
    void put_unit(u32 n, bool altered, u32 page, u32 frame) {
        const u32 first = layout_.addresses[n];
        const auto length = static_cast<u32>(case_.units[n].bytes.size());
        if (first < kCode || first + length > kCodeEnd) {
            return;
        }
        std::vector<u8> bytes(layout_.code.begin() + (first - kCode),
                              layout_.code.begin() + (first - kCode + length));
        if (altered && length >= 3 && length < 0x80 && (first * 0x9e3779b9u >> 30) == 0) {
            bytes[0] = static_cast<u8>(0x40 | (first & 3));  // inc register; jmp over the rest
            bytes[1] = 0xeb;
            bytes[2] = static_cast<u8>(length - 3);
        } else if (altered && length >= 5 && bytes[0] == 0xb8) {
            bytes[1] ^= 0x5a;  // of MOV EAX,imm
        }
        for (u32 k = 0; k < length; ++k) {
            if (const u32 at = first + k - page; at < kPageSize) {
                *image_.at(frame + at) = bytes[k];
            }
        }
    }

    // --- what lies in other frames than those of its linear address. Frames may be shared: then
    // code comes last, without what is between its units.
    void move_contents() {
        const Image plain = image_;
        std::vector<u32> order;
        for (const auto& [first, end] :
             {std::pair{kData, kReadOnly + kPageSize}, std::pair{kStack, kStackEnd},
              std::pair{kGdt, kStack}, std::pair{kCode, kCodeEnd}}) {
            for (u32 page = first; page < end; page += kPageSize) {
                order.push_back(page);
            }
        }
        std::vector<u32> done, left;
        for (const u32 page : order) {
            bool moved = true;
            for (unsigned space = 0; space < spaces_.count(); ++space) {
                const u32 to = spaces_.frame(space, page);
                if (to == page || (space != 0 && (to == kOtherCode || to == kOtherData))) {
                    moved = moved && to != page;
                    done.push_back(to);
                } else if (Image::has(to)) {
                    place_page(plain, page, to, space != 0 && to != spaces_.frame(0, page),
                               std::ranges::find(done, to) != done.end());
                    done.push_back(to);
                }
            }
            if (moved) {
                left.push_back(page);
            }
        }
        // Whoever takes linear for physical addresses should not find the same there.
        for (const u32 page : left) {
            if (std::ranges::find(done, page) == done.end()) {
                std::memset(image_.at(page), 0xf4, kPageSize);
            }
        }
    }
    void place_page(const Image& plain, u32 page, u32 to, bool altered, bool taken) {
        const bool code = page >= kCode && page < kCodeEnd;
        if (!code || !taken) {
            std::memcpy(image_.at(to), plain.at(page), kPageSize);
        }
        for (u32 n = 0; code && n < case_.units.size(); ++n) {
            put_unit(n, altered, page, to);
        }
        if (altered && page >= kData && page <= kReadOnly) {
            for (u32 at = 0; at < kPageSize; at += 64) {
                *image_.at(to + at) ^= 0x5a;
            }
        }
    }

    void frame() {
        for (u32 n = 0; n < 16; ++n) {
            put(kFrame + 0x10 + n * 4, layout_.addresses[case_.landings[n]]);
        }
        for (u32 n = 0; n < kMostSpaces; ++n) {
            put(kFrame + 0x90 + n * 4, AddressSpaces::root(n % spaces_.count()));
        }
        for (u32 n = 0; n < 64; ++n) {
            put(kTargets + n * 4, layout_.addresses[n % layout_.addresses.size()]);
        }
    }

    const Case& case_;
    const Layout& layout_;
    const AddressSpaces& spaces_;
    Image image_;
};

}  // namespace

Image build_ram(const Case& c, const Layout& layout, const AddressSpaces& spaces) {
    return RamBuilder(c, layout, spaces).build();
}

}  // namespace ennead::vmcore::fuzz
