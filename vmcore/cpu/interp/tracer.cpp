// SPDX-License-Identifier: MIT
// Compares what happens with the rules, and keeps it in order.
#include "vmcore/cpu/interp/tracer.h"

#include <algorithm>

namespace ennead::vmcore {

void Tracer::set(std::vector<TraceRule> rules, Sink sink) {
    rules_ = std::move(rules);
    sink_ = std::move(sink);
    kinds_ = 0;
    for (const TraceRule& rule : rules_) {
        kinds_ |= rule.kinds;
    }
    memory_.watch_devices(devices() ? this : nullptr);
}

bool Tracer::wanted(u8 kind, u64 address) const {
    return std::ranges::any_of(rules_, [&](const TraceRule& rule) {
        return (rule.kinds & kind) != 0 && (!rule.cr3 || *rule.cr3 == (state_.cr3 & ~kCr3Flags)) &&
               (rule.ranges.empty() ||
                std::ranges::any_of(rule.ranges, [address](const TraceRule::Range& range) {
                    return address >= range.first && address <= range.last;
                }));
    });
}

template <class What>
void Tracer::tell(LinearAddr at, What what) {
    TraceRecord record{.machine_ns = clock_.now_ns(),
                       .instructions = state_.instructions,
                       .at = at,
                       .what = std::move(what)};
    if (under_way_) {
        held_.push_back(std::move(record));
    } else {
        sink_(record);
    }
}

void Tracer::begin_instruction(const Insn& insn) {
    const LinearAddr at = linear(state_.eip);
    if (!wanted(TraceRule::kInsn, raw(at))) {
        return;
    }
    under_way_ = {
        .machine_ns = clock_.now_ns(),
        .instructions = state_.instructions,
        .at = at,
        .what = TracedInstruction{
            .insn = insn, .eip = state_.eip, .before = state_.gpr, .eflags_before = state_.eflags}};
}

void Tracer::end_instruction() {
    if (!under_way_) {
        return;
    }
    auto& done = std::get<TracedInstruction>(under_way_->what);
    done.after = state_.gpr;
    done.eflags_after = state_.eflags;
    sink_(*under_way_);
    under_way_.reset();
    for (const TraceRecord& record : held_) {
        sink_(record);
    }
    held_.clear();
}

void Tracer::interrupt(u8 vector, bool nmi) {
    const LinearAddr at = linear(state_.eip);
    if (wanted(TraceRule::kIrq, raw(at))) {
        tell(at, TracedInterrupt{.vector = vector, .nmi = nmi});
    }
}

void Tracer::exception(const GuestFault& fault, u32 return_eip) {
    const LinearAddr at = linear(return_eip);
    if (wanted(TraceRule::kExc, raw(at))) {
        tell(at, TracedException{fault});
    }
}

void Tracer::port(Port port, unsigned size, bool write, u32 value) {
    if (wanted(TraceRule::kPort, raw(port))) {
        tell(linear(state_.eip), TracedAccess{.space = TracedAccess::Space::port,
                                              .write = write,
                                              .size = static_cast<u8>(size),
                                              .address = raw(port),
                                              .value = value});
    }
}

void Tracer::accessed(PhysAddr address, unsigned size, bool write, u64 value) {
    if (wanted(TraceRule::kMmio, raw(address))) {
        tell(linear(state_.eip), TracedAccess{.space = TracedAccess::Space::memory,
                                              .write = write,
                                              .size = static_cast<u8>(size),
                                              .address = raw(address),
                                              .value = value});
    }
}

void Tracer::message(std::span<const std::byte> frame) {
    tell(LinearAddr{}, TracedMessage{{frame.begin(), frame.end()}});
}

}  // namespace ennead::vmcore
