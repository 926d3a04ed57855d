// SPDX-License-Identifier: MIT
// Arithmetic, comparisons and moves on the x87 stack.
#include "vmcore/cpu/interp/x87_ops.h"

#include <utility>

namespace ennead::vmcore::x87 {
namespace {

// SDM vol 1 §4.8.3.7 and table 4-6: the QNaN that stands for "invalid".
constexpr X87Register kIndefinite{.significand = 0xc000'0000'0000'0000, .sign_exponent = 0xffff};
constexpr u16 kConditions = kC0 | kC1 | kC2 | kC3;
// Exceptions found before the operation: unmasked, they keep it from happening (SDM vol 1 §8.5).
constexpr u16 kBefore = kIe | kDe | kZe;

// §8.1.7: 0 valid, 1 zero, 2 special (NaN, infinity, denormal, unsupported), 3 empty.
u16 classify(const X87Register& v) {
    const unsigned exponent = v.sign_exponent & 0x7fff;
    if (exponent == 0) {
        return v.significand == 0 ? 1 : 2;
    }
    return exponent == 0x7fff || (v.significand >> 63) == 0 ? 2 : 0;
}

void set_tag(X87State& s, unsigned i, u16 tag) {
    const unsigned shift = 2 * ((top(s) + i) & 7);
    s.tag = static_cast<u16>((s.tag & ~(3u << shift)) | (u32{tag} << shift));
}

void set_top(X87State& s, unsigned value) {
    s.status = static_cast<u16>((s.status & ~(7u << kTopShift)) | ((value & 7) << kTopShift));
}

void write(X87State& s, unsigned i, const X87Register& value) {
    X87Register& to = st(s, i);
    to.significand = value.significand;
    to.sign_exponent = value.sign_exponent;
    set_tag(s, i, classify(value));
}

void pop(X87State& s, unsigned count = 1) {
    for (; count != 0; --count) {
        set_tag(s, 0, 3);
        set_top(s, top(s) + 1);
    }
}

void push_value(X87State& s, const X87Register& value) {
    set_top(s, top(s) - 1);
    write(s, 0, value);
}

void set_conditions(X87State& s, u16 which, u16 value) {
    s.status = static_cast<u16>((s.status & ~which) | (value & which));
}

void update_summary(X87State& s) {
    if ((s.status & ~s.control & kExceptions) != 0) {
        s.status |= kEs | kBusy;
    } else {
        s.status &= static_cast<u16>(~(kEs | kBusy));
    }
}

// Notes exceptions; gives those among them that are not masked.
u16 note(X87State& s, u16 exceptions) {
    s.status |= exceptions & (kExceptions | kSf);
    update_summary(s);
    return static_cast<u16>(exceptions & ~s.control & kExceptions);
}

// §8.5.1.1: C1 tells overflow from underflow. True if the masked response is to follow.
bool stack_fault(X87State& s, bool overflow) {
    set_conditions(s, kC1, overflow ? kC1 : 0);
    return note(s, kIe | kSf) == 0;
}

bool stack_underflow(X87State& s) {
    return stack_fault(s, false);
}
bool stack_overflow(X87State& s) {
    return stack_fault(s, true);
}

// Pushes what an instruction loads, or answers for a full stack.
void push_checked(X87State& s, const X87Register& value) {
    if (!empty(s, 7)) {
        if (stack_overflow(s)) {
            push_value(s, kIndefinite);
        }
        return;
    }
    set_conditions(s, kC1, 0);
    push_value(s, value);
}

bool is_comparison(Arith op) {
    return op == Arith::com || op == Arith::comp;
}

// What a comparison did on the host, to the condition codes. Processors set them also when the
// exception is not masked, though the SDM's operation sections say otherwise; only the pop does not
// happen then.
void finish_compare(X87State& s, u16 host_status, unsigned pops) {
    set_conditions(s, kConditions, host_status & ~kC1);
    if ((note(s, host_status & kExceptions) & kBefore) == 0) {
        pop(s, pops);
    }
}

// A comparison with an empty register gives "unordered".
void compare_underflow(X87State& s, unsigned pops) {
    set_conditions(s, kC0 | kC2 | kC3, kC0 | kC2 | kC3);
    if (stack_underflow(s)) {
        pop(s, pops);
    }
}

// A result for ST(dst), with the condition codes of `conditions`. True if it was stored.
bool finish(X87State& s, const HostResult& r, unsigned dst, u16 conditions) {
    set_conditions(s, conditions, r.status);
    if ((note(s, r.status & kExceptions) & kBefore) != 0) {
        return false;
    }
    write(s, dst, r.value);
    return true;
}

}  // namespace

// --- arithmetic ---

void arith(X87State& s, Arith op, unsigned i, unsigned dst, bool and_pop) {
    if (empty(s, 0) || empty(s, i)) {
        if (stack_underflow(s)) {
            write(s, dst, kIndefinite);
            pop(s, and_pop ? 1 : 0);
        }
        return;
    }
    if (finish(s, x87::arith(op, s.control, st(s, 0), st(s, i)), dst, kC1)) {
        pop(s, and_pop ? 1 : 0);
    }
}

void arith_memory(X87State& s, Arith op, Operand kind, u32 low, u32 high) {
    const unsigned pops = op == Arith::comp ? 1 : 0;
    if (empty(s, 0)) {
        if (is_comparison(op)) {
            compare_underflow(s, pops);
        } else if (stack_underflow(s)) {
            write(s, 0, kIndefinite);
        }
        return;
    }
    const HostResult r = x87::arith_memory(op, kind, s.control, st(s, 0), low, high);
    if (is_comparison(op)) {
        finish_compare(s, r.status, pops);
    } else {
        finish(s, r, 0, kC1);
    }
}

void compare(X87State& s, unsigned i, bool unordered, unsigned pops) {
    if (empty(s, 0) || empty(s, i)) {
        compare_underflow(s, pops);
        return;
    }
    const u16 status = unordered ? compare_unordered(s.control, st(s, 0), st(s, i))
                                 : x87::arith(Arith::com, s.control, st(s, 0), st(s, i)).status;
    finish_compare(s, status, pops);
}

void compare_to_flags(X87State& s, unsigned i, bool unordered, bool and_pop, u32& flags) {
    u16 result = kC0 | kC2 | kC3;
    bool done = false;
    if (empty(s, 0) || empty(s, i)) {
        done = stack_underflow(s);
    } else {
        const u16 status = unordered ? compare_unordered(s.control, st(s, 0), st(s, i))
                                     : x87::arith(Arith::com, s.control, st(s, 0), st(s, i)).status;
        set_conditions(s, kC1, 0);
        done = (note(s, status & kExceptions) & kBefore) == 0;
        result = status;
    }
    // SDM vol 2A, FCOMI: ZF, PF and CF stand for C3, C2 and C0; processors clear OF, SF and AF.
    flags &= ~eflags::kArith;
    flags |= (result & kC3 ? eflags::kZf : 0) | (result & kC2 ? eflags::kPf : 0) |
             (result & kC0 ? eflags::kCf : 0);
    pop(s, done && and_pop ? 1 : 0);
}

void unary(X87State& s, Unary op) {
    // FSIN and FCOS say in C2 that the operand is out of range, and then leave it (SDM vol 2A).
    const u16 conditions = op == Unary::sin || op == Unary::cos ? kC1 | kC2 : kC1;
    if (empty(s, 0)) {
        set_conditions(s, conditions, 0);
        if (op == Unary::tst) {
            compare_underflow(s, 0);
        } else if (stack_underflow(s)) {
            write(s, 0, kIndefinite);
        }
        return;
    }
    const HostResult r = x87::unary(op, s.control, st(s, 0));
    if (op == Unary::tst) {
        finish_compare(s, r.status, 0);
    } else {
        finish(s, r, 0, conditions);
    }
}

void binary(X87State& s, Binary op) {
    if (empty(s, 0) || empty(s, 1)) {
        if (op != Binary::scale) {
            set_conditions(s, kC2, 0);
        }
        if (stack_underflow(s)) {
            write(s, 0, kIndefinite);
        }
        return;
    }
    const HostResult r = x87::binary(op, s.control, st(s, 0), st(s, 1));
    // FPREM and FPREM1 give the low quotient bits in C0, C3 and C1, and "not done yet" in C2;
    // without a quotient C0 and C3 keep their values.
    const bool nan = (r.value.sign_exponent & 0x7fff) == 0x7fff;
    const bool quotient = !nan && (r.status & (kIe | (kDe & ~s.control))) == 0;
    finish(s, r, 0, op == Binary::scale ? kC1 : quotient ? kConditions : kC1 | kC2);
}

void binary_pop(X87State& s, BinaryPop op) {
    if (empty(s, 0) || empty(s, 1)) {
        if (stack_underflow(s)) {
            write(s, 1, kIndefinite);
            pop(s);
        }
        return;
    }
    if (finish(s, x87::binary_pop(op, s.control, st(s, 0), st(s, 1)), 1, kC1)) {
        pop(s);
    }
}

void push(X87State& s, Push op) {
    const bool trigonometric = op != Push::xtract;
    if (empty(s, 0) || !empty(s, 7)) {
        if (trigonometric) {
            set_conditions(s, kC2, 0);
        }
        if (stack_fault(s, !empty(s, 0))) {
            write(s, 0, kIndefinite);
            push_value(s, kIndefinite);
        }
        return;
    }
    const HostPair r = x87::push(op, s.control, st(s, 0));
    set_conditions(s, trigonometric ? kC1 | kC2 : kC1, r.status);
    if ((note(s, r.status & kExceptions) & kBefore) != 0 ||
        (trigonometric && (r.status & kC2) != 0)) {
        return;
    }
    write(s, 0, r.below);
    push_value(s, r.top);
}

void chs(X87State& s) {
    if (empty(s, 0)) {
        if (stack_underflow(s)) {
            write(s, 0, kIndefinite);
        }
        return;
    }
    set_conditions(s, kC1, 0);
    st(s, 0).sign_exponent ^= 0x8000;
}

void abs(X87State& s) {
    if (empty(s, 0)) {
        if (stack_underflow(s)) {
            write(s, 0, kIndefinite);
        }
        return;
    }
    set_conditions(s, kC1, 0);
    st(s, 0).sign_exponent &= 0x7fff;
}

void xam(X87State& s) {
    // SDM vol 2A, FXAM; the sign is shown for an empty register too.
    const X87Register& v = st(s, 0);
    const unsigned exponent = v.sign_exponent & 0x7fff;
    const bool integer_bit = (v.significand >> 63) != 0;
    u16 result = 0;  // unsupported
    if (empty(s, 0)) {
        result = kC3 | kC0;
    } else if (exponent == 0) {
        result = v.significand == 0 ? kC3 : kC3 | kC2;  // zero, denormal
    } else if (integer_bit && exponent == 0x7fff) {
        result = (v.significand << 1) == 0 ? kC2 | kC0 : kC0;  // infinity, NaN
    } else if (integer_bit) {
        result = kC2;  // normal
    }
    set_conditions(s, kConditions,
                   static_cast<u16>(result | ((v.sign_exponent & 0x8000) != 0 ? kC1 : 0)));
}

// --- moves ---

void load_constant(X87State& s, Constant which) {
    push_checked(s, constant(which, s.control));
}

void load(X87State& s, LoadFormat format, const X87Register& bytes) {
    if (!empty(s, 7)) {
        push_checked(s, bytes);
        return;
    }
    const HostResult r = x87::load(format, s.control, bytes);
    set_conditions(s, kC1, 0);
    // A denormal is loaded even when its exception is not masked; an SNaN is not.
    if ((note(s, r.status & kExceptions) & kIe) == 0) {
        push_value(s, r.value);
    }
}

void load_real80(X87State& s, const X87Register& value) {
    push_checked(s, value);
}

void load_st(X87State& s, unsigned i) {
    // With both stack faults at once, processors have been seen to report the underflow.
    if (empty(s, i)) {
        if (stack_underflow(s)) {
            push_value(s, kIndefinite);
        }
        return;
    }
    push_checked(s, X87Register(st(s, i)));
}

void store_st(X87State& s, unsigned i, bool and_pop) {
    if (empty(s, 0)) {
        if (stack_underflow(s)) {
            write(s, i, kIndefinite);
            pop(s, and_pop ? 1 : 0);
        }
        return;
    }
    set_conditions(s, kC1, 0);
    write(s, i, X87Register(st(s, 0)));
    pop(s, and_pop ? 1 : 0);
}

void store_st_unchecked(X87State& s, unsigned i) {
    set_conditions(s, kC1, 0);
    if (!empty(s, 0)) {
        write(s, i, X87Register(st(s, 0)));
    }
    pop(s);
}

void exchange(X87State& s, unsigned i) {
    if (empty(s, 0) || empty(s, i)) {
        if (!stack_underflow(s)) {
            return;
        }
        // SDM vol 2A, FXCH: the masked response fills the empty ones first.
        for (const unsigned n : {0u, i}) {
            if (empty(s, n)) {
                write(s, n, kIndefinite);
            }
        }
    } else {
        set_conditions(s, kC1, 0);
    }
    const X87Register first = st(s, 0);
    write(s, 0, X87Register(st(s, i)));
    write(s, i, first);
}

void move_if(X87State& s, unsigned i, bool condition) {
    if (empty(s, 0) || empty(s, i)) {
        if (stack_underflow(s)) {
            write(s, 0, kIndefinite);
        }
        return;
    }
    // SDM vol 2A, FCMOVcc: C1 changes with a stack fault only.
    if (condition) {
        write(s, 0, X87Register(st(s, i)));
    }
}

// --- stores ---

namespace {

Store prepare_store_under(const X87State& s, u16 control, StoreFormat format) {
    if (empty(s, 0)) {
        // The formats' own indefinite values: what the host makes of the QNaN, without its
        // exceptions.
        return {.bytes = x87::store(format, control | kExceptions, kIndefinite).bytes,
                .status = kIe | kSf,
                .stored = (control & kIe) != 0};
    }
    const HostStore r = x87::store(format, control, st(s, 0));
    // §8.5.4, §8.5.5: unlike in a register, an unmasked overflow or underflow prevents a store to
    // memory.
    const u16 prevents = kBefore | kOe | kUe;
    return {.bytes = r.bytes,
            .status = static_cast<u16>(r.status & (kExceptions | kC1)),
            .stored = (r.status & ~control & prevents) == 0};
}

}  // namespace

Store prepare_store(const X87State& s, StoreFormat format) {
    return prepare_store_under(s, s.control, format);
}

Store prepare_store_truncated(const X87State& s, StoreFormat format) {
    constexpr u16 kTruncate = 3u << 10;
    return prepare_store_under(s, s.control | kTruncate, format);
}

Store prepare_store_real80(const X87State& s) {
    if (empty(s, 0)) {
        return {.bytes = kIndefinite, .status = kIe | kSf, .stored = (s.control & kIe) != 0};
    }
    return {.bytes = st(s, 0), .status = 0, .stored = true};
}

void commit_store(X87State& s, const Store& store, bool and_pop) {
    set_conditions(s, kC1, store.status);
    note(s, store.status);
    if (store.stored && and_pop) {
        pop(s);
    }
}

// --- control ---

void init(X87State& s) {
    // SDM vol 2A, FINIT: the registers keep their contents and are tagged empty.
    s.control = 0x037f;
    s.status = 0;
    s.tag = 0xffff;
    s.opcode = 0;
    s.instruction_offset = s.operand_offset = 0;
    s.instruction_selector = s.operand_selector = 0;
}

void clear_exceptions(X87State& s) {
    s.status &= static_cast<u16>(~(kExceptions | kSf | kEs | kBusy));
}

void load_control(X87State& s, u16 value) {
    // Bit 6 reads as one, bits 7 and 13…15 as zero; bit 12 has no meaning and is kept.
    s.control = static_cast<u16>((value & 0x1f3f) | 0x0040);
    update_summary(s);
}

void free_register(X87State& s, unsigned i, bool and_pop) {
    set_conditions(s, kC1, 0);
    set_tag(s, i, 3);
    pop(s, and_pop ? 1 : 0);
}

void rotate(X87State& s, int by) {
    set_conditions(s, kC1, 0);
    set_top(s, top(s) + static_cast<unsigned>(by));
}

// --- environment ---

u16 tag_word(const X87State& s) {
    unsigned word = 0;
    for (unsigned n = 0; n < 8; ++n) {
        const unsigned tag = (s.tag >> (2 * n)) & 3;
        word |= (tag == 3 ? 3u : classify(s.r[n])) << (2 * n);
    }
    return static_cast<u16>(word);
}

Environment environment(const X87State& s, bool wide, bool real_addressing) {
    // Reserved halves of the 32-bit layouts are written as ones.
    const u32 high = wide ? 0xffff0000u : 0;
    Environment words{high | s.control, high | s.status, high | tag_word(s)};
    if (!real_addressing) {
        words[3] = s.instruction_offset;
        words[4] = wide ? s.instruction_selector | (u32{s.opcode} << 16) : s.instruction_selector;
        words[5] = s.operand_offset;
        words[6] = high | s.operand_selector;
        return words;
    }
    const u32 instruction = (u32{s.instruction_selector} << 4) + s.instruction_offset;
    const u32 operand = (u32{s.operand_selector} << 4) + s.operand_offset;
    words[3] = high | (instruction & 0xffff);
    words[5] = high | (operand & 0xffff);
    if (wide) {
        words[4] = ((instruction >> 16) << 12) | s.opcode;
        words[6] = (operand >> 16) << 12;
    } else {
        words[4] = (((instruction >> 16) & 0xf) << 12) | s.opcode;
        words[6] = ((operand >> 16) & 0xf) << 12;
    }
    return words;
}

void load_environment(X87State& s, const Environment& words, bool wide, bool real_addressing) {
    s.status = static_cast<u16>(words[1]);
    load_control(s, static_cast<u16>(words[0]));  // derives ES and B too
    if (!real_addressing) {
        s.instruction_offset = words[3];
        s.instruction_selector = static_cast<u16>(words[4]);
        s.operand_offset = words[5];
        s.operand_selector = static_cast<u16>(words[6]);
        if (wide) {
            s.opcode = static_cast<u16>((words[4] >> 16) & 0x7ff);
        }
    } else {
        const u32 mask = wide ? 0xffff : 0xf;
        s.instruction_offset = (words[3] & 0xffff) | (((words[4] >> 12) & mask) << 16);
        s.operand_offset = (words[5] & 0xffff) | (((words[6] >> 12) & mask) << 16);
        s.instruction_selector = s.operand_selector = 0;
        s.opcode = static_cast<u16>(words[4] & 0x7ff);
    }
    s.tag = static_cast<u16>(words[2]);
    s.tag = tag_word(s);
}

void mask_exceptions(X87State& s) {
    s.control |= kExceptions;
    update_summary(s);
}

void restore_register(X87State& s, unsigned i, const X87Register& value) {
    if (empty(s, i)) {
        st(s, i) =
            value;  // contents of an empty register are kept, as FXAM and FINCSTP may show them
    } else {
        write(s, i, value);
    }
}

// --- FXSAVE, FXRSTOR, MMX ---

u8 abridged_tags(const X87State& s) {
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; ++n) {
        tags |= ((s.tag >> (2 * n)) & 3) != 3 ? 1u << n : 0;
    }
    return static_cast<u8>(tags);
}

void load_abridged(X87State& s, u16 control, u16 status, u8 tags) {
    s.status = status;
    load_control(s, control);
    s.tag = 0;
    for (unsigned n = 0; n < 8; ++n) {
        s.tag |= static_cast<u16>((tags >> n & 1) != 0 ? 0 : 3u << (2 * n));
    }
    s.tag = tag_word(s);
}

void enter_mmx(X87State& s) {
    set_top(s, 0);
    s.tag = 0;
}

void leave_mmx(X87State& s) {
    set_top(s, 0);
    s.tag = 0xffff;
}

}  // namespace ennead::vmcore::x87
