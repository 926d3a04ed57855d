// SPDX-License-Identifier: MIT
// Directories read in 9P2000: the stat of each entry, whole records only.
#include <sys/stat.h>

#include <utility>

#include "p9/session.h"

namespace ennead::p9 {
namespace {

// Entries whose attributes are asked for before any is sent.
constexpr std::size_t kEntriesAtOnce = 64;

}  // namespace

// One Tread under way: fills `room` from the records that are left, and gets more until it is full.
struct Session::DirRead : std::enable_shared_from_this<DirRead> {
    DirRead(OpPtr op, FidPtr fid, std::span<std::byte> room)
        : op(std::move(op)), fid(std::move(fid)), room(room) {}

    OpPtr op;
    FidPtr fid;
    std::span<std::byte> room;
    std::size_t used = 0;
    std::vector<synthfs::DirEntry> entries;
    std::size_t next = 0;  // of them
    bool inside = false, again = false;

    // Nodes mostly answer at once; a loop, since a directory has more names than the stack has
    // room.
    void proceed() {
        if (inside) {
            again = true;
            return;
        }
        inside = true;
        do {
            again = false;
            step();
        } while (again);
        inside = false;
    }

    void step() {
        auto& left = fid->stats_left;
        while (!left.empty() && left.front().size() <= room.size() - used) {
            const std::string& record = left.front();
            const Bytes bytes = std::as_bytes(std::span(record));
            std::copy(bytes.begin(), bytes.end(), room.begin() + static_cast<std::ptrdiff_t>(used));
            used += record.size();
            left.pop_front();
        }
        if (!left.empty()) {
            finish();
        } else if (next < entries.size()) {
            look(entries[next++]);
        } else {
            list();
        }
    }

    void list() {
        const auto handle = fid->handle;
        handle->readdir(op->request(), fid->stat_cookie, kEntriesAtOnce,
                        when<std::vector<synthfs::DirEntry>>(
                            op,
                            [self = shared_from_this()](std::vector<synthfs::DirEntry> more) {
                                self->entries = std::move(more);
                                self->next = 0;
                                self->entries.empty() ? self->finish() : self->proceed();
                            },
                            [self = shared_from_this()] { self->fid->busy = false; }));
    }

    // An entry that cannot be looked at, gone or forbidden, is left out.
    void look(const synthfs::DirEntry& entry) {
        const auto skip = [self = shared_from_this(), cookie = entry.next_offset] {
            self->fid->stat_cookie = cookie;
            self->proceed();
        };
        const auto node = fid->place->node;
        node->walk(op->request(), entry.name,
                   [self = shared_from_this(), skip,
                    name = entry.name](synthfs::Result<synthfs::NodePtr> found) {
                       guarded(self->op, [&] {
                           if (self->stopped()) {
                               return;
                           }
                           if (!found) {
                               skip();
                               return;
                           }
                           const auto child = found.value();
                           child->getattr(
                               self->op->request(),
                               [self, skip, child, name](synthfs::Result<synthfs::Attr> attr) {
                                   guarded(self->op, [&] {
                                       if (self->stopped()) {
                                           return;
                                       }
                                       if (attr) {
                                           self->keep(name, *child, attr.value());
                                       }
                                       skip();
                                   });
                               });
                       });
                   });
    }

    void keep(const std::string& name, const synthfs::Node& node, const synthfs::Attr& attr) {
        StatStrings strings;
        std::string record = encode_stat(op->session().stat_of(attr, node, name, strings));
        if (!record.empty()) {
            fid->stats_left.push_back(std::move(record));
        }
    }

    // Whether nobody wants it any more; then it is answered.
    bool stopped() {
        if (op->live() && !op->request()->cancelled()) {
            return false;
        }
        fid->busy = false;
        op->fail(EINTR);
        return true;
    }

    void finish() {
        fid->busy = false;
        if (used == 0 && !fid->stats_left.empty()) {
            op->fail(EMSGSIZE);  // read(5): a count too small for one entry
            return;
        }
        fid->stat_offset += used;
        op->answer_data<Rread>(room.first(used));
    }
};

void Session::read_directory(const OpPtr& op, const FidPtr& fid, const Tread& m) {
    // read(5): from the beginning, or on from where the last read ended.
    if (fid->busy || (m.offset != 0 && m.offset != fid->stat_offset)) {
        op->fail(EINVAL);
        return;
    }
    const auto room = op->data_room(m.count);
    if (room.empty()) {
        m.count == 0 ? op->answer_data<Rread>({}) : op->fail(EMSGSIZE);
        return;
    }
    if (m.offset == 0) {
        fid->stat_offset = fid->stat_cookie = 0;
        fid->stats_left.clear();
    }
    fid->busy = true;
    std::make_shared<DirRead>(op, fid, room)->proceed();
}

}  // namespace ennead::p9
