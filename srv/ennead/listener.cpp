// SPDX-License-Identifier: MIT
// Makes the socket where it is wanted, and takes who comes.
#include "srv/ennead/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace ennead::srv {

using synthfs::Address;
using synthfs::Checked;
using synthfs::make_fault;

namespace {

// With no descriptor left, nobody new is taken for this long.
constexpr std::chrono::milliseconds kPause{200};

synthfs::Fault refuse(const Address& address, int errnum, const char* why = nullptr) {
    return make_fault(errnum, "%s: %s", address.text().c_str(),
                      why != nullptr ? why : std::strerror(errnum));
}

// A socket in a directory, by a name that is as short as bind(2) wants it.
Checked<sockaddr_un> name_in(const Address& address, int directory, const std::string& name) {
    const std::string path = "/proc/self/fd/" + std::to_string(directory) + '/' + name;
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (path.size() >= sizeof where.sun_path) {
        return refuse(address, ENAMETOOLONG);
    }
    std::memcpy(where.sun_path, path.c_str(), path.size());
    return where;
}

// Whether somebody listens there: 0, or the errno of connect(2).
int try_connect(const sockaddr_un& where) {
    const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) {
        return errno;
    }
    return connect(probe.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0
               ? 0
               : errno;
}

}  // namespace

Checked<Fd> Listener::listen_unix(const Address& address, const Options& options,
                                  std::optional<Place>& place) {
    const std::string& path = address.where;
    const std::size_t slash = path.rfind('/');
    if (path.front() != '/') {
        return refuse(address, EINVAL, "the path must be absolute");
    }
    Place made;
    made.name = path.substr(slash + 1);
    if (made.name.empty() || made.name == "." || made.name == "..") {
        return refuse(address, EINVAL, "the path must end in the socket's name");
    }
    // Not by the path as a whole: a lookup in our own tree would wait for this very thread.
    const HiddenPlaces none;
    auto directory = open_source(path.substr(0, slash == 0 ? 1 : slash), "directory",
                                 options.hidden != nullptr ? *options.hidden : none);
    if (!directory) {
        return refuse(address, directory.error().errnum, directory.error().text.c_str());
    }
    made.directory = std::move(directory.value());
    const auto where = name_in(address, made.directory.get(), made.name);
    if (!where) {
        return where.error();
    }
    Fd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // Linux makes the socket's file with the mode that the socket has, less the umask: so it is
    // never open to others, not even for a moment.
    if (!listening || fchmod(listening.get(), 0600) != 0) {
        return refuse(address, errno);
    }
    const auto bind_it = [&] {
        return bind(listening.get(), reinterpret_cast<const sockaddr*>(&where.value()),
                    sizeof(sockaddr_un)) == 0
                   ? 0
                   : errno;
    };
    int failure = bind_it();
    if (failure == EADDRINUSE) {
        struct stat st {};
        if (fstatat(made.directory.get(), made.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            !S_ISSOCK(st.st_mode)) {
            return refuse(address, EEXIST, "a file is there that is no socket");
        }
        if (try_connect(where.value()) != ECONNREFUSED) {
            return refuse(address, EADDRINUSE, "a server listens there already");
        }
        unlinkat(made.directory.get(), made.name.c_str(), 0);
        failure = bind_it();
    }
    struct stat st {};
    if (failure != 0 || listen(listening.get(), SOMAXCONN) != 0 ||
        fstatat(made.directory.get(), made.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return refuse(address, failure != 0 ? failure : errno);
    }
    made.device = st.st_dev;
    made.inode = st.st_ino;
    place = std::move(made);
    return listening;
}

Checked<Fd> Listener::listen_tcp(Address& address, const Options& options) {
    sockaddr_storage where{};
    auto& in = reinterpret_cast<sockaddr_in&>(where);
    auto& in6 = reinterpret_cast<sockaddr_in6&>(where);
    socklen_t length = sizeof in;
    bool loopback = false;
    if (inet_pton(AF_INET6, address.where.c_str(), &in6.sin6_addr) == 1) {
        in6.sin6_family = AF_INET6;
        in6.sin6_port = htons(address.port);
        length = sizeof in6;
        loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) != 0;
    } else {
        const std::string host = address.where == "localhost" ? "127.0.0.1"
                                 : address.where == "*"       ? "0.0.0.0"
                                                              : address.where;
        if (inet_pton(AF_INET, host.c_str(), &in.sin_addr) != 1) {
            return refuse(address, EINVAL, "listen at a host's number, localhost or *");
        }
        in.sin_family = AF_INET;
        in.sin_port = htons(address.port);
        loopback = ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (!loopback && !options.anyway) {
        return refuse(address, EACCES,
                      "other hosts could reach it, and 9P has no passwords; "
                      "start the server with --listen-anyway if that is meant");
    }
    Fd listening(socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (!listening || setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listening.get(), reinterpret_cast<const sockaddr*>(&where), length) != 0 ||
        listen(listening.get(), SOMAXCONN) != 0 ||
        getsockname(listening.get(), reinterpret_cast<sockaddr*>(&where), &length) != 0) {
        return refuse(address, errno);
    }
    address.port = ntohs(where.ss_family == AF_INET6 ? in6.sin6_port : in.sin_port);
    return listening;
}

Checked<std::unique_ptr<Listener>> Listener::open(boost::asio::io_context& io,
                                                  const Address& wanted, Options options) {
    Address address = wanted;
    std::optional<Place> place;
    auto socket = address.network == Address::Network::unix ? listen_unix(address, options, place)
                                                            : listen_tcp(address, options);
    if (!socket) {
        return socket.error();
    }
    std::unique_ptr<Listener> listener(
        new Listener(io, std::move(socket.value()), std::move(address), std::move(options)));
    listener->place_ = std::move(place);
    listener->wait();
    return listener;
}

Listener::Listener(boost::asio::io_context& io, Fd socket, Address address, Options options)
    : address_(std::move(address)),
      options_(std::move(options)),
      socket_(io, socket.release()),
      pause_(io) {}

Listener::~Listener() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    struct stat st {};
    // Unless it is somebody else's by now.
    if (place_ &&
        fstatat(place_->directory.get(), place_->name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_dev == place_->device && st.st_ino == place_->inode) {
        unlinkat(place_->directory.get(), place_->name.c_str(), 0);
    }
}

// A wait that is over already cannot be cancelled, and may be told after this object is gone.
void Listener::wait() {
    socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [this, alive = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
                           if (!ec && !alive.expired()) {
                               take_all();
                           }
                       });
}

void Listener::take_all() {
    const std::weak_ptr<int> alive = alive_;
    // A few, so that others get their turn; who still waits wakes us again.
    for (int n = 0; n < 16; ++n) {
        Fd client(accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client && (errno == EINTR || errno == ECONNABORTED)) {
            continue;
        }
        if (!client && errno != EAGAIN) {
            options_.log(address_.text() + ": nobody can be let in: " + std::strerror(errno));
            pause_.expires_after(kPause);
            pause_.async_wait(
                [this, alive = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
                    if (!ec && !alive.expired()) {
                        wait();
                    }
                });
            return;
        }
        if (!client) {
            break;
        }
        if (address_.network == Address::Network::tcp) {
            // Requests and answers are small and wait for each other; a peer whose host is gone is
            // found out in a minute or two.
            const int on = 1, idle = 60, interval = 15, count = 4;
            setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(client.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
            setsockopt(client.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
            setsockopt(client.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
            setsockopt(client.get(), IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
        }
        options_.accepted(std::move(client));
        if (alive.expired()) {
            return;
        }
    }
    wait();
}

}  // namespace ennead::srv
