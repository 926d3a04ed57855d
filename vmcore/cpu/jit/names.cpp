// SPDX-License-Identifier: MIT
// The tables of names.
#include "vmcore/cpu/jit/names.h"

#include <cstddef>
#include <cstdio>

#include "vmcore/cpu/jit/context.h"

namespace ennead::vmcore::jit {
namespace {

constexpr const char* kPrivileges[] = {"supervisor", "user"};
constexpr const char* kGprNames[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
constexpr const char* kSegNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};

std::string hex32(const char* before, u64 value) {
    char text[64];
    std::snprintf(text, sizeof text, "%s0x%08llx", before, static_cast<unsigned long long>(value));
    return text;
}

std::string thunk_name(const Thunks& thunks, const u8* target) {
    const auto is = [target](const u8* thunk) { return thunk == target; };
    for (const bool user : {false, true}) {
        if (is(thunks.indirect[user])) {
            return std::string("indirect.") + kPrivileges[user];
        }
        if (is(thunks.poll[user])) {
            return std::string("poll.") + kPrivileges[user];
        }
    }
    constexpr const char* kKinds[kAccessKinds] = {"read", "write", "modify", "read_first"};
    for (unsigned kind = 0; kind < kAccessKinds; ++kind) {
        for (unsigned n = 0; n < kAccessSizes.size(); ++n) {
            if (is(thunks.access[kind][n])) {
                return std::string("access.") + kKinds[kind] + '.' +
                       std::to_string(kAccessSizes[n]);
            }
        }
    }
    return is(thunks.miss)        ? "miss"
           : is(thunks.link)      ? "link"
           : is(thunks.guess)     ? "guess"
           : is(thunks.share[0])  ? "share.read"
           : is(thunks.share[1])  ? "share.write"
           : is(thunks.finish)    ? "finish"
           : is(thunks.load_fpu)  ? "load_fpu"
           : is(thunks.interpret) ? "interpret"
                                  : "";
}

struct Field {
    u64 offset;
    u64 size;
    const char* name;
};

#define ENNEAD_STATE(field) \
    { offsetof(CpuState, field), sizeof(CpuState::field), #field }
#define ENNEAD_CONTEXT(field) \
    { kContext + offsetof(JitContext, field), sizeof(JitContext::field), "context." #field }
constexpr Field kFields[] = {
    ENNEAD_STATE(eip),          ENNEAD_STATE(eflags),
    ENNEAD_STATE(stop_at),      ENNEAD_STATE(requests),
    ENNEAD_STATE(cr0),          ENNEAD_STATE(cr2),
    ENNEAD_STATE(cr3),          ENNEAD_STATE(cr4),
    ENNEAD_STATE(cpl),          ENNEAD_STATE(interrupt_shadow),
    ENNEAD_STATE(x87),          ENNEAD_STATE(xmm),
    ENNEAD_STATE(mxcsr),        ENNEAD_STATE(instructions),
    ENNEAD_CONTEXT(flags),      ENNEAD_CONTEXT(held_requests),
    ENNEAD_CONTEXT(link),       ENNEAD_CONTEXT(exit),
    ENNEAD_CONTEXT(slice_end),  ENNEAD_CONTEXT(tsc),
    ENNEAD_CONTEXT(bit_number), ENNEAD_CONTEXT(bounce),
    ENNEAD_CONTEXT(fpu),        ENNEAD_CONTEXT(fpu_live),
};
#undef ENNEAD_STATE
#undef ENNEAD_CONTEXT

std::string segment_name(u64 offset) {
    const char* field = "";
    switch (offset % sizeof(Segment)) {
        case offsetof(Segment, base):
            field = ".base";
            break;
        case offsetof(Segment, limit):
            field = ".limit";
            break;
        case offsetof(Segment, selector):
            break;
        default:
            field = ".attr";
            break;
    }
    return std::string(kSegNames[offset / sizeof(Segment)]) + field;
}

std::string table_name(u64 offset, bool indexed) {
    constexpr const char* kAccesses[] = {"read", "write", "fetch"};
    const u64 table = offset / CpuArena::kTableBytes;
    std::string name = std::string("table ") + kPrivileges[table / 3] + ' ' + kAccesses[table % 3];
    if (!indexed) {
        name += hex32(" of ", offset % CpuArena::kTableBytes / sizeof(u64) * kPageSize);
    }
    return name;
}

}  // namespace

const char* entry_name(Link::Entry entry) {
    switch (entry) {
        case Link::Entry::near:
            return "near";
        case Link::Entry::poll:
            return "poll";
        case Link::Entry::plain:
            return "plain";
        default:
            return "far";
    }
}

std::string target_name(const BlockCache& cache, const u8* target) {
    if (std::string name = thunk_name(cache.thunks(), target); !name.empty()) {
        return name;
    }
    if (const Block* const block = cache.at(target)) {
        const char* const entry = target == block->code + block->near_entry   ? ".near"
                                  : target == block->code + block->poll_entry ? ".poll"
                                  : target == block->code + block->far_entry  ? ".far"
                                                                              : ".?";
        return hex32("", block->eip) + (block->is_plain ? ".plain" : "") + entry;
    }
    return hex32("", reinterpret_cast<u64>(target));
}

std::string state_name(u64 offset, bool indexed) {
    const auto within = [&offset](u64 start, u64 size) {
        return offset >= start && offset - start < size;
    };
    if (within(offsetof(CpuState, gpr), sizeof(CpuState::gpr))) {
        return kGprNames[(offset - offsetof(CpuState, gpr)) / sizeof(u32)];
    }
    if (within(offsetof(CpuState, seg), sizeof(CpuState::seg))) {
        return segment_name(offset - offsetof(CpuState, seg));
    }
    if (within(offsetof(CpuState, anywhere), sizeof(CpuState::anywhere))) {
        return std::string("anywhere.") + kSegNames[offset - offsetof(CpuState, anywhere)];
    }
    if (within(CpuArena::kTables, 6 * u64{CpuArena::kTableBytes})) {
        return table_name(offset - CpuArena::kTables, indexed);
    }
    if (within(CpuArena::kJumpTables, 2 * u64{CpuArena::kJumpTableBytes})) {
        return std::string("jump table ") +
               kPrivileges[(offset - CpuArena::kJumpTables) / CpuArena::kJumpTableBytes];
    }
    for (const Field& field : kFields) {
        if (within(field.offset, field.size)) {
            return field.name;
        }
    }
    return {};
}

}  // namespace ennead::vmcore::jit
