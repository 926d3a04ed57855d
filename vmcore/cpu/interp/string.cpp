// SPDX-License-Identifier: MIT
// MOVS STOS LODS CMPS SCAS (SDM vol 1 §7.3.9), with runs of bytes inside a page for repeated MOVS
// and STOS.
#include <algorithm>
#include <cstring>

#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/string_ops.h"

namespace ennead::vmcore {
namespace {

// How many elements from the current one on lie in one page, inside the segment's limit, before the
// offset wraps. The segment's type was checked by the element before.
u32 elements_in_reach(const Cpu& cpu, const StringCursor& cursor, Seg seg, u32 offset) {
    const Segment& segment = cpu.state.segment(seg);
    const bool code = (segment.attr & Segment::kCode) != 0;
    const bool expands_down = !code && (segment.attr & Segment::kExpandDown) != 0;
    const u32 last = std::min(cursor.mask(), segment.limit);
    const u32 size = cursor.element();
    const u32 in_page = (segment.base + offset) & kPageMask;
    if (expands_down || offset > last || last - offset < size - 1 || in_page > kPageSize - size) {
        return 0;
    }
    if (cursor.down()) {
        return std::min(in_page, offset) / size + 1;
    }
    return (std::min(kPageMask - in_page, last - offset) + 1) / size;
}

// The host address of the lowest of `count` elements.
template <class Byte>
Byte* lowest(Byte* current, const StringCursor& cursor, u32 count) {
    return cursor.down() ? current - (count - 1) * cursor.element() : current;
}

LinearAddr linear(const Cpu& cpu, Seg seg, u32 offset) {
    return LinearAddr{cpu.state.segment(seg).base + offset};
}

// True if copying all at once gives what copying in order gives: no element is read after it was
// written.
bool order_is_free(const u8* to, const u8* from, u32 bytes, bool down) {
    return down ? to >= from || to + bytes <= from : to <= from || from + bytes <= to;
}

u32 run_movs(Cpu& cpu, const Insn& insn, StringCursor& cursor, u32 left) {
    const u32 source = cursor.get(kEsi);
    const u32 target = cursor.get(kEdi);
    const u32 count = std::min({left, elements_in_reach(cpu, cursor, insn.segment, source),
                                elements_in_reach(cpu, cursor, Seg::es, target)});
    if (count == 0) {
        return 0;
    }
    const u8* from = cpu.mmu.find_readable(linear(cpu, insn.segment, source));
    u8* to = cpu.mmu.find_writable(linear(cpu, Seg::es, target));
    if (from == nullptr || to == nullptr) {
        return 0;
    }
    from = lowest(from, cursor, count);
    to = lowest(to, cursor, count);
    const u32 bytes = count * cursor.element();
    if (!order_is_free(to, from, bytes, cursor.down())) {
        return 0;
    }
    std::memmove(to, from, bytes);
    cursor.advance(kEsi, count);
    cursor.advance(kEdi, count);
    return count;
}

template <class T>
u32 run_stos(Cpu& cpu, StringCursor& cursor, u32 left) {
    const u32 target = cursor.get(kEdi);
    const u32 count = std::min(left, elements_in_reach(cpu, cursor, Seg::es, target));
    u8* to = count == 0 ? nullptr : cpu.mmu.find_writable(linear(cpu, Seg::es, target));
    if (to == nullptr) {
        return 0;
    }
    to = lowest(to, cursor, count);
    const T value = get_reg<T>(cpu, kEax);
    for (u32 n = 0; n < count; ++n) {
        std::memcpy(to + n * sizeof(T), &value, sizeof(T));
    }
    cursor.advance(kEdi, count);
    return count;
}

template <class T>
void set_compare_flags(Cpu& cpu, T a, T b) {
    flags::merge(cpu.state.eflags, eflags::kArith, flags::sub(a, b, static_cast<T>(a - b)));
}

// REPE goes on while equal, REPNE while not (SDM vol 2B, REP).
bool comparison_ends(const Cpu& cpu, const Insn& insn) {
    return ((cpu.state.eflags & eflags::kZf) != 0) != (insn.rep == 0xf3);
}

}  // namespace

bool exec_movs(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const auto step = [&](bool&) {
            T value;
            if (!cpu.load(insn.segment, cursor.get(kEsi), value) ||
                !cpu.store(Seg::es, cursor.get(kEdi), value)) {
                return false;
            }
            cursor.advance(kEsi);
            cursor.advance(kEdi);
            return true;
        };
        return repeat(cpu, insn, cursor, step,
                      [&](u32 left) { return run_movs(cpu, insn, cursor, left); });
    });
}

bool exec_stos(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const auto step = [&](bool&) {
            if (!cpu.store(Seg::es, cursor.get(kEdi), get_reg<T>(cpu, kEax))) {
                return false;
            }
            cursor.advance(kEdi);
            return true;
        };
        return repeat(cpu, insn, cursor, step,
                      [&](u32 left) { return run_stos<T>(cpu, cursor, left); });
    });
}

bool exec_lods(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const auto step = [&](bool&) {
            T value;
            if (!cpu.load(insn.segment, cursor.get(kEsi), value)) {
                return false;
            }
            set_reg<T>(cpu, kEax, value);
            cursor.advance(kEsi);
            return true;
        };
        return repeat(cpu, insn, cursor, step, no_run);
    });
}

bool exec_cmps(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const auto step = [&](bool& done) {
            T a, b;
            if (!cpu.load(insn.segment, cursor.get(kEsi), a) ||
                !cpu.load(Seg::es, cursor.get(kEdi), b)) {
                return false;
            }
            set_compare_flags(cpu, a, b);
            cursor.advance(kEsi);
            cursor.advance(kEdi);
            done = comparison_ends(cpu, insn);
            return true;
        };
        return repeat(cpu, insn, cursor, step, no_run);
    });
}

bool exec_scas(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const auto step = [&](bool& done) {
            T value;
            if (!cpu.load(Seg::es, cursor.get(kEdi), value)) {
                return false;
            }
            set_compare_flags(cpu, get_reg<T>(cpu, kEax), value);
            cursor.advance(kEdi);
            done = comparison_ends(cpu, insn);
            return true;
        };
        return repeat(cpu, insn, cursor, step, no_run);
    });
}

}  // namespace ennead::vmcore
