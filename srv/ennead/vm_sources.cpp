// SPDX-License-Identifier: MIT
// What a VM's name space may be made of, and the trees that are served to its process.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "srv/common/stand_in_dir.h"
#include "srv/ennead/deadline.h"
#include "srv/ennead/vm.h"
#include "srv/ennead/vm_link.h"
#include "synthfs/address.h"
#include "synthfs/read_only.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;

namespace {

// A write to `ns` must not wait for a process that hangs, as one to `ctl`.
constexpr std::chrono::milliseconds kNamespacePatience{5'000}, kPatienceWithStopped{400};

synthfs::Fault about(const std::string& source, synthfs::Fault fault) {
    fault.command = source;
    return fault;
}

}  // namespace

NamespaceContext Vm::namespace_context() {
    return {
        .default_root = settings_.root(),
        .ram_size_bytes = settings_.memory_bytes(),
        .hidden = services_.hidden,
        .is_tree = [this](const std::string& source) { return is_tree_source(source); },
        .open_tree = [this](const std::string& source, const std::string& target,
                            bool read_only) { return open_tree_source(source, target, read_only); },
        .allow = [this](const synthfs::BindTable& next) { return allow_binds(next); }};
}

// The guest of the VM above knows no paths of the host: what it names is in its own tree.
bool Vm::is_tree_source(const std::string& source) const {
    return source == synthfs::kVmSource || synthfs::is_mounted_source(source) ||
           synthfs::is_address_source(source) || (nested_ && source.starts_with('/'));
}

Checked<> Vm::check_source(const std::string& source) const {
    if (nested_ && synthfs::is_address_source(source)) {
        return make_fault(EPERM,
                          "an address is one of the host's, which a VM made by a guest does not "
                          "have; its sources are directories of that guest's tree");
    }
    if (nested_ && synthfs::is_mounted_source(source)) {
        return make_fault(EPERM,
                          "what is mounted at the server is not for a VM made by a guest; its "
                          "sources are directories of that guest's tree");
    }
    if (nested_ && (source + '/').find("/../") != std::string::npos) {
        return make_fault(EINVAL, "source: .. in a path of a guest's tree");
    }
    return synthfs::success();
}

Checked<> Vm::allow_binds(const synthfs::BindTable& next) const {
    for (const synthfs::BindPoint& point : next.points()) {
        for (const synthfs::BindElement& element : point.elements) {
            for (const std::string& source : element.sources) {
                if (auto allowed = check_source(source); !allowed) {
                    return about(source, allowed.error());
                }
                if (nested_ && element.overlay && !source.empty()) {
                    return about(source,
                                 make_fault(EOPNOTSUPP,
                                            "an overlay is made over host directories, and a VM "
                                            "made by a guest has none but its root"));
                }
                // v9fs gives an empty file to whoever reads one without a size from its cache.
                if (active() && guest_keeps_names_ &&
                    (source == synthfs::kVmSource || synthfs::is_mounted_source(source) ||
                     synthfs::is_address_source(source))) {
                    return about(source, make_fault(EBUSY,
                                                    "the guest keeps what it has seen "
                                                    "(cache=loose) and would see empty files; bind "
                                                    "this before start, or set nest"));
                }
            }
        }
    }
    return active() ? check_memory(process_memory_, next.count_of(synthfs::kRamSource))
                    : Checked<>(synthfs::success());
}

// Answers with the directory that a source which is a tree names now.
void Vm::find_source(const std::string& source, const RequestPtr& request,
                     const Reply<NodePtr>& reply) const {
    NodePtr top;
    std::string path;
    if (synthfs::is_mounted_source(source)) {
        top = services_.mounted ? services_.mounted() : nullptr;
        path = source.substr(2);
    } else if (const auto above = parent()) {
        top = above->guest_tree();
        path = source.substr(1);
    }
    if (!top) {
        request->explain(nested_ ? "the VM above has no process" : "nothing is mounted");
        reply(synthfs::error(nested_ ? EIO : ENOENT));
        return;
    }
    if (path.empty()) {
        reply(top);
        return;
    }
    walk_path(top, path, request, [reply](Result<NodePtr> found) {
        if (found && !S_ISDIR(found.value()->type())) {
            found = synthfs::error(ENOTDIR);
        }
        reply(std::move(found));
    });
}

// The tree of the server at an address, which is dialled by now.
std::shared_ptr<RemoteTree> Vm::remote_tree(const std::string& address) {
    std::weak_ptr<RemoteTree>& known = remote_trees_[address];
    auto tree = known.lock();
    if (!tree) {
        tree = RemoteTree::start(
            synthfs::parse_address(address).value(),
            {.io = services_.io,
             .hidden = services_.hidden,
             .changed = [log = services_.log, errors = errors_->sink(), number = number_](
                            const std::string& text, bool connected) {
                 log("vm=" + std::to_string(number) + ' ' + text);
                 if (!connected) {
                     errors({EIO, 0, "ns", text, {}, {}});
                 }
             }});
        known = tree;
        std::erase_if(remote_trees_, [](const auto& each) { return each.second.expired(); });
    }
    return tree;
}

// The connection lasts as long as this node, which the process's end of its socket keeps. While
// there is none, a member of a union does not stand in the others' way.
NodePtr Vm::mounted_at(const std::string& address, const std::string& target) {
    const auto tree = remote_tree(address);
    const auto passed_over = [weak = weak_from_this(), target, tree] {
        const auto self = weak.lock();
        return self && !tree->root() && self->names_.binds().is_union(target);
    };
    return make_stand_in({.find =
                              [tree, passed_over](const RequestPtr&, const Reply<NodePtr>& reply) {
                                  reply(passed_over() ? synthfs::error(EIO)
                                                      : Result<NodePtr>(tree->node()));
                              },
                          .passed_over = passed_over,
                          .uid = geteuid(),
                          .gid = getegid()});
}

std::string Vm::namespace_text() const {
    return names_.text(settings_.root(), [this](const std::string& source) {
        const auto known = remote_trees_.find(source);
        const auto tree = known == remote_trees_.end() ? nullptr : known->second.lock();
        return tree && !tree->root() ? "not connected: " + tree->reason() : std::string();
    });
}

Checked<Fd> Vm::open_tree_source(const std::string& source, const std::string& target,
                                 bool read_only) {
    NodePtr root;
    if (source == synthfs::kVmSource) {
        root = services_.tree_of ? services_.tree_of(*this) : nullptr;
        if (!root) {
            return make_fault(EOPNOTSUPP, "there is no #vm here");
        }
    } else if (synthfs::is_address_source(source)) {
        root = mounted_at(source, target);
    } else {
        root = make_stand_in({.find =
                                  [weak = weak_from_this(), source](const RequestPtr& request,
                                                                    const Reply<NodePtr>& reply) {
                                      if (const auto self = weak.lock()) {
                                          self->find_source(source, request, reply);
                                      } else {
                                          reply(synthfs::error(ENODEV));
                                      }
                                  },
                              .uid = geteuid(),
                              .gid = getegid()});
    }
    return trees_.give(read_only ? synthfs::make_read_only(std::move(root)) : std::move(root));
}

// Asks for each tree that the lines name whether it is there; what cannot be reached now is taken
// for there.
void Vm::look_at_sources(std::shared_ptr<const std::vector<Command>> lines, std::size_t from,
                         CheckedReply<> reply) {
    for (; from < lines->size(); ++from) {
        const Command& line = (*lines)[from];
        const auto source = line.verb() == "bind" ? synthfs::BindTable::source_of(line)
                                                  : Checked<std::string>(std::string());
        if (!source || source.value() == synthfs::kVmSource || !is_tree_source(source.value()) ||
            !check_source(source.value())) {
            continue;  // the change itself says what is wrong with it
        }
        const auto request = std::make_shared<synthfs::Request>();
        find_source(
            source.value(), request,
            [weak = weak_from_this(), lines, from, reply](const Result<NodePtr>& found) {
                const int errnum = found ? 0 : synthfs::to_errno(found.error());
                const auto self = weak.lock();
                if (errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP || errnum == EACCES) {
                    const Command& line = (*lines)[from];
                    const synthfs::Word& word = line.words[line.words.size() - 2];
                    reply(synthfs::Fault{errnum,
                                         "bind " + word.text + ": " + found.error().message(),
                                         line.line, word.column});
                } else if (self) {
                    self->look_at_sources(lines, from + 1, reply);
                } else {
                    reply(make_fault(ENODEV, "the VM was destroyed"));
                }
            });
        return;
    }
    reply(synthfs::success());
}

void Vm::change_namespace(std::vector<Command> lines, bool replace, CheckedReply<> reply) {
    touch();
    reply = answer_within<Checked<>>(
        services_.io, machine_ && machine_->stopped() ? kPatienceWithStopped : kNamespacePatience,
        make_fault(ETIMEDOUT, "%s",
                   active() ? kNoAnswer : "a tree that is to be bound does not answer"),
        std::move(reply));
    const auto kept = std::make_shared<const std::vector<Command>>(std::move(lines));
    look_at_sources(kept, 0, [weak = weak_from_this(), kept, replace, reply](Checked<> looked) {
        const auto self = weak.lock();
        if (!looked || !self) {
            reply(looked ? make_fault(ENODEV, "the VM was destroyed") : looked.error());
            return;
        }
        VmNamespace::Send send;
        if (self->active()) {
            send = [weak](const NamespaceGrant& grant, CheckedReply<> done) {
                const auto self = weak.lock();
                if (self && self->machine_) {
                    self->machine_->change_namespace(grant, std::move(done));
                } else {
                    done(make_fault(ENODEV, "the VM's process ended"));
                }
            };
        }
        self->names_.change(*kept, replace, self->namespace_context(), std::move(send), reply);
    });
}

}  // namespace ennead::srv
