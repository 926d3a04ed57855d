// SPDX-License-Identifier: MIT
// Runs the loop until the answer is there.
#include "srv/ennead/nine_client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace ennead::srv {

using synthfs::Address;
using synthfs::Checked;
using synthfs::HandlePtr;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::Result;

Checked<Fd> dial(const Address& address) {
    const auto refuse = [&](int errnum) {
        return make_fault(errnum, "%s: %s", address.text().c_str(), std::strerror(errnum));
    };
    if (address.network == Address::Network::unix) {
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        if (address.where.size() >= sizeof where.sun_path) {
            return refuse(ENAMETOOLONG);
        }
        std::memcpy(where.sun_path, address.where.c_str(), address.where.size());
        Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
            return refuse(errno);
        }
        return fd;
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failure = getaddrinfo(address.where.c_str(), std::to_string(address.port).c_str(),
                                        &hints, &found);
        failure != 0) {
        return make_fault(ENXIO, "%s: %s", address.text().c_str(), gai_strerror(failure));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, freeaddrinfo);
    int errnum = ENXIO;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        Fd fd(socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (fd && ::connect(fd.get(), each->ai_addr, each->ai_addrlen) == 0) {
            const int on = 1;
            setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return fd;
        }
        errnum = errno;
    }
    return refuse(errnum);
}

Checked<std::unique_ptr<NineClient>> NineClient::connect(const Address& address) {
    auto socket = dial(address);
    if (!socket) {
        return socket.error();
    }
    std::unique_ptr<NineClient> client(new NineClient);
    p9::ClientOptions options;
    options.lost_errno = EIO;
    options.uid = geteuid();
    const auto root = client->ask<NodePtr>([&](synthfs::Reply<NodePtr> reply) {
        client->connection_ =
            p9::ClientConnection::start(p9::adopt_socket(client->io_, socket.value().release()),
                                        std::move(options), std::move(reply));
    });
    if (!root) {
        return make_fault(synthfs::to_errno(root.error()), "%s: %s", address.text().c_str(),
                          root.error().message().c_str());
    }
    client->root_ = root.value();
    return client;
}

std::vector<std::string> path_names(std::string_view path) {
    std::vector<std::string> names;
    while (!path.empty()) {
        const std::size_t slash = std::min(path.find('/'), path.size());
        const std::string_view name = path.substr(0, slash);
        path.remove_prefix(std::min(slash + 1, path.size()));
        if (name == ".." && !names.empty()) {
            names.pop_back();
        } else if (!name.empty() && name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    return names;
}

Result<NodePtr> NineClient::walk(std::string_view path) {
    NodePtr at = root_;
    for (const std::string& name : path_names(path)) {
        if (!S_ISDIR(at->type())) {
            return synthfs::error(ENOTDIR);
        }
        auto next = ask<NodePtr>([&](auto reply) { at->walk(request(), name, reply); });
        if (!next) {
            return next;
        }
        at = std::move(next.value());
    }
    return at;
}

Result<HandlePtr> NineClient::open(std::string_view path, int flags) {
    const auto node = walk(path);
    if (!node) {
        return node.error();
    }
    return ask<HandlePtr>([&](auto reply) { node.value()->open(request(), flags, reply); });
}

Result<synthfs::Attr> NineClient::attr(const NodePtr& node) {
    return ask<synthfs::Attr>([&](auto reply) { node->getattr(request(), reply); });
}

Result<std::size_t> NineClient::read(const HandlePtr& handle, std::uint64_t offset,
                                     std::span<std::byte> into) {
    return ask<std::size_t>([&](auto reply) { handle->read(request(), offset, into, reply); });
}

Result<std::size_t> NineClient::write(const HandlePtr& handle, std::uint64_t offset,
                                      std::string_view text) {
    return ask<std::size_t>([&](auto reply) {
        handle->write(request(), offset, std::as_bytes(std::span(text)), reply);
    });
}

Result<std::string> NineClient::read_all(std::string_view path) {
    const auto handle = open(path, O_RDONLY);
    if (!handle) {
        return handle.error();
    }
    std::string text;
    std::vector<std::byte> piece(64 * 1024);
    while (true) {
        const auto size = read(handle.value(), text.size(), piece);
        if (!size) {
            return size.error();
        }
        if (size.value() == 0) {
            return text;
        }
        text.append(reinterpret_cast<const char*>(piece.data()), size.value());
    }
}

Result<std::vector<std::string>> NineClient::names(const NodePtr& directory) {
    const auto handle = ask<HandlePtr>(
        [&](auto reply) { directory->open(request(), O_RDONLY | O_DIRECTORY, reply); });
    if (!handle) {
        return handle.error();
    }
    std::vector<std::string> names;
    for (std::uint64_t offset = 0;;) {
        auto some = ask<std::vector<synthfs::DirEntry>>(
            [&](auto reply) { handle.value()->readdir(request(), offset, 1024, reply); });
        if (!some) {
            return some.error();
        }
        if (some.value().empty()) {
            return names;
        }
        offset = some.value().back().next_offset;
        for (synthfs::DirEntry& entry : some.value()) {
            names.push_back(std::move(entry.name));
        }
    }
}

}  // namespace ennead::srv
