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
// offset wraps. None if the segment's type does not allow the access.
u32 elements_in_reach(const Cpu& cpu, const StringCursor& cursor, Seg seg, u32 offset, u8 need) {
    const Segment& segment = cpu.state.segment(seg);
    const u32 size = cursor.element();
    const u32 in_page = (segment.base + offset) & kPageMask;
    // What may be done anywhere needs no look at the limit, nor at the type.
    const bool anywhere = (cpu.state.anywhere[static_cast<unsigned>(seg)] & need) != 0;
    const bool plain_data =
        (segment.attr & (Segment::kPresent | Segment::kCode | Segment::kWritable |
                         Segment::kExpandDown)) == (Segment::kPresent | Segment::kWritable);
    const u32 last = std::min(cursor.mask(), segment.limit);
    if ((!anywhere && !plain_data) || offset > last || last - offset < size - 1 ||
        in_page > kPageSize - size) {
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

template <class T>
u32 run_movs(Cpu& cpu, const Insn& insn, StringCursor& cursor, u32 most) {
    const u32 source = cursor.get(kEsi);
    const u32 target = cursor.get(kEdi);
    const u32 count =
        std::min({most, elements_in_reach(cpu, cursor, insn.segment, source, kReadAnywhere),
                  elements_in_reach(cpu, cursor, Seg::es, target, kWriteAnywhere)});
    if (count == 0) {
        return 0;
    }
    const u8* from = cpu.mmu.find_readable(linear(cpu, insn.segment, source));
    u8* to = cpu.mmu.find_writable(linear(cpu, Seg::es, target));
    if (from == nullptr || to == nullptr) {
        return 0;
    }
    const u32 bytes = count * u32{sizeof(T)};
    const u8* const first = lowest(from, cursor, count);
    if (order_is_free(lowest(to, cursor, count), first, bytes, cursor.down())) {
        std::memmove(lowest(to, cursor, count), first, bytes);
    } else {
        // Elements that were written are read again: a pattern that repeats itself.
        const std::ptrdiff_t step = cursor.down() ? -std::ptrdiff_t{sizeof(T)} : sizeof(T);
        for (u32 n = 0; n < count; ++n, from += step, to += step) {
            std::memcpy(to, from, sizeof(T));
        }
    }
    cursor.advance(kEsi, count);
    cursor.advance(kEdi, count);
    return count;
}

template <class T>
u32 run_stos(Cpu& cpu, StringCursor& cursor, u32 most) {
    const u32 target = cursor.get(kEdi);
    const u32 count =
        std::min(most, elements_in_reach(cpu, cursor, Seg::es, target, kWriteAnywhere));
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

// Compares upwards while elements are (REPE) or are not (REPNE) equal to `left(n)`.
template <class T, class Left>
u32 run_compare(Cpu& cpu, const Insn& insn, const u8* right, u32 count, Left left, bool& done) {
    const bool while_equal = insn.rep == 0xf3;
    u32 n = 0;
    T a{}, b{};
    while (n < count && !done) {
        a = left(n);
        std::memcpy(&b, right + n * sizeof(T), sizeof(T));
        done = (a == b) != while_equal;
        ++n;
    }
    set_compare_flags(cpu, a, b);
    return n;
}

template <class T>
u32 run_scas(Cpu& cpu, const Insn& insn, StringCursor& cursor, u32 most, bool& done) {
    const u32 at = cursor.get(kEdi);
    const u32 count = std::min(most, elements_in_reach(cpu, cursor, Seg::es, at, kReadAnywhere));
    const u8* bytes = cpu.mmu.find_readable(linear(cpu, Seg::es, at));
    if (count == 0 || cursor.down() || bytes == nullptr) {
        return 0;
    }
    const T wanted = get_reg<T>(cpu, kEax);
    const u32 n = run_compare<T>(
        cpu, insn, bytes, count, [wanted](u32) { return wanted; }, done);
    cursor.advance(kEdi, n);
    return n;
}

template <class T>
u32 run_cmps(Cpu& cpu, const Insn& insn, StringCursor& cursor, u32 most, bool& done) {
    const u32 left = cursor.get(kEsi), right = cursor.get(kEdi);
    const u32 count =
        std::min({most, elements_in_reach(cpu, cursor, insn.segment, left, kReadAnywhere),
                  elements_in_reach(cpu, cursor, Seg::es, right, kReadAnywhere)});
    const u8* a = cpu.mmu.find_readable(linear(cpu, insn.segment, left));
    const u8* b = cpu.mmu.find_readable(linear(cpu, Seg::es, right));
    if (count == 0 || cursor.down() || a == nullptr || b == nullptr) {
        return 0;
    }
    const auto value = [a](u32 n) {
        T element;
        std::memcpy(&element, a + n * sizeof(T), sizeof(T));
        return element;
    };
    const u32 n = run_compare<T>(cpu, insn, b, count, value, done);
    cursor.advance(kEsi, n);
    cursor.advance(kEdi, n);
    return n;
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
                      [&](u32 most, bool&) { return run_movs<T>(cpu, insn, cursor, most); });
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
                      [&](u32 most, bool&) { return run_stos<T>(cpu, cursor, most); });
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
        return repeat(cpu, insn, cursor, step, [&](u32 most, bool& done) {
            return run_cmps<T>(cpu, insn, cursor, most, done);
        });
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
        return repeat(cpu, insn, cursor, step, [&](u32 most, bool& done) {
            return run_scas<T>(cpu, insn, cursor, most, done);
        });
    });
}

}  // namespace ennead::vmcore
