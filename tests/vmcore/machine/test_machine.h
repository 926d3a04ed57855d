// SPDX-License-Identifier: MIT
// A machine around a tiny kernel, whose output is kept.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/vmcore/machine/tiny_kernel.h"
#include "vmcore/machine/machine.h"

namespace ennead::vmcore::test {

// What a machine told its surroundings, from whatever thread.
class Told {
  public:
    void add(std::string& to, std::span<const u8> bytes) {
        const std::lock_guard lock(mutex_);
        to.append(bytes.begin(), bytes.end());
    }
    [[nodiscard]] std::string get(const std::string& from) {
        const std::lock_guard lock(mutex_);
        return from;
    }
    std::string console, com1, com2, log;
    // What the host's wall clock shows: 2023-11-14 22:13:20.
    std::atomic<i64> wall_ns = i64{1'700'000'000} * 1'000'000'000;

  private:
    std::mutex mutex_;
};

inline MachineHooks hooks_into(Told& told) {
    return {.log =
                [&told](LogLevel, std::string_view line) {
                    told.add(told.log, {reinterpret_cast<const u8*>(line.data()), line.size()});
                },
            .console_output = [&told](auto bytes) { told.add(told.console, bytes); },
            .com1_output = [&told](auto bytes) { told.add(told.com1, bytes); },
            .com2_output = [&told](auto bytes) { told.add(told.com2, bytes); },
            .input_room = [] {},
            .p9_request = [](P9Request) {},
            .p9_reset = [] {},
            .disk_request = [](unsigned, BlockRequest) {},
            .wall_clock = [&told] { return told.wall_ns.load(); }};
}

inline std::unique_ptr<Machine> make_machine(Told& told, std::vector<u8> code,
                                             EngineKind engine = EngineKind::jit) {
    auto machine = Machine::create({.memory_bytes = 4 << 20,
                                    .engine = engine,
                                    .kernel = TinyKernel{.code = std::move(code)}.image(),
                                    .initrds = {},
                                    .command_line = "test"},
                                   hooks_into(told));
    EXPECT_TRUE(machine) << machine.error().message();
    return std::move(machine.value());
}

}  // namespace ennead::vmcore::test
