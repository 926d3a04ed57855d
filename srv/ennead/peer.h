// SPDX-License-Identifier: MIT
// Who is at the other end of a connection, as the kernel knows it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "synthfs/fault.h"

namespace ennead::srv {

struct PeerUser {
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;  // further ones
    pid_t pid = 0;              // 0: unknown
};

// Of a connected unix socket: SO_PEERCRED and SO_PEERGROUPS (unix(7)), as they were at connect(2).
// Of a TCP socket: the owner of the socket at the other end, if that is on this host, as
// /proc/net/tcp has it; groups are not known then, and the gid is nobody's unless the user is our
// own. A peer elsewhere, whom the kernel does not know, is taken for this process's user: whoever
// lets such peers in (--listen-anyway) has said so. EACCES: a peer on this host whose socket has
// gone already.
[[nodiscard]] synthfs::Checked<PeerUser> peer_of(int socket);

// In the text of /proc/net/tcp or tcp6: the owner of the socket whose own address is `local` and
// whose peer's is `remote`, both as that file writes them. Sockets that no process holds any more
// are passed over: they show as root's.
[[nodiscard]] bool find_socket_owner(const std::string& table, const std::string& local,
                                     const std::string& remote, uid_t& uid);

}  // namespace ennead::srv
