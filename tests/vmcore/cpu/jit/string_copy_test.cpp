// SPDX-License-Identifier: MIT
// REP MOVS and REP STOS in all lengths and overlaps: element after element, whatever the engine
// makes of it.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::TestMachine;

constexpr u32 kData = TestMachine::kData;
constexpr u64 kBudget = 1000;
constexpr u32 kBytes = 1600;

class string_copy : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(string_copy);

struct Form {
    const char* moves;
    const char* stores;
    u32 width;
};
constexpr Form kForms[] = {
    {"f3 a4 f4", "f3 aa f4", 1}, {"66 f3 a5 f4", "66 f3 ab f4", 2}, {"f3 a5 f4", "f3 ab f4", 4}};

class Field {
  public:
    explicit Field(TestMachine& machine) : machine_(machine), bytes_(kBytes) {
        for (u32 n = 0; n < kBytes; ++n) {
            bytes_[n] = static_cast<u8>(n * 37 + n / 256);
            machine_.poke<u8>(kData + n, bytes_[n]);
        }
    }
    std::vector<u8>& bytes() { return bytes_; }
    [[nodiscard]] bool same() const {
        for (u32 n = 0; n < kBytes; ++n) {
            if (machine_.peek<u8>(kData + n) != bytes_[n]) {
                return false;
            }
        }
        return true;
    }

  private:
    TestMachine& machine_;
    std::vector<u8> bytes_;
};

TEST_P(string_copy, moves_one_element_after_the_other) {
    for (const Form& form : kForms) {
        TestMachine machine(GetParam());
        machine.code(form.moves);
        for (const u32 count :
             {0u, 1u, 2u, 3u, 4u, 5u, 7u, 8u, 11u, 15u, 16u, 17u, 31u, 33u, 64u, 129u}) {
            for (const i32 distance :
                 {-300, -17, -16, -15, -4, -1, 0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 600}) {
                Field field(machine);
                const u32 from = 400, to = 400 + static_cast<u32>(distance);
                for (u32 n = 0; n < count * form.width; n += form.width) {
                    u8 element[4];
                    std::copy_n(&field.bytes()[from + n], form.width, element);
                    std::copy_n(element, form.width, &field.bytes()[to + n]);
                }
                machine.state.gpr[kEcx] = count;
                machine.state.gpr[kEsi] = kData + from;
                machine.state.gpr[kEdi] = kData + to;
                machine.state.halted = false;
                machine.state.eip = TestMachine::kCode;
                ASSERT_TRUE(machine.run(kBudget).halted);
                ASSERT_TRUE(field.same()) << form.moves << ": " << count << " at " << distance;
                EXPECT_EQ(machine.state.gpr[kEcx], 0u);
                EXPECT_EQ(machine.state.gpr[kEsi], kData + from + count * form.width);
                EXPECT_EQ(machine.state.gpr[kEdi], kData + to + count * form.width);
            }
        }
    }
}

TEST_P(string_copy, stores_one_element_after_the_other) {
    for (const Form& form : kForms) {
        TestMachine machine(GetParam());
        machine.code(form.stores);
        for (u32 count = 0; count < 300; count = count < 40 ? count + 1 : count * 2) {
            Field field(machine);
            const u32 to = 101;
            const u8 pattern[4] = {0x12, 0x34, 0x56, 0x78};
            for (u32 n = 0; n < count * form.width; ++n) {
                field.bytes()[to + n] = pattern[n % form.width];
            }
            machine.state.gpr[kEax] = 0x78563412;
            machine.state.gpr[kEcx] = count;
            machine.state.gpr[kEdi] = kData + to;
            machine.state.halted = false;
            machine.state.eip = TestMachine::kCode;
            ASSERT_TRUE(machine.run(kBudget).halted);
            ASSERT_TRUE(field.same()) << form.stores << ": " << count;
            EXPECT_EQ(machine.state.gpr[kEcx], 0u);
            EXPECT_EQ(machine.state.gpr[kEdi], kData + to + count * form.width);
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
