// SPDX-License-Identifier: MIT
// `regs` and `fpregs`: text and back.
#include <optional>

#include "srv/ennead-vm/machine_files.h"
#include "synthfs/result.h"
#include "synthfs/text_file.h"
#include "synthfs/words.h"
#include "vmcore/machine/fp_registers.h"
#include "vmcore/machine/registers.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::Fault;
using synthfs::make_fault;
using vmcore::Cpu;
using vmcore::RunState;
using vmcore::Vcpu;
using vmcore::WideValue;

Checked<vmcore::u64> parse_value(const synthfs::Word& word, vmcore::u64) {
    return synthfs::parse_number(word);
}

// Hexadecimal of up to 32 digits, or what parse_number() takes.
Checked<WideValue> parse_value(const synthfs::Word& word, WideValue) {
    constexpr std::size_t kPrefix = 2, kLowDigits = 16;
    std::string text = word.text;
    if (!text.starts_with("0x") && !text.starts_with("0X")) {
        const auto low = synthfs::parse_number(word);
        return low ? Checked<WideValue>(WideValue{low.value()}) : low.error();
    }
    // Leading zeros are no digits of the value.
    text.erase(kPrefix, std::min(text.find_first_not_of('0', kPrefix), text.size() - 1) - kPrefix);
    const std::size_t digits = text.size() - kPrefix;
    if (digits <= kLowDigits) {
        const auto low = synthfs::parse_number({text, word.column});
        return low ? Checked<WideValue>(WideValue{low.value()}) : low.error();
    }
    const std::size_t split = text.size() - kLowDigits;
    const auto high = synthfs::parse_number({text.substr(0, split), word.column});
    const auto low = synthfs::parse_number({"0x" + text.substr(split), word.column});
    if (!high || !low) {
        return high ? low.error() : high.error();
    }
    return WideValue{low.value(), high.value()};
}

// A file of registers with values of type T.
template <class T>
struct RegisterFile {
    const char* name;
    std::string (*text)(const Cpu&);
    vmcore::Result<> (*set)(Cpu&, const std::vector<std::pair<std::string, T>>&, std::size_t*);
    // What follows from the others; taken so that what was read can be written back.
    bool (*derived)(const std::string& name);
};

template <class T>
void write_registers(const OnVcpu& vcpu, const RegisterFile<T>& file, const std::string& text,
                     CheckedReply<> reply) {
    const auto lines = synthfs::parse_commands(text);
    if (!lines) {
        reply(lines.error());
        return;
    }
    std::vector<std::pair<std::string, T>> assignments;
    std::vector<Command> sources;
    for (const Command& line : lines.value()) {
        if (file.derived(line.verb())) {
            continue;
        }
        if (line.arg_count() != 1) {
            auto fault = make_fault(EINVAL, "a line is a register's name and its value");
            fault.command = line.line;
            fault.column = line.words[line.arg_count() == 0 ? 0 : 2].column;
            reply(std::move(fault));
            return;
        }
        const auto value = parse_value(line.arg(0), T{});
        if (!value) {
            auto fault = value.error();
            fault.command = line.line;
            reply(std::move(fault));
            return;
        }
        assignments.emplace_back(line.verb(), value.value());
        sources.push_back(line);
    }
    vcpu(
        [set = file.set, assignments = std::move(assignments),
         sources = std::move(sources)](Vcpu& v) -> Checked<> {
            if (v.run_state() != RunState::paused) {
                return wrong_state(v.run_state());
            }
            std::size_t at = 0;
            const auto done = set(v.machine().cpu(), assignments, &at);
            if (!done) {
                auto fault = make_fault(EINVAL, "no such register, or it cannot hold this value");
                fault.command = sources[at].line;
                fault.column = sources[at].words[0].column;
                return fault;
            }
            return synthfs::success();
        },
        [reply = std::move(reply)](Checked<> done) { reply(std::move(done)); });
}

template <class T>
synthfs::SynthNodePtr make_register_file(const OnVcpu& vcpu, const RegisterFile<T>& registers,
                                         synthfs::ErrorSink errors) {
    synthfs::TextFile file{.mode = 0600, .name = registers.name, .errors = std::move(errors)};
    file.text_later = [&vcpu, text = registers.text](synthfs::RequestPtr,
                                                     CheckedReply<std::string> reply) {
        vcpu([text](Vcpu& v) { return text(v.machine().cpu()); },
             [reply = std::move(reply)](std::string shown) { reply(std::move(shown)); });
    };
    file.write = [&vcpu, registers](synthfs::RequestPtr, synthfs::TextWrite write,
                                    CheckedReply<> reply) {
        write_registers(vcpu, registers, write.text, std::move(reply));
    };
    return synthfs::make_text_file(std::move(file));
}

}  // namespace

synthfs::SynthNodePtr make_regs(const OnVcpu& vcpu, synthfs::ErrorSink errors) {
    return make_register_file(
        vcpu,
        RegisterFile<vmcore::u64>{
            .name = "regs",
            .text = vmcore::registers_text,
            .set = vmcore::set_registers,
            .derived = [](const std::string& name) { return name == "mode" || name == "cpl"; }},
        std::move(errors));
}

synthfs::SynthNodePtr make_fpregs(const OnVcpu& vcpu, synthfs::ErrorSink errors) {
    return make_register_file(
        vcpu,
        RegisterFile<WideValue>{.name = "fpregs",
                                .text = vmcore::fp_registers_text,
                                .set = vmcore::set_fp_registers,
                                .derived = [](const std::string&) { return false; }},
        std::move(errors));
}

}  // namespace ennead::srv
