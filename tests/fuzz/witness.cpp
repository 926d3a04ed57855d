// SPDX-License-Identifier: MIT
#include "tests/fuzz/witness.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>

#include "tests/fuzz/compare.h"
#include "tests/fuzz/testimony.h"
#include "tests/fuzz/undefined.h"
#include "tests/fuzz/unicorn.h"
#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/interp/interp.h"
#include "vmcore/cpu/jit/effects.h"

namespace ennead::vmcore::fuzz {
namespace {

using namespace place;

constexpr std::size_t kLongestRun = 64;
constexpr u64 kMostInstructions = 1500;  // of a case
constexpr u32 kNowhere = 0xffffffff;

template <class... Values>
std::string format(const char* how, Values... values) {
    char text[200];
    std::snprintf(text, sizeof text, how, values...);
    return text;
}

}  // namespace

// One case.
class Witness::Run {
  public:
    Run(Unicorn& unicorn, Lane& lane, WitnessCounts& counts, std::size_t longest, const Case& c)
        : case_(c),
          spaces_(c),
          unicorn_(unicorn),
          lane_(lane),
          cpu_(lane.cpu()),
          state_(lane.state()),
          counts_(counts),
          longest_(longest) {}

    Verdict run() {
        const Case& c = case_;
        const Layout layout = lay_out(c);
        image_ = build_ram(c, layout, spaces_);
        lane_.load(c, layout, spaces_, image_);
        for (u32 n = 0; n < c.slices.size() && !over_; ++n) {
            verdict_.slice = n;
            for (const Event& event : c.events) {
                // Whether an interrupt is taken before an instruction is no question to Unicorn.
                if (event.slice == n &&
                    (event.kind == Event::Kind::bytes || event.kind == Event::Kind::flip)) {
                    lane_.apply(event, spaces_);
                    entered_ = false;
                }
            }
            const u64 end = std::min<u64>(done_ + c.slices[n], kMostInstructions);
            while (done_ < end && !over_) {
                if (!together(end)) {
                    alone();
                }
            }
        }
        verdict_.instructions = done_;
        return verdict_;
    }

  private:
    // Both do what can be compared from here on. False: the next instruction cannot.
    bool together(u64 end) {
        if (!Testimony::possible(spaces_, state_)) {
            return false;
        }
        steps_.clear();
        lines_.clear();
        undefined_ = 0;
        fault_.reset();
        bool changed = false, lost = false;
        const u32 start = state_.eip;
        while (steps_.size() < longest_ && done_ < end && !changed && !lost && !fault_) {
            Insn insn;
            if (!fetch(insn) || !Testimony::possible(spaces_, state_) ||
                !Testimony::concerns(insn, state_) ||
                (jit::flag_effects(insn).reads & undefined_) != 0) {
                break;
            }
            if (steps_.empty() && !entered_) {
                enter();
            }
            const u32 ecx = state_.gpr[kEcx];
            const u16 task = state_.tr.selector;
            steps_.push_back(state_.eip);
            last_ = insn;
            ++done_;
            if (execute(insn)) {
                // RF, which IRET loads, Unicorn keeps for a while.
                changed = !same_code() || (state_.eflags & eflags::kRf) != 0;
                // What goes on for ever or overwrites its own code, other tasks, and V86.
                lost = (insn.rep != 0 && (changed || state_.eip == steps_.back())) ||
                       state_.tr.selector != task || state_.v86();
                undefined_ = (undefined_ & ~jit::flag_effects(insn).kills) |
                             Testimony::undefined_flags(insn, ecx);
            } else if (Testimony::concerns(insn, cpu_.fault())) {
                fault_ = cpu_.fault();
            } else {
                steps_.pop_back();
                --done_;
                break;
            }
        }
        if (lost) {
            entered_ = false;
            return true;
        }
        if (!steps_.empty()) {
            compare(start);
        }
        if (changed || undefined_ != 0 || fault_) {
            entered_ = false;
        }
        if (fault_) {
            deliver();
        }
        return !steps_.empty();
    }

    // All of a repetition, within reason: the interpreter lets others have a turn in between.
    bool execute(const Insn& insn) {
        const u32 eip = state_.eip;
        bool good = false;
        for (unsigned turns = 0; turns < 16; ++turns) {
            state_.eflags &= ~eflags::kRf;
            good = execute_one(cpu_, insn);
            state_.interrupt_shadow = false;  // no interrupts here
            if (!good || insn.rep == 0 || state_.eip != eip) {
                break;
            }
        }
        return good;
    }

    // What only the interpreter does: a single instruction, or the delivery of a fault.
    void alone() {
        ++done_;
        ++counts_.left_out;
        deliver();
    }
    void deliver() {
        const ExitReasons reasons = lane_.run(1);
        // Breakpoints would leave nothing to compare.
        if (constexpr u32 kArmed = 0xff; (state_.dr[7] & kArmed) != 0) {
            state_.dr[7] &= ~kArmed;
            cpu_.mode_changed();
        }
        over_ |= reasons.shutdown || reasons.halted;
        entered_ = false;
    }

    // The instruction at EIP, if it can be fetched without a fault and lies where code is looked
    // after.
    bool fetch(Insn& insn) {
        const Segment& cs = state_.segment(Seg::cs);
        if (state_.eip > cs.limit - kMaxInsnLength) {
            return false;
        }
        std::array<u8, kMaxInsnLength> bytes{};
        u32 have = 0;
        DecodeStatus status = DecodeStatus::need_more;
        while (status == DecodeStatus::need_more && have < kMaxInsnLength) {
            const u8* page = nullptr;
            GuestFault ignored;
            const LinearAddr at{cs.base + state_.eip + have};
            if (cpu_.mmu.code_page(at, page, ignored) != Mmu::Code::memory ||
                !is_code(static_cast<u32>(page - lane_.ram()))) {
                return false;
            }
            const u32 in_page = raw(at) & kPageMask;
            const u32 more = std::min(kMaxInsnLength - have, kPageSize - in_page);
            std::memcpy(bytes.data() + have, page + in_page, more);
            have += more;
            status =
                decode({bytes.data(), have}, cs.big() ? CodeSize::bits32 : CodeSize::bits16, insn);
        }
        return status == DecodeStatus::ok;
    }

    [[nodiscard]] bool is_code(u32 frame) const {
        return std::ranges::find(spaces_.code_frames(), frame) != spaces_.code_frames().end();
    }
    // The code is what it was when Unicorn was put in place.
    [[nodiscard]] bool same_code() {
        std::size_t n = 0;
        for (const u32 frame : spaces_.code_frames()) {
            if (Image::has(frame) &&
                (code_.size() <= n ||
                 std::memcmp(code_.data() + n, lane_.ram() + frame, kPageSize) != 0)) {
                return false;
            }
            n += Image::has(frame) ? kPageSize : 0;
        }
        return true;
    }

    // What the page tables say by now, for all that is worth a look.
    std::vector<Unicorn::Piece> pieces() {
        std::vector<Unicorn::Piece> pieces;
        const auto add = [&](u32 linear) {
            const bool fixed =
                (linear >= kTables && linear < kTablesEnd) || linear == Unicorn::kOwnPage;
            const auto there = cpu_.mmu.peek(LinearAddr{linear});
            const u64 found = fixed ? linear : there ? raw(*there) : u64{kNoMemory};
            if (found >= kRam || !Image::has(static_cast<u32>(found)) ||
                (found >= kDevicePhysical && found < kDevicesEnd)) {
                return;
            }
            const auto physical = static_cast<u32>(found);
            const bool code = is_code(physical);
            // Neighbours in both kinds of addresses are one piece.
            if (Unicorn::Piece* const last = pieces.empty() ? nullptr : &pieces.back();
                last != nullptr && last->linear + last->size == linear && linear != 0 &&
                last->physical + last->size == physical && last->code == code) {
                last->size += kPageSize;
            } else {
                pieces.push_back({linear, physical, kPageSize, code});
            }
        };
        std::ranges::for_each(spaces_.small_pages(), add);
        if ((state_.cr0 & cr0::kPg) != 0) {
            for (const Mapping& large : spaces_.large_pages(*spaces_.space_of(state_.cr3))) {
                for (u32 at = 0; at < spaces_.large_size() && at < kLowEnd; at += kPageSize) {
                    add(large.linear + at);
                }
            }
        }
        return pieces;
    }

    void enter() {
        unicorn_.map(pieces());
        const bool new_code = !same_code();
        if (new_code) {
            code_.clear();
            for (const u32 frame : spaces_.code_frames()) {
                if (Image::has(frame)) {
                    code_.insert(code_.end(), lane_.ram() + frame, lane_.ram() + frame + kPageSize);
                }
            }
        }
        unicorn_.enter(state_, lane_.ram(), new_code);
        entered_ = true;
    }

    void compare(u32 start) {
        const Unicorn::Outcome outcome = unicorn_.run(steps_, fault_ ? kNowhere : state_.eip);
        using Kind = Unicorn::Outcome::Kind;
        const std::size_t count = steps_.size();
        // The fetch of what comes after the last step may fault.
        const bool done = outcome.kind == Kind::done ||
                          (outcome.kind == Kind::fault && outcome.reached == count && !fault_ &&
                           unicorn_.registers().eip == state_.eip);
        // Before the first step: its entry needs tables that the program may have spoiled.
        if (outcome.kind == Kind::unanswered || outcome.reached == 0) {
            entered_ = false;
            ++counts_.unanswered;
            return;
        }
        if (outcome.kind == Kind::elsewhere) {
            differ(format("after %08x: %08x, %08x", steps_[outcome.reached - 1],
                          outcome.reached < count ? steps_[outcome.reached] : state_.eip,
                          outcome.eip));
        } else if (outcome.kind == Kind::fault && !done &&
                   (!fault_ || outcome.reached != count ||
                    outcome.vector != static_cast<unsigned>(fault_->vector))) {
            differ(format("exception of the instruction at %08x: %s, %u",
                          steps_[outcome.reached - 1],
                          fault_ && outcome.reached == count
                              ? std::to_string(static_cast<unsigned>(fault_->vector)).c_str()
                              : "none",
                          outcome.vector));
        } else if (fault_ && outcome.kind == Kind::done) {
            differ(format("exception of the instruction at %08x: %u, none", steps_.back(),
                          static_cast<unsigned>(fault_->vector)));
        } else {
            const Registers theirs = unicorn_.registers();
            const bool page_fault = !done && fault_ && fault_->vector == Vector::pf;
            const bool crossing = page_fault && Testimony::at_second_page(fault_->cr2, theirs.cr2);
            registers(theirs);
            if (page_fault && !crossing && Testimony::knows_cr2(last_)) {
                word("cr2", 0, fault_->cr2, theirs.cr2);
            }
            if (!crossing) {
                memory();
            }
        }
        if (!lines_.empty() && (page_tables_overwritten(lane_, spaces_, image_) ||
                                depends_on_old_translations(case_))) {
            over_ = true;
        } else if (!lines_.empty()) {
            verdict_.differs = over_ = true;
            verdict_.what.push_back(format("run of %zu from %08x to %08x, last %02x at %08x", count,
                                           start, state_.eip, last_.opcode, steps_.back()));
            verdict_.what.insert(verdict_.what.end(), lines_.begin(), lines_.end());
        }
        counts_.instructions += count;
        counts_.faults += fault_ ? 1 : 0;
    }

    void word(const char* name, unsigned index, u32 a, u32 b) {
        if (a != b) {
            differ(format("%s[%u]: %x, %x", name, index, a, b));
        }
    }
    void registers(const Registers& theirs) {
        for (unsigned n = 0; n < 8; ++n) {
            word("gpr", n, state_.gpr[n], theirs.gpr[n]);
        }
        word("eip", 0, state_.eip, theirs.eip);
        const bool spoiled = fault_ && Testimony::spoils_flags(last_);
        const u32 flags = ~(undefined_ | eflags::kRf | (spoiled ? eflags::kArith : 0));
        word("eflags", 0, state_.eflags & flags, theirs.eflags & flags);
        for (unsigned n = 0; n < kSegCount; ++n) {
            // A null selector may lose its RPL when Unicorn is put into CPL 3 by an IRET.
            const auto without_rpl = [](u16 selector) { return selector < 4 ? u16{0} : selector; };
            word("selector", n, without_rpl(state_.seg[n].selector),
                 without_rpl(theirs.selectors[n]));
        }
        word("cr0", 0, state_.cr0, theirs.cr0);
        word("cr3", 0, state_.cr3, theirs.cr3);
        word("cr4", 0, state_.cr4, theirs.cr4);
    }

    void memory() {
        const u8 *ours = lane_.ram(), *theirs = unicorn_.ram();
        unsigned told = 0;
        Image::for_each_page([&](u32 page) {
            if (page == Unicorn::kOwnPage ||
                std::memcmp(ours + page, theirs + page, kPageSize) == 0) {
                return;
            }
            for (u32 at = page; at < page + kPageSize; at += 4) {
                u32 a, b;
                std::memcpy(&a, ours + at, 4);
                std::memcpy(&b, theirs + at, 4);
                if (a != b && ((a ^ b) & Testimony::bits_of_memory(spaces_, at, a)) != 0 &&
                    told++ < 8) {
                    differ(format("memory at %05x: %08x, %08x", at, a, b));
                }
            }
        });
    }

    void differ(std::string line) { lines_.push_back(std::move(line)); }

    const Case& case_;
    const AddressSpaces spaces_;
    Unicorn& unicorn_;
    Lane& lane_;
    Cpu& cpu_;
    CpuState& state_;
    WitnessCounts& counts_;
    const std::size_t longest_;
    Verdict verdict_;
    u64 done_ = 0;
    Image image_;  // as the case begins
    bool over_ = false;
    bool entered_ = false;  // Unicorn is where the interpreter is
    std::vector<u8> code_;  // as Unicorn has translated it
    // Of the run that goes on.
    std::vector<u32> steps_;
    Insn last_;
    std::optional<GuestFault> fault_;
    u32 undefined_ = 0;
    std::vector<std::string> lines_;
};

Witness::Witness()
    : unicorn_(std::make_unique<Unicorn>()), lane_(std::make_unique<Lane>(LaneKind::interpreter)) {}
Witness::~Witness() = default;

const WitnessCounts& Witness::counts() const {
    return counts_;
}

Verdict Witness::run(const Case& c, bool tell) {
    Verdict verdict = Run(*unicorn_, *lane_, counts_, tell ? 1 : kLongestRun, c).run();
    if (tell && !verdict.differs) {
        // Only several instructions in a row show it.
        verdict = Run(*unicorn_, *lane_, counts_, kLongestRun, c).run();
    }
    return verdict;
}

}  // namespace ennead::vmcore::fuzz
