// SPDX-License-Identifier: MIT
// The files of jit/ as the VM process serves them, over an engine that the test makes up.
#include "srv/ennead-vm/jit_dir.h"

#include "tests/srv/loop_test.h"
// Asio wants <utility> first, which that header sees to.
#include <boost/asio/post.hpp>

namespace ennead::srv::test {
namespace {

using synthfs::NodePtr;
using vmcore::PhysAddr;
using vmcore::TranslatedBlock;
using vmcore::u32;

class FakeTranslations final : public vmcore::Translations {
  public:
    std::vector<TranslatedBlock> blocks() const override { return all; }
    bool has_block(u32 eip) const override { return !listing(eip).empty(); }
    std::string listing(u32 eip) const override {
        std::string text;
        for (const TranslatedBlock& block : all) {
            text += block.eip == eip ? (block.user ? "user\n" : "supervisor\n") : "";
        }
        return text;
    }
    std::string stats_text() const override { return "blocks 3\n"; }

    std::vector<TranslatedBlock> all = {{.eip = 0xc0100000, .address = PhysAddr{0x100000}},
                                        {.eip = 0x1000, .user = true},
                                        {.eip = 0x1000}};
};

class JitDirTest : public LoopTest {
  protected:
    NodePtr file(const std::string& name) { return walk(root, name); }
    NodePtr block_dir() { return file("block"); }
    Asked<NodePtr> block(const std::string& name) {
        Asked<NodePtr> asked;
        block_dir()->walk(request(), name, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked;
    }
    Asked<std::vector<synthfs::DirEntry>> list() {
        const auto handle = open(block_dir(), O_RDONLY | O_DIRECTORY).handle;
        Asked<std::vector<synthfs::DirEntry>> asked;
        handle->readdir(request(), 0, 100, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked;
    }

    FakeTranslations translations;
    const vmcore::Translations* engine = &translations;
    synthfs::ErrorRecord told;
    NodePtr root = make_jit_dir(
        [this](TranslationsWork work) {
            boost::asio::post(io, [this, work] { boost::asio::post(io, work(engine)); });
        },
        [this](synthfs::ErrorRecord record) { told = std::move(record); });
};

TEST_F(JitDirTest, stats_and_blocks_are_the_engines) {
    EXPECT_EQ(read_all(file("stats")), "blocks 3\n");
    const std::string blocks = read_all(file("blocks"));
    EXPECT_EQ(blocks, vmcore::blocks_text(translations.all));
    EXPECT_TRUE(blocks.starts_with("0x00001000 "));
}

TEST_F(JitDirTest, every_address_is_listed_once) {
    auto listing = list();
    ASSERT_EQ(listing.errnum(), 0);
    ASSERT_EQ(listing.value().size(), 2u);
    EXPECT_EQ(listing.value()[0].name, "0x00001000");
    EXPECT_EQ(listing.value()[1].name, "0xc0100000");
    EXPECT_NE(listing.value()[0].path, 0u);
}

TEST_F(JitDirTest, a_block_is_found_by_its_address_as_printed) {
    auto found = block("0x00001000");
    ASSERT_EQ(found.errnum(), 0);
    EXPECT_EQ(read_all(found.value()), "user\nsupervisor\n");
    EXPECT_EQ(block("0x00001000").value(), found.value());
    for (const char* name : {"0x00001001", "0x1000", "00001000", "0x00001000x", "0XC0100000",
                             "0xC0100000", "0x1c0100000", "stats", "0x"}) {
        EXPECT_EQ(block(name).errnum(), ENOENT) << name;
    }
}

TEST_F(JitDirTest, a_block_that_has_gone_is_told_by_its_read) {
    auto found = block("0xc0100000");
    translations.all.clear();
    EXPECT_EQ(read_all(found.value()), "errno " + std::to_string(ENOENT));
    EXPECT_EQ(told.file, "jit/block/0xc0100000");
}

TEST_F(JitDirTest, the_interpreter_has_nothing_to_show) {
    engine = nullptr;
    const std::string refusal = "errno " + std::to_string(EOPNOTSUPP);
    for (const char* name : {"stats", "blocks"}) {
        told = {};
        EXPECT_EQ(read_all(file(name)), refusal);
        EXPECT_EQ(told.file, std::string("jit/") + name);
        EXPECT_NE(told.text.find("interp"), std::string::npos);
    }
    EXPECT_EQ(block("0x00001000").errnum(), EOPNOTSUPP);
    EXPECT_EQ(told.file, "jit/block");
    EXPECT_TRUE(list().value().empty());
}

}  // namespace
}  // namespace ennead::srv::test
