// SPDX-License-Identifier: MIT
// The host as an oracle for MMX and SSE: executes the guest's own bytes between FXRSTOR and FXSAVE.
#pragma once

#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::test {

// The image of FXSAVE, as far as MMX and SSE instructions change it (SDM vol 1, table 10-2).
struct alignas(16) FxImage {
    std::array<u8, 512> bytes{};

    template <class T>
    [[nodiscard]] T get(unsigned at) const {
        T value;
        std::memcpy(&value, bytes.data() + at, sizeof(T));
        return value;
    }
    template <class T>
    void put(unsigned at, T value) {
        std::memcpy(bytes.data() + at, &value, sizeof(T));
    }
};

struct HostState {
    FxImage fx;
    std::array<u64, 8> gpr{};  // ESP is not loaded; a register that holds an address holds a host's
    u64 flags = 0;
};

class HostSimd {
  public:
    HostSimd() {
        void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        code_ = page == MAP_FAILED ? nullptr : static_cast<u8*>(page);
        struct sigaction action = {};
        action.sa_sigaction = trapped;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGFPE, &action, &old_action_);
    }
    ~HostSimd() {
        sigaction(SIGFPE, &old_action_, nullptr);
        if (code_ != nullptr) {
            munmap(code_, 4096);
        }
    }
    HostSimd(const HostSimd&) = delete;
    HostSimd& operator=(const HostSimd&) = delete;

    [[nodiscard]] bool usable() const { return code_ != nullptr; }

    // What run() executes. Its 32-bit addresses become 64-bit ones of the same registers.
    void prepare(std::span<const u8> instruction) {
        std::vector<u8> code;
        const auto add = [&](std::initializer_list<u8> bytes) { code.insert(code.end(), bytes); };
        const auto move = [&](u8 opcode, unsigned n) {  // mov %reg, at(%r15) or back
            add({0x49, opcode, static_cast<u8>(0x87 | n << 3)});
            const auto at = static_cast<u32>(offsetof(HostState, gpr) + n * 8);
            add({static_cast<u8>(at), static_cast<u8>(at >> 8), 0, 0});
        };
        const auto at_flags = static_cast<u32>(offsetof(HostState, flags));
        const auto flags_low = static_cast<u8>(at_flags),
                   flags_high = static_cast<u8>(at_flags >> 8);
        add({0x53, 0x55, 0x41, 0x57});                         // push %rbx, %rbp, %r15
        add({0x49, 0x89, 0xff});                               // mov %rdi, %r15
        add({0x41, 0x0f, 0xae, 0x0f});                         // fxrstor (%r15)
        add({0x41, 0xff, 0xb7, flags_low, flags_high, 0, 0});  // push flags(%r15)
        add({0x9d});                                           // popfq
        for (const unsigned n : {0u, 1u, 2u, 3u, 5u, 6u, 7u}) {
            move(0x8b, n);
        }
        code.insert(code.end(), instruction.begin(), instruction.end());
        for (const unsigned n : {0u, 1u, 2u, 3u, 5u, 6u, 7u}) {
            move(0x89, n);
        }
        add({0x9c});                                           // pushfq
        add({0x41, 0x8f, 0x87, flags_low, flags_high, 0, 0});  // pop flags(%r15)
        add({0x41, 0x0f, 0xae, 0x07});                         // fxsave (%r15)
        add({0x41, 0x5f, 0x5d, 0x5b, 0xc3});                   // pop %r15, %rbp, %rbx; ret
        std::memcpy(code_, code.data(), code.size());
    }

    // Nothing: it ran and changed `state`. Otherwise it raised a SIMD exception; the MXCSR it left.
    [[nodiscard]] std::optional<u32> run(HostState& state) {
        const u32 control = mxcsr::kReset;
        std::optional<u32> trap;
        // With the signal mask: the thread sanitizer blocks all signals in a handler.
        if (sigsetjmp(jump_, 1) == 0) {
            reinterpret_cast<void (*)(HostState*)>(code_)(&state);
        } else {
            trap = trap_mxcsr_;
        }
        asm volatile("fninit\n\tldmxcsr %0" : : "m"(control));
        return trap;
    }

  private:
    static void trapped(int, siginfo_t*, void* context) {
        trap_mxcsr_ = static_cast<ucontext_t*>(context)->uc_mcontext.fpregs->mxcsr;
        siglongjmp(jump_, 1);
    }

    u8* code_ = nullptr;
    struct sigaction old_action_ = {};
    static inline sigjmp_buf jump_;
    static inline volatile u32 trap_mxcsr_ = 0;
};

}  // namespace ennead::vmcore::test
