// SPDX-License-Identifier: MIT
// The table of registers: name, width, how to read and write each.
#include "vmcore/machine/registers.h"

#include <cstdio>
#include <functional>

namespace ennead::vmcore {
namespace {

struct Register {
    std::string name;
    unsigned bits;
    std::function<u64(const Cpu&)> get;
    std::function<void(Cpu&, u64)> set;
    // What may be non-zero; other bits are refused.
    u64 allowed = ~u64{0};
};

constexpr u32 kSettableFlags = 0x003f7fd5 | eflags::kFixed;
constexpr u32 kSettableCr0 = 0xe005003f;
constexpr u32 kSettableCr4 = 0x000006ff;

void add_segment(std::vector<Register>& table, const std::string& name, Segment& (*of)(CpuState&)) {
    const auto field = [&](const char* suffix, unsigned bits, auto member, u64 allowed) {
        table.push_back({name + suffix, bits,
                         [of, member](const Cpu& cpu) -> u64 { return of(cpu.state).*member; },
                         [of, member](Cpu& cpu, u64 v) {
                             auto& target = of(cpu.state).*member;
                             target = static_cast<std::remove_reference_t<decltype(target)>>(v);
                         },
                         allowed});
    };
    field("", 16, &Segment::selector, 0xffff);
    field(".base", 32, &Segment::base, 0xffffffff);
    field(".limit", 32, &Segment::limit, 0xffffffff);
    field(".attr", 16, &Segment::attr, 0xf0ff);
}

template <Seg kSeg>
Segment& segment_of(CpuState& s) {
    return s.segment(kSeg);
}

std::vector<Register> make_table() {
    std::vector<Register> table;
    const auto word = [&](const char* name, u32 CpuState::*member, u64 allowed = 0xffffffff) {
        table.push_back({name, 32, [member](const Cpu& c) -> u64 { return c.state.*member; },
                         [member](Cpu& c, u64 v) { c.state.*member = static_cast<u32>(v); },
                         allowed});
    };
    constexpr const char* kGprNames[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    for (unsigned i : {kEax, kEbx, kEcx, kEdx, kEsi, kEdi, kEbp, kEsp}) {
        table.push_back({kGprNames[i], 32, [i](const Cpu& c) -> u64 { return c.state.gpr[i]; },
                         [i](Cpu& c, u64 v) { c.state.gpr[i] = static_cast<u32>(v); }});
    }
    word("eip", &CpuState::eip);
    word("eflags", &CpuState::eflags, kSettableFlags);
    add_segment(table, "cs", segment_of<Seg::cs>);
    add_segment(table, "ss", segment_of<Seg::ss>);
    add_segment(table, "ds", segment_of<Seg::ds>);
    add_segment(table, "es", segment_of<Seg::es>);
    add_segment(table, "fs", segment_of<Seg::fs>);
    add_segment(table, "gs", segment_of<Seg::gs>);
    add_segment(table, "ldtr", [](CpuState& s) -> Segment& { return s.ldtr; });
    add_segment(table, "tr", [](CpuState& s) -> Segment& { return s.tr; });
    const auto descriptor_table = [&](const std::string& name, DescriptorTable CpuState::*member) {
        table.push_back(
            {name + ".base", 32, [member](const Cpu& c) -> u64 { return (c.state.*member).base; },
             [member](Cpu& c, u64 v) { (c.state.*member).base = static_cast<u32>(v); }});
        table.push_back(
            {name + ".limit", 16, [member](const Cpu& c) -> u64 { return (c.state.*member).limit; },
             [member](Cpu& c, u64 v) { (c.state.*member).limit = static_cast<u16>(v); }});
    };
    descriptor_table("gdtr", &CpuState::gdtr);
    descriptor_table("idtr", &CpuState::idtr);
    word("cr0", &CpuState::cr0, kSettableCr0);
    word("cr2", &CpuState::cr2);
    word("cr3", &CpuState::cr3);
    word("cr4", &CpuState::cr4, kSettableCr4);
    for (unsigned i : {0, 1, 2, 3, 6, 7}) {
        table.push_back({"dr" + std::to_string(i), 32,
                         [i](const Cpu& c) -> u64 { return c.state.dr[i]; },
                         [i](Cpu& c, u64 v) { c.state.dr[i] = static_cast<u32>(v); }});
    }
    table.push_back({"tsc", 64,
                     [](const Cpu& c) -> u64 { return c.io.clock.now_ns() + c.state.tsc_offset; },
                     [](Cpu& c, u64 v) { c.state.tsc_offset = v - c.io.clock.now_ns(); }});
    return table;
}

const std::vector<Register>& registers() {
    static const std::vector<Register> table = make_table();
    return table;
}

const char* mode_name(const CpuState& s) {
    if (!s.protected_mode()) {
        return "real";
    }
    if (s.v86()) {
        return "v86";
    }
    return s.segment(Seg::cs).big() ? "protected32" : "protected16";
}

}  // namespace

std::string registers_text(const Cpu& cpu) {
    std::string text;
    char line[64];
    for (const Register& r : registers()) {
        std::snprintf(line, sizeof line, "%s 0x%0*llx\n", r.name.c_str(),
                      static_cast<int>(r.bits / 4), static_cast<unsigned long long>(r.get(cpu)));
        text += line;
    }
    std::snprintf(line, sizeof line, "cpl %u\nmode %s\n", cpu.state.cpl, mode_name(cpu.state));
    return text + line;
}

Result<> set_registers(Cpu& cpu, const std::vector<std::pair<std::string, u64>>& assignments,
                       std::size_t* fault_index) {
    std::vector<const Register*> targets;
    u32 cr0 = cpu.state.cr0;
    for (std::size_t i = 0; i < assignments.size(); ++i) {
        const auto& [name, value] = assignments[i];
        const Register* found = nullptr;
        for (const Register& r : registers()) {
            if (r.name == name) {
                found = &r;
            }
        }
        bool good = found != nullptr && (found->bits == 64 || (value >> found->bits) == 0) &&
                    (value & ~found->allowed) == 0;
        if (name == "cr0") {
            cr0 = static_cast<u32>(value);
            // SDM vol 3A §2.5: paging needs protection, not-write-through needs cache disable.
            good = good && !((cr0 & cr0::kPg) && !(cr0 & cr0::kPe)) &&
                   !((cr0 & cr0::kNw) && !(cr0 & cr0::kCd));
        }
        if (!good) {
            if (fault_index != nullptr) {
                *fault_index = i;
            }
            return Error::bad_value;
        }
        targets.push_back(found);
    }
    const auto next = [&cpu] { return std::pair(cpu.state.eip, cpu.state.segment(Seg::cs).base); };
    const auto before = next();
    for (std::size_t i = 0; i < assignments.size(); ++i) {
        targets[i]->set(cpu, assignments[i].second);
    }
    if (next() != before) {
        cpu.state.halted = false;
    }
    cpu.state.eflags |= eflags::kFixed;
    cpu.state.cr0 |= cr0::kEt;
    // The stack segment's DPL is the CPL, as VMX has it; V86 code always runs at 3, real mode at 0.
    cpu.state.cpl = !cpu.state.protected_mode() ? 0
                    : cpu.state.v86()           ? 3
                                                : static_cast<u8>(cpu.state.segment(Seg::ss).dpl());
    if ((cpu.state.cr0 & cr0::kPg) && (cpu.state.cr4 & cr4::kPae)) {
        // CR3 may be another, so are the page-directory-pointer entries it leads to (SDM vol 3A
        // §4.4.1).
        if (std::array<u64, 4> entries{}; read_pdptes(cpu.mmu.memory(), cpu.state.cr3, entries)) {
            cpu.state.pdpte = entries;
        }
    }
    cpu.mode_changed();
    cpu.mmu.flush_all();
    return success();
}

}  // namespace ennead::vmcore
