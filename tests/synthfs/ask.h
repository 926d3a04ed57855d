// SPDX-License-Identifier: MIT
// Calls nodes and handles as plain functions, and keeps what has not been answered yet.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "synthfs/error_log.h"
#include "synthfs/node.h"

namespace ennead::synthfs::test {

inline RequestPtr request(bool nonblocking = false, unsigned uid = 0) {
    return std::make_shared<Request>(Caller{uid, uid, 42}, nonblocking);
}

// The answer of an operation that has already come.
template <class T = void>
class Asked {
  public:
    Reply<T> reply() {
        return [slot = slot_](Result<T> result) {
            EXPECT_FALSE(slot->has_value()) << "answered twice";
            slot->emplace(std::move(result));
        };
    }
    [[nodiscard]] bool answered() const { return slot_->has_value(); }
    // 0, or the errno of the answer; -1 if there is none yet.
    [[nodiscard]] int errnum() const {
        return !answered() ? -1 : slot_->value() ? 0 : to_errno(slot_->value().error());
    }
    [[nodiscard]] auto& value() { return slot_->value().value(); }

  private:
    std::shared_ptr<std::optional<Result<T>>> slot_ = std::make_shared<std::optional<Result<T>>>();
};

struct Opened {
    HandlePtr handle;
    int errnum = 0;
};

inline Opened open(const NodePtr& node, int flags) {
    Asked<HandlePtr> asked;
    node->open(request(), flags, asked.reply());
    if (asked.errnum() != 0) {
        return {nullptr, asked.errnum()};
    }
    return {asked.value(), 0};
}

// A read that may wait: keeps its buffer and its request.
struct PendingRead {
    RequestPtr request;
    std::vector<std::byte> buffer;
    Asked<std::size_t> asked;

    [[nodiscard]] bool answered() const { return asked.answered(); }
    [[nodiscard]] int errnum() const { return asked.errnum(); }
    // What was read, or the errno in words a failing test can show.
    [[nodiscard]] std::string text() {
        if (errnum() != 0) {
            return "errno " + std::to_string(errnum());
        }
        return {reinterpret_cast<const char*>(buffer.data()), asked.value()};
    }
};

inline std::unique_ptr<PendingRead> start_read(const HandlePtr& handle, std::uint64_t offset = 0,
                                               std::size_t size = 4096, bool nonblocking = false) {
    auto read = std::make_unique<PendingRead>();
    read->request = request(nonblocking);
    read->buffer.resize(size);
    handle->read(read->request, offset, read->buffer, read->asked.reply());
    return read;
}

inline std::string read(const HandlePtr& handle, std::uint64_t offset = 0, std::size_t size = 4096,
                        bool nonblocking = false) {
    return start_read(handle, offset, size, nonblocking)->text();
}

// As cat(1) reads: everything to the end of the file.
inline std::string read_all(const NodePtr& node) {
    const Opened opened = open(node, O_RDONLY);
    if (!opened.handle) {
        return "errno " + std::to_string(opened.errnum);
    }
    std::string all;
    for (std::string piece; !(piece = read(opened.handle, all.size(), 7)).empty();) {
        if (piece.starts_with("errno ")) {
            return piece;
        }
        all += piece;
    }
    return all;
}

// 0 if all of it was taken.
inline int write(const HandlePtr& handle, std::string_view text) {
    Asked<std::size_t> asked;
    handle->write(request(), 0, std::as_bytes(std::span(text.data(), text.size())), asked.reply());
    if (asked.errnum() == 0) {
        EXPECT_EQ(asked.value(), text.size());
    }
    return asked.errnum();
}

// As a shell's `echo text > file` with the flags given.
inline int write_once(const NodePtr& node, std::string_view text, int flags = O_WRONLY | O_TRUNC) {
    const Opened opened = open(node, flags);
    return opened.handle ? write(opened.handle, text) : opened.errnum;
}

inline Attr getattr(const NodePtr& node) {
    Asked<Attr> asked;
    node->getattr(request(), asked.reply());
    EXPECT_EQ(asked.errnum(), 0);
    return asked.value();
}

inline int getattr_errnum(const NodePtr& node) {
    Asked<Attr> asked;
    node->getattr(request(), asked.reply());
    return asked.errnum();
}

// 0, or why `change` was not made.
inline int setattr(const NodePtr& node, const SetAttr& change, unsigned uid = 0) {
    Asked<> asked;
    node->setattr(request(false, uid), change, asked.reply());
    return asked.errnum();
}

// Null if there is no such name.
inline NodePtr walk(const NodePtr& node, std::string name) {
    Asked<NodePtr> asked;
    node->walk(request(), std::move(name), asked.reply());
    return asked.errnum() == 0 ? asked.value() : nullptr;
}

inline std::shared_ptr<ErrorLog> error_log() {
    return ErrorLog::make(8, [] { return std::uint64_t{1000}; });
}

}  // namespace ennead::synthfs::test
