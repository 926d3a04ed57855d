// SPDX-License-Identifier: MIT
// The register file as text: every line can be written back, and a bad one changes nothing.
#include "vmcore/machine/registers.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/vmcore/machine/test_machine.h"

namespace ennead::vmcore {
namespace {

using Assignments = std::vector<std::pair<std::string, u64>>;

class Registers : public testing::Test {
  protected:
    [[nodiscard]] std::string text() { return registers_text(cpu); }
    // The value of a line of the text, as it stands there.
    [[nodiscard]] std::string line(const std::string& name) {
        std::istringstream lines(text());
        for (std::string key, value; lines >> key >> value;) {
            if (key == name) {
                return value;
            }
        }
        return "no such line";
    }
    [[nodiscard]] Assignments all() {
        Assignments assignments;
        std::istringstream lines(text());
        for (std::string key, value; lines >> key >> value;) {
            if (key != "cpl" && key != "mode") {
                assignments.emplace_back(key, std::stoull(value, nullptr, 16));
            }
        }
        return assignments;
    }
    // Whether it was refused, at which assignment, and with nothing changed.
    [[nodiscard]] bool refused(const Assignments& assignments, std::size_t at = 0) {
        const std::string before = text();
        std::size_t index = 999;
        const auto done = set_registers(cpu, assignments, &index);
        EXPECT_EQ(text(), before);
        return !done && done.error() == Error::bad_value && index == at;
    }

    test::Told told;
    std::unique_ptr<Machine> machine = test::make_machine(told, test::code::kHello);
    Cpu& cpu = machine->cpu();
};

TEST_F(Registers, text_has_every_register_once_in_a_fixed_order) {
    std::string names;
    std::istringstream lines(text());
    for (std::string key, value; lines >> key >> value;) {
        names += key + ' ';
    }
    const auto segment = [](const std::string& s) {
        return s + ' ' + s + ".base " + s + ".limit " + s + ".attr ";
    };
    EXPECT_EQ(names, "eax ebx ecx edx esi edi ebp esp eip eflags " + segment("cs") + segment("ss") +
                         segment("ds") + segment("es") + segment("fs") + segment("gs") +
                         segment("ldtr") + segment("tr") +
                         "gdtr.base gdtr.limit idtr.base idtr.limit cr0 cr2 cr3 cr4 "
                         "dr0 dr1 dr2 dr3 dr6 dr7 tsc cpl mode ");
}

TEST_F(Registers, text_pads_each_value_to_its_registers_width) {
    EXPECT_EQ(line("eip"), "0x00100000");
    EXPECT_EQ(line("cs"), "0x0010");
    EXPECT_EQ(line("cs.limit"), "0xffffffff");
    EXPECT_EQ(line("cs.attr"), "0xc09b");
    EXPECT_EQ(line("gdtr.limit"), "0x001f");
    EXPECT_EQ(line("tsc").size(), 18u);
    EXPECT_EQ(line("cpl"), "0");
    EXPECT_EQ(line("mode"), "protected32");
}

TEST_F(Registers, whole_text_is_taken_back) {
    cpu.state.gpr = {1, 2, 3, 4, 5, 6, 7, 0xfffffff8};
    cpu.state.eflags = 0x00246 | eflags::kId;
    cpu.state.tr = {.base = 0x1000, .limit = 0x67, .selector = 0x28, .attr = 0x8b};
    cpu.state.dr[7] = 0x400;
    const std::string before = text();
    ASSERT_TRUE(set_registers(cpu, all()));
    EXPECT_EQ(text(), before);
}

TEST_F(Registers, state_after_reset_is_taken_back) {
    cpu.state.reset();
    cpu.mode_changed();
    const std::string before = text();
    ASSERT_TRUE(set_registers(cpu, all()));
    EXPECT_EQ(text(), before);
    EXPECT_EQ(line("mode"), "real");
}

// A value that each register can hold, and that differs from what it has.
TEST_F(Registers, each_register_reads_back_what_was_set) {
    const std::map<std::string, u64> values{
        {"eflags", 0x202},     {"cr0", 0x10011},        {"cr4", 0x10},       {"cs.attr", 0xc09a},
        {"ss.attr", 0xc093},   {"tr.attr", 0x8b},       {"eip", 0x12345},    {"dr6", 0xffff0ff1},
        {"cs.limit", 0xfffff}, {"ds.base", 0xdeadb000}, {"fs", 0xffff},      {"cr3", 0x5018},
        {"gdtr.limit", 0x1ff}, {"idtr.base", 0x9000},   {"cr2", 0xffffffff},
    };
    for (const auto& [name, value] : all()) {
        const auto known = values.find(name);
        const u64 wanted = known != values.end()                     ? known->second
                           : name.ends_with(".attr")                 ? 0x93
                           : name.find("limit") != std::string::npos ? 0x123
                                                                     : 0x1234;
        ASSERT_TRUE(set_registers(cpu, {{name, wanted}})) << name;
        EXPECT_EQ(std::stoull(line(name), nullptr, 16), wanted) << name;
    }
}

TEST_F(Registers, tsc_counts_on_from_what_was_set) {
    ASSERT_TRUE(set_registers(cpu, {{"tsc", 0xfedcba9876543210}}));
    EXPECT_EQ(line("tsc"), "0xfedcba9876543210");   // the clock stands still
    ASSERT_TRUE(set_registers(cpu, {{"cr3", 0}}));  // anything else leaves it alone
    EXPECT_EQ(line("tsc"), "0xfedcba9876543210");
}

TEST_F(Registers, another_place_ends_a_halt) {
    for (const auto& [assignments, stays] : {std::pair{Assignments{{"eip", 0x12345}}, false},
                                             {Assignments{{"cs.base", 0x1000}}, false},
                                             {Assignments{{"eax", 1}}, true},
                                             {all(), true}}) {
        cpu.state.halted = true;
        ASSERT_TRUE(set_registers(cpu, assignments));
        EXPECT_EQ(cpu.state.halted, stays) << assignments.front().first;
        ASSERT_TRUE(set_registers(cpu, {{"eip", 0x100000}, {"cs.base", 0}}));
    }
}

TEST_F(Registers, nothing_to_set_is_fine) {
    const std::string before = text();
    EXPECT_TRUE(set_registers(cpu, {}));
    EXPECT_EQ(text(), before);
}

TEST_F(Registers, unknown_and_derived_names_are_refused) {
    for (const char* name :
         {"", "rax", "EAX", "eax ", "cpl", "mode", "cr1", "dr4", "dr5", "cs.selector"}) {
        EXPECT_TRUE(refused({{name, 0}})) << name;
    }
}

TEST_F(Registers, values_wider_than_the_register_are_refused) {
    EXPECT_TRUE(refused({{"eax", u64{1} << 32}}));
    EXPECT_TRUE(refused({{"cs", 0x10000}}));
    EXPECT_TRUE(refused({{"gdtr.limit", 0x10000}}));
    EXPECT_TRUE(refused({{"cs.attr", 0x0f00}}));  // no descriptor has such bits
}

TEST_F(Registers, reserved_bits_are_refused) {
    EXPECT_TRUE(refused({{"eflags", 1u << 3}}));
    EXPECT_TRUE(refused({{"eflags", 1u << 22}}));
    EXPECT_TRUE(refused({{"cr0", 1u << 6 | 1}}));
    EXPECT_TRUE(refused({{"cr4", 1u << 13}}));
}

TEST_F(Registers, paging_without_protection_is_refused) {
    EXPECT_TRUE(refused({{"cr0", cr0::kPg}}));
    EXPECT_TRUE(refused({{"cr0", cr0::kPe | cr0::kNw}}));  // not write-through needs cache disable
    EXPECT_TRUE(set_registers(cpu, {{"cr0", cr0::kPe | cr0::kNw | cr0::kCd}}));
    EXPECT_TRUE(set_registers(cpu, {{"cr0", cr0::kPe | cr0::kPg}}));
    EXPECT_EQ(line("cr0"), "0x80000011");  // ET is always set
}

TEST_F(Registers, fault_index_tells_the_first_bad_one_and_nothing_is_set) {
    EXPECT_TRUE(refused({{"eax", 1}, {"ebx", 2}, {"nope", 3}, {"cr0", cr0::kPg}}, 2));
    EXPECT_TRUE(refused({{"eax", 1}, {"cr0", cr0::kPg}}, 1));
    EXPECT_FALSE(set_registers(cpu, {{"nope", 1}}));  // without an index, too
    EXPECT_EQ(line("eax"), "0x00000000");
}

TEST_F(Registers, later_assignments_of_the_same_register_win) {
    ASSERT_TRUE(set_registers(cpu, {{"eax", 1}, {"eax", 2}}));
    EXPECT_EQ(line("eax"), "0x00000002");
}

TEST_F(Registers, fixed_bits_stay_set) {
    ASSERT_TRUE(set_registers(cpu, {{"eflags", 0}}));
    EXPECT_EQ(line("eflags"), "0x00000002");
}

TEST_F(Registers, privilege_and_mode_follow_from_what_was_set) {
    ASSERT_TRUE(set_registers(cpu, {{"ss.attr", 0xc0f3}, {"cs.attr", 0xc0fb}}));
    EXPECT_EQ(line("cpl"), "3");
    ASSERT_TRUE(set_registers(cpu, {{"cs.attr", 0x80fb}}));
    EXPECT_EQ(line("mode"), "protected16");
    ASSERT_TRUE(set_registers(cpu, {{"eflags", eflags::kVm | 2}, {"ss.attr", 0x93}}));
    EXPECT_EQ(line("mode"), "v86");
    EXPECT_EQ(line("cpl"), "3");
    ASSERT_TRUE(set_registers(cpu, {{"eflags", 2}, {"cr0", 0}, {"ss.attr", 0xf3}}));
    EXPECT_EQ(line("mode"), "real");
    EXPECT_EQ(line("cpl"), "0");
}

TEST_F(Registers, next_instruction_is_fetched_where_eip_was_set_to) {
    machine->ram().base()[0x180000] = 0x40;  // inc eax
    ASSERT_TRUE(set_registers(cpu, {{"eip", 0x180000}, {"eax", 41}}));
    machine->engine().run(1);
    EXPECT_EQ(line("eax"), "0x0000002a");
    EXPECT_EQ(line("eip"), "0x00180001");
}

TEST_F(Registers, pae_directory_pointers_follow_cr3) {
    const u64 directory = 0x300000 | 1;
    std::memcpy(machine->ram().base() + 0x2000, &directory, 8);
    const u64 large_page = 0x0 | 0x83;  // present, writable, 2 MiB
    std::memcpy(machine->ram().base() + 0x300000, &large_page, 8);
    ASSERT_TRUE(
        set_registers(cpu, {{"cr3", 0x2000}, {"cr4", cr4::kPae}, {"cr0", cr0::kPe | cr0::kPg}}));
    EXPECT_EQ(cpu.state.pdpte[0], directory);
    machine->engine().run(1);  // mov dx,3fbh
    EXPECT_EQ(cpu.state.gpr[kEdx], 0x3fbu);
}

}  // namespace
}  // namespace ennead::vmcore
