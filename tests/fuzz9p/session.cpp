// SPDX-License-Identifier: MIT
#include "tests/fuzz9p/session.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "p9/describe.h"
#include "tests/fuzz9p/input.h"
#include "tests/fuzz9p/trees.h"
#include "tests/p9/any_message.h"
#include "tests/p9/peer.h"

namespace ennead::fuzz9p {
namespace {

using p9::Buffer;
using p9::Bytes;
using p9::Type;
using p9::test::Peer;

// As long as a name may be, and longer.
const std::string kLongest(255, 'n'), kTooLong(256, 'n');

const std::string_view kTexts[] = {
    // clang-format off
    "hello", "dir", "inner", "deep", "link", "stream", "new", "..", ".", "", "a/b", "user.x", "fifo", "out",
    "outsecret", "../secret", "/", "host", "ro", "ram", "world", "union", "over", "slow", "away", "root", "work",
    "security.capability", "user.ennead.attr", "system.posix_acl_access", "trusted.overlay.whiteout", "9P2000.L",
    "9P2000", "/proc/self/fd/3", "name\nof two lines", kLongest, kTooLong,
    // clang-format on
};

enum Options : std::uint8_t {
    kPlain = 1 << 0,       // 9P2000, not 9P2000.L
    kLittle = 1 << 1,      // few fids, open files and pending requests
    kPutOff = 1 << 2,      // what may wait for a disk does
    kInPlace = 1 << 3,     // replies may be put where a guest wants them
    kAsUser = 1 << 4,      // the client is not root
    kGuest = 1 << 5,       // a server as machines have it: of v9fs, with steady versions
    kSmallFrames = 1 << 6  // msize 4096
};

[[noreturn]] void found(const std::string& what) {
    std::fprintf(stderr, "FOUND: %s\n", what.c_str());
    std::abort();
}

std::size_t open_descriptors() {
    DIR* const directory = ::opendir("/proc/self/fd");
    std::size_t count = 0;
    while (directory != nullptr && ::readdir(directory) != nullptr) {
        ++count;
    }
    ::closedir(directory);
    return count;
}

// The alternatives of Message that a client may send, and by their number.
struct Requests {
    std::vector<std::size_t> all;
    std::array<std::optional<std::size_t>, 256> by_type{};

    Requests() { fill(std::make_index_sequence<std::variant_size_v<p9::Message>>{}); }
    template <std::size_t... I>
    void fill(std::index_sequence<I...>) {
        (add(I, std::variant_alternative_t<I, p9::Message>::kType), ...);
    }
    void add(std::size_t index, Type type) {
        if (p9::is_request(type)) {
            all.push_back(index);
            by_type[static_cast<std::size_t>(type)] = index;
        }
    }
    [[nodiscard]] std::size_t at(std::uint8_t byte) const {
        return by_type[byte].value_or(all[byte % all.size()]);
    }
};

class Session {
  public:
    Session(Ground& ground, Input& input, bool told)
        : ground_(ground),
          input_(input),
          told_(told),
          kind_(static_cast<Kind>(input.below(kKinds))),
          options_(input.byte()),
          trees_(ground, kind_, has(kPutOff)),
          peer_(std::make_unique<Peer>(trees_.root(), server_options())) {
        peer_->place_size = has(kInPlace) ? 1000 : 0;
    }

    void run() {
        begin();
        while (!input_.empty() && peer_->ends == 0) {
            step();
        }
        const std::size_t answers = peer_->answers.size();
        peer_->server.reset();
        trees_.settle();
        if (peer_->answers.size() != answers) {
            found("an answer after the end of the server");
        }
    }

  private:
    [[nodiscard]] bool has(Options option) const { return (options_ & option) != 0; }

    p9::ServerOptions server_options() const {
        p9::ServerOptions options;
        options.max_msize = has(kSmallFrames) ? p9::kMinMsize : 64 * 1024;
        if (has(kLittle)) {
            options.max_fids = 9;
            options.max_open = 4;
            options.max_pending = 3;
        }
        options.steady_versions = options.reads_on = has(kGuest);
        if (has(kAsUser)) {
            options.caller = synthfs::Caller{1000, 1000};
        }
        return options;
    }

    template <class M>
    void send(const M& message) {
        give(p9::test::frame_of(1, message), 0);
    }
    void walk_to(std::uint32_t fid, std::initializer_list<std::string_view> names) {
        p9::Twalk walk{0, fid, {}};
        if (!trees_.place().empty()) {
            walk.names.push(trees_.place());
        }
        for (const std::string_view name : names) {
            walk.names.push(name);
        }
        send(walk);
    }
    void open(std::uint32_t fid, std::uint8_t mode) {
        has(kPlain) ? send(p9::Topen{fid, mode}) : send(p9::Tlopen{fid, mode});
    }
    // What inputs would hardly come to by themselves: fid 0 is the root, 1 a file, 2 a directory, 3
    // a file in it that is open, 4 the first one once more, open to be written. 5 and 6 are free.
    void begin() {
        send(p9::Tversion{64 * 1024, has(kPlain) ? p9::kVersionPlain : p9::kVersion});
        send(p9::Tattach{0, p9::kNoFid, "root", "", 0});
        if (kind_ == Kind::ram && !has(kPlain)) {
            send(p9::Tmkdir{0, "dir", 0755, 0});
            for (const auto& [name, parent] : {std::pair{"hello", ""}, {"inner", "dir"}}) {
                *parent == 0 ? walk_to(1, {}) : walk_to(1, {parent});
                send(p9::Tlcreate{1, name, O_CREAT | O_RDWR, 0644, 0});
                send(p9::Tclunk{1});
            }
        }
        walk_to(1, {"hello"});
        walk_to(2, {"dir"});
        walk_to(3, {"dir", "inner"});
        open(3, p9::kOpenRead);
        walk_to(4, {"hello"});
        open(4, p9::kOpenReadWrite);
    }

    void step() {
        bool damaged = false;
        std::size_t space = 0;
        for (;;) {
            const std::uint8_t kind = input_.byte();
            if (kind < 224) {
                message(kind, damaged, space);
                return;
            }
            if (kind >= 248 && kind < 251 && !input_.empty()) {
                damaged = true;
                continue;
            }
            if (kind >= 251 && kind < 254 && !input_.empty()) {
                space = 11 + input_.below(50);
                continue;
            }
            surroundings(kind);
            return;
        }
    }

    void message(std::uint8_t kind, bool damaged, std::size_t space) {
        const auto tag = static_cast<std::uint16_t>(input_.below(30));
        Buffer frame = kind == static_cast<std::uint8_t>(Type::twstat)
                           ? wstat(tag)
                           : p9::test::message_at(requests().at(kind), input_, tag, kTexts);
        if (damaged) {
            frame = p9::test::mutated(input_, frame);
        }
        give(frame, space);
    }

    // Its stat is bytes to the message, which would hardly ever be one by chance.
    Buffer wstat(std::uint16_t tag) {
        p9::Stat stat;
        p9::Twstat message;
        p9::test::Likely likely(input_, kTexts);
        likely.field(message.fid);
        p9::Stat::fields(stat, likely);
        const std::string bytes = p9::encode_stat(stat);
        message.stat = bytes;
        return p9::test::frame_of(tag, message);
    }

    void surroundings(std::uint8_t kind) {
        if (kind < 232) {
            ground_.disturb(input_.below(Ground::kDisturbances));
        } else if (kind < 240) {
            trees_.rebind(input_.below(Trees::kBindLines));
        } else if (kind < 244) {
            trees_.settle();
        } else if (kind < 248) {
            trees_.feed(kind == 247);
        } else if (kind == 254) {
            const auto bytes = input_.take(input_.byte());
            Buffer frame(bytes.size());
            std::copy_n(std::as_bytes(bytes).begin(), bytes.size(), frame.span().begin());
            give(frame, 0);
            return;
        } else if (kind == 255 && kind_ != Kind::names) {
            trees_.rebind(0);
        }
        look();
    }

    void give(const Buffer& frame, std::size_t space) {
        const std::uint16_t tag = p9::test::tag_of(frame.span());
        if (const auto decoded = p9::decode(frame.span()); decoded) {
            const p9::Message& message = decoded.value().message;
            for (auto& [number, asked] : asked_) {
                const auto* flush = std::get_if<p9::Tflush>(&message);
                asked.forgotten |= std::holds_alternative<p9::Tversion>(message);
                asked.flushed |= flush != nullptr && flush->oldtag == asked.tag;
            }
            asked_.try_emplace(peer_->requests, tag, decoded.value().type);
        }
        if (told_) {
            std::fprintf(stderr, "-> %s\n", p9::describe(frame.span()).c_str());
        }
        peer_->raw(frame.span(), tag, space);
        look();
    }

    // At what was answered since the last look.
    void look() {
        for (; seen_ < peer_->answers.size(); ++seen_) {
            judge(peer_->answers[seen_]);
        }
        const auto pending = static_cast<std::size_t>(
            std::count_if(asked_.begin(), asked_.end(),
                          [](const auto& asked) { return !asked.second.forgotten; }));
        if (peer_->ends == 0 && peer_->server->pending() != pending) {
            found(std::to_string(pending) + " requests were not answered, but " +
                  std::to_string(peer_->server->pending()) + " are pending");
        }
        if (kind_ != Kind::names && peer_->worst == p9::LogLevel::error) {
            found(peer_->log.back());
        }
    }

    void judge(const Peer::Answer& answer) {
        if (told_) {
            std::fprintf(stderr, "<- %s\n",
                         answer.dropped ? "nothing" : p9::describe(answer.bytes.span()).c_str());
        }
        const auto asked = asked_.find(answer.request);
        if (asked == asked_.end()) {
            found("one answer more: " + p9::describe(answer.bytes.span()));
        }
        const auto [tag, type, forgotten, flushed] = asked->second;
        asked_.erase(asked);
        if (answer.dropped ? !forgotten && !flushed && peer_->ends == 0
                           : forgotten || (answer.frame.type != p9::reply_type(type) &&
                                           answer.frame.type != Type::rlerror &&
                                           answer.frame.type != Type::rerror)) {
            found(std::string("not the answer to ") + std::string(p9::type_name(type)));
        }
        if (p9::test::text_of(answer.bytes.span()).find(ground_.secret()) != std::string::npos) {
            found("the outside shows: " + p9::describe(answer.bytes.span()));
        }
    }

    static const Requests& requests() {
        static const Requests all;
        return all;
    }

    Ground& ground_;
    Input& input_;
    const bool told_;
    const Kind kind_;
    const std::uint8_t options_;
    Trees trees_;
    std::unique_ptr<Peer> peer_;
    std::size_t seen_ = 0;
    // A request that is not answered yet.
    struct Asked {
        Asked(std::uint16_t tag, Type type) : tag(tag), type(type) {}
        std::uint16_t tag;
        Type type;
        bool forgotten = false;  // a Tversion came after it
        bool flushed = false;
    };
    std::map<std::size_t, Asked> asked_;  // by number
};

}  // namespace

void run_session(Ground& ground, std::span<const std::uint8_t> bytes, bool told) {
    ground.restore();
    const std::size_t descriptors = open_descriptors();
    {
        Input input(bytes);
        Session(ground, input, told).run();
    }
    if (const std::size_t now = open_descriptors(); now != descriptors) {
        found(std::to_string(now) + " descriptors are open, and were " +
              std::to_string(descriptors));
    }
    if (const std::string complaint = ground.complaint(); !complaint.empty()) {
        found(complaint);
    }
}

}  // namespace ennead::fuzz9p
