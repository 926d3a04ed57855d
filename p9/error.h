// SPDX-License-Identifier: MIT
// What can be wrong with a 9P conversation itself, as opposed to with the file that was asked for.
#pragma once

#include <string>
#include <system_error>
#include <type_traits>

namespace ennead::p9 {

enum class Error {
    short_frame = 1,  // not even size[4] type[1] tag[2]
    wrong_size,       // the size field is not the number of bytes that came
    oversized_frame,  // larger than the msize agreed on
    unknown_type,     // no such message
    bad_body,         // a field reaches past the end, a count is out of range
    trailing_bytes,   // more bytes than the message has fields
    unexpected_type,  // a reply where a request belongs, or the reply to something else
    unknown_tag,      // a reply to nothing
    bad_reply,        // a reply that breaks a promise of the protocol
    bad_version,      // the other side speaks no version of ours
};

// Every one of them is EPROTO to whoever asked for a file, but for bad_version: EPROTONOSUPPORT.
[[nodiscard]] const std::error_category& error_category();
[[nodiscard]] inline std::error_code make_error_code(Error error) {
    return {static_cast<int>(error), error_category()};
}

}  // namespace ennead::p9

template <>
struct std::is_error_code_enum<ennead::p9::Error> : std::true_type {};
