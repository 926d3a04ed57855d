// SPDX-License-Identifier: MIT
// Parses and prints breakpoints, and joins lists of them.
#include "srv/ennead-vm/bp_list.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "synthfs/result.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Command;
using synthfs::Fault;
using synthfs::make_fault;
using vmcore::Breakpoint;
using vmcore::BreakpointKind;

// Longer ones would hardly ever not be hit.
constexpr std::uint64_t kLongest = 4096;

Checked<BreakpointKind> parse_kind(const synthfs::Word& word) {
    BreakpointKind kind;
    for (const char letter : word.text) {
        bool* const which = letter == 'r'   ? &kind.read
                            : letter == 'w' ? &kind.write
                            : letter == 'x' ? &kind.execute
                                            : nullptr;
        if (which == nullptr || *which) {
            kind = {};
            break;
        }
        *which = true;
    }
    if (kind == BreakpointKind{}) {
        Fault fault =
            make_fault(EINVAL, "the kind is of the letters r, w and x, each once at most");
        fault.column = word.column;
        return fault;
    }
    return kind;
}

Checked<Breakpoint> parse_line(const Command& line) {
    constexpr std::uint64_t kEnd = std::uint64_t{1} << 32;
    if (line.arg_count() < 1 || line.arg_count() > 3) {
        return make_fault(EINVAL, "a line is `kinds address [length [hits]]`");
    }
    const auto kind = parse_kind(line.words[0]);
    if (!kind) {
        return kind.error();
    }
    const auto address = synthfs::parse_number(line.arg(0), {.max = kEnd - 1});
    if (!address) {
        return address.error();
    }
    Breakpoint made{.kind = kind.value(),
                    .address = vmcore::LinearAddr{static_cast<vmcore::u32>(address.value())}};
    if (line.arg_count() > 1) {
        const std::uint64_t most =
            made.kind.execute ? 1 : std::min(kLongest, kEnd - address.value());
        const auto length = synthfs::parse_number(line.arg(1), {1, most});
        if (!length) {
            return length.error();
        }
        made.length = static_cast<vmcore::u32>(length.value());
    }
    if (line.arg_count() > 2) {
        const auto hits = synthfs::parse_number(line.arg(2));
        if (!hits) {
            return hits.error();
        }
        made.hits = hits.value();
    }
    return made;
}

}  // namespace

std::string kind_text(BreakpointKind kind) {
    return std::string(kind.read ? "r" : "") + (kind.write ? "w" : "") + (kind.execute ? "x" : "");
}

std::string address_text(vmcore::LinearAddr address) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%08x", vmcore::raw(address));
    return text;
}

std::string print_breakpoints(const BreakpointList& list) {
    std::string text;
    for (const Breakpoint& b : list) {
        text += kind_text(b.kind) + ' ' + address_text(b.address) + ' ' + std::to_string(b.length) +
                ' ' + std::to_string(b.hits) + '\n';
    }
    return text;
}

Checked<BreakpointList> parse_breakpoints(std::string_view text) {
    const auto lines = synthfs::parse_commands(text);
    if (!lines) {
        return lines.error();
    }
    BreakpointList list;
    for (const Command& line : lines.value()) {
        auto made = parse_line(line);
        if (!made) {
            Fault fault = made.error();
            fault.command = line.line;
            return fault;
        }
        list.push_back(made.value());
    }
    return list;
}

Checked<> add_breakpoints(BreakpointList& list, const BreakpointList& more) {
    BreakpointList sum = list;
    for (const Breakpoint& b : more) {
        const auto same = std::ranges::find_if(sum, [&](const Breakpoint& other) {
            return other.kind == b.kind && other.address == b.address && other.length == b.length;
        });
        if (same != sum.end()) {
            *same = b;
        } else {
            sum.push_back(b);
        }
    }
    if (sum.size() > vmcore::Breakpoints::kMost) {
        return make_fault(ENOSPC, "there can be %zu breakpoints", vmcore::Breakpoints::kMost);
    }
    list = std::move(sum);
    return synthfs::success();
}

}  // namespace ennead::srv
