// SPDX-License-Identifier: MIT
// The words of `trace`.
#include "srv/common/trace_rule.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ennead::srv {
namespace {

using vmcore::TraceRule;

synthfs::Checked<TraceRule> parsed(const std::string& line) {
    const auto commands = synthfs::parse_commands(line);
    return parse_trace(commands.value().front());
}

TEST(TraceRule, kinds_and_filters_in_any_order) {
    const auto rule = parsed("trace 0xc0100000-0xc01fffff irq exc cr3=0x1018 insn 4096");
    ASSERT_TRUE(rule);
    EXPECT_EQ(rule.value(),
              (TraceRule{.kinds = TraceRule::kInsn | TraceRule::kIrq | TraceRule::kExc,
                         .ranges = {{0xc0100000, 0xc01fffff}, {4096, 4096}},
                         .cr3 = 0x1000}));
    EXPECT_EQ(parsed("trace io 0x3f8-0x3ff").value(),
              (TraceRule{.kinds = TraceRule::kPort, .ranges = {{0x3f8, 0x3ff}}}));
    EXPECT_EQ(parsed("trace mmio").value(), (TraceRule{.kinds = TraceRule::kMmio}));
    EXPECT_EQ(parsed("trace 9p").value(), (TraceRule{.kinds = TraceRule::kMessage}));
}

TEST(TraceRule, refusals_point_at_their_word) {
    struct Case {
        const char* line;
        std::optional<std::size_t> column;
    };
    for (const Case& each :
         {Case{"trace all", 6}, Case{"trace insn 0x20-0x10", 11},
          Case{"trace insn 0x100000000", 11}, Case{"trace insn 1-", 13},
          Case{"trace insn 1-2-3", 13}, Case{"trace insn -5", 11}, Case{"trace insn cr3=x", 15},
          Case{"trace insn cr3=1 cr3=2", 17}, Case{"trace 0x10", 6}, Case{"trace insn ''", 11},
          Case{"trace 9p 0x10", std::nullopt}, Case{"trace 9p cr3=0", std::nullopt}}) {
        const auto rule = parsed(each.line);
        ASSERT_FALSE(rule) << each.line;
        EXPECT_EQ(rule.error().errnum, EINVAL) << each.line;
        EXPECT_EQ(rule.error().column, each.column) << each.line;
        EXPECT_FALSE(rule.error().text.empty()) << each.line;
    }
}

}  // namespace
}  // namespace ennead::srv
