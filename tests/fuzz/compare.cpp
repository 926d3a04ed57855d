// SPDX-License-Identifier: MIT
#include "tests/fuzz/compare.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace ennead::vmcore::fuzz {
namespace {

// `visit(name, index, value)` for everything but requests, which the engines keep in places of
// their own.
template <class Visit>
void for_each_word(const CpuState& s, Visit visit) {
    static constexpr const char* kGprs[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    static constexpr const char* kSegs[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    for (unsigned n = 0; n < 8; ++n) {
        visit(kGprs[n], 0, u64{s.gpr[n]});
    }
    visit("eip", 0, u64{s.eip});
    visit("eflags", 0, u64{s.eflags});
    const auto segment = [&](const char* name, const Segment& seg) {
        visit(name, 0, u64{seg.selector} << 48 | u64{seg.attr} << 32 | seg.base);
        visit(name, 1, u64{seg.limit});
    };
    for (unsigned n = 0; n < kSegCount; ++n) {
        segment(kSegs[n], s.seg[n]);
        visit("anywhere", n, u64{s.anywhere[n]});
    }
    segment("ldtr", s.ldtr);
    segment("tr", s.tr);
    visit("gdtr", 0, u64{s.gdtr.base} << 16 | s.gdtr.limit);
    visit("idtr", 0, u64{s.idtr.base} << 16 | s.idtr.limit);
    visit("cr0", 0, u64{s.cr0});
    visit("cr2", 0, u64{s.cr2});
    visit("cr3", 0, u64{s.cr3});
    visit("cr4", 0, u64{s.cr4});
    for (unsigned n = 0; n < 4; ++n) {
        visit("pdpte", n, s.pdpte[n]);
    }
    for (unsigned n = 0; n < 8; ++n) {
        visit("dr", n, u64{s.dr[n]});
    }
    visit("cpl", 0, u64{s.cpl});
    visit("halted", 0, u64{s.halted});
    visit("interrupt_shadow", 0, u64{s.interrupt_shadow});
    visit("nmi_blocked", 0, u64{s.nmi_blocked});
    visit("ferr", 0, u64{s.ferr});
    visit("efer", 0, s.efer);
    visit("apic_base", 0, s.apic_base);
    visit("sysenter_cs", 0, u64{s.sysenter_cs});
    visit("sysenter_esp", 0, u64{s.sysenter_esp});
    visit("sysenter_eip", 0, u64{s.sysenter_eip});
    visit("pat", 0, s.pat);
    visit("misc_enable", 0, s.misc_enable);
    visit("tsc_offset", 0, s.tsc_offset);
    for (unsigned n = 0; n < 8; ++n) {
        visit("x87 r", n, s.x87.r[n].significand);
        visit("x87 r, sign and exponent", n, u64{s.x87.r[n].sign_exponent});
    }
    visit("x87 control", 0, u64{s.x87.control});
    visit("x87 status", 0, u64{s.x87.status});
    // Whether a register is valid, zero or special is computed where it is stored; what is kept is
    // whether it is empty.
    u64 full = 0;
    for (unsigned n = 0; n < 8; ++n) {
        full |= u64{(s.x87.tag >> (2 * n) & 3) != 3} << n;
    }
    visit("x87 registers in use", 0, full);
    visit("pointer: opcode", 0, u64{s.x87.opcode});
    visit("pointer: instruction", 0,
          u64{s.x87.instruction_selector} << 32 | s.x87.instruction_offset);
    visit("pointer: operand", 0, u64{s.x87.operand_selector} << 32 | s.x87.operand_offset);
    for (unsigned n = 0; n < 8; ++n) {
        visit("xmm, low", n, s.xmm[n].lane<u64>(0));
        visit("xmm, high", n, s.xmm[n].lane<u64>(1));
    }
    visit("mxcsr", 0, u64{s.mxcsr});
    visit("instructions", 0, s.instructions);
}

u64 mask_of(const char* name, const Scope& scope) {
    if (name[0] == 'e' && std::strcmp(name, "eflags") == 0) {
        return scope.flags;
    }
    return name[0] == 'p' && std::strncmp(name, "pointer", 7) == 0 && !scope.x87_pointers ? 0
                                                                                          : ~u64{0};
}

// Calls `visit(page)` for the pages that are compared, until it says false.
template <class Visit>
void for_each_page(Lane& a, Lane& b, const Scope& scope, Visit visit) {
    bool more = true;
    const auto each = [&](u32 page) { more = more && visit(page); };
    if (!scope.all_ram) {
        std::ranges::for_each(scope.frames, each);
        return;
    }
    Image::for_each_page(each);
    for (Lane* const lane : {&a, &b}) {
        std::ranges::for_each(lane->stray_pages(), each);
    }
}

template <class... Values>
std::string format(const char* how, Values... values) {
    char text[200];
    std::snprintf(text, sizeof text, how, values...);
    return text;
}

}  // namespace

std::vector<NamedWord> words_of(const CpuState& state) {
    std::vector<NamedWord> words;
    words.reserve(128);
    for_each_word(state, [&](const char* name, unsigned index, u64 value) {
        words.push_back({name, index, value});
    });
    return words;
}

bool same(Lane& a, Lane& b, const Scope& scope) {
    u64 values[200];
    unsigned count = 0;
    const auto masked = [&](const char* name, u64 value) { return value & mask_of(name, scope); };
    for_each_word(a.state(), [&](const char* name, unsigned, u64 value) {
        values[count++] = masked(name, value);
    });
    count = 0;
    bool equal =
        a.device_history() == b.device_history() && a.waiting_vectors() == b.waiting_vectors();
    for_each_word(b.state(), [&](const char* name, unsigned, u64 value) {
        equal &= values[count++] == masked(name, value);
    });
    if (equal) {
        for_each_page(a, b, scope, [&](u32 page) {
            equal = std::memcmp(a.ram() + page, b.ram() + page, kPageSize) == 0;
            return equal;
        });
    }
    return equal;
}

std::vector<std::string> differences(Lane& a, Lane& b, const Scope& scope) {
    std::vector<std::string> lines;
    const auto left = words_of(a.state()), right = words_of(b.state());
    for (std::size_t n = 0; n < left.size(); ++n) {
        const u64 mask = mask_of(left[n].name, scope);
        if (((left[n].value ^ right[n].value) & mask) != 0) {
            lines.push_back(format("%s[%u]: %" PRIx64 ", %" PRIx64, left[n].name, left[n].index,
                                   left[n].value, right[n].value));
        }
    }
    if (a.device_history() != b.device_history()) {
        lines.emplace_back("what the device was asked");
    }
    if (a.waiting_vectors() != b.waiting_vectors()) {
        lines.emplace_back("interrupts acknowledged");
    }
    unsigned told = 0;
    for_each_page(a, b, scope, [&](u32 page) {
        for (u32 at = page; at < page + kPageSize && told < 8; at += 4) {
            if (std::memcmp(a.ram() + at, b.ram() + at, 4) != 0) {
                u32 x, y;
                std::memcpy(&x, a.ram() + at, 4);
                std::memcpy(&y, b.ram() + at, 4);
                lines.push_back(format("memory at %05x: %08x, %08x", at, x, y));
                ++told;
            }
        }
        return told < 8;
    });
    return lines;
}

std::string describe(const CpuState& s) {
    std::string text =
        format("eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x\n",
               s.gpr[0], s.gpr[1], s.gpr[2], s.gpr[3], s.gpr[4], s.gpr[5], s.gpr[6], s.gpr[7]);
    text += format("eip %08x eflags %08x cr0 %08x cr2 %08x cr3 %08x cr4 %08x cpl %u halted %d\n",
                   s.eip, s.eflags, s.cr0, s.cr2, s.cr3, s.cr4, s.cpl, s.halted);
    for (unsigned n = 0; n < kSegCount; ++n) {
        static constexpr const char* kNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};
        text += format("%s %04x base %08x limit %08x attr %04x%s", kNames[n], s.seg[n].selector,
                       s.seg[n].base, s.seg[n].limit, s.seg[n].attr, n % 2 == 1 ? "\n" : "; ");
    }
    return text;
}

}  // namespace ennead::vmcore::fuzz
