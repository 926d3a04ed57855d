// SPDX-License-Identifier: MIT
// Prints what a tracer tells.
#include "vmcore/machine/trace_text.h"

#include <cctype>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "vmcore/cpu/decode/print.h"

namespace ennead::vmcore {
namespace {

constexpr const char* kNames[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

__attribute__((format(printf, 2, 3))) void add(std::string& to, const char* format, ...) {
    char buffer[128];
    std::va_list args;
    va_start(args, format);
    std::vsnprintf(buffer, sizeof buffer, format, args);
    va_end(args);
    to += buffer;
}

// The general register that a word names in whole or in part: eax, ax, al, ah.
int register_of(std::string_view word) {
    if (word.size() == 3 && word[0] == 'e') {
        word.remove_prefix(1);
    }
    for (int n = 0; n < 8 && word.size() == 2; ++n) {
        const std::string_view name(kNames[n] + 1);
        const bool byte = n < 4 && word[0] == name[0] && (word[1] == 'l' || word[1] == 'h');
        if (word == name || byte) {
            return n;
        }
    }
    return -1;
}

// A bit for each that the operands of an instruction name; its mnemonic is no operand.
unsigned registers_in(std::string_view text) {
    unsigned found = 0;
    std::size_t at = text.find(' ');
    while (at < text.size()) {
        std::size_t end = at;
        while (end < text.size() && std::isalnum(static_cast<unsigned char>(text[end])) != 0) {
            ++end;
        }
        if (const int n = register_of(text.substr(at, end - at)); n >= 0) {
            found |= 1u << n;
        }
        at = end + 1;
    }
    return found;
}

void print_what(std::string& line, const TraceRecord& record, const TracedInstruction& what) {
    const std::string text = print(what.insn, what.eip);
    add(line, "insn 0x%08x ", raw(record.at));
    for (unsigned n = 0; n < what.insn.length; ++n) {
        add(line, "%02x", what.insn.raw[n]);
    }
    line += " '" + text + '\'';
    const unsigned named = registers_in(text);
    for (unsigned n = 0; n < 8; ++n) {
        if ((named >> n & 1) != 0) {
            add(line, " %s=0x%x", kNames[n], what.before[n]);
        }
    }
    const char* arrow = " ->";
    const auto changed = [&](const char* name, u32 before, u32 after) {
        if (before != after) {
            add(line, "%s %s=0x%x", arrow, name, after);
            arrow = "";
        }
    };
    for (unsigned n = 0; n < 8; ++n) {
        changed(kNames[n], what.before[n], what.after[n]);
    }
    // RF is cleared by the way, which says nothing.
    changed("eflags", what.eflags_before & ~eflags::kRf, what.eflags_after & ~eflags::kRf);
}

void print_what(std::string& line, const TraceRecord& record, const TracedInterrupt& what) {
    add(line, "irq 0x%08x %u%s", raw(record.at), what.vector, what.nmi ? " nmi" : "");
}

void print_what(std::string& line, const TraceRecord& record, const TracedException& what) {
    add(line, "exc 0x%08x %u", raw(record.at), static_cast<unsigned>(what.fault.vector));
    if (what.fault.has_error_code) {
        add(line, " error=0x%x", what.fault.error_code);
    }
    if (what.fault.vector == Vector::pf) {
        add(line, " cr2=0x%08x", what.fault.cr2);
    } else if (what.fault.vector == Vector::db && what.fault.dr6 != 0) {
        add(line, " dr6=0x%x", what.fault.dr6);
    }
}

void print_what(std::string& line, const TraceRecord& record, const TracedAccess& what) {
    const bool port = what.space == TracedAccess::Space::port;
    const char* how = port ? (what.write ? "out" : "in") : (what.write ? "write" : "read");
    add(line, "%s 0x%08x %s 0x%0*llx %u 0x%llx", port ? "io" : "mmio", raw(record.at), how,
        port ? 4 : 8, static_cast<unsigned long long>(what.address), what.size,
        static_cast<unsigned long long>(what.value));
}

}  // namespace

std::string trace_text(const TraceRecord& record,
                       const std::function<std::string(std::span<const std::byte>)>& message) {
    std::string line;
    add(line, "%llu %llu ", static_cast<unsigned long long>(record.machine_ns / 1000),
        static_cast<unsigned long long>(record.instructions));
    if (const auto* frame = std::get_if<TracedMessage>(&record.what)) {
        line += "9p " + message(frame->bytes);
    } else {
        std::visit(
            [&](const auto& what) {
                if constexpr (!std::is_same_v<std::decay_t<decltype(what)>, TracedMessage>) {
                    print_what(line, record, what);
                }
            },
            record.what);
    }
    line += '\n';
    return line;
}

}  // namespace ennead::vmcore
