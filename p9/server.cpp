// SPDX-License-Identifier: MIT
// Version, tags, flush and dispatch: what is common to all requests of a connection.
#include "p9/server.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "p9/error.h"
#include "p9/session.h"

namespace ennead::p9 {
namespace {

// An error's text: longer ones are cut. It is less than any msize.
constexpr std::size_t kMaxWords = 1024;

bool is_write(Bytes beginning) {
    return beginning.size() >= kHeaderSize &&
           static_cast<Type>(beginning[sizeof(std::uint32_t)]) == Type::twrite;
}

}  // namespace

std::size_t total(Bytes first, std::span<const Bytes> rest) {
    std::size_t size = first.size();
    for (const Bytes piece : rest) {
        size += piece.size();
    }
    return size;
}

Buffer join(Bytes first, std::span<const Bytes> rest) {
    Buffer whole(total(first, rest));
    auto to = std::ranges::copy(first, whole.span().begin()).out;
    for (const Bytes piece : rest) {
        to = std::ranges::copy(piece, to).out;
    }
    return whole;
}

void Op::act_on(FidPtr fid, bool nonblocking) {
    fid_ = std::move(fid);
    request_ = std::make_shared<synthfs::Request>(fid_->caller, nonblocking);
}

void Op::fail(int errnum) {
    if (!exchange_) {
        return;
    }
    // flush(5): the answer to a flushed request is either dropped before Rflush or stands for what
    // was done. EINTR after a flush tells that nothing was done, so it is the one that is dropped.
    if (!flushes_.empty() && errnum == EINTR) {
        finish(0);
        return;
    }
    std::optional<std::size_t> size;
    if (session_->dialect_ == Dialect::plain) {
        // The words of the `error` file where there are any.
        const char* system = ::strerrordesc_np(errnum);
        std::string_view words = request_->words();
        if (words.empty()) {
            words = system != nullptr ? system : "unknown error";
        }
        const auto room =
            exchange_->reply_space(kHeaderSize + 2 + std::min(words.size(), kMaxWords));
        const std::size_t most = room.size() - std::min(room.size(), kHeaderSize + 2);
        size = encode_as(room, tag(), Rerror{words.substr(0, most)});
    } else {
        const auto room = exchange_->reply_space(kHeaderSize + 4);
        size = encode_as(room, tag(), Rlerror{static_cast<std::uint32_t>(errnum)});
    }
    if (size) {
        finish(*size);
        return;
    }
    const auto keep = session_;
    finish(0);
    keep->end("reply space too small for an error");
}

void Op::too_small(std::size_t room) {
    log_line(session_->options_.log, LogLevel::debug, "9p what=reply-too-small type=%.*s room=%zu",
             static_cast<int>(type_name(frame_.type).size()), type_name(frame_.type).data(), room);
    fail(EMSGSIZE);
}

std::span<std::byte> Op::data_room(std::size_t count) {
    const std::size_t most = session_->msize() - kDataHeaderSize;
    const std::size_t want = std::min(count, most) + kDataHeaderSize;
    data_reply_ = exchange_->reply_space(want);
    data_reply_ = data_reply_.first(std::min(want, data_reply_.size()));
    return data_reply_.size() < kDataHeaderSize ? std::span<std::byte>{}
                                                : data_reply_.subspan(kDataHeaderSize);
}

void Op::finish(std::size_t size, bool in_place) {
    // Taken out first: done() may bring the next request with the same tag at once.
    const ExchangePtr exchange = std::move(exchange_);
    const auto session = session_;
    const FidPtr fid = std::move(fid_);
    std::vector<OpPtr> flushes = std::move(flushes_);
    OpPtr self;
    if (!detached_) {
        if (const auto found = session->ops_.find(tag()); found != session->ops_.end()) {
            self = std::move(found->second);
            session->ops_.erase(found);
        }
    }
    if (silent_ || session->ended_) {
        return;  // also of those that a Tversion had put out of mind before the end
    }
    session->counters_.bytes_out += detached_ ? 0 : size;
    if (in_place && !detached_) {
        exchange->done_in_place(size);
    } else {
        exchange->done(detached_ ? 0 : size);
    }
    // Only now: whoever reads Rflush may take it that the old tag is free.
    for (const OpPtr& flush : flushes) {
        flush->answer(Rflush{});
    }
}

void Op::flush(OpPtr by) {
    by->waits_for_ = weak_from_this();
    flushes_.push_back(std::move(by));
    cancel();
}

void Op::detach(bool silent) {
    detached_ = true;
    silent_ = silent;
    flushes_.clear();
}

void Session::request(ExchangePtr exchange) {
    if (ended_) {
        return;
    }
    const auto keep = shared_from_this();
    const Bytes bytes = exchange->request();
    const auto rest = exchange->request_rest();
    const std::size_t size = total(bytes, rest);
    ++counters_.requests;
    counters_.bytes_in += size;
    if (size > msize()) {
        end(make_error_code(Error::oversized_frame).message());
        return;
    }
    // The data of a Twrite may stay where they are; every other message is wanted in one piece.
    const bool in_pieces = !rest.empty() && is_write(bytes);
    Buffer joined = in_pieces || rest.empty() ? Buffer() : join(bytes, rest);
    auto frame = in_pieces      ? decode_beginning(bytes, size)
                 : rest.empty() ? decode(bytes)
                                : decode(joined.span());
    if (!frame) {
        end(frame.error().message());
        return;
    }
    const Type type = frame.value().type;
    if (!is_request(type) || type == Type::tlerror || type == Type::terror) {
        end(make_error_code(Error::unexpected_type).message());
        return;
    }
    if (msize_ == 0 && type != Type::tversion) {
        end("request before a version was agreed on");
        return;
    }
    if (type == Type::tversion) {
        reset();  // first of all, since its tag may be in use
        if (ended_) {
            return;  // the transport gave up on hearing of a dropped request
        }
    }
    const bool crowded = ops_.size() >= options_.max_pending && type == Type::tread;
    const auto op = std::make_shared<Op>(keep, std::move(exchange), std::move(frame).value());
    op->keep(std::move(joined));
    if (!ops_.try_emplace(op->tag(), op).second) {
        end("tag in use");
        return;
    }
    if (crowded) {
        op->fail(EAGAIN);
        return;
    }
    guarded(op, [&] { dispatch(op); });
}

void Session::dispatch(const OpPtr& op) {
    if (!speaks(dialect_, op->frame().type)) {
        op->fail(EOPNOTSUPP);
        return;
    }
    std::visit(
        [&](const auto& message) {
            if constexpr (requires { on(op, message); }) {
                on(op, message);
            }
        },
        op->frame().message);
}

void Session::on(const OpPtr& op, const Tversion& m) {
    // version(5): what follows a period is a refinement, which a server that does not know it may
    // refuse by answering with the version without; and any other version with "unknown", upon
    // which the client may propose another one.
    std::string_view version = m.version;
    if (version != kVersion) {
        version = version.substr(0, version.find('.'));
    }
    if (version != kVersion && version != kVersionPlain) {
        op->answer(Rversion{std::min(m.msize, options_.max_msize), kVersionUnknown});
        return;
    }
    dialect_ = version == kVersion ? Dialect::linux : Dialect::plain;
    if (m.msize < kMinMsize) {
        op->fail(EMSGSIZE);
        return;
    }
    msize_ = std::min(m.msize, options_.max_msize);
    op->answer(Rversion{msize_, version});
}

void Session::on(const OpPtr& op, const Tflush& m) {
    const auto found = ops_.find(m.oldtag);
    if (found == ops_.end() || found->second == op) {
        // Answered already, or never asked: flush(5) wants an Rflush all the same.
        op->answer(Rflush{});
        return;
    }
    // A flush of a flush waits for the same request, behind it: so a long chain of them stays flat.
    const OpPtr flushed = found->second->waits_for() ? found->second->waits_for() : found->second;
    flushed->flush(op);
}

void Session::detach_all(bool silent) {
    const auto ops = std::exchange(ops_, {});
    for (const auto& [tag, op] : ops) {
        op->detach(silent);
    }
    for (const auto& entry : ops) {
        const OpPtr& op = entry.second;
        guarded(op, [&] {
            op->cancel();
            if (op->frame().type == Type::tflush) {
                op->fail(EINTR);  // it waits for no node that would answer
            }
        });
    }
}

// Every fid is clunked: files that were to be removed then are.
void Session::drop_fids() {
    for (const FidPtr& fid : fids_.take_all()) {
        if (fid && fid->remove_on_close && fid->place->parent) {
            const auto request = std::make_shared<synthfs::Request>(fid->caller);
            fid->place->parent->node->unlink(request, fid->place->name, false,
                                             [](synthfs::Result<>) {});
        }
    }
}

void Session::reset() {
    msize_ = 0;
    dialect_ = Dialect::linux;
    detach_all(false);
    drop_fids();
}

void Session::close() {
    ended_ = true;
    options_.on_end = nullptr;
    detach_all(true);
    drop_fids();
}

void Session::end(std::string_view reason) {
    if (ended_) {
        return;
    }
    const auto keep = shared_from_this();
    ended_ = true;
    log_line(options_.log, LogLevel::warn, "9p what=bad-frame client=%s reason=\"%.*s\"",
             options_.client.c_str(), static_cast<int>(reason.size()), reason.data());
    detach_all(true);
    drop_fids();
    if (const auto on_end = std::exchange(options_.on_end, nullptr)) {
        on_end(reason);
    }
}

void Session::caught(Op& op, const char* what) {
    if (!std::exchange(exception_logged_, true)) {
        log_line(options_.log, LogLevel::error, "9p what=exception client=%s type=%.*s text=\"%s\"",
                 options_.client.c_str(), static_cast<int>(type_name(op.frame().type).size()),
                 type_name(op.frame().type).data(), what);
    }
    op.fail(EIO);
}

FidPtr Session::use(const OpPtr& op, std::uint32_t number, bool io) {
    FidPtr fid = fids_.find(number);
    if (!fid) {
        op->fail(EBADF);
        return nullptr;
    }
    op->act_on(fid, io && (fid->flags & O_NONBLOCK) != 0);
    return fid;
}

FidPtr Session::use_open(const OpPtr& op, std::uint32_t number) {
    FidPtr fid = use(op, number);
    if (fid && fid->use != Fid::Use::file) {
        op->fail(EBADF);
        return nullptr;
    }
    return fid;
}

FidPtr Session::use_dir(const OpPtr& op, std::uint32_t number, std::string_view name,
                        bool removing) {
    FidPtr fid = use(op, number);
    if (!fid) {
        return nullptr;
    }
    int refusal = 0;
    if (fid->use != Fid::Use::node && fid->use != Fid::Use::file) {
        refusal = EBADF;
    } else if (!S_ISDIR(fid->place->node->type())) {
        refusal = ENOTDIR;
    } else if (!is_component(name)) {
        refusal = ENOENT;
    } else if (name == "." || name == "..") {
        // What rmdir(2) and mkdir(2) say of them.
        refusal = !removing ? EEXIST : name == "." ? EINVAL : ENOTEMPTY;
    }
    if (refusal != 0) {
        op->fail(refusal);
        return nullptr;
    }
    return fid;
}

Qid Session::qid(const synthfs::Node& node) {
    Qid result = qid(node.identity(), node.type(), node.is_stream());
    result.type |= node.reading_makes() ? kQtTmp : 0;
    return result;
}

Qid Session::qid(const synthfs::Identity& identity, mode_t type, bool stream) {
    const std::uint8_t kind = S_ISDIR(type)   ? kQtDir
                              : S_ISLNK(type) ? kQtSymlink
                              : stream        ? kQtAppend
                                              : kQtFile;
    const std::uint32_t version =
        options_.steady_versions ? std::min(identity.version, 1u) : identity.version;
    return {kind, version, qids_.fold(identity.source, identity.path)};
}

Server::Server(synthfs::NodePtr root, Options options) : tree_(options.tree) {
    session_ = std::make_shared<Session>(std::move(root), std::move(options));
}

Server::~Server() {
    const auto held = hold_tree();
    session_->close();
    session_ = nullptr;  // open files go with it
}

std::unique_lock<std::recursive_mutex> Server::hold_tree() const {
    return tree_ != nullptr ? std::unique_lock(*tree_) : std::unique_lock<std::recursive_mutex>();
}

void Server::request(ExchangePtr exchange) {
    // The owner may destroy this Server from within a reply: what is open goes before the lock.
    const auto held = hold_tree();
    const auto session = session_;
    session->request(std::move(exchange));
}

std::uint32_t Server::msize() const {
    return session_->msize();
}
bool Server::ended() const {
    return session_->ended();
}
std::size_t Server::pending() const {
    return session_->pending();
}
std::size_t Server::fids() const {
    return session_->fids();
}
const ServerCounters& Server::counters() const {
    return session_->counters();
}

}  // namespace ennead::p9
