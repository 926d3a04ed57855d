// SPDX-License-Identifier: MIT
#include "tests/fuzz/testimony.h"

#include <algorithm>

#include "tests/fuzz/case.h"
#include "tests/fuzz/undefined.h"
#include "vmcore/cpu/decode/tables.h"

namespace ennead::vmcore::fuzz {

using namespace eflags;

bool Testimony::possible(const AddressSpaces& spaces, const CpuState& s) {
    // VIF and VIP: the POPF that puts EFLAGS in place clears them (SDM vol 2B, POPF).
    // Traps between instructions are not delivered there; #AC does not exist (SDM vol 3A §6.15).
    const bool alignment = (s.cr0 & cr0::kAm) != 0 && (s.eflags & kAc) != 0 && s.cpl == 3;
    // ESP is put in place by an IRET, which loads SP alone where the stack has 16 bits.
    const bool half_a_stack_pointer = s.cpl == 3 && !s.segment(Seg::ss).big();
    // And that IRET takes data segments of inner levels away, which SYSEXIT leaves.
    constexpr u16 kConformingCode = Segment::kCode | Segment::kConforming;
    const bool inner_data = s.cpl == 3 && std::ranges::any_of(s.seg, [](const Segment& seg) {
                                return seg.selector >= 4 && seg.dpl() < 3 &&
                                       (seg.attr & kConformingCode) != kConformingCode;
                            });
    const bool known_tables = (s.cr0 & cr0::kPg) == 0 || spaces.space_of(s.cr3).has_value();
    // The CPU that it is has no NX.
    const bool execute_disable = (s.cr4 & cr4::kPae) != 0 && (s.efer & efer::kNxe) != 0;
    return s.protected_mode() && known_tables && !execute_disable &&
           (s.eflags & (kTf | kVm | kVif | kVip)) == 0 && (s.dr[7] & 0xff) == 0 &&
           (s.cpl == 0 || s.cpl == 3) && !alignment && !inner_data && !half_a_stack_pointer;
}

bool Testimony::concerns(const Insn& insn, const CpuState& state) {
    // x87, MMX and SSE: QEMU 5 sets few of their status flags, and the host has been asked already
    // (tests/vmcore/cpu/simd, x87_test).
    if (opcode_row(insn.row).simd.present) {
        return false;
    }
    switch (insn.op) {
        case Op::fpu_d8:
        case Op::fpu_d9:
        case Op::fpu_da:
        case Op::fpu_db:
        case Op::fpu_dc:
        case Op::fpu_dd:
        case Op::fpu_de:
        case Op::fpu_df:
        case Op::fwait:
        // Devices and models differ.
        case Op::in_imm:
        case Op::in_dx:
        case Op::out_imm:
        case Op::out_dx:
        case Op::ins:
        case Op::outs:
        case Op::cpuid:
        case Op::rdtsc:
        case Op::rdmsr:
        case Op::wrmsr:
        case Op::rdpmc:
        // Nothing is delivered there.
        case Op::int_imm:
        case Op::int1:
        case Op::int3:
        case Op::into:
        case Op::hlt:
        // What they load is put in place anew for each run.
        case Op::mov_cr_r:
        case Op::mov_dr_r:
        case Op::mov_r_dr:
        case Op::lgdt:
        case Op::lidt:
        case Op::lldt:
        case Op::ltr:
        case Op::sysenter:
        case Op::sysexit:
            return false;
        // QEMU knows instructions that our CPU does not have, and lets LOCK pass with many where
        // there is nothing to lock. UD2 it is asked about.
        case Op::ud:
            return insn.opcode == 0x0b && !insn.lock;
        // At CPL 3, of a CRn that does not exist: #GP there, which comes after what is wrong with
        // the opcode (SDM vol 3A, table 6-2, classes 8 and 9).
        case Op::mov_r_cr:
            return insn.reg() == 0 || (insn.reg() >= 2 && insn.reg() <= 4);
        // Hints that QEMU does not know.
        case Op::nop:
            return insn.opcode == 0x90;
        // The alias of /0 is not in the SDM (vol 2D, table A-6), and not in QEMU.
        case Op::test:
            return (insn.opcode & 0xfe) != 0xf6 || insn.reg() == 0;
        // QEMU takes the flags of the result for those of the operand.
        case Op::neg:
            return !insn.lock;
        // The upper half of a register is undefined (SDM vol 2B, SMSW), and so is BSWAP of a word
        // (vol 2A).
        case Op::smsw:
            return insn.has_memory || insn.operand_size == 2;
        case Op::bswap:
            return insn.operand_size == 4;
        // The stack after it is checked as by a write (SDM vol 2A, ENTER): a page that QEMU does
        // not touch. With 16-bit operands on a 32-bit stack it loads all of EBP, we (and Bochs)
        // load BP.
        case Op::enter:
            return false;
        // Bits 16 to 19 are undefined (SDM vol 2A, LAR).
        case Op::lar:
            return insn.operand_size == 2;
        // QEMU takes the number of bytes for signed.
        case Op::ret_imm:
        case Op::ret_far_imm:
            return insn.imm < 0x8000 && (insn.op == Op::ret_imm || state.cpl == 0);
        // What they push and pop counts as the system's there, whatever the privilege.
        case Op::call_far_imm:
        case Op::call_far_mem:
        case Op::ret_far:
            return state.cpl == 0;
        // Two bytes are written, or four (SDM vol 2B, PUSH).
        case Op::push_sreg:
            return insn.operand_size == 2;
        // A return to another task: QEMU's task switches miss checks. Outside of CPL 0 it takes VM
        // from the stack (SDM vol 2A, IRET: only with CPL 0).
        case Op::iret:
            return (state.eflags & kNt) == 0 && state.cpl == 0;
        default:
            return !undefined_result(insn, 31);
    }
}

bool Testimony::concerns(const Insn& insn, const GuestFault& fault) {
    // QEMU translates no checks of limits and types (SDM vol 3A §5.3, §5.5).
    const bool by_segment =
        (fault.vector == Vector::gp || fault.vector == Vector::ss) && fault.error_code == 0;
    // It has already loaded some registers when a later one of POPA faults.
    if (insn.op == Op::popa) {
        return false;
    }
    return !by_segment || (opcode_row(insn.row).has(OpcodeRow::kPrivileged) && !insn.has_memory);
}

bool Testimony::spoils_flags(const Insn& insn) {
    return insn.op == Op::rcl || insn.op == Op::rcr || insn.op == Op::setcc ||
           insn.op == Op::cmovcc;
}

bool Testimony::knows_cr2(const Insn& insn) {
    // Which of its two operands CMPS reads first, the SDM leaves open. QEMU begins PUSHA at the
    // lowest address (SDM vol 2B: EAX first).
    return insn.op != Op::cmps && insn.op != Op::pusha;
}

bool Testimony::at_second_page(u32 our_cr2, u32 their_cr2) {
    return (our_cr2 & kPageMask) == 0 || (their_cr2 & kPageMask) == 0;
}

u32 Testimony::bits_of_memory(const AddressSpaces& spaces, u32 address, u32 value) {
    using namespace place;
    // QEMU does not mark code segments accessed in far jumps and calls (SDM vol 3A §3.4.5.1).
    constexpr u32 kAccessedSegment = 1u << 8;
    const u32 gdt = spaces.frame(0, kGdt), at = address - gdt - (kGdt & kPageMask);
    if (at < selector::kCount) {
        return address % 8 == 4 ? ~kAccessedSegment : 0xffffffff;
    }
    // It looks ahead for code, so pages may be accessed earlier.
    if (address < kTables || address >= kTablesEnd) {
        return 0xffffffff;
    }
    const bool of_gdt = (value & entry::kFrame) == gdt;
    return static_cast<u32>(~(entry::kAccessed | (of_gdt ? entry::kDirty : 0)));
}

u32 Testimony::undefined_flags(const Insn& insn, u32 ecx) {
    const u32 flags = fuzz::undefined_flags(insn, ecx);
    switch (insn.op) {
        case Op::and_:
        case Op::or_:
        case Op::xor_:
        case Op::test:
            return kAf;
        case Op::bt:
        case Op::bts:
        case Op::btr:
        case Op::btc:
            return kOf | kSf | kAf | kPf;
        case Op::daa:
        case Op::das:
            return kOf;
        case Op::aaa:
        case Op::aas:
            return kOf | kSf | kZf | kPf;
        case Op::aam:
        case Op::aad:
            return kOf | kAf | kCf;
        default:
            return flags;
    }
}

}  // namespace ennead::vmcore::fuzz
