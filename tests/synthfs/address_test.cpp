// SPDX-License-Identifier: MIT
// Dial strings.
#include "synthfs/address.h"

#include <gtest/gtest.h>

namespace ennead::synthfs {
namespace {

using Network = Address::Network;

TEST(Address, names_a_network_and_a_place) {
    EXPECT_EQ(parse_address("unix!/run/ennead").value(),
              (Address{Network::unix, "/run/ennead", 0}));
    EXPECT_EQ(parse_address("unix!/a!b").value(), (Address{Network::unix, "/a!b", 0}));
    EXPECT_EQ(parse_address("tcp!127.0.0.1!5640").value(),
              (Address{Network::tcp, "127.0.0.1", 5640}));
    EXPECT_EQ(parse_address("tcp!::1!0").value(), (Address{Network::tcp, "::1", 0}));
    for (const auto* text : {"unix!/run/ennead", "tcp!host.example!65535", "tcp!::1!1"}) {
        EXPECT_EQ(parse_address(text).value().text(), text);
    }
}

TEST(Address, anything_else_is_refused) {
    for (const auto* text : {"", "/run/ennead", "unix", "unix!", "udp!host!1", "tcp!host",
                             "tcp!host!", "tcp!!5640", "tcp!host!65536", "tcp!host!-1",
                             "tcp!host!+1", "tcp!host!1x", "tcp!host! 1", "TCP!h!1"}) {
        const auto parsed = parse_address(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().errnum, EINVAL) << text;
        EXPECT_TRUE(parsed.error().text.starts_with(text)) << parsed.error().text;
    }
}

TEST(Address, a_path_can_be_made_absolute) {
    EXPECT_EQ(absolute_address("unix!/a/b"), "unix!/a/b");
    EXPECT_TRUE(absolute_address("unix!b").starts_with("unix!/"));
    EXPECT_TRUE(absolute_address("unix!b").ends_with("/b"));
    EXPECT_EQ(absolute_address("tcp!h!1"), "tcp!h!1");
    EXPECT_EQ(absolute_address("nonsense"), "nonsense");
}

TEST(Address, one_to_dial_depends_on_nobodys_place) {
    const auto parsed = [](const std::string& address) {
        return parse_remote_address(parse_commands("mount " + address + " /x").value().front(), 1);
    };
    EXPECT_EQ(parsed("unix!/a").value().where, "/a");
    EXPECT_EQ(parsed("tcp!h!1").value().port, 1);
    for (const auto* text : {"unix!a", "tcp!h!0", "tcp!h", "/a"}) {
        const auto refused = parsed(text);
        ASSERT_FALSE(refused) << text;
        EXPECT_EQ(refused.error().errnum, EINVAL) << text;
        EXPECT_EQ(refused.error().column, 6u) << text;
    }
}

}  // namespace
}  // namespace ennead::synthfs
