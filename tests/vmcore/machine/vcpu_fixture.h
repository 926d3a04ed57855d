// SPDX-License-Identifier: MIT
// A machine on its thread, to be asked and told from a test.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/vmcore/machine/test_machine.h"
#include "vmcore/machine/vcpu.h"

namespace ennead::vmcore::test {

class VcpuTest : public testing::Test {
  protected:
    static constexpr std::chrono::seconds kPatience{20};
    struct Change {
        RunState state;
        OffReason reason;
    };

    void make(std::vector<u8> guest, EngineKind engine = EngineKind::jit) {
        vcpu = std::make_unique<Vcpu>(
            make_machine(told, std::move(guest), engine),
            [this](RunState state, OffReason reason) {
                {
                    const std::lock_guard lock(mutex);
                    changes.push_back({state, reason});
                }
                changed.notify_all();
            },
            [this](const BreakpointHit& hit) {
                const std::lock_guard lock(mutex);
                hits.push_back(hit);
            });
    }
    // A command, and what it gave; fails the test if it does not run promptly.
    template <class F>
    auto ask(F function) {
        using T = decltype(function(*vcpu));
        auto answer = std::make_shared<std::promise<T>>();
        auto future = answer->get_future();
        vcpu->post([answer, function](Vcpu& v) { answer->set_value(function(v)); });
        if (future.wait_for(kPatience) != std::future_status::ready) {
            ADD_FAILURE() << "the command did not run";
            std::abort();
        }
        return future.get();
    }
    void act(std::function<void(Vcpu&)> function) {
        ask([function = std::move(function)](Vcpu& v) {
            function(v);
            return true;
        });
    }
    void resume() {
        act([](Vcpu& v) { v.resume(); });
    }
    [[nodiscard]] RunState state() {
        return ask([](Vcpu& v) { return v.run_state(); });
    }
    [[nodiscard]] u64 now_ns() {
        return ask([](Vcpu& v) { return v.machine().clock().now_ns(); });
    }
    [[nodiscard]] u32 spun() {
        return ask([](Vcpu& v) {
            u32 count = 0;
            std::memcpy(&count, v.machine().ram().base() + 0x300000, sizeof count);
            return count;
        });
    }
    // Waits for the machine to be paused.
    [[nodiscard]] bool comes_to_pause() {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, kPatience, [this] {
            return !changes.empty() && changes.back().state == RunState::paused;
        });
    }
    // Waits for the machine to go off.
    [[nodiscard]] OffReason off_reason() {
        std::unique_lock lock(mutex);
        const bool off = changed.wait_for(lock, kPatience, [this] {
            return !changes.empty() && changes.back().state == RunState::off;
        });
        EXPECT_TRUE(off) << "the machine is still on";
        return off ? changes.back().reason : OffReason::stop;
    }
    // Waits for COM1 to have said so much.
    [[nodiscard]] std::string com1(std::size_t size) {
        const auto limit = std::chrono::steady_clock::now() + kPatience;
        while (told.get(told.com1).size() < size && std::chrono::steady_clock::now() < limit) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return told.get(told.com1);
    }

    Told told;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Change> changes;
    std::vector<BreakpointHit> hits;
    std::unique_ptr<Vcpu> vcpu;  // last: ends before what it calls
};

inline constexpr u32 kStart = 0x100000;    // of the guest's code
inline constexpr u32 kHandler = 0x100010;  // where handle() leads
inline constexpr u32 kStack = 0x300000;

// On either engine, with a look at its registers.
class GuestOnEngineTest : public VcpuTest, public testing::WithParamInterface<EngineKind> {
  protected:
    void make(std::vector<u8> guest) { VcpuTest::make(std::move(guest), GetParam()); }
    void step(u64 count) {
        act([count](Vcpu& v) { v.step(count); });
    }
    [[nodiscard]] u32 eip() {
        return ask([](Vcpu& v) { return v.machine().cpu().state.eip; });
    }
    [[nodiscard]] u32 reg(Gpr number) {
        return ask([number](Vcpu& v) { return v.machine().cpu().state.gpr[number]; });
    }
    [[nodiscard]] u64 instructions() {
        return ask([](Vcpu& v) { return v.machine().cpu().state.instructions; });
    }
    // An interrupt gate for the vector, a stack, and EAX 0.
    void handle(u8 vector) {
        act([vector](Vcpu& v) {
            CpuState& state = v.machine().cpu().state;
            state.idtr = {.base = 0x200000, .limit = 0x7ff};
            state.gpr[kEsp] = kStack;
            state.gpr[kEax] = 0;
            const u16 gate[] = {kHandler & 0xffff, 0x10, 0x8e00, kHandler >> 16};
            std::memcpy(v.machine().ram().base() + 0x200000 + 8 * vector, gate, sizeof gate);
        });
    }
};

// inc eax at kHandler; what is before it comes first.
inline std::vector<u8> with_handler(std::vector<u8> guest) {
    guest.resize(kHandler - kStart, 0x90);
    guest.insert(guest.end(), {0x40, 0xeb, 0xfe});
    return guest;
}

inline const auto kEngines = testing::Values(EngineKind::interp, EngineKind::jit);
inline std::string engine_name(const testing::TestParamInfo<EngineKind>& info) {
    return info.param == EngineKind::jit ? "jit" : "interp";
}

}  // namespace ennead::vmcore::test
