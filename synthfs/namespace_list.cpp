// SPDX-License-Identifier: MIT
// Listing a place of a name space: its members one after the other, each name once.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "synthfs/namespace_dir.h"

namespace ennead::synthfs {

namespace {

// Entries asked of a member at once.
constexpr std::size_t kBatch = 1024;

}  // namespace

// One pass over the members.
struct NamespaceDirHandle::Listing : std::enable_shared_from_this<Listing> {
    RequestPtr request;
    std::vector<NodePtr> members;
    std::function<void(Result<std::vector<DirEntry>>)> done;

    std::size_t at = 0;
    HandlePtr handle;
    std::uint64_t offset = 0;
    std::vector<DirEntry> entries;
    std::unordered_map<std::string, std::size_t> seen;

    void go_on() {
        if (at == members.size()) {
            done(std::move(entries));
            return;
        }
        if (!handle) {
            members[at]->open(request, O_RDONLY | O_DIRECTORY,
                              [self = shared_from_this()](Result<HandlePtr> opened) {
                                  if (!opened) {
                                      self->done(opened.error());
                                      return;
                                  }
                                  self->handle = std::move(opened.value());
                                  self->offset = 0;
                                  self->go_on();
                              });
            return;
        }
        // Held here: the answer may replace it.
        const HandlePtr reading = handle;
        reading->readdir(request, offset, kBatch,
                         [self = shared_from_this()](Result<std::vector<DirEntry>> some) {
                             if (!some) {
                                 self->done(some.error());
                                 return;
                             }
                             self->take(std::move(some.value()));
                             self->go_on();
                         });
    }

    void take(std::vector<DirEntry> some) {
        if (some.empty()) {
            handle = nullptr;
            ++at;
            return;
        }
        offset = some.back().next_offset;
        const std::uint64_t source = members[at]->identity().source;
        for (DirEntry& entry : some) {
            if (seen.try_emplace(entry.name, entries.size()).second) {
                entry.source = entry.source != 0 ? entry.source : source;
                entries.push_back(std::move(entry));
            }
        }
    }
};

void NamespaceDirHandle::readdir(RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                                 Reply<std::vector<DirEntry>> reply) {
    if (listed_ && offset != 0) {
        answer(offset, max_entries, reply);
        return;
    }
    auto listing = std::make_shared<Listing>();
    listing->request = std::move(request);
    if (const auto* const here = names_->place_of(under_.get())) {
        for (NamespaceElement& element : Namespace::shown(*here)) {
            listing->members.push_back(std::move(element.root));
        }
    } else {
        listing->members.push_back(under_);  // unbound since the open
    }
    listing->done = [self = shared_from_this(), offset, max_entries,
                     reply = std::move(reply)](Result<std::vector<DirEntry>> entries) {
        if (!entries) {
            reply(entries.error());
            return;
        }
        self->entries_ = std::move(entries.value());
        self->add_held(self->entries_);
        self->listed_ = true;
        for (std::size_t i = 0; i < self->entries_.size(); ++i) {
            self->entries_[i].next_offset = i + 1;
        }
        self->answer(offset, max_entries, reply);
    };
    listing->go_on();
}

// Names at which something is bound show as what they are known by, there or not.
void NamespaceDirHandle::add_held(std::vector<DirEntry>& entries) const {
    const auto* const here = names_->place_of(under_.get());
    if (here == nullptr) {
        return;
    }
    for (const auto& [name, held] : here->below) {
        const Identity identity = held->under->identity();
        DirEntry entry{.name = name, .path = identity.path, .type = S_IFDIR};
        entry.source = identity.source;
        const auto listed = std::find_if(entries.begin(), entries.end(),
                                         [&](const DirEntry& e) { return e.name == entry.name; });
        if (listed != entries.end()) {
            *listed = std::move(entry);
        } else {
            entries.push_back(std::move(entry));
        }
    }
}

void NamespaceDirHandle::answer(std::uint64_t offset, std::size_t max_entries,
                                const Reply<std::vector<DirEntry>>& reply) const {
    const auto first = static_cast<std::size_t>(std::min<std::uint64_t>(offset, entries_.size()));
    const std::size_t count = std::min(max_entries, entries_.size() - first);
    const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first);
    reply(std::vector<DirEntry>(begin, begin + static_cast<std::ptrdiff_t>(count)));
}

}  // namespace ennead::synthfs
