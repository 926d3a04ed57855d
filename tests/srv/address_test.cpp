// SPDX-License-Identifier: MIT
// Dial strings, and the kernel's table of TCP sockets.
#include "srv/ennead/address.h"

#include <gtest/gtest.h>

#include "srv/ennead/peer.h"

namespace ennead::srv {
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

TEST(SocketOwner, is_the_one_whose_ends_are_these) {
    const std::string table =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
        "timeout inode\n"
        "   0: 00000000:1608 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        "
        "0 1081 1 00000000f492a69a 100 0 0 10 0\n"
        "   1: 0100007F:D431 0100007F:1608 01 00000000:00000000 00:00000000 00000000  1000        "
        "0 2222 1 0000000000000000 20 4 30 10 -1\n"
        "   2: 0100007F:D432 0100007F:1608 05 00000000:00000000 00:00000000 00000000     0        "
        "0 0 1 0000000000000000 20 4 30 10 -1\n"
        "   3: 0100007F:1608 0100007F:D431 01 00000000:00000000 00:00000000 00000000     7        "
        "0 3333 1 0000000000000000 20 4 30 10 -1\n";
    uid_t uid = 99;
    EXPECT_TRUE(find_socket_owner(table, "0100007F:D431", "0100007F:1608", uid));
    EXPECT_EQ(uid, 1000u);
    EXPECT_TRUE(find_socket_owner(table, "0100007F:1608", "0100007F:D431", uid));
    EXPECT_EQ(uid, 7u);
    // Closed by its process, it shows as root's: that is nobody's word for it.
    EXPECT_FALSE(find_socket_owner(table, "0100007F:D432", "0100007F:1608", uid));
    EXPECT_FALSE(find_socket_owner(table, "0100007F:D433", "0100007F:1608", uid));
    EXPECT_FALSE(find_socket_owner("", "0100007F:D431", "0100007F:1608", uid));
    EXPECT_EQ(uid, 7u);
}

}  // namespace
}  // namespace ennead::srv
