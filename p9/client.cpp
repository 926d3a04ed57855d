// SPDX-License-Identifier: MIT
// Calls over a connection: tags, answers in any order, flush, and the end.
#include "p9/client.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "p9/client_core.h"
#include "p9/hops.h"
#include "p9/remote_node.h"

namespace ennead::p9 {

RemoteFid::~RemoteFid() {
    if (!clunked_) {
        core_->clunk(number_);
    }
}

std::uint32_t ClientCore::take_fid() {
    if (free_fids_.empty()) {
        return next_fid_++;
    }
    const std::uint32_t number = free_fids_.back();
    free_fids_.pop_back();
    return number;
}

void ClientCore::free_fid(std::uint32_t number) {
    if (stalled_ != 0) {
        return;  // the server may have it, or yet make it
    }
    free_fids_.push_back(number);
}

void ClientCore::clunk(std::uint32_t number) {
    if (ended_ || calls_.size() >= kNoTag) {
        return;  // without a free tag the number is lost, and so is the server's fid
    }
    // clunk(5): the fid is gone whatever the answer is, but its number is ours again only then.
    call<Rclunk>(nullptr, Tclunk{number},
                 [this, number](synthfs::Result<Rclunk>) { free_fid(number); });
}

void ClientCore::start(const synthfs::RequestPtr& request, bool waits, std::size_t size,
                       const std::function<bool(std::span<std::byte>, std::uint16_t)>& encode,
                       Answer answer) {
    if (ended_) {
        answer(lost());
        return;
    }
    if (request && request->cancelled()) {
        answer(synthfs::error(EINTR));
        return;
    }
    if (size > msize()) {
        answer(synthfs::error(ENAMETOOLONG));  // data is split to fit, so it is a name or a target
        return;
    }
    if (calls_.size() >= kNoTag) {
        answer(synthfs::error(EAGAIN));
        return;
    }
    std::uint16_t tag = kNoTag;  // version(5): only Tversion, and it is the first
    if (msize_ != 0) {
        while (next_tag_ == kNoTag || calls_.contains(next_tag_)) {
            ++next_tag_;
        }
        tag = next_tag_++;
    }
    Buffer frame(size);
    if (!encode(frame.span(), tag)) {
        answer(synthfs::error(ENAMETOOLONG));  // a string over 64 KiB
        return;
    }
    const auto type = static_cast<Type>(frame.span()[4]);
    // What goes away does so once the server is back.
    if (stalled_ != 0 && !waits && type != Type::tclunk && type != Type::tflush) {
        if (request) {
            request->explain(stall_words_);
        }
        answer(synthfs::error(stalled_));
        return;
    }
    calls_.emplace(tag, Call{reply_type(type), request, std::move(answer), waits});
    const auto keep = shared_from_this();
    send_(std::move(frame));
    if (!waits && options_.on_asked) {
        options_.on_asked();
    }
    if (request && calls_.contains(tag)) {
        request->on_cancel([weak = weak_from_this(), tag] {
            if (const auto core = weak.lock()) {
                core->flush(tag);
            }
        });
    }
}

void ClientCore::flush(std::uint16_t tag) {
    const auto found = calls_.find(tag);
    if (ended_ || found == calls_.end() || found->second.flushing) {
        return;
    }
    found->second.flushing = true;
    call<Rflush>(nullptr, Tflush{tag}, [this, tag](synthfs::Result<Rflush> result) {
        const auto flushed = calls_.find(tag);
        if (flushed == calls_.end()) {
            return;
        }
        if (!result && !ended_) {
            // No tag was free for the flush, or it was refused; then the call just goes on.
            flushed->second.flushing = false;
            return;
        }
        // flush(5): the old request's answer, if there was to be one, came before this.
        Call call = std::move(flushed->second);
        calls_.erase(flushed);
        if (call.answer) {
            if (call.request) {
                call.request->settle();
            }
            call.answer(ended_ ? lost() : synthfs::error(EINTR));
        }
    });
    if (const auto call = calls_.find(tag); stalled_ != 0 && call != calls_.end()) {
        give_up(call->second, EINTR);
    }
}

bool ClientCore::owed() const {
    return stalled_ == 0 && std::ranges::any_of(calls_, [](const auto& entry) {
               return !entry.second.waits && !entry.second.given_up;
           });
}

void ClientCore::give_up(Call& call, int errnum) {
    const auto request = call.request;
    const Answer answer = std::exchange(call.answer, nullptr);
    call.given_up = true;
    if (request) {
        request->settle();
        request->explain(errnum == EINTR ? "" : stall_words_);
    }
    if (answer) {
        answer(synthfs::error(errnum));
    }
}

void ClientCore::stall(int errnum, std::string words) {
    if (ended_ || stalled_ != 0) {
        return;
    }
    const auto keep = shared_from_this();
    stalled_ = errnum;
    stall_words_ = std::move(words);
    // An answer may lead to other calls.
    std::vector<std::uint16_t> tags;
    for (const auto& [tag, call] : calls_) {
        const bool goes_away = call.expected == Type::rclunk || call.expected == Type::rflush;
        if (call.answer && !goes_away && (!call.waits || call.flushing)) {
            tags.push_back(tag);
        }
    }
    for (const std::uint16_t tag : tags) {
        if (const auto found = calls_.find(tag); found != calls_.end() && !ended_) {
            give_up(found->second, found->second.flushing ? EINTR : errnum);
        }
    }
}

void ClientCore::settle(std::uint16_t tag, synthfs::Result<const Message*> result) {
    const auto found = calls_.find(tag);
    const auto request = found->second.request;
    const Answer answer = std::exchange(found->second.answer, nullptr);
    if (!found->second.flushing) {
        calls_.erase(found);
    }
    if (request) {
        request->settle();
    }
    answer(std::move(result));
}

void ClientCore::receive(Bytes bytes) {
    if (ended_) {
        return;
    }
    const auto keep = shared_from_this();
    ++received_;
    stalled_ = 0;
    if (bytes.size() > msize()) {
        broken(Error::oversized_frame);
        return;
    }
    const auto frame = decode(bytes);
    if (!frame) {
        end(frame.error().message());
        return;
    }
    const auto& [type, tag, message] = frame.value();
    const auto found = calls_.find(tag);
    if (found != calls_.end() && std::exchange(found->second.given_up, false)) {
        if (!found->second.flushing) {
            calls_.erase(found);
        }
        return;
    }
    if (found == calls_.end() || !found->second.answer) {
        broken(Error::unknown_tag);
        return;
    }
    if (const auto* failure = std::get_if<Rlerror>(&message)) {
        // FUSE and the rest of the tree take 1…511 only.
        const bool sane = failure->ecode >= 1 && failure->ecode < 512;
        settle(tag, synthfs::error(sane ? static_cast<int>(failure->ecode) : EIO));
    } else if (type != found->second.expected) {
        broken(Error::unexpected_type);
    } else {
        settle(tag, &message);
    }
}

std::error_code ClientCore::broken(Error error) {
    const auto code = make_error_code(error);
    end(code.message());
    return synthfs::error(EIO);
}

void ClientCore::end(std::string_view reason) {
    if (ended_) {
        return;
    }
    const auto keep = shared_from_this();
    ended_ = true;
    if (!reason.empty()) {
        log_line(options_.log, LogLevel::info, "9p what=connection-end uname=%s reason=\"%.*s\"",
                 options_.uname.c_str(), static_cast<int>(reason.size()), reason.data());
    }
    auto calls = std::exchange(calls_, {});
    for (auto& [tag, call] : calls) {
        if (call.request) {
            call.request->settle();
        }
        if (const Answer answer = std::exchange(call.answer, nullptr)) {
            answer(lost());
        }
    }
    const auto on_end = std::exchange(options_.on_end, nullptr);
    send_ = nullptr;
    if (on_end && !reason.empty()) {
        on_end(reason);
    }
}

void ClientCore::walk(synthfs::RequestPtr request, RemoteFidPtr from, const NameList& names,
                      synthfs::Reply<Walked> reply) {
    if (stalled_ != 0) {
        request->explain(stall_words_);
        reply(synthfs::error(stalled_));
        return;
    }
    const std::uint32_t number = take_fid();
    call<Rwalk>(request, Twalk{from->number(), number, names},
                [this, from, number, asked = names.count,
                 reply = std::move(reply)](synthfs::Result<Rwalk> result) {
                    if (result && result.value().qids.count == asked) {
                        reply(Walked{std::make_shared<RemoteFid>(shared_from_this(), number),
                                     result.value().qids});
                        return;
                    }
                    free_fid(number);  // walk(5): a walk that fell short made no fid
                    if (!result) {
                        reply(result.error());
                    } else if (result.value().qids.count > asked) {
                        reply(broken(Error::bad_reply));
                    } else {
                        reply(synthfs::error(ENOENT));
                    }
                });
}

void ClientCore::connect(synthfs::Reply<synthfs::NodePtr> ready) {
    call<Rversion>(nullptr, Tversion{options_.msize, kVersion},
                   [this, ready = std::move(ready)](synthfs::Result<Rversion> result) {
                       if (!result) {
                           ready(result.error());
                           return;
                       }
                       const Rversion& version = result.value();
                       if (version.version != kVersion || version.msize < kMinMsize ||
                           version.msize > options_.msize) {
                           broken(Error::bad_version);
                           ready(make_error_code(Error::bad_version));
                           return;
                       }
                       msize_ = version.msize;
                       attach(options_.uname, ready);
                   });
}

void ClientCore::attach(const std::string& uname, synthfs::Reply<synthfs::NodePtr> ready) {
    const std::uint32_t number = take_fid();
    call<Rattach>(nullptr, Tattach{number, kNoFid, uname, options_.aname, options_.uid},
                  [this, number, ready = std::move(ready)](synthfs::Result<Rattach> result) {
                      if (!result) {
                          free_fid(number);
                          ready(result.error());
                          return;
                      }
                      auto fid = std::make_shared<RemoteFid>(shared_from_this(), number);
                      RemoteNode::make(shared_from_this(), nullptr, std::move(fid),
                                       result.value().qid, ready);
                  });
}

Client::Client(std::function<void(Buffer)> send, Options options)
    : core_(std::make_shared<ClientCore>(std::move(send), std::move(options))) {}

Client::~Client() {
    core_->end("");
}

void Client::connect(synthfs::Reply<synthfs::NodePtr> ready) {
    const auto core = core_;
    core->connect(std::move(ready));
}

void Client::attach(unsigned hops, synthfs::Reply<synthfs::NodePtr> ready) {
    const auto core = core_;
    core->attach(hops_name(hops), std::move(ready));
}

void Client::map_owner(const OwnerMap& map) {
    core_->set_owners(map);
}

void Client::receive(Bytes frame) {
    const auto core = core_;
    core->receive(frame);
}

void Client::lost(std::string_view reason) {
    const auto core = core_;
    core->end(reason.empty() ? "connection lost" : reason);
}

bool Client::owed() const {
    return core_->owed();
}
std::uint64_t Client::received() const {
    return core_->received();
}

void Client::stall(int errnum, std::string words) {
    const auto core = core_;
    core->stall(errnum, std::move(words));
}

std::uint32_t Client::msize() const {
    return core_->msize();
}
bool Client::ended() const {
    return core_->ended();
}
std::size_t Client::pending() const {
    return core_->pending();
}
std::size_t Client::fids() const {
    return core_->fids();
}

}  // namespace ennead::p9
