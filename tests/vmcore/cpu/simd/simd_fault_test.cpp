// SPDX-License-Identifier: MIT
// What keeps MMX and SSE instructions from running, in its order, with nothing changed; alignment
// and page ends.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/simd/simd_machine.h"
#include "vmcore/cpu/decode/print.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

using test::difference, test::Encoding, test::encodings, test::FxImage;

constexpr u32 kData = test::TestMachine::kData;

class SimdFaults : public ::testing::Test {
  protected:
    SimdFaults() {
        for (unsigned n = 0; n < 8; ++n) {
            state_.xmm[n] = operands_.next();
            state_.x87.r[n] = {operands_.next().lane<u64>(0), 0x1234};
        }
        state_.gpr[kEcx] = kData;
    }
    void set_pending_x87_exception() {
        x87::load_control(state_.x87, 0x037e);
        state_.x87.status = x87::kIe;
        x87::load_control(state_.x87, 0x037e);
        ASSERT_TRUE(x87::pending(state_.x87));
    }
    void expect_fault(std::string_view bytes, Vector vector) {
        const FxImage before = machine_.image();
        const std::array<u32, 8> gpr = state_.gpr;
        const auto fault = machine_.execute(bytes);
        ASSERT_TRUE(fault.has_value()) << bytes;
        EXPECT_EQ(fault->vector, vector) << bytes;
        EXPECT_EQ(difference(machine_.image(), before), "") << bytes;
        EXPECT_EQ(state_.gpr, gpr) << bytes;
    }
    void expect_runs(std::string_view bytes) {
        EXPECT_FALSE(machine_.execute(bytes).has_value()) << bytes;
    }

    test::Operands operands_{7};
    test::SimdMachine machine_;
    CpuState& state_ = machine_.state;
};

constexpr const char* kSse[] = {"0f 58 c1",    "0f 28 01",       "66 0f fc c1", "f2 0f 2d c1",
                                "0f 50 c1",    "0f ae 11",       "0f ae 19",    "66 0f 6e c0",
                                "f2 0f f0 01", "66 0f 71 d1 01", "0f 2e c1",    "66 0f f7 c1"};
constexpr const char* kMmx[] = {"0f fc c1", "0f 6f 01", "0f 7e c0",    "0f 77",       "0f 71 d1 01",
                                "0f d4 c1", "0f e7 01", "0f 70 c1 00", "0f c5 c1 00", "0f f7 c1"};
constexpr const char* kBoth[] = {"0f 2a c1", "0f 2d c1", "66 0f 2c 01", "f3 0f d6 c1",
                                 "f2 0f d6 c1"};

TEST_F(SimdFaults, emulation_and_osfxsr_make_sse_undefined) {
    for (const char* bytes : kSse) {
        state_.cr0 |= cr0::kEm | cr0::kTs;
        expect_fault(bytes, Vector::ud);
        state_.cr0 &= ~(cr0::kEm | cr0::kTs);
        state_.cr4 &= ~cr4::kOsfxsr;
        expect_fault(bytes, Vector::ud);
        state_.cr4 |= cr4::kOsfxsr;
        state_.cr0 |= cr0::kTs;
        expect_fault(bytes, Vector::nm);
        state_.cr0 &= ~cr0::kTs;
        set_pending_x87_exception();
        expect_runs(bytes);
    }
}

TEST_F(SimdFaults, mmx_needs_no_osfxsr_but_waits_for_the_x87) {
    for (const char* bytes : kMmx) {
        state_.cr0 |= cr0::kEm | cr0::kTs;
        expect_fault(bytes, Vector::ud);
        state_.cr0 &= ~cr0::kEm;
        expect_fault(bytes, Vector::nm);
        state_.cr0 &= ~cr0::kTs;
        set_pending_x87_exception();
        expect_fault(bytes, Vector::mf);
        state_.x87.status = 0;
        state_.cr4 &= ~cr4::kOsfxsr;
        expect_runs(bytes);
        state_.cr4 |= cr4::kOsfxsr;
    }
}

TEST_F(SimdFaults, what_uses_both_files_needs_both) {
    for (const char* bytes : kBoth) {
        state_.cr4 &= ~cr4::kOsfxsr;
        set_pending_x87_exception();
        expect_fault(bytes, Vector::ud);
        state_.cr4 |= cr4::kOsfxsr;
        expect_fault(bytes, Vector::mf);
        state_.x87.status = 0;
        expect_runs(bytes);
    }
    // From memory, the MMX registers are not used.
    set_pending_x87_exception();
    expect_runs("0f 2a 01");
    expect_runs("66 0f 2a 01");
}

TEST_F(SimdFaults, without_ne_an_x87_exception_asserts_ferr_and_mmx_runs) {
    set_pending_x87_exception();
    state_.cr0 &= ~cr0::kNe;
    expect_runs("0f fc c1");
    EXPECT_TRUE(machine_.interrupts.ferr);
}

TEST_F(SimdFaults, fences_prefetches_movnti_and_clflush_need_nothing) {
    state_.cr0 |= cr0::kEm | cr0::kTs;
    state_.cr4 &= ~cr4::kOsfxsr;
    for (const char* bytes : {"0f ae e8", "0f ae f0", "0f ae f8", "0f 18 01", "0f 18 09",
                              "0f 18 11", "0f 18 19", "0f ae 39", "f3 90"}) {
        expect_runs(bytes);
    }
    state_.gpr[kEbx] = 0x12345678;
    expect_runs("0f c3 19");
    EXPECT_EQ(machine_.peek<u32>(kData), 0x12345678u);
}

TEST_F(SimdFaults, xm_is_undefined_opcode_without_osxmmexcpt) {
    state_.mxcsr = mxcsr::kReset & ~(mxcsr::kZe << mxcsr::kMaskShift);
    state_.xmm[0].set_lane<u32>(0, 0x3f800000);
    state_.xmm[1].set_lane<u32>(0, 0);
    ASSERT_EQ(machine_.execute("f3 0f 5e c1")->vector, Vector::xm);  // DIVSS
    EXPECT_EQ(state_.mxcsr & mxcsr::kFlags, mxcsr::kZe);
    EXPECT_EQ(state_.xmm[0].lane<u32>(0), 0x3f800000u);
    state_.cr4 &= ~cr4::kOsxmmexcpt;
    ASSERT_EQ(machine_.execute("f3 0f 5e c1")->vector, Vector::ud);
}

TEST_F(SimdFaults, xm_is_delivered_as_vector_19_without_an_error_code) {
    state_.mxcsr = 0;
    state_.xmm[1].set_lane<u32>(0, 0x7f800001);
    const u32 esp = state_.gpr[kEsp];
    machine_.run("f3 0f 58 c1 f4", 2);
    EXPECT_EQ(machine_.halted_in_handler(), 19u);
    EXPECT_EQ(state_.gpr[kEsp], esp - 12);
    EXPECT_EQ(machine_.peek<u32>(esp - 12), test::TestMachine::kCode) << "a fault";
}

TEST_F(SimdFaults, sixteen_byte_operands_are_aligned_unless_the_instruction_says_otherwise) {
    const auto wide = [](const SimdForm& form, const Insn& insn) {
        return insn.has_memory && form.memory_bytes == 16;
    };
    unsigned aligned = 0, unaligned = 0;
    for (const Encoding& encoding : encodings(operands_.random, wide)) {
        state_.gpr[kEcx] = kData + 8;
        const FxImage before = machine_.image();
        const bool runs = execute_one(machine_.cpu, encoding.insn);
        const std::string_view name = opcode_row(encoding.insn.row).text;
        const bool any =
            name == "movups" || name == "movupd" || name == "movdqu" || name == "lddqu";
        EXPECT_EQ(runs, any) << name;
        (any ? unaligned : aligned) += 1;
        if (!runs) {
            EXPECT_EQ(machine_.cpu.fault().vector, Vector::gp);
            EXPECT_TRUE(machine_.cpu.fault().has_error_code);
            EXPECT_EQ(machine_.cpu.fault().error_code, 0);
            EXPECT_EQ(difference(machine_.image(), before), "") << name;
        }
        state_.gpr[kEcx] = kData + 16;
        EXPECT_TRUE(execute_one(machine_.cpu, encoding.insn)) << name;
    }
    EXPECT_GT(aligned, 800u);
    EXPECT_GT(unaligned, 40u);
}

TEST_F(SimdFaults, alignment_is_that_of_the_linear_address) {
    state_.segment(Seg::ds).base = 8;
    machine_.cpu.mode_changed();
    expect_fault("0f 28 01", Vector::gp);
    state_.gpr[kEcx] = kData + 8;
    expect_runs("0f 28 01");
}

TEST_F(SimdFaults, alignment_checks_ask_for_eight_bytes_at_most) {
    state_.cpl = 3;
    state_.cr0 |= cr0::kAm;
    state_.eflags |= eflags::kAc;
    state_.gpr[kEcx] = kData + 8;
    machine_.cpu.mode_changed();
    expect_runs("0f 10 01");
    expect_fault("0f 28 01", Vector::gp);
    state_.gpr[kEcx] = kData + 4;
    expect_fault("0f 10 01", Vector::ac);
    expect_fault("0f 6f 01", Vector::ac);
    expect_runs("0f 6e 01");
}

TEST_F(SimdFaults, operands_across_a_page_end_move_whole_or_not_at_all) {
    machine_.enable_paging();
    constexpr u32 kEnd = kData + kPageSize;
    for (unsigned n = 0; n < 32; ++n) {
        machine_.poke<u8>(kEnd - 16 + n, static_cast<u8>(n + 1));
    }
    for (unsigned before_end = 1; before_end < 16; ++before_end) {
        state_.gpr[kEcx] = kEnd - before_end;
        expect_runs("0f 10 01");
        EXPECT_EQ(std::memcmp(state_.xmm[0].bytes.data(), machine_.at(kEnd - before_end), 16), 0);
        machine_.page(kEnd, 0);
        expect_fault("0f 10 01", Vector::pf);
        EXPECT_EQ(machine_.cpu.fault().cr2, kEnd);
        std::array<u8, 16> old{};
        std::memcpy(old.data(), machine_.at(kEnd - 16), 16);
        expect_fault("0f 11 09", Vector::pf);
        EXPECT_EQ(std::memcmp(old.data(), machine_.at(kEnd - 16), 16), 0) << "nothing written";
        machine_.page(kEnd, kEnd | 7);
        expect_runs("0f 11 09");
        EXPECT_EQ(std::memcmp(state_.xmm[1].bytes.data(), machine_.at(kEnd - before_end), 16), 0);
        for (unsigned n = 0; n < 32; ++n) {
            machine_.poke<u8>(kEnd - 16 + n, static_cast<u8>(n + 1));
        }
    }
}

TEST_F(SimdFaults, narrow_operands_touch_only_their_bytes) {
    machine_.enable_paging();
    constexpr u32 kEnd = kData + kPageSize;
    machine_.page(kEnd, 0);
    const auto narrow = [](const SimdForm& form, const Insn& insn) {
        return insn.has_memory && form.plain && form.memory_bytes < 16;
    };
    for (const Encoding& encoding : encodings(operands_.random, narrow)) {
        const u32 bytes = opcode_row(encoding.insn.row).simd.memory_bytes;
        state_.gpr[kEcx] = kEnd - bytes;
        EXPECT_TRUE(execute_one(machine_.cpu, encoding.insn)) << print(encoding.insn, 0);
        state_.gpr[kEcx] = kEnd - bytes + 1;
        const FxImage before = machine_.image();
        EXPECT_FALSE(execute_one(machine_.cpu, encoding.insn)) << print(encoding.insn, 0);
        EXPECT_EQ(machine_.cpu.fault().vector, Vector::pf);
        EXPECT_EQ(difference(machine_.image(), before), "") << print(encoding.insn, 0);
    }
}

TEST_F(SimdFaults, stores_to_read_only_pages_fault_and_loads_do_not) {
    machine_.enable_paging();
    state_.cr0 |= cr0::kWp;
    machine_.page(kData, kData | 5);
    const auto memory = [](const SimdForm& form, const Insn& insn) {
        return insn.has_memory && form.plain;
    };
    for (const Encoding& encoding : encodings(operands_.random, memory)) {
        state_.gpr[kEcx] = kData;
        const SimdForm& form = opcode_row(encoding.insn.row).simd;
        EXPECT_EQ(execute_one(machine_.cpu, encoding.insn), form.reads_memory)
            << print(encoding.insn, 0);
        EXPECT_NE(form.reads_memory, form.writes_memory);
    }
}

TEST(SimdRealMode, operands_stay_inside_the_segment) {
    test::SimdMachine machine(test::Mode::real);
    machine.state.gpr[kEsi] = machine.state.gpr[kEbp] = 0xfff1;
    EXPECT_EQ(machine.execute("0f 10 04")->vector, Vector::gp);     // MOVUPS XMM0, [SI]
    EXPECT_EQ(machine.execute("0f 10 46 00")->vector, Vector::ss);  // [BP+0]
    machine.state.gpr[kEsi] = 0xfff0;
    machine.poke<u64>(kData + 0xfff8, 0x1122334455667788);
    EXPECT_FALSE(machine.execute("0f 28 04").has_value());
    EXPECT_EQ(machine.state.xmm[0].lane<u64>(1), 0x1122334455667788u);
}

TEST_F(SimdFaults, masked_stores_fault_only_for_bytes_they_write) {
    machine_.enable_paging();
    constexpr u32 kEnd = kData + kPageSize;
    machine_.page(kEnd, 0);
    state_.gpr[kEdi] = kEnd - 4;
    state_.xmm[1] = Xmm{};
    expect_runs("66 0f f7 c1");
    state_.xmm[1].bytes[3] = 0x80;
    machine_.poke<u32>(kEnd - 4, 0);
    expect_runs("66 0f f7 c1");
    EXPECT_EQ(machine_.peek<u32>(kEnd - 4), u32{state_.xmm[0].bytes[3]} << 24);
    state_.xmm[1].bytes[4] = 0x80;
    machine_.poke<u32>(kEnd - 4, 0);
    expect_fault("66 0f f7 c1", Vector::pf);
    EXPECT_EQ(machine_.peek<u32>(kEnd - 4), 0u) << "nothing written";
}

TEST_F(SimdFaults, masked_stores_take_a_segment_and_di) {
    state_.segment(Seg::fs).base = 0x100;
    machine_.cpu.mode_changed();
    state_.gpr[kEdi] = 0xabcd0000 | 0x4000;
    state_.xmm[1].bytes.fill(0xff);
    expect_runs("64 67 66 0f f7 c1");
    EXPECT_EQ(std::memcmp(machine_.at(0x4100), state_.xmm[0].bytes.data(), 16), 0);
}

TEST_F(SimdFaults, ldmxcsr_refuses_reserved_bits) {
    for (unsigned bit = 0; bit < 32; ++bit) {
        machine_.poke<u32>(kData, 1u << bit);
        if (bit < 16) {
            expect_runs("0f ae 11");
            EXPECT_EQ(state_.mxcsr, 1u << bit);
            expect_runs("0f ae 59 04");
            EXPECT_EQ(machine_.peek<u32>(kData + 4), 1u << bit);
        } else {
            expect_fault("0f ae 11", Vector::gp);
        }
    }
}

TEST_F(SimdFaults, clflush_faults_as_a_load) {
    machine_.enable_paging();
    machine_.page(kData, 0);
    expect_fault("0f ae 39", Vector::pf);
    expect_runs("0f 18 01");  // PREFETCH never does
}

}  // namespace
}  // namespace ennead::vmcore
