// SPDX-License-Identifier: MIT
// Forwards an open and everything on it to the VM process, and what is asked of a directory.
#include "srv/ennead/live_file.h"

#include <sys/poll.h>
#include <sys/stat.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "srv/ennead/vm_link.h"
#include "synthfs/result.h"
#include "synthfs/tree.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::HandlePtr;
using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;
using synthfs::SynthHandle;

synthfs::Fault no_process() {
    return synthfs::make_fault(
        EBUSY, "the VM has no process: it was not started, or its process has ended");
}

// What the VM process answered: it has told the words itself, unless it hangs.
synthfs::Fault told(const std::error_code& code) {
    const int errnum = synthfs::to_errno(code);
    return {errnum, errnum == ETIMEDOUT ? kNoAnswer : "", {}, {}};
}

class LiveHandle;

class LiveNode final : public synthfs::SynthNode {
  public:
    [[nodiscard]] const LiveFile& file() const { return file_; }
    explicit LiveNode(LiveFile file)
        : SynthNode(S_IFREG, {.mode = file.mode, .name = file.name, .errors = file.errors}),
          file_(std::move(file)) {}

    [[nodiscard]] bool is_stream() const override { return file_.stream; }

  protected:
    [[nodiscard]] bool can_write() const override { return (file_.mode & 0222) != 0; }
    [[nodiscard]] std::uint64_t size() const override { return file_.size ? file_.size() : 0; }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;
    void truncate(RequestPtr request, std::uint64_t size, synthfs::CheckedReply<> reply) override;

  private:
    LiveFile file_;
};

// The open at the other end is under way when this handle is given out; until it is there,
// operations queue.
class LiveHandle final : public SynthHandle {
  public:
    LiveHandle(std::shared_ptr<synthfs::SynthNode> node, int flags)
        : SynthHandle(std::move(node), flags) {}
    ~LiveHandle() override { opened(synthfs::error(ENODEV)); }

    void connect(const synthfs::NodePtr& tree, const std::string& name, int flags) {
        // The remote open may outlast this handle, and must not keep it alive.
        auto self = std::weak_ptr(std::static_pointer_cast<LiveHandle>(shared_from_this()));
        open_file(tree, name, flags, [self](Result<HandlePtr> result) {
            if (auto handle = self.lock()) {
                handle->opened(std::move(result));
            }
        });
    }

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override {
        if (const int refusal = read_refusal()) {
            reply(synthfs::error(refusal));
            return;
        }
        reply = explained(request, std::move(reply));
        when_open(request, reply,
                  [=](synthfs::Handle& remote) { remote.read(request, offset, into, reply); });
    }

    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (const int refusal = write_refusal()) {
            reply(synthfs::error(refusal));
            return;
        }
        reply = explained(request, std::move(reply));
        when_open(request, reply,
                  [=](synthfs::Handle& remote) { remote.write(request, offset, data, reply); });
    }

    unsigned poll(std::function<void()> notify) override {
        if (remote_ && *remote_) {
            return (*remote_).value()->poll(std::move(notify));
        }
        if (remote_) {
            return POLLERR | POLLHUP;
        }
        if (notify) {
            waiting_.push_back(
                [notify = std::move(notify)](const Result<HandlePtr>&) { notify(); });
        }
        return 0;
    }

    void on_retire() override {
        // Reads that wait at the other end answer ENODEV as the link closes, which a VM that is
        // destroyed does before its files are retired.
        opened(synthfs::error(ENODEV));
        remote_ = synthfs::error(ENODEV);
    }

  private:
    // Gives the request the words of its failure. A process that hangs tells none.
    Reply<std::size_t> explained(const RequestPtr& request, Reply<std::size_t> reply) {
        const auto shared = std::static_pointer_cast<LiveHandle>(shared_from_this());
        const LiveFile& file = static_cast<LiveNode&>(node()).file();
        return [request, reply = std::move(reply), weak = std::weak_ptr(shared), log = file.log,
                name = file.name,
                before = file.log ? file.log->added() : 0](Result<std::size_t> result) {
            const int errnum = result ? 0 : synthfs::to_errno(result.error());
            const auto self = weak.lock();
            if (errnum == ETIMEDOUT && self) {
                self->node().report(*request, synthfs::make_fault(errnum, "%s", kNoAnswer));
            } else if (errnum != 0 && log) {
                request->explain(log->words_since(before, errnum, name));
            }
            reply(std::move(result));
        };
    }

    template <class Operation>
    void when_open(const RequestPtr& request, const Reply<std::size_t>& reply,
                   Operation operation) {
        if (!remote_) {
            // What is no stream always has an answer, and soon.
            if (request->nonblocking() && node().is_stream()) {
                reply(synthfs::error(EAGAIN));
                return;
            }
            const auto pending = std::make_shared<Reply<std::size_t>>(reply);
            request->on_cancel([pending] {
                if (const auto answer = std::exchange(*pending, nullptr)) {
                    answer(synthfs::error(EINTR));
                }
            });
            waiting_.push_back([request, pending, operation](const Result<HandlePtr>& remote) {
                request->settle();
                const auto answer = std::exchange(*pending, nullptr);
                if (!answer) {
                    return;  // cancelled
                }
                if (!remote) {
                    answer(remote.error());
                } else {
                    operation(*remote.value());
                }
            });
            return;
        }
        if (!*remote_) {
            reply((*remote_).error());
            return;
        }
        operation(*(*remote_).value());
    }

    void opened(Result<HandlePtr> result) {
        if (!remote_) {
            remote_ = result;
        }
        auto waiting = std::exchange(waiting_, {});
        for (auto& resume : waiting) {
            resume(result);
        }
    }

    std::optional<Result<HandlePtr>> remote_;
    std::deque<std::function<void(const Result<HandlePtr>&)>> waiting_;
};

Checked<HandlePtr> LiveNode::open_handle(RequestPtr, int flags) {
    const synthfs::NodePtr tree = file_.tree();
    if (!tree) {
        return no_process();
    }
    auto handle = std::make_shared<LiveHandle>(
        std::static_pointer_cast<synthfs::SynthNode>(shared_from_this()), flags);
    handle->connect(tree, file_.name, flags);
    return HandlePtr(std::move(handle));
}

// Of a list only: O_TRUNC goes with the open, and programs such as dd(1) cut what they write to at
// any size.
void LiveNode::truncate(RequestPtr request, std::uint64_t size, synthfs::CheckedReply<> reply) {
    if (!can_write() || (file_.list && size != 0)) {
        SynthNode::truncate(std::move(request), size, std::move(reply));
        return;
    }
    if (!file_.list) {
        reply(synthfs::success());
        return;
    }
    const synthfs::NodePtr tree = file_.tree();
    if (!tree) {
        reply(no_process());
        return;
    }
    open_file(tree, file_.name, O_WRONLY | O_TRUNC,
              [reply = std::move(reply)](Result<HandlePtr> opened) {
                  if (opened) {
                      reply(synthfs::success());
                  } else {
                      reply(told(opened.error()));
                  }
              });
}

// The files of a live directory that are in use.
class LiveNames : public std::enable_shared_from_this<LiveNames> {
  public:
    explicit LiveNames(LiveFile files) : files_(std::move(files)) {}

    void find(const RequestPtr& request, const std::string& name,
              const synthfs::CheckedReply<synthfs::NodePtr>& reply) {
        const synthfs::NodePtr tree = files_.tree();
        if (!tree) {
            reply(no_process());
            return;
        }
        const std::string path = files_.name + '/' + name;
        if (lately_listed(tree, name)) {
            reply(file(path));
            return;
        }
        walk_path(tree, path, request,
                  [self = shared_from_this(), path, reply](Result<synthfs::NodePtr> node) {
                      if (node) {
                          reply(self->file(path));
                      } else if (synthfs::to_errno(node.error()) == ENOENT) {
                          reply(synthfs::NodePtr());
                      } else {
                          reply(told(node.error()));
                      }
                  });
    }

    using Names = std::vector<std::string>;
    void list(const RequestPtr& request, const synthfs::CheckedReply<Names>& reply) {
        const synthfs::NodePtr tree = files_.tree();
        if (!tree) {
            reply(Names());
            return;
        }
        open_file(tree, files_.name, O_RDONLY | O_DIRECTORY,
                  [self = shared_from_this(), tree, request, reply](Result<HandlePtr> handle) {
                      if (!handle) {
                          reply(told(handle.error()));
                          return;
                      }
                      read_names(handle.value(), request, 0, std::make_shared<Names>(),
                                 [self, tree, reply](synthfs::Checked<Names> names) {
                                     if (names) {
                                         self->remember(tree, names.value());
                                         reply(std::move(names.value()));
                                     } else {
                                         reply(names.error());
                                     }
                                 });
                  });
    }

  private:
    // Who lists a directory looks at all of its files next; the machine need not be asked, and the
    // guest stop, for each. One that has gone meanwhile is told by its read.
    [[nodiscard]] bool lately_listed(const synthfs::NodePtr& tree, const std::string& name) const {
        constexpr std::chrono::seconds kLately{30};
        return listed_in_.lock() == tree &&
               std::chrono::steady_clock::now() - listed_at_ < kLately && listed_.contains(name);
    }
    void remember(const synthfs::NodePtr& tree, const Names& names) {
        listed_in_ = tree;
        listed_at_ = std::chrono::steady_clock::now();
        listed_ = {names.begin(), names.end()};
    }

    static void read_names(const HandlePtr& directory, const RequestPtr& request,
                           std::uint64_t offset, const std::shared_ptr<Names>& names,
                           const synthfs::CheckedReply<Names>& reply) {
        constexpr std::size_t kAtOnce = 4096;
        directory->readdir(
            request, offset, kAtOnce,
            [directory, request, names, reply](Result<std::vector<synthfs::DirEntry>> entries) {
                if (!entries) {
                    reply(told(entries.error()));
                } else if (entries.value().empty()) {
                    reply(std::move(*names));
                } else {
                    for (synthfs::DirEntry& entry : entries.value()) {
                        names->push_back(std::move(entry.name));
                    }
                    read_names(directory, request, entries.value().back().next_offset, names,
                               reply);
                }
            });
    }

    [[nodiscard]] synthfs::NodePtr file(const std::string& path) {
        std::weak_ptr<synthfs::SynthNode>& known = known_[path];
        auto node = known.lock();
        if (!node) {
            LiveFile file = files_;
            file.name = path;
            known = node = make_live_file(std::move(file));
        }
        if (known_.size() > most_) {
            std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
            most_ = 2 * known_.size() + kFew;
        }
        return node;
    }

    static constexpr std::size_t kFew = 64;
    LiveFile files_;
    std::unordered_map<std::string, std::weak_ptr<synthfs::SynthNode>> known_;
    std::size_t most_ = kFew;  // how many before those no longer in use are dropped
    std::weak_ptr<synthfs::Node> listed_in_;
    std::chrono::steady_clock::time_point listed_at_{};
    std::unordered_set<std::string> listed_;
};

}  // namespace

synthfs::SynthNodePtr make_live_directory(LiveDirectory directory) {
    const auto names = std::make_shared<LiveNames>(directory.files);
    synthfs::DirectoryHooks hooks;
    hooks.find_later = [names](RequestPtr request, std::string name,
                               synthfs::CheckedReply<synthfs::NodePtr> reply) {
        names->find(request, name, reply);
    };
    hooks.names_later = [names](RequestPtr request,
                                synthfs::CheckedReply<std::vector<std::string>> reply) {
        names->list(request, reply);
    };
    return synthfs::Directory::make({.mode = directory.mode,
                                     .name = directory.files.name,
                                     .errors = directory.files.errors,
                                     .hooks = std::move(hooks)});
}

synthfs::SynthNodePtr make_live_file(LiveFile file) {
    return std::make_shared<LiveNode>(std::move(file));
}

}  // namespace ennead::srv
