// SPDX-License-Identifier: MIT
// A failure with words: the errno that the caller gets, and the text and place that go to an
// `error` file.
#pragma once

#include <boost/outcome/policy/terminate.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <system_error>

#include "synthfs/result.h"

namespace ennead::synthfs {

struct Fault {
    int errnum = EINVAL;
    std::string text;     // one line, no newline
    std::string command;  // the line at fault; empty if there is none or it is obvious
    std::optional<std::size_t> column;  // byte position in `command` of the word at fault
};

template <class T = void>
using Checked =
    BOOST_OUTCOME_V2_NAMESPACE::std_result<T, Fault, BOOST_OUTCOME_V2_NAMESPACE::policy::terminate>;

// As Reply<T> (request.h): called exactly once, possibly before the call that was given it returns.
template <class T = void>
using CheckedReply = std::function<void(Checked<T>)>;

// A fault with a text formatted as by printf(3).
[[nodiscard, gnu::format(printf, 2, 3)]] Fault make_fault(int errnum, const char* format, ...);

// The fault that stands for `code`, with the system's words for it.
[[nodiscard]] Fault fault_of(const std::error_code& code);

// What an `error` file keeps of one failed operation.
struct ErrorRecord {
    int errnum = 0;
    int pid = 0;       // of the caller; 0 when unknown
    std::string file;  // name of the file within its directory
    std::string text;
    std::string command;
    std::optional<std::size_t> column;
};

// May be empty: nobody listens.
using ErrorSink = std::function<void(ErrorRecord)>;

}  // namespace ennead::synthfs
