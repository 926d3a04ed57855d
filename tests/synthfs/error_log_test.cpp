// SPDX-License-Identifier: MIT
// Finding the words of a failure among the last ones.
#include "synthfs/error_log.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ennead::synthfs {
namespace {

TEST(ErrorLog, words_since_are_those_of_the_latest_record_of_that_file_and_errno) {
    const auto log = ErrorLog::make(3);
    EXPECT_EQ(log->words_since(0, EINVAL, "regs"), "");
    log->add({EINVAL, 1, "regs", "first", {}, {}});
    const std::uint64_t before = log->added();
    EXPECT_EQ(before, 1u);
    EXPECT_EQ(log->words_since(0, EINVAL, "regs"), "first");
    EXPECT_EQ(log->words_since(before, EINVAL, "regs"), "");
    log->add({EINVAL, 1, "regs", "second", {}, {}});
    log->add({EBUSY, 1, "regs", "third", {}, {}});
    log->add({EINVAL, 1, "mem", "fourth", {}, {}});
    EXPECT_EQ(log->words_since(before, EINVAL, "regs"), "second");
    EXPECT_EQ(log->words_since(before, EBUSY, "regs"), "third");
    EXPECT_EQ(log->words_since(before + 1, EINVAL, "regs"), "");
    log->add({EPERM, 1, "x", "fifth", {}, {}});  // the second has gone
    EXPECT_EQ(log->words_since(before, EINVAL, "regs"), "");
    EXPECT_EQ(log->words_since(before, EBUSY, "regs"), "third");
    log->clear();
    EXPECT_EQ(log->words_since(0, EPERM, "x"), "");
    EXPECT_EQ(log->added(), 5u);
}

}  // namespace
}  // namespace ennead::synthfs
