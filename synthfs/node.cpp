// SPDX-License-Identifier: MIT
// The refusals that a node or handle gives for whatever it does not provide.
#include "synthfs/node.h"

#include <sys/poll.h>
#include <sys/stat.h>

#include <atomic>

namespace ennead::synthfs {

std::uint64_t next_source() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

namespace {

// A directory operation asked of something that is no directory, or of a directory that does not
// allow it.
int refusal(const Node& node) {
    return S_ISDIR(node.type()) ? EPERM : ENOTDIR;
}

}  // namespace

void Node::setattr(RequestPtr, SetAttr, Reply<> reply) {
    reply(error(EPERM));
}
void Node::readlink(RequestPtr, Reply<std::string> reply) {
    reply(error(EINVAL));
}
void Node::statfs(RequestPtr, Reply<StatFs> reply) {
    reply(StatFs{});
}

void Node::walk(RequestPtr, std::string, Reply<NodePtr> reply) {
    reply(error(S_ISDIR(type()) ? ENOENT : ENOTDIR));
}
void Node::create(RequestPtr, std::string, int, mode_t, gid_t, Reply<Created> reply) {
    reply(error(refusal(*this)));
}
void Node::mkdir(RequestPtr, std::string, mode_t, gid_t, Reply<NodePtr> reply) {
    reply(error(refusal(*this)));
}
void Node::symlink(RequestPtr, std::string, std::string, gid_t, Reply<NodePtr> reply) {
    reply(error(refusal(*this)));
}
void Node::mknod(RequestPtr, std::string, mode_t, std::uint64_t, gid_t, Reply<NodePtr> reply) {
    reply(error(refusal(*this)));
}
void Node::link(RequestPtr, std::string, NodePtr, Reply<> reply) {
    reply(error(refusal(*this)));
}
void Node::unlink(RequestPtr, std::string, bool, Reply<> reply) {
    reply(error(refusal(*this)));
}
void Node::rename(RequestPtr, std::string, NodePtr, std::string, Reply<> reply) {
    reply(error(refusal(*this)));
}

void Node::getxattr(RequestPtr, std::string, Reply<std::string> reply) {
    reply(error(EOPNOTSUPP));
}
void Node::listxattr(RequestPtr, Reply<std::vector<std::string>> reply) {
    reply(std::vector<std::string>{});
}
void Node::setxattr(RequestPtr, std::string, std::string, int, Reply<> reply) {
    reply(error(EOPNOTSUPP));
}
void Node::removexattr(RequestPtr, std::string, Reply<> reply) {
    reply(error(EOPNOTSUPP));
}

void Handle::read(RequestPtr, std::uint64_t, std::span<std::byte>, Reply<std::size_t> reply) {
    reply(error(EISDIR));
}
void Handle::write(RequestPtr, std::uint64_t, std::span<const std::byte>,
                   Reply<std::size_t> reply) {
    reply(error(EPERM));
}
void Handle::readdir(RequestPtr, std::uint64_t, std::size_t, Reply<std::vector<DirEntry>> reply) {
    reply(error(ENOTDIR));
}
std::optional<Result<std::size_t>> Handle::read_at_once(const Request&, std::uint64_t,
                                                        std::span<const std::span<std::byte>>) {
    return std::nullopt;
}
std::optional<Result<std::size_t>> Handle::write_at_once(
    const Request&, std::uint64_t, std::span<const std::span<const std::byte>>) {
    return std::nullopt;
}
void Handle::fsync(RequestPtr, bool, Reply<> reply) {
    reply(success());
}
void Handle::lock(RequestPtr, const Lock&, Reply<> reply) {
    reply(error(EOPNOTSUPP));
}
void Handle::getlock(RequestPtr, const Lock&, Reply<Lock> reply) {
    reply(error(EOPNOTSUPP));
}
unsigned Handle::poll(std::function<void()>) {
    return POLLIN | POLLOUT;
}

}  // namespace ennead::synthfs
