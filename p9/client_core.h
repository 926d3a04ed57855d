// SPDX-License-Identifier: MIT
// Inside the client: tags, fids, and calls under way. Included by client.cpp and remote_*.cpp only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "p9/client.h"
#include "p9/codec.h"
#include "p9/error.h"

namespace ennead::p9 {

class ClientCore;

// A fid that exists on the server; clunked when nobody holds it any more.
class RemoteFid {
  public:
    RemoteFid(std::shared_ptr<ClientCore> core, std::uint32_t number)
        : core_(std::move(core)), number_(number) {}
    ~RemoteFid();
    RemoteFid(const RemoteFid&) = delete;
    RemoteFid& operator=(const RemoteFid&) = delete;

    [[nodiscard]] std::uint32_t number() const { return number_; }
    // The fid is clunked by a message of the holder's (Tclunk whose answer counts).
    void forget() { clunked_ = true; }

  private:
    std::shared_ptr<ClientCore> core_;
    std::uint32_t number_;
    bool clunked_ = false;
};
using RemoteFidPtr = std::shared_ptr<RemoteFid>;

class ClientCore : public std::enable_shared_from_this<ClientCore> {
  public:
    ClientCore(std::function<void(Buffer)> send, ClientOptions options)
        : send_(std::move(send)), options_(std::move(options)), source_(synthfs::next_source()) {}

    // Sends `message`; the answer is an R, whose strings and data are valid only inside `reply`.
    // When `request` (may be null) is cancelled, the call is flushed and answers EINTR, unless its
    // real answer comes first. A call that `waits` may take for ever.
    template <class R, class T>
    void call(synthfs::RequestPtr request, const T& message,
              std::function<void(synthfs::Result<R>)> reply, bool waits = false) {
        start(
            request, waits, encoded_size(message),
            [&](std::span<std::byte> room, std::uint16_t tag) {
                return encode_as(room, tag, message).has_value();
            },
            [this, reply = std::move(reply)](synthfs::Result<const Message*> answer) {
                if (!answer) {
                    reply(answer.error());
                } else if (const R* r = std::get_if<R>(answer.value())) {
                    reply(*r);
                } else {
                    reply(broken(Error::unexpected_type));
                }
            });
    }

    // A new fid `names` below `from`; no names make a clone. ENOENT if only a part was walked.
    struct Walked {
        RemoteFidPtr fid;
        QidList qids;
    };
    void walk(synthfs::RequestPtr request, RemoteFidPtr from, const NameList& names,
              synthfs::Reply<Walked> reply);

    void connect(synthfs::Reply<synthfs::NodePtr> ready);
    void attach(const std::string& uname, synthfs::Reply<synthfs::NodePtr> ready);
    void receive(Bytes bytes);
    // Fails all pending calls. `reason` is empty when the owner goes away and need not be told.
    void end(std::string_view reason);
    // As Client's.
    [[nodiscard]] bool owed() const;
    void stall(int errnum, std::string words);
    [[nodiscard]] std::uint64_t received() const { return received_; }
    // The server broke the protocol: ends the connection; gives the error for the call at hand.
    std::error_code broken(Error error);

    [[nodiscard]] std::uint32_t take_fid();
    void free_fid(std::uint32_t number);
    void clunk(std::uint32_t number);

    [[nodiscard]] const OwnerMap& owners() const { return owners_; }
    void set_owners(const OwnerMap& map) { owners_ = map; }

    [[nodiscard]] std::uint64_t source() const { return source_; }
    [[nodiscard]] std::uint32_t msize() const { return msize_ != 0 ? msize_ : options_.msize; }
    // The most data of one Tread, Twrite or Treaddir.
    [[nodiscard]] std::uint32_t max_data() const { return msize() - std::uint32_t{kIoHeaderSize}; }
    [[nodiscard]] bool ended() const { return ended_; }
    [[nodiscard]] std::size_t pending() const { return calls_.size(); }
    [[nodiscard]] std::size_t fids() const { return next_fid_ - free_fids_.size(); }

  private:
    using Answer = std::function<void(synthfs::Result<const Message*>)>;

    struct Call {
        Type expected{};
        synthfs::RequestPtr request;
        Answer answer;  // empty once answered; the tag stays taken until Rflush
        bool waits = false;
        bool flushing = false;
        bool given_up = false;  // answered in the server's place, whose answer is still to come
    };

    void start(const synthfs::RequestPtr& request, bool waits, std::size_t size,
               const std::function<bool(std::span<std::byte>, std::uint16_t)>& encode,
               Answer answer);
    void flush(std::uint16_t tag);
    void give_up(Call& call, int errnum);
    void settle(std::uint16_t tag, synthfs::Result<const Message*> result);
    [[nodiscard]] std::error_code lost() const { return synthfs::error(options_.lost_errno); }

    std::function<void(Buffer)> send_;
    ClientOptions options_;
    OwnerMap owners_;
    std::uint64_t source_;
    std::uint32_t msize_ = 0;  // 0 until agreed on
    bool ended_ = false;
    int stalled_ = 0;  // what calls answer while the server hangs
    std::string stall_words_;
    std::uint64_t received_ = 0;
    std::unordered_map<std::uint16_t, Call> calls_;
    std::uint16_t next_tag_ = 0;
    std::uint32_t next_fid_ = 0;
    std::vector<std::uint32_t> free_fids_;
};

}  // namespace ennead::p9
