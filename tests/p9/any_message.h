// SPDX-License-Identifier: MIT
// Messages whose fields are likely to mean something, by the choices of a source: random numbers,
// or the bytes of a fuzzer's input.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "p9/codec.h"
#include "tests/p9/peer.h"

namespace ennead::p9::test {

// What makes choices: below(n) is one of 0 … n - 1.
template <class S>
concept ChoiceSource = requires(S source) {
    { source.below(std::uint64_t{2}) } -> std::convertible_to<std::uint64_t>;
};

// Names of the tests' trees (test_tree.h), and others.
inline constexpr std::string_view kLikelyTexts[] = {"hello",  "dir",    "inner", "deep", "link",
                                                    "stream", "new",    "..",    ".",    "",
                                                    "a/b",    "user.x", "fifo"};

// An archive (wire.h) that fills fields. `texts` live as long as the message.
template <ChoiceSource Source>
class Likely {
  public:
    explicit Likely(Source& source, std::span<const std::string_view> texts = kLikelyTexts)
        : source_(source), texts_(texts) {}

    template <class... Field>
    void operator()(Field&... fields) {
        (field(fields), ...);
    }
    template <class Field>
    void optional(Field& value) {
        field(value);
    }
    template <std::unsigned_integral T>
    void field(T& value) {
        switch (source_.below(12)) {
            case 0:
                value = static_cast<T>(~T{0} - source_.below(3));
                break;
            case 1:
                value = static_cast<T>(1ull << source_.below(8 * sizeof(T)));
                break;
            case 2:
                value = static_cast<T>(source_.below(0x10000));
                break;
            default:
                value = static_cast<T>(source_.below(7));
        }
    }
    void field(std::string_view& value) { value = texts_[source_.below(texts_.size())]; }
    void field(Bytes& value) {
        value = bytes_of("some data to be written").first(source_.below(23));
    }
    void field(Qid& value) { (*this)(value.type, value.version, value.path); }
    template <class T>
    void field(WalkList<T>& value) {
        value.count = static_cast<std::uint16_t>(source_.below(5));
        for (std::size_t i = 0; i < value.count; ++i) {
            field(value.items[i]);
        }
    }

  private:
    Source& source_;
    std::span<const std::string_view> texts_;
};

// The frame of alternative `which` of Message.
template <ChoiceSource Source>
Buffer message_at(std::size_t which, Source& source, std::uint16_t tag,
                  std::span<const std::string_view> texts = kLikelyTexts) {
    Buffer frame;
    const auto make = [&]<std::size_t... I>(std::index_sequence<I...>) {
        const auto one = [&]<class M>(M message) {
            Likely<Source> likely(source, texts);
            M::fields(message, likely);
            frame = frame_of(tag, message);
        };
        ((I == which ? one(std::variant_alternative_t<I, Message>{}) : void()), ...);
    };
    make(std::make_index_sequence<std::variant_size_v<Message>>{});
    return frame;
}

template <ChoiceSource Source>
Buffer any_message(Source& source, std::uint16_t tag) {
    const std::size_t which = source.below(std::variant_size_v<Message>);
    return message_at(which, source, tag);
}

// A few bytes changed, or the end cut, with the size field put right more often than not.
template <ChoiceSource Source>
Buffer mutated(Source& source, const Buffer& frame) {
    Buffer copy(frame.size());
    std::copy_n(frame.span().begin(), frame.size(), copy.span().begin());
    for (std::size_t n = source.below(4); n > 0; --n) {
        const std::size_t at = source.below(copy.size());
        copy.span()[at] = static_cast<std::byte>(source.below(256));
    }
    if (source.below(4) == 0) {
        copy.truncate(source.below(copy.size() + 1));
    }
    if (source.below(4) != 0 && copy.size() >= 4) {
        const auto size = static_cast<std::uint32_t>(copy.size());
        Writer(copy.span()).field(size);
    }
    return copy;
}

inline std::uint16_t tag_of(Bytes frame) {
    std::uint16_t tag = 0;
    if (frame.size() >= kHeaderSize) {
        Reader(frame.subspan(5)).field(tag);
    }
    return tag;
}

}  // namespace ennead::p9::test
