// SPDX-License-Identifier: MIT
// The x87 handlers against the host's own x87: every encoding, random registers, control words and
// operands.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

class NoInterrupts : public InterruptSource {
  public:
    bool intr() override { return false; }
    u8 acknowledge() override { return 0; }
    void apic_base_written(u64) override {}
    void tsc_deadline_written(u64) override {}
    u64 tsc_deadline() override { return 0; }
    void ferr_changed(bool asserted) override {
        ferr = asserted;
        ++ferr_changes;
    }
    bool ferr = false;
    int ferr_changes = 0;
};

bool execute(Cpu& cpu, const Insn& insn) {
    static constexpr Handler kHandlers[] = {exec_fpu_d8, exec_fpu_d9, exec_fpu_da, exec_fpu_db,
                                            exec_fpu_dc, exec_fpu_dd, exec_fpu_de, exec_fpu_df};
    return kHandlers[insn.opcode - 0xd8](cpu, insn);
}

class X87Test : public ::testing::Test {
  protected:
    static constexpr u32 kMemory = 0x2000, kEip = 0x1234;

    X87Test() {
        state.reset();
        state.cr0 = cr0::kPe | cr0::kNe | cr0::kEt;
        for (Segment& segment : state.seg) {
            segment.base = 0;
            segment.limit = 0xffffffff;
            segment.selector = 0x10;
            segment.attr = Segment::kPresent | Segment::kCodeOrData | Segment::kWritable |
                           Segment::kBig | Segment::kGranular;
        }
        state.segment(Seg::cs).selector = 0x08;
        state.eip = kEip;
        cpu.mode_changed();
        x87::init(state.x87);
    }

    static Insn registers(u8 opcode, u8 modrm) {
        Insn insn;
        insn.opcode = opcode;
        insn.has_modrm = true;
        insn.modrm = modrm;
        insn.length = 2;
        return insn;
    }
    static Insn memory(u8 opcode, unsigned reg, u32 address = kMemory) {
        Insn insn = registers(opcode, static_cast<u8>((reg << 3) | 5));
        insn.has_memory = true;
        insn.disp = address;
        insn.length = 6;
        return insn;
    }
    bool run(const Insn& insn) { return execute(cpu, insn); }
    u8* at(u32 address) { return ram->base() + address; }
    template <class T>
    T get(u32 address) {
        T value;
        std::memcpy(&value, at(address), sizeof value);
        return value;
    }
    template <class T>
    void put(u32 address, T value) {
        std::memcpy(at(address), &value, sizeof value);
    }

    std::unique_ptr<GuestRam> ram = GuestRam::create(1u << 20).value();
    Bus ports, mmio;
    PhysicalMemory physical{*ram, mmio};
    NoInterrupts interrupts;
    ManualClock clock;
    CpuArena arena;
    CpuState& state = arena.state();
    Cpu cpu{arena, CpuWiring{physical, ports, interrupts, clock, Log()}};
};

// --- against the host ---

struct [[gnu::packed]] Image {  // FNSAVE, 32-bit protected layout
    u16 control, reserved0, status, reserved1, tag, reserved2;
    u32 instruction_offset;
    u16 instruction_selector, opcode;
    u32 operand_offset;
    u16 operand_selector, reserved3;
    struct [[gnu::packed]] {
        u64 significand;
        u16 sign_exponent;
    } st[8];
};
static_assert(sizeof(Image) == 108);

// Runs one x87 instruction on the host between FRSTOR and FNSAVE. With no waiting instruction after
// it, an unmasked exception never traps.
class HostX87 {
  public:
    HostX87() {
        void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        code_ = page == MAP_FAILED ? nullptr : static_cast<u8*>(page);
    }
    ~HostX87() {
        if (code_ != nullptr) {
            munmap(code_, 4096);
        }
    }
    HostX87(const HostX87&) = delete;
    HostX87& operator=(const HostX87&) = delete;
    [[nodiscard]] bool usable() const { return code_ != nullptr; }

    void run(u8 opcode, u8 modrm, const Image& in, Image& out, void* operand, u64& flags) {
        const u8 code[] = {
            0xdd,   0x27,   // frstor (%rdi)
            0xff,   0x31,   // push (%rcx)
            0x9d,           // popfq
            opcode, modrm,  //
            0x9c,           // pushfq
            0x8f,   0x01,   // pop (%rcx)
            0xdd,   0x36,   // fnsave (%rsi)
            0xc3,           // ret
        };
        std::memcpy(code_, code, sizeof code);
        reinterpret_cast<void (*)(const Image*, Image*, void*, u64*)>(code_)(&in, &out, operand,
                                                                             &flags);
    }

  private:
    u8* code_ = nullptr;
};

X87Register random_register(std::mt19937_64& random) {
    static constexpr u16 kExponents[] = {0,      0,      1,      2,      0x3fff, 0x3fff, 0x3ffe,
                                         0x4000, 0x401e, 0x403e, 0x403d, 0x4040, 0x7ffe, 0x7fff,
                                         0x7fff, 0x3f81, 0x3c01, 0x3bcd, 0x43fe, 0x407e};
    static constexpr u64 kSignificands[] = {
        0,           1, u64{1} << 63, (u64{1} << 63) | 1, ~u64{0}, u64{3} << 62, (u64{5} << 61) | 1,
        u64{1} << 62};
    X87Register value;
    const u64 bits = random();
    value.sign_exponent =
        static_cast<u16>((bits & 8 ? kExponents[(bits >> 8) % std::size(kExponents)]
                                   : 0x3fff - 40 + (bits >> 8) % 80) |
                         (bits & 1 ? 0x8000 : 0));
    value.significand = bits & 16 ? kSignificands[(bits >> 20) % std::size(kSignificands)]
                                  : random() | (bits & 0x60 ? u64{1} << 63 : 0);
    return value;
}

class X87OracleTest : public X87Test {
  protected:
    void SetUp() override {
        if (!host.usable()) {
            GTEST_SKIP() << "no executable memory to be had";
        }
    }

    void randomise() {
        X87State& s = state.x87;
        static constexpr u16 kPrecision[] = {0, 0x200, 0x300, 0x300};
        const u16 masks = random() % 3 != 0 ? 0x3f : static_cast<u16>(random() & 0x3f);
        s.control =
            static_cast<u16>(0x40 | masks | kPrecision[random() % 4] | (random() % 4) << 10);
        // Flags that are set already must be masked ones, or the state would be pending.
        s.status = static_cast<u16>((random() & 0x7f00) | (random() & masks));
        s.tag = 0xffff;
        for (unsigned i = 0; i < 8; ++i) {
            if (random() % 8 != 0) {
                s.tag = static_cast<u16>(s.tag & ~(3u << (2 * i)));
            }
        }
        for (unsigned i = 0; i < 8; ++i) {
            x87::restore_register(s, i, random_register(random));
        }
        if (random() % 4 == 0) {  // room for what pushes
            s.tag |= static_cast<u16>(3u << (2 * ((x87::top(s) + 7) & 7)));
        }
        state.eflags = eflags::kFixed | (static_cast<u32>(random()) & eflags::kArith);
    }
    static Image image_of(const X87State& s) {
        Image image{};
        image.control = s.control;
        image.status = s.status;
        image.tag = s.tag;
        for (unsigned i = 0; i < 8; ++i) {
            image.st[i] = {x87::st(s, i).significand, x87::st(s, i).sign_exponent};
        }
        return image;
    }
    // A push onto a full stack of what is not there: processors differ in what they report.
    bool two_stack_faults(u8 opcode, u8 modrm) const {
        const bool pushes =
            opcode == 0xd9 && (modrm < 0xc8 || modrm == 0xf2 || modrm == 0xf4 || modrm == 0xfb);
        return pushes && x87::empty(state.x87, modrm < 0xc8 ? modrm & 7 : 0) &&
               !x87::empty(state.x87, 7);
    }
    // Condition codes that the SDM calls undefined after this instruction.
    static u16 undefined_conditions(u8 opcode, u8 modrm) {
        const unsigned group = (modrm >> 3) & 7;
        const bool compares =
            (opcode == 0xd8 || opcode == 0xda || opcode == 0xdc || opcode == 0xde) &&
            (group == 2 || group == 3);
        const bool remainder = opcode == 0xd9 && (modrm == 0xf5 || modrm == 0xf8);
        const bool trigonometric =
            opcode == 0xd9 && (modrm == 0xf2 || modrm == 0xfb || modrm == 0xfe || modrm == 0xff);
        if (trigonometric) {
            return x87::kC0 | x87::kC3;
        }
        if ((opcode == 0xdd || opcode == 0xdf) && modrm < 0xc8) {
            return x87::kC0 | x87::kC1 | x87::kC2 | x87::kC3;  // FFREE
        }
        if ((opcode == 0xdb || opcode == 0xdf) && modrm >= 0xe8) {
            return x87::kC1;  // FCOMI: the SDM clears it, some processors leave it
        }
        return compares || remainder || opcode == 0xdb || opcode == 0xdd
                   ? 0
                   : static_cast<u16>(x87::kC0 | x87::kC2 | x87::kC3);
    }

    // True if guest and host agree on everything that is defined.
    ::testing::AssertionResult compare(u8 opcode, u8 modrm, const Image& expected, u16 ignored) {
        const Image got = image_of(state.x87);
        const auto differ = [&](const char* what, unsigned a, unsigned b) {
            char text[96];
            std::snprintf(text, sizeof text, "%02x %02x: %s %x, host %x", opcode, modrm, what, a,
                          b);
            return ::testing::AssertionFailure() << text;
        };
        if (got.control != expected.control) {
            return differ("control", got.control, expected.control);
        }
        if ((got.status ^ expected.status) & ~ignored) {
            return differ("status", got.status, expected.status);
        }
        if (got.tag != expected.tag) {
            return differ("tag", got.tag, expected.tag);
        }
        for (unsigned i = 0; i < 8; ++i) {
            if (std::memcmp(&got.st[i], &expected.st[i], 10) != 0) {
                char text[128];
                std::snprintf(text, sizeof text, "%02x %02x: st%u %04x:%016llx, host %04x:%016llx",
                              opcode, modrm, i, got.st[i].sign_exponent,
                              static_cast<unsigned long long>(got.st[i].significand),
                              expected.st[i].sign_exponent,
                              static_cast<unsigned long long>(expected.st[i].significand));
                return ::testing::AssertionFailure() << text;
            }
        }
        return ::testing::AssertionSuccess();
    }

    HostX87 host;
    std::mt19937_64 random{20240229};
};

TEST_F(X87OracleTest, register_forms_agree_with_the_host) {
    for (unsigned encoding = 0; encoding < 8 * 64; ++encoding) {
        const u8 opcode = static_cast<u8>(0xd8 + encoding / 64);
        const u8 modrm = static_cast<u8>(0xc0 + encoding % 64);
        if (opcode == 0xdf && modrm == 0xe0) {
            continue;  // FNSTSW AX is below
        }
        for (int round = 0; round < 60; ++round) {
            randomise();
            const Image before = image_of(state.x87);
            const u32 flags_before = state.eflags;
            if (two_stack_faults(opcode, modrm)) {
                continue;
            }
            if (!run(registers(opcode, modrm))) {
                ASSERT_EQ(cpu.fault().vector, Vector::ud) << std::hex << encoding;
                break;  // not an instruction; the host would trap
            }
            Image expected{};
            u64 flags = flags_before;
            host.run(opcode, modrm, before, expected, nullptr, flags);
            u16 ignored = undefined_conditions(opcode, modrm);
            if (opcode == 0xd9 && ignored == 0 &&
                (expected.st[0].sign_exponent & 0x7fff) == 0x7fff) {
                ignored =
                    x87::kC0 | x87::kC1 | x87::kC3;  // a remainder that is none has no quotient
            }
            ASSERT_TRUE(compare(opcode, modrm, expected, ignored))
                << "round " << round << " control " << std::hex << before.control << " status "
                << before.status << " tag " << before.tag;
            ASSERT_EQ(state.eflags & eflags::kArith, flags & eflags::kArith)
                << std::hex << unsigned{opcode} << " " << unsigned{modrm};
        }
    }
}

TEST_F(X87OracleTest, memory_forms_agree_with_the_host) {
    for (unsigned encoding = 0; encoding < 64; ++encoding) {
        const u8 opcode = static_cast<u8>(0xd8 + encoding / 8);
        const unsigned reg = encoding % 8;
        const bool environment = (opcode == 0xd9 || opcode == 0xdd) && (reg == 4 || reg >= 6);
        const bool control = opcode == 0xd9 && reg == 5;
        if (environment || control) {
            continue;  // their images hold addresses
        }
        for (int round = 0; round < 300; ++round) {
            randomise();
            const X87Register value = random_register(random);
            u8 operand[16] = {};
            if (round % 2 == 0 && opcode != 0xdf) {
                // Small numbers, NaNs and the like in the shorter formats.
                static constexpr u32 kWords[] = {0,          1,          0x7f800000, 0x7f800001,
                                                 0xffc00000, 0x3f800000, 0x00400000, 0x80000000,
                                                 0x7ff00000, 0x7ff80000, 0x3ff00000, 0x000fffff};
                const u32 words[2] = {kWords[random() % std::size(kWords)],
                                      kWords[random() % std::size(kWords)]};
                std::memcpy(operand, words, sizeof words);
            } else if (opcode == 0xdf && reg == 4) {
                for (u8& byte : operand) {  // FBLD of anything but digits is undefined
                    byte = static_cast<u8>((random() % 10) << 4 | random() % 10);
                }
                operand[9] = random() % 2 ? 0x80 : 0;
            } else {
                std::memcpy(operand, &value.significand, 8);
                std::memcpy(operand + 8, &value.sign_exponent, 2);
            }
            std::memcpy(at(kMemory), operand, sizeof operand);
            const Image before = image_of(state.x87);
            if (!run(memory(opcode, reg))) {
                ASSERT_EQ(cpu.fault().vector, Vector::ud) << std::hex << encoding;
                break;
            }
            Image expected{};
            u64 flags = state.eflags;
            const u8 modrm = static_cast<u8>((reg << 3) | 2);
            host.run(opcode, modrm, before, expected, operand, flags);
            ASSERT_TRUE(compare(opcode, modrm, expected, undefined_conditions(opcode, modrm)))
                << "round " << round << " control " << std::hex << before.control << " status "
                << before.status << " tag " << before.tag;
            ASSERT_EQ(std::memcmp(at(kMemory), operand, sizeof operand), 0)
                << std::hex << unsigned{opcode} << " /" << reg << " control " << before.control;
        }
    }
}

TEST_F(X87OracleTest, save_and_restore_agree_with_the_host) {
    for (int round = 0; round < 500; ++round) {
        randomise();
        const Image before = image_of(state.x87);
        ASSERT_TRUE(run(memory(0xdd, 6)));  // FNSAVE
        Image expected{};
        Image saved{};
        u64 flags = 2;
        host.run(0xd9, 0xd0, before, expected, nullptr, flags);  // FNOP
        std::memcpy(&saved, at(kMemory), sizeof saved);
        ASSERT_EQ(saved.control, expected.control);
        ASSERT_EQ(saved.status, expected.status);
        ASSERT_EQ(saved.tag, expected.tag);
        ASSERT_EQ(std::memcmp(saved.st, expected.st, sizeof saved.st), 0);
        ASSERT_EQ(state.x87.tag, 0xffff);
        ASSERT_TRUE(run(memory(0xdd, 4)));  // FRSTOR
        ASSERT_TRUE(compare(0xdd, 4, expected, 0));
    }
}

// --- encodings ---

TEST_F(X87Test, encodings_that_do_not_exist_are_undefined) {
    static constexpr u8 kUndefined[][2] = {
        {0xd9, 0xd1}, {0xd9, 0xd7}, {0xd9, 0xe2}, {0xd9, 0xe3}, {0xd9, 0xe6}, {0xd9, 0xe7},
        {0xd9, 0xef}, {0xda, 0xe0}, {0xda, 0xe8}, {0xda, 0xea}, {0xda, 0xf0}, {0xda, 0xff},
        {0xdb, 0xe5}, {0xdb, 0xe7}, {0xdb, 0xf8}, {0xdd, 0xf0}, {0xdd, 0xff}, {0xde, 0xd8},
        {0xde, 0xda}, {0xdf, 0xe1}, {0xdf, 0xf8}};
    for (const auto& code : kUndefined) {
        EXPECT_FALSE(run(registers(code[0], code[1])))
            << std::hex << unsigned{code[0]} << " " << unsigned{code[1]};
        EXPECT_EQ(cpu.fault().vector, Vector::ud);
    }
    static constexpr u8 kUndefinedMemory[][2] = {{0xd9, 1}, {0xdb, 4}, {0xdb, 6}, {0xdd, 5}};
    for (const auto& code : kUndefinedMemory) {
        EXPECT_FALSE(run(memory(code[0], code[1])))
            << std::hex << unsigned{code[0]} << " /" << unsigned{code[1]};
        EXPECT_EQ(cpu.fault().vector, Vector::ud);
    }
}

TEST_F(X87Test, device_not_available_comes_before_anything_else) {
    for (const u32 bit : {cr0::kEm, cr0::kTs}) {
        state.cr0 = cr0::kPe | cr0::kNe | bit;
        for (const Insn& insn : {registers(0xd9, 0xe8), registers(0xdb, 0xe3), memory(0xdd, 7)}) {
            EXPECT_FALSE(run(insn));
            EXPECT_EQ(cpu.fault().vector, Vector::nm);
        }
    }
    EXPECT_TRUE(exec_fwait(cpu, Insn{})) << "WAIT needs MP too";
    state.cr0 |= cr0::kMp;
    EXPECT_FALSE(exec_fwait(cpu, Insn{}));
    EXPECT_EQ(cpu.fault().vector, Vector::nm);
    state.cr0 = cr0::kPe | cr0::kMp | cr0::kEm;
    EXPECT_TRUE(exec_fwait(cpu, Insn{}));
}

// 1 / 0 with the zero-divide exception unmasked.
class PendingX87Test : public X87Test {
  protected:
    void divide_by_zero() {
        put<u16>(kMemory, 0x037b);
        ASSERT_TRUE(run(memory(0xd9, 5)));
        ASSERT_TRUE(run(registers(0xd9, 0xee)));
        ASSERT_TRUE(run(registers(0xd9, 0xe8)));
        ASSERT_TRUE(run(registers(0xd8, 0xf1)));
    }
};

TEST_F(PendingX87Test, next_waiting_instruction_faults) {
    divide_by_zero();
    EXPECT_EQ(state.x87.status & 0x80ff, 0x8084);
    EXPECT_EQ(x87::st(state.x87, 0).significand, u64{1} << 63) << "the operand stays";
    for (const Insn& insn :
         {registers(0xd9, 0xd0), memory(0xd9, 5), memory(0xd8, 0), memory(0xdd, 4)}) {
        EXPECT_FALSE(run(insn));
        EXPECT_EQ(cpu.fault().vector, Vector::mf);
    }
    EXPECT_FALSE(exec_fwait(cpu, Insn{}));
    EXPECT_EQ(cpu.fault().vector, Vector::mf);
    EXPECT_FALSE(interrupts.ferr);
}

TEST_F(PendingX87Test, instructions_that_do_not_wait_run) {
    divide_by_zero();
    EXPECT_TRUE(run(registers(0xdf, 0xe0)));
    EXPECT_EQ(state.gpr[kEax] & 0x80ff, 0x8084u);
    EXPECT_TRUE(run(memory(0xdd, 7)));
    EXPECT_EQ(get<u16>(kMemory) & 0x80ff, 0x8084u);
    EXPECT_TRUE(run(memory(0xd9, 7)));
    EXPECT_EQ(get<u16>(kMemory), 0x037b);
    EXPECT_TRUE(run(registers(0xdb, 0xe0)));
    EXPECT_TRUE(x87::pending(state.x87));
    EXPECT_TRUE(run(memory(0xd9, 6)));
    EXPECT_FALSE(x87::pending(state.x87)) << "FNSTENV masks everything";
    EXPECT_EQ(get<u16>(kMemory + 4) & 0x8084, 0x8084);
    EXPECT_EQ(state.x87.control, 0x037f);
    EXPECT_TRUE(run(registers(0xdb, 0xe2)));
    EXPECT_EQ(state.x87.status & 0x80ff, 0);
}

TEST_F(PendingX87Test, ferr_is_raised_at_once_and_withdrawn_by_fnclex) {
    state.cr0 &= ~cr0::kNe;
    divide_by_zero();
    EXPECT_TRUE(interrupts.ferr);
    EXPECT_TRUE(state.ferr);
    EXPECT_TRUE(exec_fwait(cpu, Insn{}));
    EXPECT_EQ(interrupts.ferr_changes, 1);
    EXPECT_TRUE(run(registers(0xdb, 0xe2)));
    EXPECT_FALSE(interrupts.ferr);
    EXPECT_FALSE(state.ferr);
}

TEST_F(PendingX87Test, fldcw_can_make_an_old_exception_pending) {
    divide_by_zero();
    ASSERT_TRUE(run(registers(0xdb, 0xe2)));
    put<u16>(kMemory, 0x037f);
    ASSERT_TRUE(run(memory(0xd9, 5)));
    ASSERT_TRUE(run(registers(0xd8, 0xf1)));
    EXPECT_FALSE(x87::pending(state.x87));
    put<u16>(kMemory, 0xffff & ~4);
    ASSERT_TRUE(run(memory(0xd9, 5)));
    EXPECT_TRUE(x87::pending(state.x87));
    EXPECT_EQ(state.x87.control, 0x1f7b);
}

// --- pointers and environments ---

TEST_F(X87Test, pointers_name_the_last_instruction_that_was_no_control_instruction) {
    state.segment(Seg::es).selector = 0x33;
    Insn load = memory(0xd9, 0);
    load.segment = Seg::es;
    ASSERT_TRUE(run(load));
    state.eip = 0x9999;
    ASSERT_TRUE(run(memory(0xd9, 6, kMemory + 0x100)));
    const u32 base = kMemory + 0x100;
    EXPECT_EQ(get<u32>(base), 0xffff037fu);
    EXPECT_EQ(get<u32>(base + 8), 0xffff7fffu) << "+0.0 is tagged zero";
    EXPECT_EQ(get<u32>(base + 12), kEip);
    EXPECT_EQ(get<u32>(base + 16), 0x01050008u);
    EXPECT_EQ(get<u32>(base + 20), kMemory);
    EXPECT_EQ(get<u32>(base + 24), 0xffff0033u);
    ASSERT_TRUE(run(registers(0xd9, 0xe8)));
    EXPECT_EQ(state.x87.instruction_offset, 0x9999u);
    EXPECT_EQ(state.x87.opcode, 0x1e8);
    EXPECT_EQ(state.x87.operand_offset, kMemory) << "no operand, no change";
}

TEST_F(X87Test, sixteen_bit_protected_environment) {
    state.x87.instruction_offset = 0x12345678;
    state.x87.instruction_selector = 0x0b;
    state.x87.operand_offset = 0x9abcdef0;
    state.x87.operand_selector = 0x13;
    Insn insn = memory(0xd9, 6);
    insn.operand_size = 2;
    put<u16>(kMemory + 14, 0xbeef);
    ASSERT_TRUE(run(insn));
    EXPECT_EQ(get<u16>(kMemory), 0x037f);
    EXPECT_EQ(get<u16>(kMemory + 4), 0xffff);
    EXPECT_EQ(get<u16>(kMemory + 6), 0x5678);
    EXPECT_EQ(get<u16>(kMemory + 8), 0x0b);
    EXPECT_EQ(get<u16>(kMemory + 10), 0xdef0);
    EXPECT_EQ(get<u16>(kMemory + 12), 0x13);
    EXPECT_EQ(get<u16>(kMemory + 14), 0xbeef);
}

TEST_F(X87Test, real_mode_environments_hold_linear_addresses) {
    state.cr0 = 0;
    cpu.mode_changed();
    const auto set = [this] {
        state.x87.instruction_offset = 0x5678;
        state.x87.instruction_selector = 0xf000;
        state.x87.operand_offset = 0x0010;
        state.x87.operand_selector = 0x1234;
        state.x87.opcode = 0x7ff;
    };
    set();
    Insn store = memory(0xd9, 6);
    Insn load = memory(0xd9, 4);
    ASSERT_TRUE(run(store));
    EXPECT_EQ(get<u32>(kMemory + 12), 0xffff5678u);
    EXPECT_EQ(get<u32>(kMemory + 16), 0x0000f7ffu);
    EXPECT_EQ(get<u32>(kMemory + 20), 0xffff2350u);
    EXPECT_EQ(get<u32>(kMemory + 24), 0x00001000u);
    x87::init(state.x87);
    ASSERT_TRUE(run(load));
    EXPECT_EQ(state.x87.instruction_offset, 0xf5678u);
    EXPECT_EQ(state.x87.operand_offset, 0x12350u);
    EXPECT_EQ(state.x87.opcode, 0x7ff);
    set();
    store.operand_size = load.operand_size = 2;
    ASSERT_TRUE(run(store));
    EXPECT_EQ(get<u16>(kMemory + 6), 0x5678);
    EXPECT_EQ(get<u16>(kMemory + 8), 0xf7ff);
    EXPECT_EQ(get<u16>(kMemory + 10), 0x2350);
    EXPECT_EQ(get<u16>(kMemory + 12), 0x1000);
    x87::init(state.x87);
    ASSERT_TRUE(run(load));
    EXPECT_EQ(state.x87.instruction_offset, 0xf5678u);
}

TEST_F(X87Test, short_save_image_has_94_bytes) {
    ASSERT_TRUE(run(registers(0xd9, 0xeb)));  // FLDPI
    ASSERT_TRUE(run(registers(0xd9, 0xe8)));
    put<u16>(kMemory + 94, 0xbeef);
    Insn save = memory(0xdd, 6);
    Insn restore = memory(0xdd, 4);
    save.operand_size = restore.operand_size = 2;
    ASSERT_TRUE(run(save));
    EXPECT_EQ(get<u64>(kMemory + 14), u64{1} << 63);
    EXPECT_EQ(get<u64>(kMemory + 24), 0xc90fdaa22168c235u);
    EXPECT_EQ(get<u16>(kMemory + 94), 0xbeef);
    ASSERT_TRUE(run(restore));
    EXPECT_EQ(x87::st(state.x87, 1).significand, 0xc90fdaa22168c235u);
    EXPECT_EQ(x87::top(state.x87), 6u);
    EXPECT_EQ(state.x87.tag, 0x0fff);
}

// --- memory that faults ---

TEST_F(X87Test, faulting_operand_changes_nothing) {
    ASSERT_TRUE(run(registers(0xd9, 0xe8)));
    state.segment(Seg::ds).limit = kMemory + 8;
    cpu.mode_changed();
    const X87State before = state.x87;
    const auto unchanged = [&] {
        return std::memcmp(&before.r, &state.x87.r, sizeof before.r) == 0 &&
               before.tag == state.x87.tag && before.status == state.x87.status &&
               before.opcode == state.x87.opcode;
    };
    put<u64>(kMemory, 0);
    for (const Insn& insn :
         {memory(0xdb, 7), memory(0xdb, 5), memory(0xdd, 3, kMemory + 2), memory(0xdd, 6),
          memory(0xdd, 4), memory(0xd9, 6), memory(0xdf, 6), memory(0xdc, 0, kMemory + 4)}) {
        EXPECT_FALSE(run(insn));
        EXPECT_EQ(cpu.fault().vector, Vector::gp);
        EXPECT_TRUE(unchanged());
        EXPECT_EQ(get<u64>(kMemory), 0u) << "not even partly written";
    }
}

}  // namespace
}  // namespace ennead::vmcore
