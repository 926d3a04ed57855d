// SPDX-License-Identifier: MIT
// Who asks for more than he may waits, by a clock of the test's; and the memory that limits lie in.
#include "srv/ennead-vm/io_limit.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ennead::srv {
namespace {

using std::chrono::milliseconds;

class IoLimits : public ::testing::Test {
  protected:
    // How long one has to wait; the clock stands meanwhile.
    milliseconds ask(std::uint64_t bytes = 0) {
        return std::chrono::duration_cast<milliseconds>(limit.operation(bytes) - now);
    }
    std::shared_ptr<LimitsPage> page = std::make_shared<LimitsPage>();
    IoLimit::Clock::time_point now{std::chrono::hours(1)};
    IoLimit limit{page, [this] { return now; }};
};

TEST_F(IoLimits, nobody_waits_without_one) {
    EXPECT_FALSE(limit.on());
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQ(ask(1u << 30), milliseconds(0));
    }
    EXPECT_EQ(page->io_delayed, 0u);
}

TEST_F(IoLimits, operations_beyond_a_burst_come_at_their_rate) {
    page->io_operations = 100;
    EXPECT_TRUE(limit.on());
    for (int i = 0; i <= 10; i++) {
        EXPECT_EQ(ask(), milliseconds(0)) << i;
    }
    EXPECT_EQ(ask(), milliseconds(10));
    EXPECT_EQ(ask(), milliseconds(20));
    EXPECT_EQ(page->io_delayed, 2u);
    EXPECT_EQ(page->io_delay_us, 30000u);
    now += milliseconds(500);
    EXPECT_EQ(ask(), milliseconds(0));
    // What was not asked for is not saved up beyond the burst.
    now += std::chrono::hours(1);
    for (int i = 0; i <= 10; i++) {
        EXPECT_EQ(ask(), milliseconds(0)) << i;
    }
    EXPECT_EQ(ask(), milliseconds(10));
}

TEST_F(IoLimits, bytes_are_owed_and_paid_off) {
    page->io_bytes = 1000;
    EXPECT_EQ(ask(5000), milliseconds(0));  // owes five seconds now
    EXPECT_EQ(ask(), milliseconds(4900));
    now += milliseconds(4900);
    EXPECT_EQ(ask(), milliseconds(0));
    limit.moved(1000);  // an answer
    EXPECT_EQ(ask(), milliseconds(1000));
    page->io_bytes = 0;
    EXPECT_EQ(ask(1u << 30), milliseconds(0));
}

TEST_F(IoLimits, the_stricter_of_two_counts) {
    page->io_operations = 10;
    page->io_bytes = 1000;
    EXPECT_EQ(ask(2000), milliseconds(0));
    EXPECT_EQ(ask(), milliseconds(1900));
    now += milliseconds(2000);
    EXPECT_EQ(ask(), milliseconds(0));
    EXPECT_EQ(ask(), milliseconds(0));
    EXPECT_EQ(ask(), milliseconds(100));
}

TEST(LimitsPage, is_the_same_on_both_sides_and_keeps_its_size) {
    auto made = make_limits();
    ASSERT_TRUE(made);
    made.value().page->disk.limit = 7;
    const Fd& file = made.value().file;
    auto other = map_limits(Fd(fcntl(file.get(), F_DUPFD_CLOEXEC, 0)));
    ASSERT_TRUE(other);
    EXPECT_EQ(other.value()->disk.limit, 7u);
    other.value()->disk.binds = 9;
    EXPECT_EQ(made.value().page->disk.used(), 9u);
    EXPECT_NE(ftruncate(file.get(), 0), 0);
    EXPECT_EQ(map_limits(Fd(memfd_create("empty", MFD_CLOEXEC))).error().errnum, EPROTO);
}

}  // namespace
}  // namespace ennead::srv
