// SPDX-License-Identifier: MIT
#include "tests/fuzz/duel.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tests/fuzz/compare.h"
#include "tests/fuzz/undefined.h"
#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/jit/effects.h"

namespace ennead::vmcore::fuzz {
namespace {

bool same_reasons(const ExitReasons& a, const ExitReasons& b) {
    return a.budget == b.budget && a.requested == b.requested && a.halted == b.halted &&
           a.shutdown == b.shutdown;
}

bool in_handler(const CpuState& state) {
    return state.eip >= place::kHandlers && state.eip < place::kFrame;
}

constexpr u16 kC1 = 1u << 9;

// FCOMI and its kin: the SDM has them clear C1, AMD's processors let it be.
bool compares_to_flags(const Insn& insn) {
    return (insn.op == Op::fpu_db || insn.op == Op::fpu_df) && insn.modrm >= 0xe8 &&
           insn.modrm < 0xf8;
}

std::vector<u32> memory_frames(const AddressSpaces& spaces) {
    std::vector<u32> frames;
    std::ranges::copy_if(spaces.frames(), std::back_inserter(frames), Image::has);
    return frames;
}

// A store into code may make flags live that were dead before: the JIT cannot know.
bool code_overwritten(Lane& lane, const AddressSpaces& spaces, const Image& image) {
    return std::ranges::any_of(spaces.code_frames(), [&](u32 frame) {
        return Image::has(frame) && !image.same_page(frame, lane.ram() + frame);
    });
}

// Then exceptions may not reach the handlers that clear flags.
bool gates_overwritten(Lane& lane, const AddressSpaces& spaces, const Image& image) {
    const u32 frame = spaces.frame(0, place::kIdt);
    return !image.same_page(frame, lane.ram() + frame);
}

}  // namespace

namespace {

enum class Kept { alike, differently, with_spoiled_tables_or_code };

Kept with_and_without_translations(const Case& c, bool tell, Verdict& verdict) {
    Lane keeping(LaneKind::interpreter), dropping(LaneKind::interpreter);
    const Layout layout = lay_out(c);
    const AddressSpaces spaces(c);
    const Image image = build_ram(c, layout, spaces);
    for (Lane* const lane : {&keeping, &dropping}) {
        lane->load(c, layout, spaces, image);
    }
    Scope scope{.frames = memory_frames(spaces)};
    bool lost = false;
    for (u32 n = 0; n < c.slices.size(); ++n) {
        for (const Event& event : c.events) {
            if (event.slice == n) {
                keeping.apply(event, spaces);
                dropping.apply(event, spaces);
            }
        }
        bool equal = true, over = false;
        for (u32 left = c.slices[n]; left != 0 && equal && !over; --left) {
            dropping.cpu().mmu.flush_all();
            const ExitReasons x = keeping.run(1), y = dropping.run(1);
            equal = same_reasons(x, y);
            lost = lost || !spaces.space_of(keeping.state().cr3);
            over = x.shutdown || x.halted;
        }
        scope.all_ram = n + 1 == c.slices.size() || over;
        if (!equal || !same(keeping, dropping, scope)) {
            verdict.differs = true;
            verdict.slice = n;
            if (tell) {
                scope.all_ram = true;
                verdict.what = differences(keeping, dropping, scope);
            }
            // Code that was written to may not flush where it did; and global pages are not those
            // of an address space that is none.
            return lost || code_overwritten(keeping, spaces, image) ||
                           code_overwritten(dropping, spaces, image) ||
                           page_tables_overwritten(keeping, spaces, image) ||
                           page_tables_overwritten(dropping, spaces, image)
                       ? Kept::with_spoiled_tables_or_code
                       : Kept::differently;
        }
        if (keeping.state().halted || over) {
            break;
        }
    }
    return Kept::alike;
}

}  // namespace

bool depends_on_old_translations(const Case& c) {
    Verdict ignored;
    return with_and_without_translations(c, false, ignored) != Kept::alike;
}

Verdict keeps_translations_too_long(const Case& c, bool tell) {
    Verdict verdict;
    verdict.differs = with_and_without_translations(c, tell, verdict) == Kept::differently;
    return verdict;
}

bool page_tables_overwritten(Lane& lane, const AddressSpaces& spaces, const Image& image) {
    if (!spaces.paging()) {
        return false;
    }
    constexpr u64 kAlways = entry::kAccessed | entry::kDirty;
    const u32 size = spaces.entry_size();
    using Level = AddressSpaces::Level;
    for (u32 at = place::kTables; at < place::kTablesEnd; at += size) {
        u64 now = 0, before = 0;
        std::memcpy(&now, lane.ram() + at, size);
        std::memcpy(&before, image.at(at), size);
        u64 changed = (now ^ before) & ~kAlways;
        switch (spaces.level_of(at)) {
            case Level::none:
                break;
            case Level::pointers:
                changed &= ~entry::kPresent;
                break;
            case Level::directory:
                changed &= ~entry::kRights;
                break;
            case Level::pages:
                changed &= ~entry::kRights;
                if ((changed & entry::kFrame) != 0 &&
                    std::ranges::find(spaces.frames(), static_cast<u32>(now & entry::kFrame)) !=
                        spaces.frames().end()) {
                    changed &= ~entry::kFrame;
                }
                break;
        }
        if (changed != 0) {
            return true;
        }
    }
    return false;
}

void Duel::renew() {
    interpreter_.reset();
    exact_.reset();
    loose_.reset();
}

// Without exact flags, those that are dead may differ: in EFLAGS wherever the run stops, and in
// what an exception has pushed until its handler clears them there.
Verdict Duel::run(const Case& c, bool tell) {
    const Layout layout = lay_out(c);
    const AddressSpaces spaces(c);
    const Image image = build_ram(c, layout, spaces);
    Lane& a = interpreter();
    Lane& b = jit(c.exact);
    a.load(c, layout, spaces, image);
    b.load(c, layout, spaces, image);
    Scope scope{.flags = c.exact ? 0xffffffff : ~eflags::kArith,
                .x87_pointers = c.exact,
                .frames = memory_frames(spaces)};
    Verdict verdict;
    bool requested = false;
    for (u32 n = 0; n < c.slices.size(); ++n) {
        for (const Event& event : c.events) {
            if (event.slice == n) {
                a.apply(event, spaces);
                b.apply(event, spaces);
                requested = true;
            }
        }
        const ExitReasons x = a.run(c.slices[n]), y = b.run(c.slices[n]);
        const bool over = x.shutdown || y.shutdown;
        const bool last = n + 1 == c.slices.size() || over;
        // A fault that shuts down has its EFLAGS on the stack, and no handler that clears them.
        const bool comparable =
            c.exact || (!over && !in_handler(a.state()) && !in_handler(b.state()));
        scope.all_ram = last || tell;
        if (!same_reasons(x, y) || a.state().instructions != b.state().instructions ||
            (comparable && !same(a, b, scope))) {
            verdict.differs = true;
            verdict.slice = n;
            if (tell) {
                verdict.what = differences(a, b, scope);
                const auto reasons = [](const ExitReasons& r) {
                    return std::string(r.budget ? " budget" : "") + (r.halted ? " halted" : "") +
                           (r.shutdown ? " shutdown" : "") + (r.requested ? " requested" : "");
                };
                verdict.what.push_back("left with" + reasons(x) + ";" + reasons(y));
            }
            break;
        }
        if (over) {
            break;
        }
    }
    verdict.instructions = a.state().instructions;
    if (requested || verdict.differs) {
        // Requests that are masked stay with whoever saw them: not for the next case.
        if (a.state().halted || b.state().halted || verdict.differs ||
            a.state().requests.load() != 0 || b.state().requests.load() != 0) {
            if (!tell) {
                renew();
            }
        }
    }
    return verdict;
}

bool is_undefined(const Case& c) {
    Lane lane(LaneKind::interpreter);
    const Layout layout = lay_out(c);
    const AddressSpaces spaces(c);
    const Image image = build_ram(c, layout, spaces);
    lane.load(c, layout, spaces, image);
    CpuState& state = lane.state();
    u32 undefined = 0;
    for (u32 n = 0; n < c.slices.size(); ++n) {
        for (const Event& event : c.events) {
            if (event.slice == n) {
                lane.apply(event, spaces);
                if (undefined != 0) {
                    return true;
                }
            }
        }
        for (u32 left = c.slices[n]; left != 0; --left) {
            // What stands at EIP, as far as it can be seen.
            std::array<u8, 16> bytes{};
            const Segment& code = state.segment(Seg::cs);
            for (u32 k = 0; k < bytes.size(); ++k) {
                const auto at = lane.cpu().mmu.peek(LinearAddr{code.base + state.eip + k});
                bytes[k] = at && raw(*at) < place::kRam ? lane.ram()[raw(*at)] : 0;
            }
            Insn insn;
            const bool known = decode(bytes, code.big() ? CodeSize::bits32 : CodeSize::bits16,
                                      insn) == DecodeStatus::ok;
            const u32 ecx = state.gpr[kEcx], eip = state.eip;
            const u16 status = state.x87.status;
            const u64 before = state.instructions;
            const ExitReasons reasons = lane.run(1);
            if (reasons.shutdown || reasons.halted) {
                break;
            }
            // Something was delivered: EFLAGS are on a stack.
            const bool delivered = state.instructions == before ||
                                   (known && state.eip >= place::kHandlers &&
                                    state.eip < place::kFrame && eip < place::kHandlers);
            if (undefined != 0 &&
                (delivered || !known || (jit::flag_effects(insn).reads & undefined) != 0)) {
                return true;
            }
            if (known &&
                (undefined_result(insn, ecx) || (compares_to_flags(insn) && (status & kC1) != 0))) {
                return true;
            }
            if (known && state.instructions != before) {
                undefined =
                    (undefined & ~jit::flag_effects(insn).kills) | undefined_flags(insn, ecx);
            }
        }
        if (undefined != 0) {
            return true;
        }
    }
    return page_tables_overwritten(lane, spaces, image) ||
           (!c.exact &&
            (code_overwritten(lane, spaces, image) || gates_overwritten(lane, spaces, image))) ||
           (spaces.paging() && depends_on_old_translations(c));
}

}  // namespace ennead::vmcore::fuzz
