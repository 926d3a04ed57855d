// SPDX-License-Identifier: MIT
// A small tree in memory for the 9P tests: files, directories, links, and streams that wait.
#pragma once

#include <fcntl.h>
#include <sys/poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "synthfs/node.h"

namespace ennead::p9::test {

using synthfs::Reply;
using synthfs::RequestPtr;

class MemNode;
using MemPtr = std::shared_ptr<MemNode>;

struct MemTree {
    std::uint64_t source = synthfs::next_source();
    std::uint64_t last_path = 0;
    std::vector<std::weak_ptr<MemNode>> nodes;
};

class MemHandle final : public synthfs::Handle {
  public:
    MemHandle(MemPtr node, int flags) : node_(std::move(node)), flags_(flags) {}
    ~MemHandle() override;
    void read(RequestPtr, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override;
    std::optional<synthfs::Result<std::size_t>> read_at_once(
        const synthfs::Request&, std::uint64_t offset,
        std::span<const std::span<std::byte>> into) override;
    void write(RequestPtr, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override;
    std::optional<synthfs::Result<std::size_t>> write_at_once(
        const synthfs::Request&, std::uint64_t offset,
        std::span<const std::span<const std::byte>> data) override;
    void readdir(RequestPtr, std::uint64_t offset, std::size_t max_entries,
                 Reply<std::vector<synthfs::DirEntry>> reply) override;
    void lock(RequestPtr, const synthfs::Lock& lock, Reply<> reply) override;
    void getlock(RequestPtr, const synthfs::Lock& lock, Reply<synthfs::Lock> reply) override;

  private:
    MemPtr node_;
    int flags_;
};

// Regular files, directories, links and special files alike.
class MemNode final : public synthfs::Node {
  public:
    MemNode(std::shared_ptr<MemTree> tree, mode_t mode)
        : tree_(std::move(tree)), path_(++tree_->last_path) {
        attr.mode = mode;
    }

    MemPtr add(const std::string& name, mode_t mode, std::string data = "") {
        auto node = std::make_shared<MemNode>(tree_, mode);
        node->data = std::move(data);
        tree_->nodes.push_back(node);
        add(name, node);
        return node;
    }
    void add(const std::string& name, synthfs::NodePtr node) {
        entries[++last_entry] = {name, std::move(node)};
    }
    synthfs::NodePtr child(const std::string& name) const {
        for (const auto& [number, entry] : entries) {
            if (entry.first == name) {
                return entry.second;
            }
        }
        return nullptr;
    }
    MemPtr mem(const std::string& name) const {
        return std::dynamic_pointer_cast<MemNode>(child(name));
    }

    synthfs::Identity identity() const override { return {tree_->source, path_, version}; }
    mode_t type() const override { return attr.mode & S_IFMT; }

    void getattr(RequestPtr, Reply<synthfs::Attr> reply) override {
        synthfs::Attr answer = attr;
        answer.size = data.size();
        answer.identity = identity();
        reply(answer);
    }
    void setattr(RequestPtr, synthfs::SetAttr change, Reply<> reply) override {
        last_change = change;
        if (change.size.value_or(0) > kMaxSize) {
            reply(synthfs::error(EFBIG));
            return;
        }
        if (change.mode) {
            attr.mode = type() | *change.mode;
        }
        attr.uid = change.uid.value_or(attr.uid);
        attr.gid = change.gid.value_or(attr.gid);
        if (change.size) {
            data.resize(*change.size);
        }
        if (change.mtime && !change.mtime->now) {
            attr.mtime = change.mtime->value;
        }
        reply(synthfs::success());
    }
    void open(RequestPtr request, int flags, Reply<synthfs::HandlePtr> reply) override {
        last_flags = flags;
        last_caller = request->caller();
        if ((flags & O_TRUNC) != 0) {
            data.clear();
        }
        ++handles;
        reply(synthfs::HandlePtr(std::make_shared<MemHandle>(self(), flags)));
    }
    void readlink(RequestPtr, Reply<std::string> reply) override {
        S_ISLNK(type()) ? reply(data) : reply(synthfs::error(EINVAL));
    }
    void statfs(RequestPtr, Reply<synthfs::StatFs> reply) override {
        synthfs::StatFs figures;
        figures.blocks = 1000;
        figures.name_max = 200;
        reply(figures);
    }
    void walk(RequestPtr, std::string name, Reply<synthfs::NodePtr> reply) override {
        const auto found = child(name);
        found ? reply(found) : reply(synthfs::error(ENOENT));
    }
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<synthfs::Created> reply) override {
        MemPtr node = mem(name);
        if (node && (flags & O_EXCL) != 0) {
            reply(synthfs::error(EEXIST));
            return;
        }
        if (!node) {
            node = make(request, name, S_IFREG | mode, gid);
        }
        ++node->handles;
        node->last_flags = flags;
        reply(synthfs::Created{node, std::make_shared<MemHandle>(node, flags)});
    }
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<synthfs::NodePtr> reply) override {
        make_new(request, name, S_IFDIR | mode, gid, "", reply);
    }
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<synthfs::NodePtr> reply) override {
        make_new(request, name, S_IFLNK | 0777, gid, target, reply);
    }
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<synthfs::NodePtr> reply) override {
        make_new(request, name, mode, gid, "", reply);
        if (const auto made = mem(name)) {
            made->attr.rdev = rdev;
        }
    }
    void link(RequestPtr, std::string name, synthfs::NodePtr target, Reply<> reply) override {
        if (child(name)) {
            reply(synthfs::error(EEXIST));
            return;
        }
        add(name, std::move(target));
        reply(synthfs::success());
    }
    void unlink(RequestPtr, std::string name, bool directory, Reply<> reply) override {
        const auto found = child(name);
        if (!found) {
            reply(synthfs::error(ENOENT));
        } else if (directory != S_ISDIR(found->type())) {
            reply(synthfs::error(directory ? ENOTDIR : EISDIR));
        } else {
            drop(name);
            reply(synthfs::success());
        }
    }
    void rename(RequestPtr, std::string name, synthfs::NodePtr new_parent, std::string new_name,
                Reply<> reply) override {
        const auto to = std::dynamic_pointer_cast<MemNode>(new_parent);
        const auto found = child(name);
        if (!to || !found) {
            reply(synthfs::error(to ? ENOENT : EXDEV));
            return;
        }
        drop(name);
        to->drop(new_name);
        to->add(new_name, found);
        reply(synthfs::success());
    }
    void getxattr(RequestPtr, std::string name, Reply<std::string> reply) override {
        const auto found = xattrs.find(name);
        found != xattrs.end() ? reply(found->second) : reply(synthfs::error(ENODATA));
    }
    void listxattr(RequestPtr, Reply<std::vector<std::string>> reply) override {
        std::vector<std::string> names;
        for (const auto& [name, value] : xattrs) {
            names.push_back(name);
        }
        reply(names);
    }
    void setxattr(RequestPtr, std::string name, std::string value, int flags,
                  Reply<> reply) override {
        if (flags == XATTR_CREATE && xattrs.contains(name)) {
            reply(synthfs::error(EEXIST));
            return;
        }
        xattrs[name] = std::move(value);
        reply(synthfs::success());
    }
    void removexattr(RequestPtr, std::string name, Reply<> reply) override {
        xattrs.erase(name) != 0 ? reply(synthfs::success()) : reply(synthfs::error(ENODATA));
    }

    static constexpr std::size_t kMaxSize = 1 << 24;

    synthfs::Attr attr;
    std::string data;  // or a link's target
    std::uint32_t version = 0;
    std::map<std::uint64_t, std::pair<std::string, synthfs::NodePtr>> entries;
    std::uint64_t last_entry = 0;
    std::map<std::string, std::string> xattrs;
    std::vector<synthfs::Lock> locks;
    std::size_t most_per_read = ~std::size_t{0};
    bool at_hand = false;  // read_at_once() gives it, write_at_once() takes it
    int handles = 0;
    // What was asked last.
    int last_flags = 0;
    synthfs::Caller last_caller;
    synthfs::SetAttr last_change;

  private:
    MemPtr self() { return std::static_pointer_cast<MemNode>(shared_from_this()); }
    MemPtr make(const RequestPtr& request, const std::string& name, mode_t mode, gid_t gid) {
        const MemPtr node = add(name, mode);
        node->attr.uid = request->caller().uid;
        node->attr.gid = gid;
        return node;
    }
    void make_new(const RequestPtr& request, const std::string& name, mode_t mode, gid_t gid,
                  std::string content, const Reply<synthfs::NodePtr>& reply) {
        if (child(name)) {
            reply(synthfs::error(EEXIST));
            return;
        }
        const MemPtr node = make(request, name, mode, gid);
        node->data = std::move(content);
        reply(synthfs::NodePtr(node));
    }
    void drop(const std::string& name) {
        std::erase_if(entries, [&](const auto& entry) { return entry.second.first == name; });
    }

    std::shared_ptr<MemTree> tree_;
    std::uint64_t path_;
};

inline MemHandle::~MemHandle() {
    --node_->handles;
}

inline void MemHandle::read(RequestPtr, std::uint64_t offset, std::span<std::byte> into,
                            Reply<std::size_t> reply) {
    const std::size_t from = std::min<std::uint64_t>(offset, node_->data.size());
    const std::size_t size =
        std::min({into.size(), node_->data.size() - from, node_->most_per_read});
    std::memcpy(into.data(), node_->data.data() + from, size);
    reply(size);
}

inline std::optional<synthfs::Result<std::size_t>> MemHandle::read_at_once(
    const synthfs::Request&, std::uint64_t offset, std::span<const std::span<std::byte>> into) {
    if (!node_->at_hand) {
        return std::nullopt;
    }
    const std::size_t from = std::min<std::uint64_t>(offset, node_->data.size());
    std::string_view rest = std::string_view(node_->data).substr(from);
    for (const std::span<std::byte> place : into) {
        const std::size_t n = std::min(place.size(), rest.size());
        std::memcpy(place.data(), rest.data(), n);
        rest.remove_prefix(n);
    }
    return node_->data.size() - from - rest.size();
}

inline std::optional<synthfs::Result<std::size_t>> MemHandle::write_at_once(
    const synthfs::Request& request, std::uint64_t offset,
    std::span<const std::span<const std::byte>> data) {
    if (!node_->at_hand) {
        return std::nullopt;
    }
    std::optional<synthfs::Result<std::size_t>> last;
    std::size_t done = 0;
    for (const std::span<const std::byte> piece : data) {
        write(std::make_shared<synthfs::Request>(request.caller(), false), offset + done, piece,
              [&](synthfs::Result<std::size_t> put) { last = put; });
        done += piece.size();
    }
    return last && !*last ? last : done;
}

inline void MemHandle::write(RequestPtr, std::uint64_t offset, std::span<const std::byte> data,
                             Reply<std::size_t> reply) {
    const std::size_t from = (flags_ & O_APPEND) != 0 ? node_->data.size() : offset;
    if (from + data.size() > MemNode::kMaxSize) {
        reply(synthfs::error(EFBIG));
        return;
    }
    node_->data.resize(std::max(node_->data.size(), from + data.size()));
    if (!data.empty()) {
        std::memcpy(node_->data.data() + from, data.data(), data.size());
    }
    reply(data.size());
}

inline void MemHandle::readdir(RequestPtr, std::uint64_t offset, std::size_t max_entries,
                               Reply<std::vector<synthfs::DirEntry>> reply) {
    std::vector<synthfs::DirEntry> entries;
    for (auto at = node_->entries.upper_bound(offset);
         at != node_->entries.end() && entries.size() < max_entries; ++at) {
        const auto& [name, node] = at->second;
        entries.push_back({name, node->identity().path, node->type(), at->first});
    }
    reply(std::move(entries));
}

// Whole files only: enough to tell owners apart.
inline void MemHandle::lock(RequestPtr, const synthfs::Lock& lock, Reply<> reply) {
    std::erase_if(node_->locks, [&](const synthfs::Lock& held) {
        return held.client == lock.client && held.pid == lock.pid;
    });
    if (lock.kind != synthfs::Lock::Kind::unlock) {
        if (!node_->locks.empty()) {
            reply(synthfs::error(EAGAIN));
            return;
        }
        node_->locks.push_back(lock);
    }
    reply(synthfs::success());
}

inline void MemHandle::getlock(RequestPtr, const synthfs::Lock& lock, Reply<synthfs::Lock> reply) {
    synthfs::Lock answer = lock;
    answer.kind = synthfs::Lock::Kind::unlock;
    for (const synthfs::Lock& held : node_->locks) {
        if (held.client != lock.client || held.pid != lock.pid) {
            answer = held;
        }
    }
    reply(answer);
}

// A stream: a read waits for feed() or finish(), whatever is first.
class StreamNode final : public synthfs::Node {
  public:
    struct Waiting {
        RequestPtr request;
        std::span<std::byte> into;
        Reply<std::size_t> reply;
    };

    synthfs::Identity identity() const override { return {source_, 1, 0}; }
    mode_t type() const override { return S_IFREG; }
    bool is_stream() const override { return true; }
    void getattr(RequestPtr, Reply<synthfs::Attr> reply) override {
        synthfs::Attr attr;
        attr.mode = S_IFREG | 0600;
        attr.identity = identity();
        reply(attr);
    }
    void open(RequestPtr, int, Reply<synthfs::HandlePtr> reply) override {
        class Handle final : public synthfs::Handle {
          public:
            explicit Handle(std::shared_ptr<StreamNode> node) : node_(std::move(node)) {}
            void read(RequestPtr request, std::uint64_t, std::span<std::byte> into,
                      Reply<std::size_t> reply) override {
                node_->read(std::move(request), into, std::move(reply));
            }
            void write(RequestPtr, std::uint64_t, std::span<const std::byte> data,
                       Reply<std::size_t> reply) override {
                node_->written.append(reinterpret_cast<const char*>(data.data()), data.size());
                reply(data.size());
            }

          private:
            std::shared_ptr<StreamNode> node_;
        };
        reply(synthfs::HandlePtr(
            std::make_shared<Handle>(std::static_pointer_cast<StreamNode>(shared_from_this()))));
    }

    void feed(std::string text) {
        pending += text;
        serve();
    }
    void finish() {
        ended = true;
        serve();
    }

    std::string pending, written;
    bool ended = false;
    bool answer_cancelled = true;  // false: a cancelled read goes on waiting
    std::deque<Waiting> waiting;
    int cancelled = 0;

  private:
    void read(RequestPtr request, std::span<std::byte> into, Reply<std::size_t> reply) {
        if (pending.empty() && !ended && request->nonblocking()) {
            reply(synthfs::error(EAGAIN));
            return;
        }
        waiting.push_back({request, into, std::move(reply)});
        request->on_cancel([this, raw = request.get()] {
            ++cancelled;
            const auto found =
                std::find_if(waiting.begin(), waiting.end(),
                             [raw](const Waiting& w) { return w.request.get() == raw; });
            if (answer_cancelled && found != waiting.end()) {
                const Waiting gone = std::move(*found);
                waiting.erase(found);
                gone.reply(synthfs::error(EINTR));
            }
        });
        serve();
    }
    void serve() {
        while (!waiting.empty() && (!pending.empty() || ended)) {
            const Waiting next = std::move(waiting.front());
            waiting.pop_front();
            next.request->settle();
            const std::size_t size = std::min(next.into.size(), pending.size());
            std::memcpy(next.into.data(), pending.data(), size);
            pending.erase(0, size);
            next.reply(size);
        }
    }

    std::uint64_t source_ = synthfs::next_source();
};

// A directory whose walk waits until it is told to go on, and whose other operations throw.
class SlowDir final : public synthfs::Node {
  public:
    synthfs::Identity identity() const override { return {source_, 1, 0}; }
    mode_t type() const override { return S_IFDIR; }
    void getattr(RequestPtr, Reply<synthfs::Attr>) override { throw std::runtime_error("getattr"); }
    void open(RequestPtr, int, Reply<synthfs::HandlePtr>) override { throw 1; }
    void walk(RequestPtr, std::string, Reply<synthfs::NodePtr> reply) override {
        waiting.push_back(std::move(reply));
    }

    std::deque<Reply<synthfs::NodePtr>> waiting;

  private:
    std::uint64_t source_ = synthfs::next_source();
};

// The tree most tests start with:
// /hello "hello, world\n", /dir/{inner "inside", deep/}, /link -> hello, /fifo, /stream, /slow
struct World {
    std::shared_ptr<MemTree> tree = std::make_shared<MemTree>();
    MemPtr root = std::make_shared<MemNode>(tree, S_IFDIR | 0755);
    MemPtr hello = root->add("hello", S_IFREG | 0644, "hello, world\n");
    MemPtr dir = root->add("dir", S_IFDIR | 0755);
    MemPtr inner = dir->add("inner", S_IFREG | 0644, "inside");
    MemPtr deep = dir->add("deep", S_IFDIR | 0755);
    MemPtr link = root->add("link", S_IFLNK | 0777, "hello");
    MemPtr fifo = root->add("fifo", S_IFIFO | 0600);
    std::shared_ptr<StreamNode> stream = std::make_shared<StreamNode>();
    std::shared_ptr<SlowDir> slow = std::make_shared<SlowDir>();

    World() {
        hello->version = 7;
        root->add("stream", stream);
        root->add("slow", slow);
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World() {
        // This tree lets a directory be put into itself, and would then hold itself.
        for (const auto& node : tree->nodes) {
            if (const MemPtr left = node.lock()) {
                std::exchange(left->entries, {});
            }
        }
    }
};

}  // namespace ennead::p9::test
