// SPDX-License-Identifier: MIT
// Little-endian numbers, strings and counted data over a span of bytes; every length is checked
// before use.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string_view>

namespace ennead::p9 {

// Bytes that are owned, movable and not cleared first: frames of half a megabyte are filled right
// after.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t size)
        : bytes_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}

    [[nodiscard]] std::span<std::byte> span() { return {bytes_.get(), size_}; }
    [[nodiscard]] std::span<const std::byte> span() const { return {bytes_.get(), size_}; }
    [[nodiscard]] std::size_t size() const { return size_; }
    // Only ever shorter; the memory stays.
    void truncate(std::size_t size) { size_ = size < size_ ? size : size_; }

  private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t size_ = 0;
};

inline constexpr std::size_t kMaxString = 65535;  // 9P: s[s] has a 16-bit length
inline constexpr std::size_t kMaxNames = 16;      // 9P, walk(5): MAXWELEM

struct Qid {
    std::uint8_t type = 0;
    std::uint32_t version = 0;
    std::uint64_t path = 0;

    bool operator==(const Qid&) const = default;
};

// The names of a Twalk and the qids of an Rwalk: at most sixteen, so they need no memory of their
// own.
template <class T>
struct WalkList {
    std::uint16_t count = 0;
    std::array<T, kMaxNames> items{};

    void push(const T& item) { items[count++] = item; }
    [[nodiscard]] std::span<const T> span() const { return {items.data(), count}; }
    bool operator==(const WalkList&) const = default;
};
using NameList = WalkList<std::string_view>;
using QidList = WalkList<Qid>;

using Bytes = std::span<const std::byte>;

// Reads fields in order. After the first field that does not fit, ok() is false for good and every
// further field is left at zero. Strings and data are views into the frame.
class Reader {
  public:
    explicit Reader(Bytes bytes) : left_(bytes) {}

    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] std::size_t left() const { return left_.size(); }

    template <class... Field>
    void operator()(Field&... fields) {
        (field(fields), ...);
    }
    // A field that older peers leave out at the end of a message.
    template <class Field>
    void optional(Field& value) {
        if (ok_ && !left_.empty()) {
            field(value);
        }
    }

    template <std::unsigned_integral T>
    void field(T& value) {
        value = 0;
        const Bytes raw = take(sizeof(T));
        for (std::size_t i = 0; i < raw.size(); ++i) {
            value |= static_cast<T>(static_cast<T>(raw[i]) << (8 * i));
        }
    }
    void field(std::string_view& value) {
        std::uint16_t length = 0;
        field(length);
        const Bytes raw = take(length);
        value = {reinterpret_cast<const char*>(raw.data()), raw.size()};
    }
    void field(Bytes& value) {
        std::uint32_t length = 0;
        field(length);
        value = take(length);
    }
    void field(Qid& value) { (*this)(value.type, value.version, value.path); }
    template <class T>
    void field(WalkList<T>& value) {
        field(value.count);
        if (value.count > kMaxNames) {
            ok_ = false;
            value.count = 0;
        }
        for (std::size_t i = 0; i < value.count; ++i) {
            field(value.items[i]);
        }
    }

  private:
    Bytes take(std::size_t size) {
        if (!ok_ || size > left_.size()) {
            ok_ = false;
            return {};
        }
        const Bytes taken = left_.first(size);
        left_ = left_.subspan(size);
        return taken;
    }

    Bytes left_;
    bool ok_ = true;
};

// Writes fields in order. What does not fit is not written and ok() is false for good. A Writer
// without room (default-constructed) only counts: size() is then what the fields would take.
class Writer {
  public:
    Writer() : counting_(true) {}
    explicit Writer(std::span<std::byte> room) : room_(room) {}

    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] std::size_t size() const { return used_; }

    template <class... Field>
    void operator()(const Field&... fields) {
        (field(fields), ...);
    }
    template <class Field>
    void optional(const Field& value) {
        field(value);
    }

    template <std::unsigned_integral T>
    void field(T value) {
        std::array<std::byte, sizeof(T)> raw;
        for (std::size_t i = 0; i < raw.size(); ++i) {
            raw[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
        }
        put(raw);
    }
    void field(std::string_view value) {
        if (value.size() > kMaxString) {
            ok_ = false;
            return;
        }
        field(static_cast<std::uint16_t>(value.size()));
        put(std::as_bytes(std::span(value)));
    }
    void field(Bytes value) {
        if (value.size() > std::numeric_limits<std::uint32_t>::max()) {
            ok_ = false;
            return;
        }
        field(static_cast<std::uint32_t>(value.size()));
        put(value);
    }
    void field(const Qid& value) { (*this)(value.type, value.version, value.path); }
    template <class T>
    void field(const WalkList<T>& value) {
        field(value.count);
        for (const T& item : value.span()) {
            field(item);
        }
    }

  private:
    void put(Bytes raw) {
        if (!counting_) {
            if (!ok_ || raw.size() > room_.size() - used_) {
                ok_ = false;
                return;
            }
            // Data read straight into its place in the reply is already there.
            if (!raw.empty() && room_.data() + used_ != raw.data()) {
                std::memmove(room_.data() + used_, raw.data(), raw.size());
            }
        }
        used_ += raw.size();
    }

    std::span<std::byte> room_;
    std::size_t used_ = 0;
    bool counting_ = false;
    bool ok_ = true;
};

}  // namespace ennead::p9
