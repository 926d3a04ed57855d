// SPDX-License-Identifier: MIT
// What a trace tells of small programs, line by line, on both engines.
#include "vmcore/machine/trace_text.h"

#include "tests/vmcore/machine/vcpu_fixture.h"

namespace ennead::vmcore {
namespace {

namespace code = test::code;
using test::kHandler;
using test::kStart;
using test::with_handler;

class TraceTest : public test::GuestOnEngineTest {
  protected:
    // A rule of those kinds, or several.
    void trace(std::vector<TraceRule> rules) {
        act([this, rules = std::move(rules)](Vcpu& v) {
            v.machine().cpu().set_trace(rules, [this](const TraceRecord& record) {
                const std::string line = trace_text(record, [](std::span<const std::byte> frame) {
                    return "message of " + std::to_string(frame.size());
                });
                // Time is the host's.
                const std::lock_guard lock(mutex);
                lines.push_back(line.substr(line.find(' ') + 1));
            });
        });
    }
    void trace(u8 kinds) { trace(std::vector{TraceRule{.kinds = kinds}}); }
    // What was told since the last time.
    [[nodiscard]] std::string told_lines() {
        const std::lock_guard lock(mutex);
        std::string text;
        for (const std::string& line : std::exchange(lines, {})) {
            text += line;
        }
        return text;
    }
    // Runs on, not by step(), which is the interpreter's, until the guest halts.
    void run() {
        resume();
        const auto limit = std::chrono::steady_clock::now() + kPatience;
        while (!ask([](Vcpu& v) { return v.machine().cpu().state.halted; })) {
            ASSERT_LT(std::chrono::steady_clock::now(), limit);
        }
    }
    std::vector<std::string> lines;
};

// mov al,5; add al,[1000h]; push eax; out 80h,al; in al,81h; cli; 1: hlt; jmp 1b
const std::vector<u8> kSmall = {0xb0, 0x05, 0x02, 0x05, 0x00, 0x10, 0x00, 0x00, 0x50,
                                0xe6, 0x80, 0xe4, 0x81, 0xfa, 0xf4, 0xeb, 0xfd};

void set_up_small(Vcpu& v) {
    CpuState& state = v.machine().cpu().state;
    state.gpr = {};
    state.gpr[kEsp] = 0x300000;
    state.eflags = eflags::kFixed;
    v.machine().ram().base()[0x1000] = 3;
}

TEST_P(TraceTest, instructions_show_what_they_read_and_change) {
    make(kSmall);
    act(set_up_small);
    trace(TraceRule::kInsn);
    run();
    EXPECT_EQ(told_lines(),
              "0 insn 0x00100000 b005 'mov al,0x5' eax=0x0 -> eax=0x5\n"
              "1 insn 0x00100002 020500100000 'add al,BYTE PTR ds:0x1000' eax=0x5 -> eax=0x8\n"
              "2 insn 0x00100008 50 'push eax' eax=0x8 -> esp=0x2ffffc\n"
              "3 insn 0x00100009 e680 'out 0x80,al' eax=0x8\n"
              "4 insn 0x0010000b e481 'in al,0x81' eax=0x8 -> eax=0x0\n"
              "5 insn 0x0010000d fa 'cli'\n"
              "6 insn 0x0010000e f4 'hlt'\n");
}

TEST_P(TraceTest, ports_stand_after_their_instruction) {
    make(kSmall);
    act(set_up_small);
    trace(TraceRule::kPort);
    run();
    EXPECT_EQ(told_lines(),
              "3 io 0x00100009 out 0x0080 1 0x8\n"
              "4 io 0x0010000b in 0x0081 1 0x0\n");
    act(set_up_small);
    act([](Vcpu& v) {
        v.pause();
        v.machine().cpu().state.halted = false;
        v.machine().cpu().state.eip = kStart + 9;
    });
    trace({{.kinds = TraceRule::kPort, .ranges = {{0x81, 0x81}}},
           {.kinds = TraceRule::kInsn, .ranges = {{kStart + 9, kStart + 0xb}}}});
    run();
    EXPECT_EQ(told_lines(),
              "7 insn 0x00100009 e680 'out 0x80,al' eax=0x0\n"
              "8 insn 0x0010000b e481 'in al,0x81' eax=0x0\n"
              "8 io 0x0010000b in 0x0081 1 0x0\n");
}

TEST_P(TraceTest, exceptions_and_interrupts_tell_where_the_handler_returns) {
    // ud2
    make(with_handler({0x0f, 0x0b}));
    handle(static_cast<u8>(Vector::ud));
    trace({{.kinds = TraceRule::kExc | TraceRule::kIrq | TraceRule::kInsn,
            .ranges = {{kStart, kHandler + 1}}}});
    step(2);
    EXPECT_EQ(told_lines(),
              "0 insn 0x00100000 0f0b 'ud2'\n"
              "0 exc 0x00100000 6\n"
              "0 insn 0x00100010 40 'inc eax' eax=0x0 -> eax=0x1\n");
    handle(static_cast<u8>(Vector::nmi));
    act([](Vcpu& v) { v.machine().raise_nmi(); });
    step(1);
    EXPECT_EQ(told_lines(),
              "1 irq 0x00100011 2 nmi\n"
              "1 insn 0x00100010 40 'inc eax' eax=0x0 -> eax=0x1\n");
}

TEST_P(TraceTest, page_faults_out_of_translated_code_tell_their_address) {
    // mov ecx,100; 1: mov eax,[300000h]; loop 1b; mov eax,[esi]
    make(with_handler({0xb9, 0x64, 0, 0, 0, 0xa1, 0, 0, 0x30, 0, 0xe2, 0xf9, 0x8b, 0x06}));
    handle(static_cast<u8>(Vector::pf));
    act([](Vcpu& v) {
        // Identity for the first 4 MiB but for the page at 0x380000.
        u8* const ram = v.machine().ram().base();
        const u32 directory = 0x210003;
        std::memset(ram + 0x220000, 0, kPageSize);
        std::memcpy(ram + 0x220000, &directory, 4);
        for (u32 page = 0; page < 1024; ++page) {
            const u32 entry = page == 0x380 ? 0 : page << 12 | 3;
            std::memcpy(ram + 0x210000 + 4 * page, &entry, 4);
        }
        Cpu& cpu = v.machine().cpu();
        cpu.state.gpr[kEsi] = 0x380123;
        cpu.state.cr3 = 0x220018;
        cpu.state.cr0 |= cr0::kPg;
        v.machine().engine().flush();
    });
    const auto one = [](u32 cr3) { return TraceRule{.kinds = TraceRule::kExc, .cr3 = cr3}; };
    trace({one(0x220000), one(0x230000)});
    resume();
    while (reg(kEax) != 1) {
    }
    EXPECT_EQ(told_lines(), "201 exc 0x0010000c 14 error=0x0 cr2=0x00380123\n");
    act([](Vcpu& v) {
        v.pause();
        v.machine().cpu().state.gpr[kEax] = 0;
        v.machine().cpu().state.eip = kStart + 0xc;
    });
    trace({one(0x230000)});
    resume();
    while (reg(kEax) != 1) {
    }
    EXPECT_EQ(told_lines(), "");
}

TEST_P(TraceTest, accesses_to_devices_tell_where_they_come_from) {
    // 1: mov eax,[fee00030h]; mov [fee00080h],eax; inc ecx; cmp ecx,3; jne 1b; hlt
    make({0xa1, 0x30, 0x00, 0xe0, 0xfe, 0xa3, 0x80, 0x00, 0xe0, 0xfe, 0x41, 0x83, 0xf9, 0x03, 0x75,
          0xf0, 0xf4});
    act([](Vcpu& v) { v.machine().cpu().state.gpr = {}; });
    trace(TraceRule::kMmio);
    run();
    const u32 version = reg(kEax);
    EXPECT_NE(version, 0u);
    char lines_of_one[256];
    std::string expected;
    for (u32 n = 0; n < 3; ++n) {
        std::snprintf(lines_of_one, sizeof lines_of_one,
                      "%u mmio 0x00100000 read 0xfee00030 4 0x%x\n"
                      "%u mmio 0x00100005 write 0xfee00080 4 0x%x\n",
                      5 * n, version, 5 * n + 1, version);
        expected += lines_of_one;
    }
    EXPECT_EQ(told_lines(), expected);
}

TEST_P(TraceTest, goes_on_after_a_reset_and_ends) {
    make(code::kSpin);
    trace({{.kinds = TraceRule::kInsn, .ranges = {{kStart + 6, kStart + 6}}}});
    step(2);
    EXPECT_EQ(told_lines(), "1 insn 0x00100006 ebf8 'jmp 0x100000'\n");
    act([](Vcpu& v) { v.reset(); });
    step(4);
    EXPECT_EQ(told_lines(),
              "1 insn 0x00100006 ebf8 'jmp 0x100000'\n"
              "3 insn 0x00100006 ebf8 'jmp 0x100000'\n");
    trace(std::vector<TraceRule>{});
    step(4);
    EXPECT_EQ(told_lines(), "");
    EXPECT_FALSE(ask([](Vcpu& v) { return v.machine().cpu().tracer.anything(); }));
}

TEST_P(TraceTest, translated_code_is_left_and_entered_again) {
    make(code::kSpin);
    resume();
    while (spun() < 1'000'000) {
    }
    trace({{.kinds = TraceRule::kInsn, .ranges = {{kStart, kStart}}}});
    for (bool some = false; !some;) {
        const std::lock_guard lock(mutex);
        some = lines.size() > 10;
    }
    trace(std::vector<TraceRule>{});
    EXPECT_TRUE(ask([](Vcpu& v) { return v.machine().cpu().flat(); }));
    const u32 stopped = spun();
    (void)told_lines();
    while (spun() < stopped + 1'000'000) {
    }
    EXPECT_EQ(told_lines(), "");
}

INSTANTIATE_TEST_SUITE_P(Engines, TraceTest, test::kEngines, test::engine_name);

}  // namespace
}  // namespace ennead::vmcore
