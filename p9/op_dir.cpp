// SPDX-License-Identifier: MIT
// What is in directories: readdir, mkdir, symlink, mknod, link, rename, unlink.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <utility>

#include "p9/session.h"

namespace ennead::p9 {
namespace {

// The server gives "." and ".." itself, so offsets on the wire are the node's plus these two.
constexpr std::uint64_t kAfterDot = 1, kAfterDotDot = 2;
// Entries asked of a node at once; a client comes back for more by itself.
constexpr std::size_t kMaxEntries = 1024;

// Fills the data of an Rreaddir; an entry that does not fit whole is left for the next request.
class DirWriter {
  public:
    explicit DirWriter(std::span<std::byte> room) : room_(room) {}

    bool add(const DirRecord& record) {
        if (record.name.size() + DirRecord::kFixedSize > left()) {
            return false;
        }
        Writer writer(room_.subspan(used_));
        DirRecord::fields(record, writer);
        used_ += writer.size();
        return true;
    }
    [[nodiscard]] std::size_t left() const { return room_.size() - used_; }
    [[nodiscard]] std::span<const std::byte> data() const { return room_.first(used_); }

  private:
    std::span<std::byte> room_;
    std::size_t used_ = 0;
};

}  // namespace

void Session::on(const OpPtr& op, const Treaddir& m) {
    const FidPtr fid = use_open(op, m.fid);
    if (!fid) {
        return;
    }
    const PlacePtr place = fid->place;
    if (!S_ISDIR(place->node->type())) {
        op->fail(ENOTDIR);
        return;
    }
    DirWriter writer(op->data_room(m.count));
    bool full = false;
    if (m.offset < kAfterDot) {
        full = !writer.add({qid(*place->node), kAfterDot, DT_DIR, "."});
    }
    if (m.offset < kAfterDotDot && !full) {
        const auto& above = place->parent ? place->parent->node : place->node;
        full = !writer.add({qid(*above), kAfterDotDot, DT_DIR, ".."});
    }
    // No room for any further entry, however short its name is.
    full = full || (!writer.data().empty() && writer.left() <= DirRecord::kFixedSize);
    if (full) {
        // getdents(2): EINVAL if the buffer is too small for one entry. No data would mean the end.
        writer.data().empty() ? op->fail(EINVAL) : op->answer_data<Rreaddir>(writer.data());
        return;
    }
    const std::uint64_t offset = m.offset <= kAfterDotDot ? 0 : m.offset - kAfterDotDot;
    const std::size_t most = std::min(writer.left() / (DirRecord::kFixedSize + 1) + 1, kMaxEntries);
    const auto handle = fid->handle;
    handle->readdir(
        op->request(), offset, most,
        when<std::vector<synthfs::DirEntry>>(
            op, [this, op, place, writer](const std::vector<synthfs::DirEntry>& entries) {
                DirWriter rest = writer;
                const std::uint64_t source = place->node->identity().source;
                for (const synthfs::DirEntry& entry : entries) {
                    const Qid entry_qid =
                        qid({entry.source != 0 ? entry.source : source, entry.path, 0}, entry.type,
                            false);
                    if (!rest.add({entry_qid, entry.next_offset + kAfterDotDot,
                                   static_cast<std::uint8_t>(IFTODT(entry.type)), entry.name})) {
                        break;
                    }
                }
                rest.data().empty() && !entries.empty() ? op->fail(EINVAL)
                                                        : op->answer_data<Rreaddir>(rest.data());
            }));
}

namespace {

// The Reply to what made a node: its qid.
template <class R, class QidOf>
synthfs::Reply<synthfs::NodePtr> made(const OpPtr& op, QidOf qid_of) {
    return when<synthfs::NodePtr>(
        op, [op, qid_of](const synthfs::NodePtr& node) { op->answer(R{qid_of(*node)}); });
}

}  // namespace

void Session::on(const OpPtr& op, const Tmkdir& m) {
    const FidPtr fid = use_dir(op, m.dfid, m.name, false);
    if (!fid) {
        return;
    }
    const auto directory = fid->place->node;
    // Linux sends S_IFDIR along.
    directory->mkdir(op->request(), std::string(m.name), m.mode & 07777, m.gid,
                     made<Rmkdir>(op, [this](const synthfs::Node& node) { return qid(node); }));
}

void Session::on(const OpPtr& op, const Tsymlink& m) {
    const FidPtr fid = use_dir(op, m.dfid, m.name, false);
    if (!fid) {
        return;
    }
    if (m.target.empty() || m.target.find('\0') != m.target.npos) {
        op->fail(ENOENT);  // symlink(2)
        return;
    }
    const auto directory = fid->place->node;
    directory->symlink(op->request(), std::string(m.name), std::string(m.target), m.gid,
                       made<Rsymlink>(op, [this](const synthfs::Node& node) { return qid(node); }));
}

void Session::on(const OpPtr& op, const Tmknod& m) {
    const FidPtr fid = use_dir(op, m.dfid, m.name, false);
    if (!fid) {
        return;
    }
    mode_t mode = m.mode & (S_IFMT | 07777);
    switch (mode & S_IFMT) {
        case 0:
            mode |= S_IFREG;
            break;  // mknod(2)
        case S_IFREG:
        case S_IFCHR:
        case S_IFBLK:
        case S_IFIFO:
        case S_IFSOCK:
            break;
        default:
            op->fail(EINVAL);
            return;
    }
    const auto directory = fid->place->node;
    directory->mknod(op->request(), std::string(m.name), mode, makedev(m.major, m.minor), m.gid,
                     made<Rmknod>(op, [this](const synthfs::Node& node) { return qid(node); }));
}

void Session::on(const OpPtr& op, const Tlink& m) {
    const FidPtr target = fids_.find(m.fid);
    const FidPtr fid = use_dir(op, m.dfid, m.name, false);
    if (!fid) {
        return;
    }
    if (!target) {
        op->fail(EBADF);
        return;
    }
    const auto directory = fid->place->node;
    directory->link(op->request(), std::string(m.name), target->place->node,
                    when<void>(op, [op] { op->answer(Rlink{}); }));
}

template <class R>
void Session::rename(const OpPtr& op, PlacePtr from, std::string name, PlacePtr to,
                     std::string new_name) {
    const auto directory = from->node;
    directory->rename(op->request(), name, to->node, new_name,
                      when<void>(op, [this, op, from, name, to, new_name] {
                          fids_.renamed(from, name, to, new_name);
                          op->answer(R{});
                      }));
}

void Session::on(const OpPtr& op, const Trename& m) {
    const FidPtr moved = fids_.find(m.fid);
    const FidPtr fid = use_dir(op, m.dfid, m.name, false);
    if (!fid) {
        return;
    }
    if (!moved) {
        op->fail(EBADF);
    } else if (!moved->place->parent) {
        op->fail(EBUSY);  // the root has no name
    } else {
        rename<Rrename>(op, moved->place->parent, moved->place->name, fid->place,
                        std::string(m.name));
    }
}

void Session::on(const OpPtr& op, const Trenameat& m) {
    const FidPtr to = use_dir(op, m.new_dfid, m.new_name, false);
    if (!to) {
        return;
    }
    if (const FidPtr from = use_dir(op, m.old_dfid, m.old_name, true)) {
        rename<Rrenameat>(op, from->place, std::string(m.old_name), to->place,
                          std::string(m.new_name));
    }
}

void Session::on(const OpPtr& op, const Tunlinkat& m) {
    const FidPtr fid = use_dir(op, m.dfid, m.name, true);
    if (!fid) {
        return;
    }
    if ((m.flags & ~kUnlinkDirectory) != 0) {
        op->fail(EINVAL);
        return;
    }
    const auto directory = fid->place->node;
    directory->unlink(op->request(), std::string(m.name), (m.flags & kUnlinkDirectory) != 0,
                      when<void>(op, [op] { op->answer(Runlinkat{}); }));
}

}  // namespace ennead::p9
