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
        vcpu = std::make_unique<Vcpu>(make_machine(told, std::move(guest), engine),
                                      [this](RunState state, OffReason reason) {
                                          {
                                              const std::lock_guard lock(mutex);
                                              changes.push_back({state, reason});
                                          }
                                          changed.notify_all();
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
    std::unique_ptr<Vcpu> vcpu;  // last: ends before what it calls
};

}  // namespace ennead::vmcore::test
