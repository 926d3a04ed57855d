// SPDX-License-Identifier: MIT
#include "tests/fuzz/report.h"

#include <cinttypes>
#include <cstdio>
#include <span>

#include "tests/fuzz/address_spaces.h"
#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/decode/print.h"

namespace ennead::vmcore::fuzz {
namespace {

template <class... Values>
std::string format(const char* how, Values... values) {
    char text[300];
    std::snprintf(text, sizeof text, how, values...);
    return text;
}

std::string disassembly(const Case& c, const Layout& layout, u32 unit) {
    std::string text;
    const u32 first = layout.addresses[unit];
    const u32 end = first + static_cast<u32>(c.units[unit].bytes.size());
    for (u32 at = first; at < end && at < place::kCodeEnd;) {
        Insn insn;
        const std::span<const u8> code(layout.code);
        const auto status = decode(code.subspan(at - place::kCode),
                                   c.code16 ? CodeSize::bits16 : CodeSize::bits32, insn);
        const u32 length = status == DecodeStatus::ok ? insn.length : end - at;
        std::string hex;
        for (u32 n = 0; n < length; ++n) {
            hex += format("%02x ", code[at - place::kCode + n]);
        }
        text += format("  %05x: %-32s", at, hex.c_str());
        text += (status == DecodeStatus::ok ? print(insn, at) : "?") + "\n";
        at += length;
    }
    return text;
}

}  // namespace

std::string describe(const Case& c) {
    static constexpr const char* kPaging[] = {"no paging", "4 KB pages", "4 MB pages too", "PAE"};
    static constexpr const char* kEvents[] = {"interrupt", "nmi", "bytes", "flip"};
    const Layout layout = lay_out(c);
    std::string text =
        format("seed %" PRIu64
               ": CPL %d, %s, WP %d, %s flags, scrub %d, mend %d, global %d, IOPL %u, cr4 %x%s\n",
               c.seed, c.user ? 3 : 0, kPaging[static_cast<unsigned>(c.paging)], c.write_protect,
               c.exact ? "exact" : "live", c.scrub, c.mend, c.global, c.iopl, c.cr4,
               c.code16 ? ", 16-bit code" : "");
    text += format(
        "eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x eflags %08x\n",
        c.gpr[0], c.gpr[1], c.gpr[2], c.gpr[3], c.gpr[4], c.gpr[5], c.gpr[6], c.gpr[7], c.flags);
    text += format("fs %08x limit %08x, gs %08x limit %08x\n", c.fs_base, c.fs_limit, c.gs_base,
                   c.gs_limit);
    if (c.paging != PagingKind::off) {
        text += format("%u address spaces, NX %d\n", c.spaces, c.execute_disable);
        const AddressSpaces spaces(c);
        for (const Mapping& each : c.mappings) {
            text += format("%s page %08x: %" PRIx64 " in spaces %02x",
                           each.large ? "large" : "small", each.linear, each.entry, each.spaces);
            const auto leaf = each.large ? std::nullopt : spaces.leaf(0, each.linear);
            text += leaf ? format(", entry at %x\n", *leaf) : "\n";
        }
    }
    text += "slices:";
    for (const u32 each : c.slices) {
        text += format(" %u", each);
    }
    text += "\n";
    for (const Event& event : c.events) {
        text += format("before slice %u: %s %x", event.slice,
                       kEvents[static_cast<unsigned>(event.kind)], event.a);
        for (const u8 byte : event.bytes) {
            text += format(" %02x", byte);
        }
        text += "\n";
    }
    for (u32 n = 0; n < c.units.size(); ++n) {
        text += disassembly(c, layout, n);
    }
    return text;
}

}  // namespace ennead::vmcore::fuzz
