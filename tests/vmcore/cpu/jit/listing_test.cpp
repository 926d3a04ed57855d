// SPDX-License-Identifier: MIT
// What the JIT tells about its blocks: the list, the listing of one, the numbers.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/vmcore/cpu/test_machine.h"
#include "vmcore/cpu/translations.h"

namespace ennead::vmcore {
namespace {

using test::TestMachine;

constexpr u32 kCode = TestMachine::kCode, kData = TestMachine::kData;
constexpr u64 kBudget = 10'000;

class ListingTest : public testing::Test {
  protected:
    const Translations& translations() { return *machine.engine.translations(); }
    std::vector<TranslatedBlock> at(u32 eip) {
        std::vector<TranslatedBlock> found;
        for (const TranslatedBlock& block : translations().blocks()) {
            if (block.eip == eip) {
                found.push_back(block);
            }
        }
        return found;
    }
    // Every block's listing has each byte of its host code once, and is as it would be made now.
    void check(const TranslatedBlock& block) {
        const std::string text = translations().listing(block.eip);
        SCOPED_TRACE(text);
        EXPECT_EQ(text.find("made anew"), std::string::npos);
        std::map<unsigned, std::string> pieces;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            EXPECT_LE(line.size(), 120u);
            unsigned offset = 0;
            char bytes[64] = "";
            if (line.starts_with("   ") &&
                std::sscanf(line.c_str() + 4, "+%x %63s", &offset, bytes) == 2) {
                EXPECT_TRUE(pieces.emplace(offset, bytes).second) << "twice: " << line;
            }
        }
        std::string all;
        for (const auto& [offset, bytes] : pieces) {
            EXPECT_EQ(offset, all.size() / 2);
            all += bytes;
        }
        EXPECT_EQ(all.size() / 2, block.host_bytes);
        const auto* const code = reinterpret_cast<const u8*>(block.host_address);
        const auto listed = test::hex(all);
        EXPECT_TRUE(std::equal(listed.begin(), listed.end(), code));
    }
    void check_all() {
        std::map<u32, unsigned> count;
        for (const TranslatedBlock& block : translations().blocks()) {
            ++count[block.eip];
        }
        EXPECT_FALSE(count.empty());
        for (const TranslatedBlock& block : translations().blocks()) {
            if (count[block.eip] == 1) {
                check(block);
            }
        }
    }
    u64 stat(const std::string& name) {
        std::istringstream lines(translations().stats_text());
        std::string key;
        for (double value = 0; lines >> key >> value;) {
            if (key == name) {
                return static_cast<u64>(value);
            }
        }
        ADD_FAILURE() << "no " << name;
        return 0;
    }

    TestMachine machine{EngineKind::jit};
};

TEST(ListingOfInterpreter, there_is_none) {
    TestMachine machine(EngineKind::interp);
    EXPECT_EQ(machine.engine.translations(), nullptr);
}

TEST_F(ListingTest, guest_and_host_code_stand_together) {
    machine.state.gpr[kEcx] = 1000;
    machine.state.gpr[kEbx] = machine.state.gpr[kEdx] = kData;
    // again: add eax,[ebx+4]; mov [edx+8],eax; dec ecx; jnz again; hlt
    EXPECT_TRUE(machine.run("03 43 04 89 42 08 49 75 f7 f4", kBudget).halted);
    const auto blocks = at(kCode);
    ASSERT_EQ(blocks.size(), 1u);
    EXPECT_EQ(blocks[0].instructions, 4u);
    EXPECT_EQ(blocks[0].guest_bytes, 9u);
    EXPECT_EQ(raw(blocks[0].address), kCode);
    EXPECT_FALSE(blocks[0].user);
    const std::string text = translations().listing(kCode);
    for (const char* part :
         {"block 0x00010000, physical 0x00010000, supervisor: 9 bytes, 4 instructions",
          "0x00010000  034304                  add eax, [ebx+0x4]\n",
          "0x00010007  75f7                    jnz 0x00010000\n", "poll entry:\n", "near entry:\n",
          "test r8, r8", "table supervisor read", "access.read.4", "call access.write.4",
          "jmp poll", "jmp link", "links lead to their targets", "link 1 to 0x00010000 "}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    }
    check_all();
}

TEST_F(ListingTest, blocks_of_all_kinds_are_made_anew_byte_by_byte) {
    machine.enable_paging();
    machine.state.gpr[kEcx] = 20;
    machine.state.gpr[kEbx] = kData;
    machine.write(kCode + 0x1800, "0f a2 b9 05 00 00 00 f3 aa c3");  // cpuid; rep stosb; ret
    machine.write(kCode + 0xffd, "b8 11 22 33 44 c3");               // across a page's end
    // again: push ecx; push ebx; mov edi,kData; call f; call g; fld1; fstp [kData]; movaps
    // xmm0,xmm1; pop ebx; pop ecx; push eax; pushf; popf; pop eax; div ebx; dec ecx; jnz again; hlt
    EXPECT_TRUE(
        machine
            .run("51 53 bf 00 00 03 00 e8 f4 17 00 00 e8 ec 0f 00 00 d9 e8 d9 1d 00 00 03 00 "
                 "90 5b 59 50 9c 9d 58 31 d2 f7 f3 49 75 d9 f4",
                 kBudget)
            .halted);
    EXPECT_EQ(machine.halted_in_handler(), std::nullopt);
    bool straddles = false, far = false;
    for (const TranslatedBlock& block : translations().blocks()) {
        straddles |= block.straddles;
        far |= block.far;
    }
    EXPECT_TRUE(straddles);
    EXPECT_TRUE(far);
    check_all();
}

TEST_F(ListingTest, a_block_whose_bytes_were_written_is_gone) {
    EXPECT_TRUE(machine.run("40 eb fd", kBudget).budget);
    EXPECT_TRUE(translations().has_block(kCode));
    EXPECT_FALSE(translations().has_block(kCode + 1));
    machine.write(kCode, "41");
    EXPECT_FALSE(translations().has_block(kCode));
    EXPECT_EQ(translations().listing(kCode), "");
    EXPECT_TRUE(at(kCode).empty());
}

TEST_F(ListingTest, blocks_at_the_same_linear_address_are_listed_together) {
    machine.enable_paging();
    EXPECT_TRUE(machine.run("40 eb fd", kBudget).budget);
    machine.write(kCode + 0x4000, "42 eb fd");
    machine.page(kCode, (kCode + 0x4000) | 7);
    machine.state.eip = kCode;
    EXPECT_TRUE(machine.run(kBudget).budget);
    EXPECT_EQ(at(kCode).size(), 2u);
    const std::string text = translations().listing(kCode);
    EXPECT_NE(text.find("physical 0x00010000"), std::string::npos);
    EXPECT_NE(text.find("inc eax"), std::string::npos);
    EXPECT_NE(text.find("physical 0x00014000"), std::string::npos);
    EXPECT_NE(text.find("inc edx"), std::string::npos);
    EXPECT_EQ(text.find("made anew"), std::string::npos);
}

TEST_F(ListingTest, numbers_add_up) {
    EXPECT_TRUE(machine.run("40 0f a2 eb fb", kBudget).budget);  // again: inc eax; cpuid; jmp again
    const auto blocks = translations().blocks();
    EXPECT_EQ(stat("blocks_alive"), blocks.size());
    EXPECT_EQ(stat("blocks"), blocks.size());
    EXPECT_EQ(stat("block_instructions"), 3u);
    EXPECT_EQ(stat("guest_bytes_per_block"), 5u);
    EXPECT_EQ(stat("host_bytes_per_block"), blocks[0].host_bytes);
    EXPECT_GE(stat("code_memory"), blocks[0].host_bytes);
    EXPECT_GT(stat("code_memory_bound"), stat("code_memory"));
    EXPECT_GT(stat("description_bytes"), 0u);
    EXPECT_GT(stat("interpreted_cpuid"), 1000u);
    EXPECT_GT(stat("translation_ns_per_block"), 0u);
    EXPECT_EQ(stat("regions_evicted"), 0u);
}

TEST(BlocksText, is_sorted_and_has_a_line_for_each) {
    std::vector<TranslatedBlock> blocks = {
        {.eip = 0xc0100010,
         .address = PhysAddr{0x100010},
         .guest_bytes = 17,
         .instructions = 5,
         .host_address = 0x7f0011223340,
         .host_bytes = 212,
         .plain = true,
         .far = true},
        {.eip = 0x08048000,
         .address = PhysAddr{0x7000},
         .guest_bytes = 3,
         .instructions = 1,
         .host_address = 0x7f0011223300,
         .host_bytes = 40,
         .user = true},
    };
    EXPECT_EQ(blocks_text(blocks),
              "0x08048000 0x00007000   3  1 0x7f0011223300   40 u -\n"
              "0xc0100010 0x00100010  17  5 0x7f0011223340  212 s far,plain\n");
    EXPECT_EQ(blocks_text({}), "");
}

}  // namespace
}  // namespace ennead::vmcore
