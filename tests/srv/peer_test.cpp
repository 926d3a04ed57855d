// SPDX-License-Identifier: MIT
// The kernel's table of TCP sockets.
#include "srv/ennead/peer.h"

#include <gtest/gtest.h>

namespace ennead::srv {
namespace {

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
