// SPDX-License-Identifier: MIT
// The other end of a Server in tests: sends messages, keeps every reply in the order it came.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "p9/codec.h"
#include "p9/server.h"

namespace ennead::p9::test {

// An exchange over memory that somebody else owns and `owner` keeps alive.
[[nodiscard]] inline ExchangePtr make_exchange(Bytes request, std::span<std::byte> reply_space,
                                               std::function<void(std::size_t)> done,
                                               std::shared_ptr<void> owner) {
    class Borrowed final : public Exchange {
      public:
        Borrowed(Bytes request, std::span<std::byte> space, std::function<void(std::size_t)> done,
                 std::shared_ptr<void> owner)
            : owner_(std::move(owner)), request_(request), space_(space), done_(std::move(done)) {}

        Bytes request() const override { return request_; }
        std::span<std::byte> reply_space(std::size_t) override { return space_; }
        void done(std::size_t size) override { done_(size); }

      private:
        std::shared_ptr<void> owner_;
        Bytes request_;
        std::span<std::byte> space_;
        std::function<void(std::size_t)> done_;
    };
    return std::make_unique<Borrowed>(request, reply_space, std::move(done), std::move(owner));
}

inline Bytes bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}
inline std::string text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class M>
Buffer frame_of(std::uint16_t tag, const M& message) {
    Buffer frame(encoded_size(message));
    EXPECT_TRUE(encode_as(frame.span(), tag, message));
    return frame;
}

class Peer {
  public:
    struct Answer {
        std::size_t request = 0;  // counted from 0
        std::uint16_t tag = 0;
        bool dropped = false;  // returned without a reply
        Buffer bytes;
        Frame frame;
    };

    explicit Peer(synthfs::NodePtr root, Server::Options options = {}) {
        options.on_end = [this](std::string_view why) {
            ++ends;
            reason = why;
        };
        options.log = [this](LogLevel level, std::string_view line) {
            log.emplace_back(line);
            worst = std::min(worst, level);
        };
        server = std::make_unique<Server>(std::move(root), std::move(options));
    }
    // A peer that agreed on a version and attached fid 0 as root.
    static std::unique_ptr<Peer> attached(const synthfs::NodePtr& root, std::uint32_t msize = 65536,
                                          Server::Options options = {}) {
        auto peer = std::make_unique<Peer>(root, std::move(options));
        EXPECT_EQ(peer->call<Rversion>(Tversion{msize, kVersion}, kNoTag).version, kVersion);
        peer->call<Rattach>(Tattach{0, kNoFid, "root", "", 0});
        return peer;
    }

    // The same in 9P2000.
    static std::unique_ptr<Peer> plain(const synthfs::NodePtr& root, std::uint32_t msize = 65536,
                                       Server::Options options = {}) {
        auto peer = std::make_unique<Peer>(root, std::move(options));
        EXPECT_EQ(peer->call<Rversion>(Tversion{msize, kVersionPlain}, kNoTag).version,
                  kVersionPlain);
        peer->call<Rattach>(Tattach{0, kNoFid, "glenda", ""});
        return peer;
    }

    // `space` bounds the reply, as a virtqueue's chain does; 0 gives what is wanted.
    void raw(Bytes frame, std::uint16_t tag = 0, std::size_t space = 0) {
        class Recorded final : public Exchange {
          public:
            Recorded(Peer& peer, Bytes frame, std::uint16_t tag, std::size_t space)
                : alive_(peer.alive_),
                  peer_(peer),
                  number_(peer.requests++),
                  frame_(frame.size()),
                  tag_(tag),
                  space_(space) {
                std::copy(frame.begin(), frame.end(), frame_.span().begin());
            }
            Bytes request() const override { return frame_.span(); }
            std::span<std::byte> reply_space(std::size_t want) override {
                reply_ = Buffer(space_ != 0 ? space_ : want);
                return reply_.span();
            }
            std::span<const std::span<std::byte>> reply_places() override { return peer_.places_; }
            void done_in_place(std::size_t size) override {
                Buffer reply(size);
                std::size_t at = 0;
                for (const std::span<std::byte> place : peer_.places_) {
                    const auto part = place.first(std::min(place.size(), size - at));
                    std::copy(part.begin(), part.end(), reply.span().begin() + at);
                    at += part.size();
                }
                reply_ = std::move(reply);
                done(size);
            }
            void done(std::size_t size) override {
                if (alive_.expired()) {
                    ADD_FAILURE() << "answer after the end of the server";
                    return;
                }
                reply_.truncate(size);
                Answer answer{number_, tag_, size == 0, std::move(reply_), {}};
                if (size != 0) {
                    auto frame = decode(answer.bytes.span());
                    ASSERT_TRUE(frame) << frame.error().message();
                    answer.frame = std::move(frame).value();
                    EXPECT_EQ(answer.frame.tag, tag_);
                }
                peer_.answers.push_back(std::move(answer));
            }

          private:
            std::weak_ptr<int> alive_;
            Peer& peer_;
            const std::size_t number_;
            Buffer frame_, reply_;
            std::uint16_t tag_;
            std::size_t space_;
        };
        // Gone when the server has taken the request: whoever writes there later is seen by ASan.
        std::vector<Buffer> memory;
        for (std::size_t room = place_size == 0 ? 0
                                : space != 0    ? space
                                                : server->msize();
             room > 0;) {
            memory.emplace_back(std::min(place_size, room));
            places_.emplace_back(memory.back().span());
            room -= memory.back().size();
        }
        server->request(std::make_unique<Recorded>(*this, frame, tag, space));
        places_.clear();
    }
    template <class T>
    void send(const T& message, std::uint16_t tag, std::size_t space = 0) {
        raw(frame_of(tag, message).span(), tag, space);
    }

    // Sends and takes the answer, which must be there at once.
    template <class R, class T>
    R call(const T& message, std::uint16_t tag = 1, std::size_t space = 0) {
        const std::size_t before = answers.size();
        send(message, tag, space);
        if (answers.size() == before) {
            ADD_FAILURE() << "no answer to " << type_name(T::kType);
            return {};
        }
        const Answer& answer = answers.back();
        if (const R* r = std::get_if<R>(&answer.frame.message)) {
            return *r;
        }
        const auto* failure = std::get_if<Rlerror>(&answer.frame.message);
        ADD_FAILURE() << type_name(T::kType) << " answered by " << type_name(answer.frame.type)
                      << ' ' << (failure ? std::strerror(static_cast<int>(failure->ecode)) : "");
        return {};
    }
    template <class T>
    int error(const T& message, std::uint16_t tag = 1, std::size_t space = 0) {
        const std::size_t before = answers.size();
        send(message, tag, space);
        if (answers.size() == before) {
            ADD_FAILURE() << "no answer to " << type_name(T::kType);
            return -1;
        }
        const auto* failure = std::get_if<Rlerror>(&answers.back().frame.message);
        return failure ? static_cast<int>(failure->ecode) : 0;
    }

    // The text of an Rerror; empty if it was another answer.
    template <class T>
    std::string refusal(const T& message, std::uint16_t tag = 1, std::size_t space = 0) {
        const std::size_t before = answers.size();
        send(message, tag, space);
        if (answers.size() == before) {
            ADD_FAILURE() << "no answer to " << type_name(T::kType);
            return "no answer";
        }
        const auto* failure = std::get_if<Rerror>(&answers.back().frame.message);
        return failure ? std::string(failure->ename) : "";
    }

    Rwalk walk(std::uint32_t fid, std::uint32_t newfid,
               std::initializer_list<std::string_view> names) {
        return call<Rwalk>(walk_message(fid, newfid, names));
    }
    static Twalk walk_message(std::uint32_t fid, std::uint32_t newfid,
                              std::initializer_list<std::string_view> names) {
        Twalk message{fid, newfid, {}};
        for (const auto name : names) {
            message.names.push(name);
        }
        return message;
    }
    // Fid `newfid` open at `name` below fid 0.
    void open(std::uint32_t newfid, std::string_view name, std::uint32_t flags = 0) {
        walk(0, newfid, {name});
        call<Rlopen>(Tlopen{newfid, flags});
    }
    void open_plain(std::uint32_t newfid, std::string_view name, std::uint8_t mode = kOpenRead) {
        walk(0, newfid, {name});
        call<Ropen>(Topen{newfid, mode});
    }
    std::string read(std::uint32_t fid, std::uint64_t offset = 0, std::uint32_t count = 8192) {
        return text_of(call<Rread>(Tread{fid, offset, count}).data);
    }

    std::unique_ptr<Server> server;
    // Replies may be put straight into places of this size (Exchange::reply_places); 0: they may
    // not.
    std::size_t place_size = 0;
    std::size_t requests = 0;
    std::deque<Answer> answers;
    std::vector<std::string> log;
    LogLevel worst = LogLevel::trace;
    int ends = 0;
    std::string reason;

  private:
    std::vector<std::span<std::byte>> places_;
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace ennead::p9::test
