// SPDX-License-Identifier: MIT
// Credentials of unix sockets, and of TCP sockets of this host by the kernel's table of them.
#include "srv/ennead/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

namespace {

constexpr gid_t kNobody = 65534;

PeerUser ourselves() {
    return {.uid = geteuid(), .gid = getegid(), .groups = {}, .pid = 0};
}

Checked<PeerUser> unix_peer(int socket) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
        return make_fault(errno, "the peer's credentials: %s", std::strerror(errno));
    }
    PeerUser user{credentials.uid, credentials.gid, {}, credentials.pid};
    // Told how many there are if there is no room for them: ERANGE.
    length = 0;
    getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &length);
    user.groups.resize(length / sizeof(gid_t));
    if (length != 0 &&
        getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, user.groups.data(), &length) != 0) {
        user.groups.clear();
    }
    return user;
}

// proc(5): the address as 32-bit words in the host's order, and the port, in hexadecimal.
std::string as_in_proc(const sockaddr_storage& address) {
    std::array<char, 8 * 4 + 6> text{};
    char* at = text.data();
    const auto put = [&at](std::uint32_t word) { at += std::snprintf(at, 9, "%08X", word); };
    in_port_t port = 0;
    if (address.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(address);
        put(in.sin_addr.s_addr);
        port = in.sin_port;
    } else {
        const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
        std::array<std::uint32_t, 4> words{};
        std::memcpy(words.data(), &in.sin6_addr, sizeof words);
        for (const std::uint32_t word : words) {
            put(word);
        }
        port = in.sin6_port;
    }
    std::snprintf(at, 6, ":%04X", ntohs(port));
    return text.data();
}

bool is_loopback(const sockaddr_storage& address) {
    if (address.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(address);
        return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    const in6_addr& in = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&in) || (IN6_IS_ADDR_V4MAPPED(&in) && in.s6_addr[12] == 127);
}

// A connection between IPv4 ends through an IPv6 socket: the IPv4 side's own row is in `tcp`.
sockaddr_storage unmapped(const sockaddr_storage& address) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (address.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        return address;
    }
    sockaddr_storage plain{};
    auto& in = reinterpret_cast<sockaddr_in&>(plain);
    in.sin_family = AF_INET;
    in.sin_port = in6.sin6_port;
    std::memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], sizeof in.sin_addr);
    return plain;
}

std::string whole_file(const char* path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

Checked<PeerUser> tcp_peer(int socket) {
    sockaddr_storage ours{}, theirs{};
    socklen_t our_length = sizeof ours, their_length = sizeof theirs;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&ours), &our_length) != 0 ||
        getpeername(socket, reinterpret_cast<sockaddr*>(&theirs), &their_length) != 0) {
        return make_fault(errno, "the peer has gone: %s", std::strerror(errno));
    }
    uid_t uid = 0;
    const bool found =
        find_socket_owner(whole_file("/proc/net/tcp"), as_in_proc(unmapped(theirs)),
                          as_in_proc(unmapped(ours)), uid) ||
        find_socket_owner(whole_file("/proc/net/tcp6"), as_in_proc(theirs), as_in_proc(ours), uid);
    if (!found && is_loopback(theirs)) {
        return make_fault(EACCES, "the peer's socket has gone, and with it who it was");
    }
    if (!found || uid == geteuid()) {
        return ourselves();
    }
    return PeerUser{uid, uid == 0 ? gid_t{0} : kNobody, {}, 0};
}

}  // namespace

bool find_socket_owner(const std::string& table, const std::string& local,
                       const std::string& remote, uid_t& uid) {
    std::istringstream lines(table);
    std::string line;
    std::getline(lines, line);  // the headings
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        std::string row, own, other, state, queues, timer, retransmitted;
        uid_t owner = 0;
        unsigned timeout = 0;
        std::uint64_t inode = 0;
        fields >> row >> own >> other >> state >> queues >> timer >> retransmitted >> owner >>
            timeout >> inode;
        if (fields && own == local && other == remote && inode != 0) {
            uid = owner;
            return true;
        }
    }
    return false;
}

Checked<PeerUser> peer_of(int socket) {
    int domain = 0;
    socklen_t length = sizeof domain;
    if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0) {
        return make_fault(errno, "%s", std::strerror(errno));
    }
    return domain == AF_UNIX ? unix_peer(socket) : tcp_peer(socket);
}

}  // namespace ennead::srv
