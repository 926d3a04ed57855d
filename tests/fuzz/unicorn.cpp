// SPDX-License-Identifier: MIT
#include "tests/fuzz/unicorn.h"

#include <sys/mman.h>
#include <unicorn/unicorn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "tests/fuzz/image.h"

namespace ennead::vmcore::fuzz {
namespace {

using namespace place;

// A page of Unicorn's RAM is not the case's: it has the code that puts all registers in place,
// since the library cannot set hidden parts of segments, nor a privilege. The values lie where the
// code expects them.
constexpr u32 kPage = Unicorn::kOwnPage, kEntryOuter = kPage + 0x100, kEntryInner = kPage + 0x180,
              kCr4 = kPage + 0x800, kCr3 = kPage + 0x804, kOtherCr0 = kPage + 0x808,
              kCr0 = kPage + 0x80c, kSs = kPage + 0x810, kStackPointer = kPage + 0x814,
              kPopped = kPage + 0x900, kTarget = kPopped + 13 * 4;

void check(uc_err error, const char* what) {
    if (error != UC_ERR_OK) {
        std::fprintf(stderr, "unicorn: %s: %s\n", what, uc_strerror(error));
        std::abort();
    }
}

// Opcode bytes, and addresses of the page above, which are words.
u8* write_code(u8* at, std::initializer_list<u32> bytes) {
    for (const u32 b : bytes) {
        if (b < 0x100) {
            *at++ = static_cast<u8>(b);
        } else {
            std::memcpy(at, &b, 4);
            at += 4;
        }
    }
    return at;
}

}  // namespace

struct Unicorn::Engine {
    uc_engine* uc = nullptr;
    uc_context* fresh = nullptr;

    // Of the run that goes on.
    std::span<const u32> steps;
    u32 after = 0;
    Outcome outcome;
    bool over = false;

    void end(Outcome::Kind kind) {
        outcome.kind = kind;
        over = true;
        uc_emu_stop(uc);
    }

    static void instruction(uc_engine*, u64 address, u32, void* self_) {
        Engine& self = *static_cast<Engine*>(self_);
        const u32 eip = static_cast<u32>(address);
        std::size_t& reached = self.outcome.reached;
        const bool enters = reached == 0 && eip >= kOwnPage && eip < kOwnPage + kPageSize;
        if (enters || self.over) {
            return;
        }
        const u32 expected = reached == self.steps.size() ? self.after : self.steps[reached];
        if (eip == expected && reached == self.steps.size()) {
            self.end(Outcome::Kind::done);
        } else if (eip != expected && reached != 0 && eip == self.steps[reached - 1]) {
            // Once more: the next iteration of REP, or it has changed code and is translated anew.
            return;
        } else if (eip != expected) {
            self.outcome.eip = eip;
            self.end(Outcome::Kind::elsewhere);
        } else {
            ++reached;
        }
    }
    static void exception(uc_engine*, u32 vector, void* self_) {
        Engine& self = *static_cast<Engine*>(self_);
        if (!self.over) {
            self.outcome.vector = vector;
            self.end(Outcome::Kind::fault);
        }
    }
    static bool invalid(uc_engine* uc, void* self_) {
        exception(uc, 6, self_);
        return false;
    }

    template <class Function>
    void hook(int kind, Function function) {
        uc_hook handle = 0;
        check(uc_hook_add(uc, &handle, kind, reinterpret_cast<void*>(function), this, 1, 0),
              "hook");
    }
};

Unicorn::Unicorn() : engine_(std::make_unique<Engine>()) {
    void* const memory =
        mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        std::abort();
    }
    ram_ = static_cast<u8*>(memory);
    Engine& e = *engine_;
    check(uc_open(UC_ARCH_X86, UC_MODE_32, &e.uc), "open");
    check(uc_context_alloc(e.uc, &e.fresh), "context");
    check(uc_context_save(e.uc, e.fresh), "context");
    e.hook(UC_HOOK_CODE, &Engine::instruction);
    e.hook(UC_HOOK_INTR, &Engine::exception);
    e.hook(UC_HOOK_INSN_INVALID, &Engine::invalid);
}

Unicorn::~Unicorn() {
    uc_context_free(engine_->fresh);
    uc_close(engine_->uc);
    munmap(ram_, kRam);
}

void Unicorn::map(std::vector<Piece> pieces) {
    if (pieces == pieces_) {
        return;
    }
    remapped_ = true;
    Engine& e = *engine_;
    // What stays is left alone: both cost the library much.
    for (const Piece& each : pieces_) {
        if (std::ranges::find(pieces, each) == pieces.end()) {
            check(uc_mem_unmap(e.uc, each.linear, each.size), "unmap");
        }
    }
    for (const Piece& each : pieces) {
        if (std::ranges::find(pieces_, each) == pieces_.end()) {
            check(uc_mem_map_ptr(e.uc, each.linear, each.size, UC_PROT_ALL, ram_ + each.physical),
                  "map");
        }
    }
    pieces_ = std::move(pieces);
}

// Page by page, for dropping all would clear the library's whole gigabyte for code.
void Unicorn::forget_code() {
    for (const Piece& each : pieces_) {
        for (u32 at = 0; each.code && at < each.size; at += kPageSize) {
            const u64 page = each.linear + at;
            check(uc_ctl_remove_cache(engine_->uc, page, page + kPageSize), "forget");
        }
    }
}

void Unicorn::put(u32 address, u32 value) {
    std::memcpy(ram_ + address, &value, 4);
}

void Unicorn::enter(const CpuState& state, const u8* ram, bool new_code) {
    Engine& e = *engine_;
    Image::for_each_page([&](u32 page) {
        if (page != kOwnPage && std::memcmp(ram_ + page, ram + page, kPageSize) != 0) {
            std::memcpy(ram_ + page, ram + page, kPageSize);
        }
    });
    check(uc_context_restore(e.uc, e.fresh), "context");
    if (new_code || std::exchange(remapped_, false)) {
        forget_code();
    }
    const auto table = [&](int reg, u32 base, u32 limit, u16 selector, u32 flags) {
        const uc_x86_mmr value{.selector = selector, .base = base, .limit = limit, .flags = flags};
        check(uc_reg_write(e.uc, reg, &value), "table");
    };
    table(UC_X86_REG_GDTR, state.gdtr.base, state.gdtr.limit, 0, 0);
    table(UC_X86_REG_IDTR, state.idtr.base, state.idtr.limit, 0, 0);
    // QEMU keeps the TSS's type without the busy bit, or aborts.
    table(UC_X86_REG_TR, state.tr.base, state.tr.limit, state.tr.selector,
          u32{state.tr.attr & 0xfdu} << 8);
    table(UC_X86_REG_LDTR, state.ldtr.base, state.ldtr.limit, state.ldtr.selector,
          u32{state.ldtr.attr} << 8);

    check(uc_reg_write(e.uc, UC_X86_REG_CR2, &state.cr2), "cr2");

    // mov eax,[cr4]; mov cr4,eax; the same with CR3, another CR0 (a change of WP drops Unicorn's
    // translations) and CR0; mov ss; mov esp,popped; pop gs; pop fs; pop es; pop ds; popa
    const std::initializer_list<u32> entry = {
        0xa1,      kCr4, 0x0f,    0x22, 0xe0, 0xa1, kCr3, 0x0f, 0x22, 0xd8, 0xa1,
        kOtherCr0, 0x0f, 0x22,    0xc0, 0xa1, kCr0, 0x0f, 0x22, 0xc0, 0x8e, 0x15,
        kSs,       0xbc, kPopped, 0x0f, 0xa9, 0x0f, 0xa1, 0x07, 0x1f, 0x61};
    write_code(write_code(ram_ + kEntryOuter, entry), {0xcf});  // iret
    write_code(write_code(ram_ + kEntryInner, entry),  // popf; mov esp,ss:[…]; jmp far ss:[…]
               {0x9d, 0x36, 0x8b, 0x25, kStackPointer, 0x36, 0xff, 0x2d, kTarget});
    put(kCr4, state.cr4);
    put(kCr3, state.cr3);
    put(kOtherCr0, state.cr0 ^ cr0::kWp);
    put(kCr0, state.cr0);
    const bool outer = state.cpl == 3;
    put(kSs, outer ? u32{selector::kData0} : state.segment(Seg::ss).selector);
    put(kStackPointer, state.gpr[kEsp]);
    u32 at = kPopped;
    const auto push = [&](u32 value) {
        put(at, value);
        at += 4;
    };
    for (const Seg seg : {Seg::gs, Seg::fs, Seg::es, Seg::ds}) {
        push(state.segment(seg).selector);
    }
    for (unsigned n = 8; n-- != 0;) {
        push(state.gpr[n]);
    }
    if (outer) {
        push(state.eip);
        push(state.segment(Seg::cs).selector);
        push(state.eflags & ~eflags::kRf);
        push(state.gpr[kEsp]);
        push(state.segment(Seg::ss).selector);
    } else {
        push(state.eflags & ~eflags::kRf);
        push(state.eip);
        push(state.segment(Seg::cs).selector);
    }
    begin_ = outer ? kEntryOuter : kEntryInner;
}

Unicorn::Outcome Unicorn::run(std::span<const u32> steps, u32 after) {
    Engine& e = *engine_;
    e.steps = steps;
    e.after = after;
    e.outcome = {};
    e.over = false;
    const uc_err error = uc_emu_start(e.uc, begin_, 0, 0, 0);
    if (!e.over || (error != UC_ERR_OK && error != UC_ERR_INSN_INVALID)) {
        e.outcome.kind = Outcome::Kind::unanswered;
    }
    begin_ = registers().eip;
    return e.outcome;
}

Registers Unicorn::registers() {
    static constexpr int kIds[] = {
        UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX, UC_X86_REG_ESP,
        UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI, UC_X86_REG_EIP, UC_X86_REG_EFLAGS,
        UC_X86_REG_CR0, UC_X86_REG_CR2, UC_X86_REG_CR3, UC_X86_REG_CR4, UC_X86_REG_ES,
        UC_X86_REG_CS,  UC_X86_REG_SS,  UC_X86_REG_DS,  UC_X86_REG_FS,  UC_X86_REG_GS};
    Registers r;
    std::array<int, std::size(kIds)> ids;
    std::memcpy(ids.data(), kIds, sizeof kIds);
    std::array<void*, std::size(kIds)> values{};
    std::size_t n = 0;
    for (u32& each : r.gpr) {
        values[n++] = &each;
    }
    for (u32* each : {&r.eip, &r.eflags, &r.cr0, &r.cr2, &r.cr3, &r.cr4}) {
        values[n++] = each;
    }
    for (u16& each : r.selectors) {
        values[n++] = &each;
    }
    check(uc_reg_read_batch(engine_->uc, ids.data(), values.data(), static_cast<int>(n)),
          "registers");
    return r;
}

}  // namespace ennead::vmcore::fuzz
