// SPDX-License-Identifier: MIT
// What libFuzzer calls. With ENNEAD_TELL set it prints each session's conversation.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz9p/session.h"

namespace {

// An expectation of the tests' client is one here, too.
class Aborting final : public testing::EmptyTestEventListener {
    void OnTestPartResult(const testing::TestPartResult& result) override {
        if (result.failed()) {
            std::fprintf(stderr, "FOUND: %s:%d: %s\n", result.file_name(), result.line_number(),
                         result.message());
            std::abort();
        }
    }
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    testing::InitGoogleTest(argc, *argv);
    testing::UnitTest::GetInstance()->listeners().Append(new Aborting);  // which owns it
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static ennead::fuzz9p::Ground ground;
    static const bool told = std::getenv("ENNEAD_TELL") != nullptr;
    ennead::fuzz9p::run_session(ground, {data, size}, told);
    return 0;
}
