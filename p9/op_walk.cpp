// SPDX-License-Identifier: MIT
// Where fids come from and where they go: attach, walk, clunk, remove.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "p9/hops.h"
#include "p9/session.h"

namespace ennead::p9 {
namespace {

// A walk under way. It goes on by itself past "." and ".."; a node is asked for every other name.
struct Walk {
    OpPtr op;
    PlacePtr at;
    NameList names;
    QidList qids;
    std::function<void(PlacePtr, const QidList&, int)>
        then;  // the place reached, and why no further
};

}  // namespace

void Session::on(const OpPtr& op, const Tauth&) {
    // attach(5): a server that needs no authentication refuses Tauth. ENOENT is what diod's client
    // takes for that.
    op->request()->explain("authentication not required");
    op->fail(ENOENT);
}

void Session::on(const OpPtr& op, const Tattach& m) {
    if (m.afid != kNoFid) {
        op->fail(EBADF);  // there is no auth fid that it could be
        return;
    }
    if (const auto reserved = fids_.reserve(m.fid); !reserved) {
        op->fail(reserved.error());
        return;
    }
    const uid_t uid = m.n_uname == kNoUid ? options_.anonymous_uid : m.n_uname;
    const auto fid = std::make_shared<Fid>();
    // An attach names no group; a user's own group commonly has the user's number.
    fid->caller = options_.caller.value_or(synthfs::Caller{.uid = uid, .gid = uid, .pid = 0});
    fid->caller.hops = hops_in(m.uname);
    options_.reads_on = options_.reads_on || m.uname == kReadsOnName;
    op->act_as(fid->caller);

    // aname is the path of the root wanted; "" and "/" are the tree's own.
    NameList names;
    std::string_view rest = m.aname;
    while (!rest.empty()) {
        const std::size_t slash = std::min(rest.find('/'), rest.size());
        if (const std::string_view name = rest.substr(0, slash); !name.empty()) {
            if (names.count == kMaxNames) {
                fids_.release(m.fid);
                op->fail(ENAMETOOLONG);
                return;
            }
            names.push(name);
        }
        rest.remove_prefix(std::min(slash + 1, rest.size()));
    }
    walk(op, std::make_shared<Place>(root_, nullptr, ""), names,
         [this, op, fid, number = m.fid, names](PlacePtr at, const QidList& qids, int errnum) {
             if (qids.count != names.count) {
                 fids_.release(number);
                 op->fail(errnum);
                 return;
             }
             // There is no way above what was attached.
             fid->place = std::make_shared<Place>(at->node, nullptr, "");
             fids_.bind(number, fid);
             op->answer(Rattach{qid(*at->node)});
         });
}

void Session::on(const OpPtr& op, const Twalk& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    const bool in_place = m.newfid == m.fid;
    // walk(5) wants an unopened fid; Linux also clones open ones, which harms nobody.
    if (fid->use == Fid::Use::xattr_read || fid->use == Fid::Use::xattr_write ||
        (in_place && (fid->use != Fid::Use::node || fid->busy))) {
        op->fail(EINVAL);
        return;
    }
    if (!in_place) {
        if (const auto reserved = fids_.reserve(m.newfid); !reserved) {
            op->fail(reserved.error());
            return;
        }
    }
    walk(op, fid->place, m.names,
         [this, op, fid, &m, in_place](PlacePtr at, const QidList& qids, int errnum) {
             const bool whole = qids.count == m.names.count;
             if (in_place) {
                 if (whole && fids_.find(m.newfid) == fid) {
                     fid->place = std::move(at);
                 }
             } else if (whole) {
                 const auto reached = std::make_shared<Fid>();
                 reached->place = std::move(at);
                 reached->caller = fid->caller;
                 fids_.bind(m.newfid, reached);
             } else {
                 fids_.release(m.newfid);
             }
             if (!whole && (qids.count == 0 || errnum == EINTR)) {
                 op->fail(errnum);
             } else {
                 op->answer(Rwalk{qids});  // fewer than asked: the client sees where it stopped
             }
         });
}

// `then` is called once, with what was reached; not at all if the request was detached meanwhile.
void Session::walk(const OpPtr& op, PlacePtr from, NameList names,
                   std::function<void(PlacePtr, const QidList&, int)> then) {
    struct Step {
        static void run(Session& session, const std::shared_ptr<Walk>& walk) {
            while (walk->qids.count < walk->names.count) {
                const std::string_view name = walk->names.items[walk->qids.count];
                if (!S_ISDIR(walk->at->node->type())) {
                    return stop(walk, ENOTDIR);
                }
                if (!is_component(name)) {
                    return stop(walk, ENOENT);
                }
                if (walk->op->request()->cancelled()) {
                    return stop(walk, EINTR);
                }
                if (name != "." && name != "..") {
                    return ask(session, walk, std::string(name));
                }
                if (name == ".." && walk->at->parent) {
                    walk->at = walk->at->parent;
                }
                walk->qids.push(session.qid(*walk->at->node));
            }
            stop(walk, 0);
        }

        static void ask(Session& session, const std::shared_ptr<Walk>& walk, std::string name) {
            const auto node = walk->at->node;
            node->walk(walk->op->request(), name,
                       [&session, walk, name](synthfs::Result<synthfs::NodePtr> next) {
                           guarded(walk->op, [&] {
                               if (!walk->op->live()) {
                                   walk->op->fail(ECANCELED);
                               } else if (!next) {
                                   stop(walk, synthfs::to_errno(next.error()));
                               } else {
                                   walk->at = std::make_shared<Place>(std::move(next).value(),
                                                                      walk->at, name);
                                   walk->qids.push(session.qid(*walk->at->node));
                                   run(session, walk);
                               }
                           });
                       });
        }

        static void stop(const std::shared_ptr<Walk>& walk, int errnum) {
            const auto then = std::move(walk->then);
            then(walk->at, walk->qids, errnum);
        }
    };
    Step::run(*this,
              std::make_shared<Walk>(Walk{op, std::move(from), names, QidList{}, std::move(then)}));
}

void Session::on(const OpPtr& op, const Tclunk& m) {
    const FidPtr fid = fids_.find(m.fid);
    if (!fid) {
        op->fail(EBADF);
        return;
    }
    fids_.release(m.fid);
    // What still waits on the fid would wait for ever: nobody could flush it by the fid any more.
    std::vector<OpPtr> waiting;
    for (const auto& [tag, other] : ops_) {
        if (other->fid() == fid.get()) {
            waiting.push_back(other);
        }
    }
    for (const OpPtr& other : waiting) {
        other->cancel();
    }
    op->act_on(fid);
    if (fid->use == Fid::Use::xattr_write) {
        commit_xattr(op, fid);
    } else if (fid->remove_on_close) {
        remove(op, fid->place, when<void>(op, [op] { op->answer(Rclunk{}); }));
    } else {
        op->answer(Rclunk{});
    }
}

void Session::remove(const OpPtr& op, const PlacePtr& place, synthfs::Reply<> reply) {
    if (!place->parent) {
        op->fail(EBUSY);  // the root has no name
        return;
    }
    const auto parent = place->parent->node;
    parent->unlink(op->request(), place->name, S_ISDIR(place->node->type()), std::move(reply));
}

void Session::on(const OpPtr& op, const Tremove& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    fids_.release(m.fid);  // remove(5): clunked even if the remove fails
    const PlacePtr place = fid->place;
    if (fid->use == Fid::Use::xattr_read || fid->use == Fid::Use::xattr_write) {
        op->fail(EBADF);
        return;
    }
    remove(op, place, when<void>(op, [op] { op->answer(Rremove{}); }));
}

}  // namespace ennead::p9
