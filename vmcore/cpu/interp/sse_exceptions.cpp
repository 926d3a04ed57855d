// SPDX-License-Identifier: MIT
// Unmasked exceptions, found without ever unmasking one on the host.
#include "vmcore/cpu/interp/sse_exceptions.h"

#include "vmcore/cpu/interp/simd_operands.h"
#include "vmcore/cpu/interp/x87_host.h"

namespace ennead::vmcore::sse {
namespace {

using namespace mxcsr;

// Looked for before an operation computes anything: one that is not masked in any lane keeps the
// whole instruction from computing (SDM vol 1 §11.5.3).
constexpr u32 kBefore = kIe | kDe | kZe;
constexpr u32 kOutOfRange = kOe | kUe;

u32 unmasked(u32 control) {
    return ~(control >> kMaskShift) & kFlags;
}

// Flush-to-zero is without effect while underflow is not masked (SDM vol 1 §10.2.3.3).
u32 host_control(u32 control) {
    const bool flushes = (unmasked(control) & kUe) == 0;
    return (flushes ? control : control & ~kFtz) | kMasks;
}

ENNEAD_SSE_HOST(addss, "addss")
ENNEAD_SSE_HOST(subss, "subss")
ENNEAD_SSE_HOST(mulss, "mulss")
ENNEAD_SSE_HOST(divss, "divss")
ENNEAD_SSE_HOST(addsd, "addsd")
ENNEAD_SSE_HOST(subsd, "subsd")
ENNEAD_SSE_HOST(mulsd, "mulsd")
ENNEAD_SSE_HOST(divsd, "divsd")
ENNEAD_SSE_HOST(cvtsd2ss, "cvtsd2ss")

// One lane of an operation.
struct Step {
    Arith arith{};
    bool wide = false;
    u64 a = 0, b = 0;  // the result's place and the source; `narrow` has only b
};

HostOp scalar(const Step& step) {
    switch (step.arith) {
        case Arith::add:
            return step.wide ? addsd : addss;
        case Arith::sub:
            return step.wide ? subsd : subss;
        case Arith::mul:
            return step.wide ? mulsd : mulss;
        case Arith::div:
            return step.wide ? divsd : divss;
        default:
            return cvtsd2ss;
    }
}

u64 lane(const Xmm& from, unsigned n, bool wide) {
    return wide ? from.lane<u64>(n) : from.lane<u32>(n);
}

Step step_of(const FloatOp& op, unsigned n, const Xmm& dst, const Xmm& src) {
    Step step{op.arith, op.wide, 0, 0};
    if (op.pairs == Pairs::horizontal) {
        const unsigned half = op.lanes / 2u, first = n % half * 2;
        const Xmm& from = n < half ? dst : src;
        step.a = lane(from, first, op.wide);
        step.b = lane(from, first + 1, op.wide);
        return step;
    }
    step.a = lane(dst, n, op.wide);
    step.b = lane(src, n, op.wide);
    if (op.pairs == Pairs::alternating && n % 2 == 0) {
        step.arith = op.arith == Arith::add ? Arith::sub : Arith::add;
    }
    return step;
}

u64 denormal_to_zero(u64 value, bool wide) {
    const u64 exponent = wide ? u64{0x7ff} << 52 : u64{0xff} << 23;
    const u64 sign = u64{1} << (wide ? 63 : 31);
    return (value & exponent) == 0 ? value & sign : value;
}

// Whether the result, rounded to its precision but with any exponent, is inexact: what PE tells of
// a result whose overflow or underflow is not masked. The x87's exponents are wide enough for all
// of them, and its precision control rounds to the same bits. The direction of rounding does not
// matter.
bool inexact_in_range(const Step& step, u32 control) {
    constexpr u16 kSinglePrecision = 0x007f, kDoublePrecision = 0x027f;
    const bool wide_result = step.wide && step.arith != Arith::narrow;
    const u16 x87_control = wide_result ? kDoublePrecision : kSinglePrecision;
    const auto format = step.wide ? x87::LoadFormat::real64 : x87::LoadFormat::real32;
    const auto load = [&](u64 bits) {
        const u64 value = (control & kDaz) != 0 ? denormal_to_zero(bits, step.wide) : bits;
        return x87::load(format, x87_control, X87Register{.significand = value}).value;
    };
    static constexpr x87::Arith kArith[] = {x87::Arith::add, x87::Arith::add, x87::Arith::sub,
                                            x87::Arith::mul, x87::Arith::div, x87::Arith::add};
    const bool narrow = step.arith == Arith::narrow;
    const X87Register first = load(narrow ? 0 : step.a), second = load(step.b);
    const auto result =
        x87::arith(kArith[static_cast<unsigned>(step.arith)], x87_control, first, second);
    return (result.status & kPe) != 0;
}

u32 flags_of(const Step& step, u32 control) {
    const auto run = [&](u32 under) {
        Xmm dst, src;
        dst.set_lane(0, step.a);
        src.set_lane(0, step.b);
        return scalar(step)(dst, src, under);
    };
    u32 flags = run(host_control(control));
    if ((unmasked(control) & kUe) != 0) {
        // Not masked, underflow is every tiny result and not only the inexact one (SDM vol 1
        // §4.9.1.5). So it is where results are flushed to zero.
        flags |= run(host_control(control) | kFtz) & kUe;
    }
    if ((flags & unmasked(control) & kOutOfRange) != 0) {
        flags &= ~kPe;
        flags |= inexact_in_range(step, control) ? kPe : 0;
    }
    return flags;
}

bool note(Cpu& cpu, u32 flags) {
    const u32 reported = flags & unmasked(cpu.state.mxcsr);
    cpu.state.mxcsr |= (reported & kBefore) != 0 ? flags & kBefore : flags;
    if (reported == 0) {
        return true;
    }
    return cpu.raise((cpu.state.cr4 & cr4::kOsxmmexcpt) != 0 ? Vector::xm : Vector::ud);
}

}  // namespace

bool compute(Cpu& cpu, const FloatOp& op, Xmm& dst, const Xmm& src) {
    const u32 control = cpu.state.mxcsr & ~kFlags;
    Xmm result = dst;
    u32 flags = op.run(result, src, host_control(control));
    if ((unmasked(control) & kOutOfRange) != 0 && op.arith != Arith::none) [[unlikely]] {
        flags = 0;
        for (unsigned n = 0; n < op.lanes; ++n) {
            flags |= flags_of(step_of(op, n, dst, src), control);
        }
    }
    if (!note(cpu, flags)) {
        return false;
    }
    dst = result;
    return true;
}

bool exec_float(Cpu& cpu, const Insn& insn, const FloatOp& op) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o) || !compute(cpu, op, o.reg, o.rm)) {
        return false;
    }
    store_simd_reg(cpu, insn, *o.form, o.reg);
    return true;
}

}  // namespace ennead::vmcore::sse
