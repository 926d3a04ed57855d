// SPDX-License-Identifier: MIT
// Inside the server: the session's state, a request under way, and the handlers of each message.
// Included by server.cpp and op_*.cpp only.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "p9/codec.h"
#include "p9/fid_table.h"
#include "p9/qid_map.h"
#include "p9/server.h"

namespace ennead::p9 {

class Op;
using OpPtr = std::shared_ptr<Op>;

// A request that is not answered yet. It is in the session's tag table until then, unless a
// Tversion or the end of the connection has detached it: whatever its node answers later is then
// thrown away.
class Op : public std::enable_shared_from_this<Op> {
  public:
    Op(std::shared_ptr<Session> session, ExchangePtr exchange, Frame frame)
        : session_(std::move(session)),
          exchange_(std::move(exchange)),
          frame_(std::move(frame)),
          request_(std::make_shared<synthfs::Request>()) {}
    Op(const Op&) = delete;
    Op& operator=(const Op&) = delete;

    [[nodiscard]] std::uint16_t tag() const { return frame_.tag; }
    [[nodiscard]] const Frame& frame() const { return frame_; }
    // What the node is asked with.
    [[nodiscard]] const synthfs::RequestPtr& request() const { return request_; }
    [[nodiscard]] Session& session() const { return *session_; }
    // Still wanted: neither answered nor detached.
    [[nodiscard]] bool live() const { return exchange_ && !detached_; }
    [[nodiscard]] const Fid* fid() const { return fid_.get(); }

    // The request is carried out for this fid's user, and a clunk of the fid cancels it.
    void act_on(FidPtr fid, bool nonblocking = false);
    void act_as(synthfs::Caller caller) {
        request_ = std::make_shared<synthfs::Request>(caller, false);
    }

    template <class M>
    void answer(const M& message) {
        if (!exchange_) {
            return;
        }
        const auto room = exchange_->reply_space(encoded_size(message));
        if (const auto size = encode_as(room, tag(), message)) {
            finish(*size);
        } else {
            too_small(room.size());
        }
    }
    void fail(int errnum);
    void fail(const std::error_code& code) { fail(synthfs::to_errno(code)); }

    // Where the data of an Rread or Rreaddir is to be put: `count` bytes, or as many as the reply
    // has room for; then answered by answer_data.
    [[nodiscard]] std::span<std::byte> data_room(std::size_t count);
    template <class M>
    void answer_data(std::span<const std::byte> data) {
        if (!exchange_) {
            return;
        }
        if (const auto size = encode_as(data_reply_, tag(), M{data})) {
            finish(*size);
        } else {
            too_small(data_reply_.size());
        }
    }

    // The transport's reply_places(), and the answer that lies there already.
    [[nodiscard]] std::span<const std::span<std::byte>> places() const {
        return exchange_->reply_places();
    }
    void answered_in_place(std::size_t size) { finish(size, true); }

    // The transport's request_rest(): what the data of a Twrite go on with.
    [[nodiscard]] std::span<const Bytes> data_rest() const { return exchange_->request_rest(); }
    // The memory that the frame, or data of it, was put together in.
    void keep(Buffer joined) { joined_ = std::move(joined); }

    // A Tflush waits for this one; it is called off.
    void flush(OpPtr by);
    // For a Tflush: the request it waits for.
    [[nodiscard]] OpPtr waits_for() const { return waits_for_.lock(); }
    void cancel() {
        const auto request = request_;
        request->cancel();
    }
    // The session no longer knows it. With `silent` not even its transport hears of its end.
    void detach(bool silent);

  private:
    void finish(std::size_t size, bool in_place = false);
    void too_small(std::size_t room);

    std::shared_ptr<Session> session_;
    ExchangePtr exchange_;  // null once answered
    Frame frame_;
    synthfs::RequestPtr request_;
    FidPtr fid_;
    std::span<std::byte> data_reply_;
    Buffer joined_;
    std::vector<OpPtr> flushes_;
    std::weak_ptr<Op> waits_for_;
    bool detached_ = false, silent_ = false;
};

// Bytes that lie in pieces: how many, and all of them in one.
[[nodiscard]] std::size_t total(Bytes first, std::span<const Bytes> rest);
[[nodiscard]] Buffer join(Bytes first, std::span<const Bytes> rest);

// The strings that a Stat points to.
struct StatStrings {
    std::string uid, gid;
};

class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(synthfs::NodePtr root, ServerOptions options)
        : root_(std::move(root)),
          options_(std::move(options)),
          fids_(options_.max_fids),
          open_(options_.max_open) {}

    void request(ExchangePtr exchange);
    // The owner goes away: nothing is said to anybody any more.
    void close();

    [[nodiscard]] std::uint32_t msize() const { return msize_ != 0 ? msize_ : options_.max_msize; }
    [[nodiscard]] bool ended() const { return ended_; }
    [[nodiscard]] std::size_t pending() const { return ops_.size(); }
    [[nodiscard]] std::size_t fids() const { return fids_.size(); }
    [[nodiscard]] const ServerCounters& counters() const { return counters_; }

    // The client broke the protocol.
    void end(std::string_view reason);
    // An exception reached an edge: logged (the first of a session), and EIO.
    void caught(Op& op, const char* what);

    // server.cpp
    void on(const OpPtr& op, const Tversion& m);
    void on(const OpPtr& op, const Tflush& m);
    // op_plain.cpp
    void on(const OpPtr& op, const Topen& m);
    void on(const OpPtr& op, const Tcreate& m);
    void on(const OpPtr& op, const Tstat& m);
    void on(const OpPtr& op, const Twstat& m);
    // op_walk.cpp
    void on(const OpPtr& op, const Tauth&);
    void on(const OpPtr& op, const Tattach& m);
    void on(const OpPtr& op, const Twalk& m);
    void on(const OpPtr& op, const Tclunk& m);
    void on(const OpPtr& op, const Tremove& m);
    // op_io.cpp
    void on(const OpPtr& op, const Tlopen& m);
    void on(const OpPtr& op, const Tlcreate& m);
    void on(const OpPtr& op, const Tread& m);
    void on(const OpPtr& op, const Twrite& m);
    void on(const OpPtr& op, const Tfsync& m);
    void on(const OpPtr& op, const Tlock& m);
    void on(const OpPtr& op, const Tgetlock& m);
    // op_dir.cpp
    void on(const OpPtr& op, const Treaddir& m);
    void on(const OpPtr& op, const Tmkdir& m);
    void on(const OpPtr& op, const Tsymlink& m);
    void on(const OpPtr& op, const Tmknod& m);
    void on(const OpPtr& op, const Tlink& m);
    void on(const OpPtr& op, const Trename& m);
    void on(const OpPtr& op, const Trenameat& m);
    void on(const OpPtr& op, const Tunlinkat& m);
    // op_attr.cpp
    void on(const OpPtr& op, const Tgetattr& m);
    void on(const OpPtr& op, const Tsetattr& m);
    void on(const OpPtr& op, const Tstatfs& m);
    void on(const OpPtr& op, const Treadlink& m);
    void on(const OpPtr& op, const Txattrwalk& m);
    void on(const OpPtr& op, const Txattrcreate& m);

  private:
    friend class Op;

    void dispatch(const OpPtr& op);
    void reset();
    void detach_all(bool silent);
    void drop_fids();

    // The fid `number`, for which `op` then acts; answers EBADF and gives null if there is none.
    // With `io` the fid's O_NONBLOCK counts.
    FidPtr use(const OpPtr& op, std::uint32_t number, bool io = false);
    // The same for a fid that is open as a file; EBADF otherwise.
    FidPtr use_open(const OpPtr& op, std::uint32_t number);
    // The same for a fid that is a directory in which `name` is to be made or removed.
    FidPtr use_dir(const OpPtr& op, std::uint32_t number, std::string_view name, bool removing);

    [[nodiscard]] Qid qid(const synthfs::Node& node);
    [[nodiscard]] Qid qid(const synthfs::Identity& identity, mode_t type, bool stream);

    // Open and create, for either dialect: R is the answer, `flags` O_* or nothing if they mean
    // nothing.
    template <class R>
    void open(const OpPtr& op, std::uint32_t number, std::optional<int> flags,
              bool remove_on_close);
    template <class R>
    void create(const OpPtr& op, std::uint32_t number, std::string_view name,
                std::optional<int> flags, mode_t mode, gid_t gid, bool remove_on_close);
    void make_directory(const OpPtr& op, const FidPtr& fid, std::string_view name, mode_t mode);
    // What is read of a directory in 9P2000: whole stat records (op_plain_dir.cpp).
    struct DirRead;
    void read_directory(const OpPtr& op, const FidPtr& fid, const Tread& m);
    [[nodiscard]] Stat stat_of(const synthfs::Attr& attr, const synthfs::Node& node,
                               std::string_view name, StatStrings& strings);
    void change_stat(const OpPtr& op, const FidPtr& fid, const synthfs::Attr& before,
                     const Stat& wanted);
    void rename_fid(const OpPtr& op, const PlacePtr& place, const std::string& name,
                    std::function<void()> then);

    void walk(const OpPtr& op, PlacePtr from, NameList names,
              std::function<void(PlacePtr, const QidList&, int)> then);
    void commit_xattr(const OpPtr& op, const FidPtr& fid);
    [[nodiscard]] bool read_in_place(const OpPtr& op, const Fid& fid, std::uint64_t offset,
                                     std::size_t count);
    void read_xattr(const OpPtr& op, const Fid& fid, const Tread& m);
    void write_xattr(const OpPtr& op, Fid& fid, std::uint64_t offset, Bytes data);
    template <class R>
    void rename(const OpPtr& op, PlacePtr from, std::string name, PlacePtr to,
                std::string new_name);
    void remove(const OpPtr& op, const PlacePtr& place, synthfs::Reply<> reply);
    [[nodiscard]] std::string lock_owner(std::string_view client_id) const;

    synthfs::NodePtr root_;
    ServerOptions options_;
    FidTable fids_;
    OpenLimit open_;
    QidMap qids_;
    std::unordered_map<std::uint16_t, OpPtr> ops_;  // by tag
    ServerCounters counters_;
    std::vector<std::span<std::byte>> places_;  // of read_in_place
    std::vector<Bytes> pieces_;                 // of a write from where its data are
    std::uint32_t msize_ = 0;                   // 0 until a version was agreed on
    Dialect dialect_ = Dialect::linux;
    bool ended_ = false, exception_logged_ = false;
};

// Runs `action` where no exception may pass.
template <class Action>
void guarded(const OpPtr& op, Action&& action) noexcept {
    try {
        action();
    } catch (const std::exception& exception) {
        op->session().caught(*op, exception.what());
    } catch (...) {
        op->session().caught(*op, "unknown exception");
    }
}

// The Reply that hands a value to `then` and answers a failure by itself. `failed` runs before
// that.
template <class T, class Then, class Failed>
synthfs::Reply<T> when(OpPtr op, Then then, Failed failed) {
    return [op = std::move(op), then = std::move(then),
            failed = std::move(failed)](synthfs::Result<T> result) {
        guarded(op, [&] {
            if (!op->live()) {
                op->fail(ECANCELED);  // nobody hears it, but the transport gets its memory back
            } else if (!result) {
                failed();
                op->fail(result.error());
            } else if constexpr (std::is_void_v<T>) {
                then();
            } else {
                then(std::move(result).value());
            }
        });
    };
}
template <class T, class Then>
synthfs::Reply<T> when(OpPtr op, Then then) {
    return when<T>(std::move(op), std::move(then), [] {});
}

// What a client may call a file: one path component, and no special one.
[[nodiscard]] inline bool is_component(std::string_view name) {
    return !name.empty() && name.find('/') == name.npos && name.find('\0') == name.npos;
}

}  // namespace ennead::p9
