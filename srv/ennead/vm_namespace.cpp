// SPDX-License-Identifier: MIT
// From lines of `ns` to descriptors in the VM's process.
#include "srv/ennead/vm_namespace.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ennead::srv {

using synthfs::BindElement;
using synthfs::BindPoint;
using synthfs::BindTable;
using synthfs::Checked;
using synthfs::Command;
using synthfs::make_fault;

namespace {

// What makes it the same element for the process: where it is, what it shows, and how.
std::string key_of(const std::string& target, const BindElement& element,
                   const NamespaceContext& context) {
    std::string key = synthfs::quote(target);
    key += element.overlay ? " o" : " -";
    key += element.create ? 'c' : '-';
    key += element.read_only ? 'r' : '-';
    for (const std::string& source : element.sources) {
        key += ' ' + synthfs::quote(source.empty() ? context.default_root : source);
    }
    return key;
}

// FNV-1a: a directory's name has to be short, and the same for the same binds.
std::string hash_name(const std::string& text) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    }
    char name[32];
    std::snprintf(name, sizeof name, "layer-%016" PRIx64, hash);
    return name;
}

// A fault of opening `source`, which stands in `command` until the line is known that has it.
synthfs::Fault about(const std::string& source, synthfs::Fault fault) {
    fault.command = source;
    return fault;
}

// The same with the line and the word at fault.
synthfs::Fault told_of(const std::vector<Command>& lines, synthfs::Fault fault) {
    const std::string source = std::exchange(fault.command, {});
    for (const Command& line : lines) {
        for (const synthfs::Word& word : line.words) {
            if (!source.empty() && word.text == source) {
                fault.command = line.line;
                fault.column = word.column;
                return fault;
            }
        }
    }
    if (lines.size() == 1) {
        fault.command = lines.front().line;  // the path was written in another way
    }
    return fault;
}

}  // namespace

bool VmNamespace::shows_host() const {
    for (const BindPoint& point : binds_.points()) {
        for (const BindElement& element : point.elements) {
            if (!element.overlay && element.sources.front() != synthfs::kRamSource) {
                return true;
            }
        }
    }
    return false;
}

Checked<Fd> VmNamespace::open_scratch(const std::string& target, const BindElement& element) {
    const std::string& lowest = element.sources.back();
    const std::string name =
        lowest.empty() ? "upper" : hash_name(synthfs::quote(target) + ' ' + synthfs::quote(lowest));
    if (mkdirat(directory_fd_, name.c_str(), 0700) != 0 && errno != EEXIST) {
        return make_fault(errno, "scratch layer: %s", std::strerror(errno));
    }
    Fd fd(openat(directory_fd_, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
        return make_fault(errno, "scratch layer: %s", std::strerror(errno));
    }
    return fd;
}

Checked<> VmNamespace::open_element(const std::string& target, const BindElement& element,
                                    const NamespaceContext& context,
                                    NamespaceMessage::Element& told, std::vector<Fd>& descriptors) {
    if (element.sources.front() == synthfs::kRamSource) {
        told.kind = NamespaceMessage::Kind::ram;
        told.size_bytes = context.ram_size_bytes;
        return synthfs::success();
    }
    if (context.is_tree && context.is_tree(element.sources.front())) {
        told.kind = NamespaceMessage::Kind::tree;
        auto fd = context.open_tree(element.sources.front(), target, element.read_only);
        if (!fd) {
            return about(element.sources.front(), fd.error());
        }
        descriptors.push_back(std::move(fd.value()));
        return synthfs::success();
    }
    told.kind = element.overlay ? NamespaceMessage::Kind::overlay : NamespaceMessage::Kind::host;
    told.layers = element.overlay ? static_cast<unsigned>(element.sources.size()) : 0;
    for (const std::string& source : element.sources) {
        auto fd = open_source(source.empty() ? context.default_root : source,
                              source.empty() ? "root" : "bind", context.hidden);
        if (!fd) {
            return about(source, fd.error());
        }
        descriptors.push_back(std::move(fd.value()));
    }
    if (element.overlay && !element.read_only) {
        auto scratch = open_scratch(target, element);
        if (!scratch) {
            return scratch.error();
        }
        descriptors.push_back(std::move(scratch.value()));
    }
    return synthfs::success();
}

Checked<VmNamespace::Prepared> VmNamespace::prepare(const BindTable& binds, const Known& known,
                                                    const NamespaceContext& context) {
    Prepared prepared;
    NamespaceMessage message;
    message.hidden = context.hidden.directories;
    message.hidden_device = context.hidden.tree_device;
    for (const BindPoint& point : binds.points()) {
        NamespaceMessage::Point told{point.target, {}, point.under};
        for (const BindElement& element : point.elements) {
            const std::string key = key_of(point.target, element, context);
            NamespaceMessage::Element entry;
            entry.create = element.create || (element.overlay && !element.read_only);
            entry.read_only = element.read_only;
            if (const auto have = known.find(key); have != known.end()) {
                entry.id = have->second;
            } else {
                entry.id = ++last_id_;
                if (auto opened = open_element(point.target, element, context, entry,
                                               prepared.grant.descriptors);
                    !opened) {
                    return opened.error();
                }
            }
            prepared.known[key] = entry.id;
            told.elements.push_back(entry);
        }
        message.points.push_back(std::move(told));
    }
    prepared.grant.text = message.encode();
    return prepared;
}

Checked<NamespaceGrant> VmNamespace::grant_all(const NamespaceContext& context) {
    auto prepared = prepare(binds_, {}, context);
    if (!prepared) {
        return told_of({}, prepared.error());
    }
    known_ = std::move(prepared.value().known);
    return std::move(prepared.value().grant);
}

void VmNamespace::change(std::vector<Command> lines, bool replace, const NamespaceContext& context,
                         Send send, synthfs::CheckedReply<> reply) {
    changes_.push_back({std::move(lines), replace, context, std::move(send), std::move(reply)});
    if (changes_.size() == 1) {
        next_change();
    }
}

void VmNamespace::next_change() {
    const Change& change = changes_.front();
    BindTable next = change.replace ? BindTable() : binds_;
    for (const Command& line : change.lines) {
        if (auto applied = next.apply(line, change.context.default_root); !applied) {
            finish(applied.error());
            return;
        }
    }
    if (change.context.allow) {
        if (auto allowed = change.context.allow(next); !allowed) {
            finish(told_of(change.lines, allowed.error()));
            return;
        }
    }
    if (!change.send) {
        // Only what is new is looked at: what has gone since it was bound fails at start. Nobody is
        // dialled before there is a process.
        Known bound;
        for (const BindTable* const table : {&binds_, &next}) {
            for (const BindPoint& point : table->points()) {
                for (const BindElement& element : point.elements) {
                    if (table == &binds_ || synthfs::is_address_source(element.sources.front())) {
                        bound.emplace(key_of(point.target, element, change.context), 0);
                    }
                }
            }
        }
        if (const auto opened = prepare(next, bound, change.context); !opened) {
            finish(told_of(change.lines, opened.error()));
            return;
        }
        binds_ = std::move(next);
        finish(synthfs::success());
        return;
    }
    auto prepared = prepare(next, known_, change.context);
    if (!prepared) {
        finish(told_of(change.lines, prepared.error()));
        return;
    }
    const NamespaceGrant grant = std::move(prepared.value().grant);
    coming_ram_trees_ = next.count_of(synthfs::kRamSource);
    change.send(grant, [weak = std::weak_ptr(self_), next = std::move(next),
                        known = std::move(prepared.value().known),
                        reply = change.reply](Checked<> outcome) {
        const auto self = weak.lock();
        if (!self) {
            reply(make_fault(ENODEV, "the VM was destroyed"));
            return;
        }
        if (outcome) {
            (*self)->binds_ = next;
            (*self)->known_ = known;
        }
        if (outcome) {
            (*self)->finish(synthfs::success());
        } else {
            (*self)->finish(told_of((*self)->changes_.front().lines, outcome.error()));
        }
    });
}

void VmNamespace::finish(Checked<> outcome) {
    coming_ram_trees_ = 0;
    const auto reply = std::move(changes_.front().reply);
    changes_.pop_front();
    // The answer may end this object, or bring the next change.
    const std::weak_ptr weak = self_;
    const bool more = !changes_.empty();
    reply(std::move(outcome));
    if (more && !weak.expired()) {
        next_change();
    }
}

}  // namespace ennead::srv
