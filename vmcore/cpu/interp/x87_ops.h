// SPDX-License-Identifier: MIT
// The x87 instructions on an X87State: stack, tags, exceptions and their responses (SDM vol 1 §8).
//
// Nothing here knows of encodings, memory or CR0. Each function is one instruction's work on the
// state; an unmasked exception leaves ES and B set in the status word and the operands as the SDM
// says.
#pragma once

#include <array>

#include "vmcore/cpu/interp/x87_host.h"
#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::x87 {

// Status word, SDM vol 1 §8.1.3.
inline constexpr u16 kIe = 1u << 0, kDe = 1u << 1, kZe = 1u << 2, kOe = 1u << 3, kUe = 1u << 4,
                     kPe = 1u << 5, kSf = 1u << 6, kEs = 1u << 7, kC0 = 1u << 8, kC1 = 1u << 9,
                     kC2 = 1u << 10, kC3 = 1u << 14, kBusy = 1u << 15;
inline constexpr u16 kExceptions = 0x3f;
inline constexpr unsigned kTopShift = 11;

// --- the stack ---
[[nodiscard]] inline unsigned top(const X87State& s) {
    return (s.status >> kTopShift) & 7;
}
[[nodiscard]] inline X87Register& st(X87State& s, unsigned i) {
    return s.r[(top(s) + i) & 7];
}
[[nodiscard]] inline const X87Register& st(const X87State& s, unsigned i) {
    return s.r[(top(s) + i) & 7];
}
[[nodiscard]] inline bool empty(const X87State& s, unsigned i) {
    return ((s.tag >> (2 * ((top(s) + i) & 7))) & 3) == 3;
}
// An unmasked exception waits for the next waiting instruction.
[[nodiscard]] inline bool pending(const X87State& s) {
    return (s.status & kEs) != 0;
}

// --- arithmetic ---
// ST(dst) = ST(0) op ST(i), where one of dst and i is 0; then a pop, or none.
void arith(X87State& s, Arith op, unsigned i, unsigned dst, bool pop);
// ST(0) = ST(0) op memory, or a comparison with memory.
void arith_memory(X87State& s, Arith op, Operand kind, u32 low, u32 high);
// FCOM and FUCOM with ST(i), then `pops` pops.
void compare(X87State& s, unsigned i, bool unordered, unsigned pops);
// FCOMI and its family: the result goes to the arithmetic flags in `flags`.
void compare_to_flags(X87State& s, unsigned i, bool unordered, bool pop, u32& flags);
void unary(X87State& s, Unary op);
void binary(X87State& s, Binary op);
void binary_pop(X87State& s, BinaryPop op);
void push(X87State& s, Push op);
void chs(X87State& s);
void abs(X87State& s);
void xam(X87State& s);

// --- moves ---
void load_constant(X87State& s, Constant which);
void load(X87State& s, LoadFormat format, const X87Register& bytes);
void load_real80(X87State& s, const X87Register& value);
void load_st(X87State& s, unsigned i);             // FLD ST(i)
void store_st(X87State& s, unsigned i, bool pop);  // FST, FSTP ST(i)
// FSTP1, D9 D8+i, which the manuals leave out: no stack fault; an empty ST(0) is popped and not
// moved.
void store_st_unchecked(X87State& s, unsigned i);
void exchange(X87State& s, unsigned i);
void move_if(X87State& s, unsigned i, bool condition);  // FCMOVcc

// A store to memory happens in two steps, as the memory may refuse it: prepare, write `bytes` if
// `stored`, commit.
struct Store {
    X87Register bytes;
    u16 status = 0;  // exceptions and C1
    bool stored = false;
};
[[nodiscard]] Store prepare_store(const X87State& s, StoreFormat format);
// FISTTP: an integer, rounded to zero whatever the control word says.
[[nodiscard]] Store prepare_store_truncated(const X87State& s, StoreFormat format);
[[nodiscard]] Store prepare_store_real80(const X87State& s);
void commit_store(X87State& s, const Store& store, bool pop);

// --- control ---
void init(X87State& s);
void clear_exceptions(X87State& s);
void load_control(X87State& s, u16 value);
void free_register(X87State& s, unsigned i, bool pop);
void rotate(X87State& s, int by);  // FINCSTP: 1, FDECSTP: -1

// --- the environment in memory ---
// FSTENV and FSAVE in their four layouts, by operand size and by whether real addressing holds
// (real mode and virtual-8086 mode), as consecutive words of the operand size (SDM vol 1, figures
// 8-9 to 8-12).
using Environment = std::array<u32, 7>;
[[nodiscard]] Environment environment(const X87State& s, bool wide, bool real_addressing);
// The tag word as processors store it: of the tags only "empty" counts, the rest follows from the
// registers' contents (SDM vol 1 §8.1.7, vol 3A §12.2: an MMX instruction leaves all "valid").
[[nodiscard]] u16 tag_word(const X87State& s);
void load_environment(X87State& s, const Environment& words, bool wide, bool real_addressing);
// What FSTENV does once it has stored.
void mask_exceptions(X87State& s);
// FRSTOR's registers, after load_environment(): gives ST(i) its contents.
void restore_register(X87State& s, unsigned i, const X87Register& value);

// --- FXSAVE and FXRSTOR ---
// One bit a physical register: not empty (SDM vol 1 §10.5.1.1).
[[nodiscard]] u8 abridged_tags(const X87State& s);
// Control and status word (ES and B follow from both) and tags; the registers hold what they are to
// hold.
void load_abridged(X87State& s, u16 control, u16 status, u8 tags);

// --- MMX ---
// What every MMX instruction but EMMS does: TOP is 0, every tag valid (SDM vol 3A, table 12-1).
void enter_mmx(X87State& s);
// EMMS: TOP is 0, every tag empty.
void leave_mmx(X87State& s);

}  // namespace ennead::vmcore::x87
