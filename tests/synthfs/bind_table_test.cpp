// SPDX-License-Identifier: MIT
// Name spaces as text: every flag, every refusal, and that what is printed gives the same again.
#include "synthfs/bind_table.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>

namespace ennead::synthfs {
namespace {

const std::string kRoot = "/base";
const std::string kRootLine = "bind -o /base /\n";

// 0, or the errno of the first line that is refused.
int run(BindTable& table, const std::string& text) {
    const auto lines = parse_commands(text);
    if (!lines) {
        return lines.error().errnum;
    }
    for (const Command& line : lines.value()) {
        if (auto done = table.apply(line, kRoot); !done) {
            return done.error().errnum;
        }
    }
    return 0;
}

// What the lines print, after the default root's; or the errno.
std::string after(const std::string& text) {
    BindTable table;
    if (const int errnum = run(table, text); errnum != 0) {
        return "errno " + std::to_string(errnum);
    }
    std::string printed = table.text(kRoot);
    return printed.starts_with(kRootLine) ? printed.substr(kRootLine.size()) : printed;
}

int refusal(const std::string& text) {
    BindTable table;
    const BindTable before = table;
    const int errnum = run(table, text);
    EXPECT_TRUE(errnum == 0 || table == before) << text;
    return errnum;
}

TEST(BindTable, begins_with_the_default_root) {
    EXPECT_EQ(BindTable().text(kRoot), kRootLine);
    EXPECT_EQ(BindTable().text("/other root"), "bind -o '/other root' /\n");
}

TEST(BindTable, prints_each_flag_as_it_was_given) {
    for (const char* line :
         {"bind /a /x\n", "bind -a /a /x\n", "bind -b /a /x\n", "bind -c /a /x\n",
          "bind -ac /a /x\n", "bind -bc /a /x\n", "bind -r /a /x\n", "bind -ar /a /x\n",
          "bind -o /a /x\n", "bind -or /a /x\n", "bind -ao /a /x\n", "bind -bor /a /x\n",
          "bind '#ram' /x\n", "bind -bc '#ram' /x\n", "bind -r '#ram' /x\n"}) {
        EXPECT_EQ(after(line), line);
    }
}

TEST(BindTable, flags_may_stand_apart_and_in_any_order) {
    EXPECT_EQ(after("bind -c -b /a /x"), "bind -bc /a /x\n");
    EXPECT_EQ(after("bind -cb /a /x"), "bind -bc /a /x\n");
    EXPECT_EQ(after("bind -bb /a /x"), "bind -b /a /x\n");
}

TEST(BindTable, an_overlay_takes_new_files_anyway) {
    EXPECT_EQ(after("bind -oc /a /x"), "bind -o /a /x\n");
}

TEST(BindTable, paths_are_cleaned_and_quoted) {
    EXPECT_EQ(after("bind //a/./b/ /x//y/."), "bind /a/b /x/y\n");
    EXPECT_EQ(after("bind '/it''s a' '/x y'"), "bind '/it''s a' '/x y'\n");
    EXPECT_EQ(after("bind /a/../b /x"), "bind /a/../b /x\n");  // links decide what it means
}

TEST(BindTable, what_is_wrong_is_refused_and_changes_nothing) {
    for (const char* line : {"bind",
                             "bind /a",
                             "bind /a /x /y",
                             "bind -q /a /x",
                             "bind -ab /a /x",
                             "bind -a -b /a /x",
                             "bind -cr /a /x",
                             "bind a /x",
                             "bind ./a /x",
                             "bind /a x",
                             "bind /a ''",
                             "bind '' /x",
                             "bind /a /x/../y",
                             "bind '#tmp' /x",
                             "bind '#' /x",
                             "bind n /x",
                             "bind n/ /x",
                             "bind n/. /x",
                             "bind n/host/../x /x",
                             "bind n/.. /x",
                             "bind '#vm/1' /x",
                             "unbind n/ /x",
                             "bind -o '#ram' /x",
                             "bind - /a /x",
                             "unbind",
                             "unbind /a /x /y",
                             "unbind x",
                             "unbind a /x",
                             "bind tcp!h!1 /x",
                             "mount",
                             "mount tcp!h!1",
                             "mount /a /x",
                             "mount '#ram' /x",
                             "mount n/host /x",
                             "mount tcp!host /x",
                             "mount tcp!host!0 /x",
                             "mount unix!a /x",
                             "mount -o tcp!h!1 /x",
                             "mount -r tcp!h!1 /x",
                             "mount -ab tcp!h!1 /x",
                             "mount tcp!h!1 x",
                             "unmount",
                             "unmount tcp!h /x",
                             "rebind /a /x",
                             "Bind /a /x"}) {
        EXPECT_EQ(refusal(line), EINVAL) << line;
    }
    EXPECT_EQ(refusal("bind -o '#vm' /vm"), EOPNOTSUPP);
    EXPECT_EQ(refusal("bind -ao n/host /x"), EOPNOTSUPP);
    EXPECT_EQ(refusal("bind /" + std::string(256, 'a') + " /x"), ENAMETOOLONG);
    EXPECT_EQ(refusal("bind /a /" + std::string(256, 'x')), ENAMETOOLONG);
    EXPECT_EQ(refusal("bind /" + std::string(5000, '/') + " /x"), ENAMETOOLONG);
}

TEST(BindTable, trees_of_the_server_are_sources_as_others) {
    const std::string lines =
        "bind -o /base /\nbind '#vm' /vm\nbind -b n/host/3/x /x\nbind -r 'n/a b' /y\n";
    EXPECT_EQ(after("bind '#vm' /vm\nbind -b n//host/./3/x/ /x\nbind -r 'n/a b' /y"),
              lines.substr(lines.find('\n') + 1));
    EXPECT_EQ(after("bind '#vm' /vm\nbind -a n/host /vm\nunbind '#vm' /vm"), "bind n/host /vm\n");
    EXPECT_EQ(BindTable::source_of(parse_commands("bind n//host/./3/ /x").value()[0]).value(),
              "n/host/3");
    BindTable table;
    ASSERT_EQ(run(table, "bind '#ram' /a\nbind '#ram' /b\nbind '#vm' /c"), 0);
    EXPECT_EQ(table.count_of(kRamSource), 2u);
    EXPECT_EQ(table.count_of(kVmSource), 1u);
}

TEST(BindTable, what_is_mounted_is_a_source_whose_lines_say_so) {
    const std::string lines = "mount -c unix!/run/a /x\nmount -a 'tcp!h!17' /x\nmount unix!/b /y\n";
    const std::string printed = after(lines);
    EXPECT_EQ(printed, "mount -c unix!/run/a /x\nmount -a tcp!h!17 /x\nmount unix!/b /y\n");
    EXPECT_EQ(after(printed), printed);
    EXPECT_EQ(after("bind '#ram' /x\nmount -bc tcp!h!017 /x"),
              "mount -c tcp!h!17 /x\nbind -a '#ram' /x\n");
    EXPECT_EQ(after("mount tcp!h!17 /x\nmount -a tcp!h!017 /x"), "errno " + std::to_string(EEXIST));
    EXPECT_EQ(after("mount tcp!h!17 /x\nbind -a '#ram' /x\nunbind tcp!h!17 /x"),
              "bind '#ram' /x\n");
    EXPECT_EQ(after("mount tcp!h!17 /x\nbind -a '#ram' /x\nunmount '#ram' /x\nunmount /x"), "");
    EXPECT_EQ(after("mount tcp!h!17 /x\nunmount tcp!h!18 /x"), "errno " + std::to_string(ENOENT));
    BindTable table;
    ASSERT_EQ(run(table, "mount tcp!h!17 /x\nmount -a tcp!h!17 /y"), 0);
    EXPECT_FALSE(table.is_union("/x"));
    EXPECT_TRUE(table.is_union("/y"));
    EXPECT_FALSE(table.is_union("/z"));
    EXPECT_EQ(table.text("/base",
                         [](const std::string& source) {
                             return source == "tcp!h!17" ? std::string("there") : std::string();
                         }),
              "bind -o /base /\nmount tcp!h!17 /x\n# there\nmount -a tcp!h!17 /y\n# there\n");
}

TEST(BindTable, the_word_at_fault_is_told) {
    const auto lines = parse_commands("bind -b relative /x");
    const auto refused = BindTable::check(lines.value().front());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().command, "bind -b relative /x");
    EXPECT_EQ(refused.error().column, 8u);
}

TEST(BindTable, without_a_or_b_all_that_was_there_goes) {
    EXPECT_EQ(after("bind -b /a /x\nbind -a /b /x\nbind /c /x"), "bind /c /x\n");
}

TEST(BindTable, before_and_after_keep_their_order) {
    BindTable table;
    ASSERT_EQ(run(table, "bind -a /1 /x\nbind -b /2 /x\nbind -b /3 /x\nbind -a /4 /x"), 0);
    EXPECT_EQ(table.text(kRoot),
              kRootLine + "bind -b /2 /x\nbind -b /3 /x\nbind -a /1 /x\nbind -a /4 /x\n");
    const BindPoint& point = table.points().back();
    ASSERT_EQ(point.elements.size(), 4u);
    EXPECT_EQ(point.elements[0].sources.front(), "/3");
    EXPECT_EQ(point.elements[1].sources.front(), "/2");
    EXPECT_EQ(point.elements[2].sources.front(), "/1");
    EXPECT_EQ(point.under, 2u);
}

TEST(BindTable, a_union_of_what_replaced_begins_with_it) {
    EXPECT_EQ(after("bind /1 /x\nbind -a /2 /x\nbind -b /3 /x"),
              "bind /3 /x\nbind -a /1 /x\nbind -a /2 /x\n");
}

TEST(BindTable, a_source_is_in_a_union_once) {
    EXPECT_EQ(refusal("bind -a /1 /x"), 0);
    BindTable table;
    ASSERT_EQ(run(table, "bind -a /1 /x"), 0);
    EXPECT_EQ(run(table, "bind -b /1 /x"), EEXIST);
    EXPECT_EQ(run(table, "bind -a //1/ /x"), EEXIST);
    EXPECT_EQ(run(table, "bind -a /1 /y"), 0);
    EXPECT_EQ(run(table, "bind /1 /x"), 0);
}

TEST(BindTable, overlays_side_by_side_are_one_with_their_layers) {
    BindTable table;
    ASSERT_EQ(run(table, "bind -o /1 /x\nbind -oa /2 /x\nbind -ob /3 /x"), 0);
    ASSERT_EQ(table.points().back().elements.size(), 1u);
    EXPECT_EQ(table.points().back().elements[0].sources,
              (std::vector<std::string>{"/3", "/1", "/2"}));
    EXPECT_EQ(table.text(kRoot), kRootLine + "bind -o /3 /x\nbind -ao /1 /x\nbind -ao /2 /x\n");
    // Read-only ones and others are not merged, nor are those with something between them.
    EXPECT_EQ(after("bind -o /1 /x\nbind -oar /2 /x"), "bind -o /1 /x\nbind -aor /2 /x\n");
    BindTable parted;
    ASSERT_EQ(run(parted, "bind -o /1 /x\nbind -a /2 /x\nbind -oa /3 /x"), 0);
    EXPECT_EQ(parted.points().back().elements.size(), 3u);
    ASSERT_EQ(run(parted, "unbind /2 /x"), 0);
    EXPECT_EQ(parted.points().back().elements.size(), 1u);
}

TEST(BindTable, the_place_of_what_is_there_parts_overlays) {
    BindTable table;
    ASSERT_EQ(run(table, "bind -ob /1 /x\nbind -oa /2 /x\nbind -ob /3 /x"), 0);
    ASSERT_EQ(table.points().back().elements.size(), 2u);
    EXPECT_EQ(table.points().back().under, 1u);
    EXPECT_EQ(table.text(kRoot), kRootLine + "bind -bo /1 /x\nbind -bo /3 /x\nbind -ao /2 /x\n");
}

TEST(BindTable, unbind_takes_one_or_all) {
    BindTable table;
    ASSERT_EQ(run(table, "bind -a /1 /x\nbind -b /2 /x\nbind -a /3 /x"), 0);
    ASSERT_EQ(run(table, "unbind /1 /x"), 0);
    EXPECT_EQ(table.text(kRoot), kRootLine + "bind -b /2 /x\nbind -a /3 /x\n");
    ASSERT_EQ(run(table, "unbind /2 /x"), 0);
    EXPECT_EQ(table.points().back().under, 0u);
    EXPECT_EQ(run(table, "unbind /2 /x"), ENOENT);
    ASSERT_EQ(run(table, "unbind /x"), 0);
    EXPECT_EQ(run(table, "unbind /x"), ENOENT);
    EXPECT_EQ(run(table, "unbind /3 /x"), ENOENT);
    EXPECT_EQ(table, BindTable());
}

TEST(BindTable, unbinding_the_last_one_brings_back_what_was_replaced) {
    EXPECT_EQ(after("bind /1 /x\nunbind /1 /x"), "");
}

TEST(BindTable, a_layer_of_an_overlay_can_be_taken_out) {
    EXPECT_EQ(after("bind -o /1 /x\nbind -oa /2 /x\nunbind /1 /x"), "bind -o /2 /x\n");
}

TEST(BindTable, there_is_always_a_root) {
    BindTable table;
    EXPECT_EQ(run(table, "unbind /"), EBUSY);
    EXPECT_EQ(run(table, "unbind /base /"), EBUSY);
    ASSERT_EQ(run(table, "bind -r /other /"), 0);
    EXPECT_EQ(table.text(kRoot), "bind -r /other /\n");
    ASSERT_EQ(run(table, "unbind /other /"), 0);
    EXPECT_EQ(table, BindTable());
    ASSERT_EQ(run(table, "bind -b /above /\nbind -a /below /"), 0);
    EXPECT_EQ(table.text(kRoot), "bind /above /\nbind -ao /base /\nbind -a /below /\n");
    ASSERT_EQ(run(table, "unbind /base /"), 0);
    EXPECT_EQ(table.text(kRoot), "bind /above /\nbind -a /below /\n");
    ASSERT_EQ(run(table, "unbind /"), 0);
    EXPECT_EQ(table, BindTable());
}

TEST(BindTable, the_default_root_by_name_follows_the_setting) {
    BindTable table;
    ASSERT_EQ(run(table, "bind -r /other /\nbind -o /base /"), 0);
    EXPECT_EQ(table, BindTable());
    EXPECT_EQ(table.text("/later"), "bind -o /later /\n");
    ASSERT_EQ(run(table, "bind -ob /extra /"), 0);
    EXPECT_EQ(table.text("/later"), "bind -o /extra /\nbind -ao /later /\n");
}

TEST(BindTable, the_number_of_sources_is_bounded) {
    BindTable table;
    for (std::size_t i = 1; i < kMaxSources; ++i) {
        ASSERT_EQ(run(table, "bind -a /s" + std::to_string(i) + " /x"), 0) << i;
    }
    const BindTable full = table;
    EXPECT_EQ(run(table, "bind -a /more /x"), EDQUOT);
    EXPECT_EQ(run(table, "bind -o /more /y"), EDQUOT);
    EXPECT_EQ(table, full);
    EXPECT_EQ(run(table, "bind /one /x"), 0);
}

TEST(BindTable, targets_are_sorted_from_the_top_down) {
    EXPECT_EQ(after("bind /3 /x/y\nbind /1 /a\nbind /2 /x"),
              "bind /1 /a\nbind /2 /x\nbind /3 /x/y\n");
}

// Any table that lines can make is made again by the lines that it prints.
TEST(BindTable, what_is_printed_gives_the_same) {
    std::mt19937 random(20261124);
    const auto pick = [&](std::size_t n) { return random() % n; };
    const char* sources[] = {"/base", "/1", "/2", "/3", "/4", "'#ram'", "'/it''s'"};
    const char* targets[] = {"/", "/x", "/x/y", "/z"};
    const char* flags[] = {"", "-a ", "-b ", "-ac ", "-bc ", "-o ", "-ao ", "-bo ", "-aor ", "-r "};
    for (int round = 0; round < 300; ++round) {
        BindTable table;
        for (int step = 0; step < 12; ++step) {
            std::string line;
            if (pick(4) == 0) {
                line = std::string("unbind ") + (pick(2) == 0 ? sources[pick(7)] : "") + ' ' +
                       targets[pick(4)];
            } else {
                line = std::string("bind ") + flags[pick(10)] + sources[pick(7)] + ' ' +
                       targets[pick(4)];
            }
            (void)run(table, line);
            BindTable again;
            ASSERT_EQ(run(again, table.text(kRoot)), 0) << table.text(kRoot);
            ASSERT_EQ(again, table) << "after " << line << ":\n" << table.text(kRoot);
        }
    }
}

}  // namespace
}  // namespace ennead::synthfs
