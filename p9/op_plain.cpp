// SPDX-License-Identifier: MIT
// What 9P2000 says otherwise than 9P2000.L: open, create, stat and wstat, as the same operations.
//
// Source: Plan 9 manual section 5, open and stat. Users and groups are decimal numbers, since names
// would have to be asked of a directory service that may wait.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "p9/session.h"

namespace ennead::p9 {
namespace {

std::optional<int> host_flags(std::uint8_t mode) {
    constexpr std::uint8_t kKnown = 3 | kOpenTruncate | kOpenCloseOnExec | kOpenRemoveOnClose;
    if ((mode & ~kKnown) != 0) {
        return std::nullopt;
    }
    const int access = (mode & 3) == kOpenWrite       ? O_WRONLY
                       : (mode & 3) == kOpenReadWrite ? O_RDWR
                                                      : O_RDONLY;
    return access | ((mode & kOpenTruncate) != 0 ? O_TRUNC : 0);
}

bool removes(std::uint8_t mode) {
    return (mode & kOpenRemoveOnClose) != 0;
}

std::optional<unsigned> number_of(std::string_view text) {
    unsigned value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    return failure == std::errc{} && end == text.data() + text.size() ? std::optional(value)
                                                                      : std::nullopt;
}

std::uint32_t seconds(const std::timespec& time) {
    return static_cast<std::uint32_t>(time.tv_sec);
}

}  // namespace

void Session::on(const OpPtr& op, const Topen& m) {
    const FidPtr fid = fids_.find(m.fid);
    if (removes(m.mode) && fid && (!fid->place->parent || S_ISDIR(fid->place->node->type()))) {
        op->fail(fid->place->parent ? EISDIR : EBUSY);
        return;
    }
    open<Ropen>(op, m.fid, host_flags(m.mode), removes(m.mode));
}

void Session::on(const OpPtr& op, const Tcreate& m) {
    // Append-only, exclusive-use and authentication files, and what 9P2000.u adds, are not to be
    // had.
    if ((m.perm & ~(kDmDir | kDmTmp | kDmPermissions)) != 0) {
        op->fail(EOPNOTSUPP);
        return;
    }
    const FidPtr fid = use_dir(op, m.fid, m.name, false);
    if (!fid) {
        return;
    }
    const auto flags = host_flags(m.mode);
    const bool directory = (m.perm & kDmDir) != 0;
    if (fid->use != Fid::Use::node || fid->busy || !flags) {
        op->fail(EINVAL);
        return;
    }
    if (directory && ((*flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY || removes(m.mode))) {
        op->fail(EISDIR);
        return;
    }
    // open(5): a new file gets no more permissions than its directory has.
    const auto parent = fid->place->node;
    fid->busy = true;
    parent->getattr(op->request(),
                    when<synthfs::Attr>(
                        op,
                        [this, op, fid, &m, flags, directory](const synthfs::Attr& attr) {
                            fid->busy = false;
                            const mode_t most = directory ? ~mode_t{0777} : ~mode_t{0666};
                            const mode_t mode =
                                m.perm & kDmPermissions & (most | (attr.mode & 0777));
                            if (directory) {
                                make_directory(op, fid, m.name, mode);
                            } else {
                                // A name that is there already is the client's to open.
                                create<Rcreate>(op, m.fid, m.name, *flags | O_EXCL, mode,
                                                fid->caller.gid, removes(m.mode));
                            }
                        },
                        [fid] { fid->busy = false; }));
}

void Session::make_directory(const OpPtr& op, const FidPtr& fid, std::string_view name_view,
                             mode_t mode) {
    const std::string name(name_view);
    const auto parent = fid->place->node;
    const auto failed = [fid] { fid->busy = false; };
    fid->busy = true;
    parent->mkdir(
        op->request(), name, mode, fid->caller.gid,
        when<synthfs::NodePtr>(
            op,
            [this, op, fid, name, failed](const synthfs::NodePtr& made) {
                made->open(
                    op->request(), O_RDONLY,
                    when<synthfs::HandlePtr>(
                        op,
                        [this, op, fid, name, made](synthfs::HandlePtr handle) {
                            fid->busy = false;
                            fid->use = Fid::Use::file;
                            fid->handle = std::move(handle);
                            fid->flags = O_RDONLY;
                            fid->place = std::make_shared<Place>(made, fid->place, name);
                            op->answer(Rcreate{qid(*made), msize() - std::uint32_t{kIoHeaderSize}});
                        },
                        failed));
            },
            failed));
}

Stat Session::stat_of(const synthfs::Attr& attr, const synthfs::Node& node, std::string_view name,
                      StatStrings& strings) {
    strings.uid = std::to_string(attr.uid);
    strings.gid = std::to_string(attr.gid);
    Stat stat;
    stat.type = 0;
    stat.dev = 0;
    stat.qid = qid(node);
    stat.qid.version = attr.identity.version;
    stat.mode = std::uint32_t{stat.qid.type} << kDmTypeShift | (attr.mode & kDmPermissions);
    stat.atime = seconds(attr.atime);
    stat.mtime = seconds(attr.mtime);
    stat.length = S_ISDIR(attr.mode) ? 0 : attr.size;  // stat(5): directories have none
    stat.name = name;
    stat.uid = stat.muid = strings.uid;
    stat.gid = strings.gid;
    return stat;
}

void Session::on(const OpPtr& op, const Tstat& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    const auto place = fid->place;
    place->node->getattr(
        op->request(), when<synthfs::Attr>(op, [this, op, place](const synthfs::Attr& attr) {
            StatStrings strings;
            const std::string name = place->parent ? place->name : "/";
            op->answer(Rstat{encode_stat(stat_of(attr, *place->node, name, strings))});
        }));
}

void Session::on(const OpPtr& op, const Twstat& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    const auto wanted = decode_stat(m.stat);
    if (!wanted) {
        op->fail(EINVAL);
        return;
    }
    Stat nothing;
    nothing.size = wanted->size;
    if (*wanted == nothing) {
        // stat(5): a request that what was written be safe.
        if (fid->use == Fid::Use::file && !S_ISDIR(fid->place->node->type())) {
            const auto handle = fid->handle;
            handle->fsync(op->request(), false, when<void>(op, [op] { op->answer(Rwstat{}); }));
        } else {
            op->answer(Rwstat{});
        }
        return;
    }
    const auto node = fid->place->node;
    node->getattr(op->request(),
                  when<synthfs::Attr>(op, [this, op, fid, w = *wanted](const synthfs::Attr& attr) {
                      change_stat(op, fid, attr, w);
                  }));
}

// All of it or nothing, as stat(5) wants.
void Session::change_stat(const OpPtr& op, const FidPtr& fid, const synthfs::Attr& before,
                          const Stat& wanted) {
    StatStrings strings;
    const PlacePtr place = fid->place;
    const std::string name = place->parent ? place->name : "/";
    const Stat now = stat_of(before, *place->node, name, strings);
    // A client may send back what it was given.
    const auto differs = [](const auto& value, const auto& untouched, const auto& current) {
        return value != untouched && value != current;
    };
    const Stat none;
    const auto uid = number_of(wanted.uid), gid = number_of(wanted.gid);
    const bool renames = !wanted.name.empty() && wanted.name != now.name;
    int refusal = 0;
    if (differs(wanted.type, none.type, now.type) || differs(wanted.dev, none.dev, now.dev) ||
        differs(wanted.qid, none.qid, now.qid) ||
        (!wanted.muid.empty() && wanted.muid != now.muid) ||
        (wanted.mode != none.mode && (wanted.mode & ~std::uint32_t{kDmPermissions}) !=
                                         (now.mode & ~std::uint32_t{kDmPermissions}))) {
        refusal = EPERM;
    } else if ((!wanted.uid.empty() && !uid) || (!wanted.gid.empty() && !gid)) {
        refusal = EINVAL;  // users are numbers here
    } else if (renames && !place->parent) {
        refusal = EBUSY;
    } else if (renames &&
               (!is_component(wanted.name) || wanted.name == "." || wanted.name == "..")) {
        refusal = EINVAL;
    } else if (differs(wanted.length, none.length, now.length) &&
               (S_ISDIR(before.mode) ||
                wanted.length > std::uint64_t{std::numeric_limits<std::int64_t>::max()})) {
        refusal = S_ISDIR(before.mode) ? EISDIR : EFBIG;
    }
    if (refusal != 0) {
        op->fail(refusal);
        return;
    }
    synthfs::SetAttr change;
    if (differs(wanted.mode, none.mode, now.mode)) {
        change.mode = (before.mode & 07000) | (wanted.mode & kDmPermissions);
    }
    if (uid && *uid != before.uid) {
        change.uid = *uid;
    }
    if (gid && *gid != before.gid) {
        change.gid = *gid;
    }
    if (differs(wanted.length, none.length, now.length)) {
        change.size = wanted.length;
    }
    if (differs(wanted.atime, none.atime, now.atime)) {
        change.atime = synthfs::SetTime{.now = false, .value = {wanted.atime, 0}};
    }
    if (differs(wanted.mtime, none.mtime, now.mtime)) {
        change.mtime = synthfs::SetTime{.now = false, .value = {wanted.mtime, 0}};
    }
    const bool changes =
        change.mode || change.uid || change.gid || change.size || change.atime || change.mtime;
    const auto node = place->node;
    if (!renames) {
        if (changes) {
            node->setattr(op->request(), change, when<void>(op, [op] { op->answer(Rwstat{}); }));
        } else {
            op->answer(Rwstat{});
        }
        return;
    }
    rename_fid(op, place, std::string(wanted.name),
               [this, op, node, place, changes, change, old = place->name] {
                   if (!changes) {
                       op->answer(Rwstat{});
                       return;
                   }
                   node->setattr(op->request(), change,
                                 [this, op, place, old](synthfs::Result<> result) {
                                     guarded(op, [&] {
                                         if (result || !op->live()) {
                                             op->answer(Rwstat{});
                                             return;
                                         }
                                         const int errnum = synthfs::to_errno(result.error());
                                         const std::string words = op->request()->words();
                                         // The old name again, and the failure as it was.
                                         rename_fid(op, place, old, [op, errnum, words] {
                                             op->request()->explain(words);
                                             op->fail(errnum);
                                         });
                                     });
                                 });
               });
}

// stat(5): renamed within its directory, and never over another file.
void Session::rename_fid(const OpPtr& op, const PlacePtr& place, const std::string& name,
                         std::function<void()> then) {
    const PlacePtr parent = place->parent;
    const auto directory = parent->node;
    directory->walk(
        op->request(), name,
        [this, op, place, parent, directory, name, then](synthfs::Result<synthfs::NodePtr> found) {
            guarded(op, [&] {
                if (!op->live() || found) {
                    op->fail(EEXIST);
                } else if (synthfs::to_errno(found.error()) != ENOENT) {
                    op->fail(found.error());
                } else {
                    const std::string old = place->name;
                    directory->rename(op->request(), old, directory, name,
                                      when<void>(op, [this, parent, old, name, then] {
                                          fids_.renamed(parent, old, parent, name);
                                          then();
                                      }));
                }
            });
        });
}

}  // namespace ennead::p9
