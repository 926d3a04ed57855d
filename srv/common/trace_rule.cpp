// SPDX-License-Identifier: MIT
// Parses what is to be traced.
#include "srv/common/trace_rule.h"

#include <cctype>
#include <cerrno>

#include "synthfs/result.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Fault;
using synthfs::make_fault;
using synthfs::Word;
using vmcore::TraceRule;
using vmcore::u32;
using vmcore::u8;

constexpr std::string_view kCr3 = "cr3=";

Fault fault_at(const Word& word, const char* text) {
    Fault fault = make_fault(EINVAL, "%s", text);
    fault.column = word.column;
    return fault;
}

u8 kind_of(const std::string& word) {
    constexpr std::pair<std::string_view, u8> kKinds[] = {
        {"insn", TraceRule::kInsn}, {"irq", TraceRule::kIrq},   {"exc", TraceRule::kExc},
        {"io", TraceRule::kPort},   {"mmio", TraceRule::kMmio}, {"9p", TraceRule::kMessage}};
    for (const auto& [name, kind] : kKinds) {
        if (word == name) {
            return kind;
        }
    }
    return 0;
}

Checked<u32> parse_address(const Word& word, std::size_t from, std::size_t length) {
    const auto number = synthfs::parse_number({word.text.substr(from, length), word.column + from},
                                              {.max = ~u32{0}});
    if (!number) {
        return number.error();
    }
    return static_cast<u32>(number.value());
}

Checked<TraceRule::Range> parse_range(const Word& word) {
    const std::size_t dash = word.text.find('-');
    const auto first = parse_address(word, 0, dash);
    if (!first) {
        return first.error();
    }
    const auto last =
        dash == std::string::npos ? first : parse_address(word, dash + 1, std::string::npos);
    if (!last) {
        return last.error();
    }
    if (last.value() < first.value()) {
        return fault_at(word, "the range ends before it begins");
    }
    return TraceRule::Range{first.value(), last.value()};
}

Checked<> add_filter(TraceRule& rule, const Word& word) {
    if (word.text.starts_with(kCr3)) {
        const auto value = parse_address(word, kCr3.size(), std::string::npos);
        if (!value) {
            return value.error();
        }
        if (rule.cr3) {
            return fault_at(word, "a line has one cr3; another line adds another");
        }
        rule.cr3 = value.value() & ~vmcore::kCr3Flags;
        return synthfs::success();
    }
    if (word.text.empty() || std::isdigit(static_cast<unsigned char>(word.text.front())) == 0) {
        return fault_at(word, "not one of insn irq exc io mmio 9p, lo-hi, cr3=0x...");
    }
    const auto range = parse_range(word);
    if (!range) {
        return range.error();
    }
    rule.ranges.push_back(range.value());
    return synthfs::success();
}

}  // namespace

Checked<TraceRule> parse_trace(const synthfs::Command& command) {
    TraceRule rule;
    for (std::size_t n = 0; n < command.arg_count(); ++n) {
        const Word& word = command.arg(n);
        if (const u8 kind = kind_of(word.text)) {
            rule.kinds |= kind;
        } else if (const auto added = add_filter(rule, word); !added) {
            return added.error();
        }
    }
    if (rule.kinds == 0) {
        return fault_at(command.words.back(), "no kind: insn, irq, exc, io, mmio or 9p");
    }
    if ((rule.kinds & TraceRule::kMessage) != 0 && (!rule.ranges.empty() || rule.cr3)) {
        return make_fault(EINVAL, "9p knows no filter");
    }
    return rule;
}

Checked<> check_trace(const synthfs::Command& command) {
    const auto rule = parse_trace(command);
    return rule ? Checked<>(synthfs::success()) : rule.error();
}

}  // namespace ennead::srv
