// SPDX-License-Identifier: MIT
// Split virtqueues: chains, indirect tables, event indices, and drivers that break the rules.
#include "vmcore/virtio/queue.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kRingBase = 0x1000, kTable = 0x8000, kData = 0x10000;
constexpr u16 kSize = 8;

class QueueTest : public ::testing::Test {
  protected:
    Queue& start(u64 features = 0) {
        queue.emplace(
            ring.config(kSize), *ram, features,
            Queue::Hooks{[this] { ++interrupts; }, [this](const char* what) { broken = what; }});
        return *queue;
    }

    std::unique_ptr<GuestRam> ram = GuestRam::create(1u << 20).value();
    DriverRing ring{*ram, kRingBase, kSize};
    std::optional<Queue> queue;
    Chain chain;
    int interrupts = 0;
    std::string broken;
};

// A chain given back without a word about what it held.
Chain only_head(u16 head) {
    Chain chain;
    chain.head = head;
    return chain;
}

TEST_F(QueueTest, empty_ring_gives_nothing) {
    EXPECT_FALSE(start().pop(chain));
    EXPECT_EQ(broken, "");
}

TEST_F(QueueTest, chain_gives_readable_then_writable_buffers) {
    Queue& q = start();
    ring.describe(5, kData, 3, kNext, 2);
    ring.describe(2, kData + 0x100, 5, kNext, 7);
    ring.describe(7, kData + 0x200, 4, kNext | kWrite, 0);
    ring.describe(0, kData + 0x300, 6, kWrite);
    std::memcpy(ram->base() + kData, "abc", 3);
    std::memcpy(ram->base() + kData + 0x100, "defgh", 5);
    ring.offer(5);

    ASSERT_TRUE(q.pop(chain));
    EXPECT_EQ(chain.head, 5);
    EXPECT_EQ(chain.readable_bytes, 8u);
    EXPECT_EQ(chain.writable_bytes, 10u);
    std::vector<std::byte> bytes;
    chain.gather(bytes);
    EXPECT_EQ(std::string(reinterpret_cast<char*>(bytes.data()), bytes.size()), "abcdefgh");
    EXPECT_EQ(chain.scatter(bytes), 8u);
    EXPECT_EQ(std::memcmp(ram->base() + kData + 0x200, "abcd", 4), 0);
    EXPECT_EQ(std::memcmp(ram->base() + kData + 0x300, "efgh", 4), 0);
    EXPECT_EQ(chain.scatter(bytes, 7), 3u);
    EXPECT_EQ(std::memcmp(ram->base() + kData + 0x303, "abc", 3), 0);
    EXPECT_EQ(chain.scatter(bytes, 10), 0u);
    q.push(only_head(5), 8);
    q.signal();
    EXPECT_EQ(ring.used_index(), 1);
    EXPECT_EQ(ring.used(0), (std::pair<u32, u32>{5, 8}));
    EXPECT_EQ(interrupts, 1);
    EXPECT_FALSE(q.pop(chain));
}

TEST_F(QueueTest, indirect_table_may_follow_direct_descriptors) {
    Queue& q = start(kVirtioFIndirectDesc);
    ring.describe(0, kData, 1, kNext, 1);
    ring.describe(1, kTable, 3 * 16, kIndirect | kWrite);  // WRITE means nothing here
    ring.describe_in(kTable, 0, kData + 1, 2, kNext, 2);
    ring.describe_in(kTable, 2, kData + 8, 4, kNext | kWrite, 1);
    ring.describe_in(kTable, 1, kData + 16, 4, kWrite, 0);
    ring.offer(0);
    ASSERT_TRUE(q.pop(chain));
    EXPECT_EQ(chain.readable.size(), 2u);
    EXPECT_EQ(chain.writable.size(), 2u);
    EXPECT_EQ(chain.readable_bytes, 3u);
    EXPECT_EQ(chain.writable_bytes, 8u);
}

TEST_F(QueueTest, indirect_table_may_be_longer_than_the_queue) {
    Queue& q = start(kVirtioFIndirectDesc);
    for (u16 i = 0; i < Queue::kMaxChain; ++i) {
        ring.describe_in(kTable, i, kData, 1, i + 1u < Queue::kMaxChain ? kNext : 0,
                         static_cast<u16>(i + 1));
    }
    ring.describe(0, kTable, Queue::kMaxChain * 16, kIndirect);
    ring.offer(0);
    ASSERT_TRUE(q.pop(chain));
    EXPECT_EQ(chain.readable_bytes, Queue::kMaxChain);
}

TEST_F(QueueTest, no_interrupt_flag_is_obeyed) {
    Queue& q = start();
    ring.describe(0, kData, 1, 0);
    ring.set_available_flags(1);
    ring.offer(0);
    ASSERT_TRUE(q.pop(chain));
    q.push(only_head(0), 0);
    q.signal();
    EXPECT_EQ(interrupts, 0);
    ring.set_available_flags(0);
    q.signal();
    EXPECT_EQ(interrupts, 0) << "nothing new was pushed";
}

TEST_F(QueueTest, used_event_decides_about_the_interrupt) {
    Queue& q = start(kVirtioFEventIdx);
    ring.set_available_flags(1);  // means nothing with EVENT_IDX
    ring.set_used_event(2);       // wants to hear of the third buffer
    ring.describe(0, kData, 1, 0);
    for (int i = 1; i <= 4; ++i) {
        ring.offer(0);
        ASSERT_TRUE(q.pop(chain));
        q.push(only_head(0), 0);
        q.signal();
        EXPECT_EQ(interrupts, i >= 3 ? 1 : 0) << i;
    }
}

TEST_F(QueueTest, used_event_inside_a_batch_is_not_missed) {
    Queue& q = start(kVirtioFEventIdx);
    ring.set_used_event(1);
    ring.describe(0, kData, 1, 0);
    for (int i = 0; i < 4; ++i) {
        ring.offer(0);
        ASSERT_TRUE(q.pop(chain));
        q.push(only_head(0), 0);
    }
    q.signal();
    EXPECT_EQ(interrupts, 1);
}

TEST_F(QueueTest, available_event_asks_for_the_next_notification) {
    Queue& q = start(kVirtioFEventIdx);
    ring.describe(0, kData, 1, 0);
    for (u16 i = 1; i <= 20; ++i) {
        ring.offer(0);
        ASSERT_TRUE(q.pop(chain));
        q.push(only_head(0), 0);
        EXPECT_FALSE(q.pop(chain));
        EXPECT_EQ(ring.available_event(), i);
    }
}

TEST_F(QueueTest, indices_wrap) {
    Queue& q = start(kVirtioFEventIdx);
    ring.describe(3, kData, 1, kWrite);
    for (u32 i = 0; i < 70000; ++i) {
        ring.set_used_event(static_cast<u16>(i));
        ring.offer(3);
        ASSERT_TRUE(q.pop(chain));
        q.push(only_head(3), i);
        q.signal();
    }
    EXPECT_EQ(interrupts, 70000);
    EXPECT_EQ(ring.used_index(), static_cast<u16>(70000));
    EXPECT_EQ(ring.used(static_cast<u16>(69999)), (std::pair<u32, u32>{3, 69999}));
    EXPECT_EQ(broken, "");
}

TEST_F(QueueTest, stopped_queue_is_silent) {
    Queue& q = start();
    ring.describe(0, kData, 1, 0);
    ring.offer(0);
    ASSERT_TRUE(q.pop(chain));
    q.stop();
    q.push(only_head(0), 0);
    q.signal();
    ring.offer(0);
    EXPECT_FALSE(q.pop(chain));
    EXPECT_EQ(ring.used_index(), 0);
    EXPECT_EQ(interrupts, 0);
}

TEST_F(QueueTest, more_in_flight_than_the_ring_holds_is_refused) {
    Queue& q = start();
    ring.describe(0, kData, 1, 0);
    for (int i = 0; i < kSize; ++i) {
        ring.offer(0);
        ASSERT_TRUE(q.pop(chain));
    }
    ring.offer(0);
    EXPECT_FALSE(q.pop(chain));
    EXPECT_NE(broken, "");
}

// --- drivers that break the rules ---

struct BrokenDriver {
    const char* name;
    u64 features;
    std::function<void(DriverRing&)> build;
};

class BrokenDriverTest : public QueueTest, public ::testing::WithParamInterface<BrokenDriver> {};

TEST_P(BrokenDriverTest, stops_the_queue_with_a_reason) {
    Queue& q = start(GetParam().features);
    GetParam().build(ring);
    EXPECT_FALSE(q.pop(chain));
    EXPECT_NE(broken, "");
    EXPECT_TRUE(q.stopped());
    broken.clear();
    EXPECT_FALSE(q.pop(chain));
    EXPECT_EQ(broken, "") << "said once";
}

void one(DriverRing& r, u64 address, u32 length, u16 flags, u16 next = 0) {
    r.describe(0, address, length, flags, next);
    r.offer(0);
}

// clang-format off
const BrokenDriver kBrokenDrivers[] = {
    {"index_far_ahead",      0, [](DriverRing& r) { r.set_available_index(kSize + 1); }},
    {"index_went_back",      0, [](DriverRing& r) { r.set_available_index(0xffff); }},
    {"head_out_of_range",    0, [](DriverRing& r) { r.offer(kSize); }},
    {"next_out_of_range",    0, [](DriverRing& r) { one(r, kData, 1, kNext, kSize); }},
    {"loop_of_one",          0, [](DriverRing& r) { one(r, kData, 1, kNext, 0); }},
    {"loop_of_two",          0, [](DriverRing& r) { r.describe(1, kData, 1, kNext, 0); one(r, kData, 1, kNext, 1); }},
    {"zero_length",          0, [](DriverRing& r) { one(r, kData, 0, 0); }},
    {"past_the_end_of_ram",  0, [](DriverRing& r) { one(r, (1u << 20) - 4, 5, 0); }},
    {"address_wraps",        0, [](DriverRing& r) { one(r, ~u64{0} - 3, 8, kWrite); }},
    {"beyond_4_gib",         0, [](DriverRing& r) { one(r, (u64{1} << 32) + kData, 8, 0); }},
    {"readable_last",        0, [](DriverRing& r) { r.describe(1, kData, 1, 0); one(r, kData, 1, kNext | kWrite, 1); }},
    {"indirect_not_agreed",  0, [](DriverRing& r) { r.describe_in(kTable, 0, kData, 1, 0); one(r, kTable, 16, kIndirect); }},
    {"indirect_and_next",    kVirtioFIndirectDesc, [](DriverRing& r) { r.describe_in(kTable, 0, kData, 1, 0); one(r, kTable, 16, kIndirect | kNext, 1); }},
    {"indirect_twice",       kVirtioFIndirectDesc, [](DriverRing& r) { r.describe_in(kTable, 0, kTable, 16, kIndirect); one(r, kTable, 16, kIndirect); }},
    {"indirect_empty",       kVirtioFIndirectDesc, [](DriverRing& r) { one(r, kTable, 0, kIndirect); }},
    {"indirect_odd_length",  kVirtioFIndirectDesc, [](DriverRing& r) { one(r, kTable, 24, kIndirect); }},
    {"indirect_outside",     kVirtioFIndirectDesc, [](DriverRing& r) { one(r, 1u << 20, 16, kIndirect); }},
    {"indirect_loop",        kVirtioFIndirectDesc, [](DriverRing& r) { r.describe_in(kTable, 0, kData, 1, kNext, 0); one(r, kTable, 64, kIndirect); }},
    {"indirect_next_outside", kVirtioFIndirectDesc, [](DriverRing& r) { r.describe_in(kTable, 0, kData, 1, kNext, 4); one(r, kTable, 64, kIndirect); }},
    {"indirect_too_long",    kVirtioFIndirectDesc, [](DriverRing& r) {
        for (u16 i = 0; i < 1100; ++i) { r.describe_in(kTable, i, kData, 1, kNext, static_cast<u16>(i + 1)); }
        one(r, kTable, 1101 * 16, kIndirect); }},
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(Queue, BrokenDriverTest, ::testing::ValuesIn(kBrokenDrivers),
                         [](const auto& info) { return info.param.name; });

// --- set-up values ---

TEST_F(QueueTest, defects_of_a_configuration_are_found) {
    const QueueConfig good = ring.config(kSize);
    EXPECT_EQ(good.defect(*ram), nullptr);
    const auto with = [&](auto change) {
        QueueConfig c = good;
        change(c);
        return c.defect(*ram) != nullptr;
    };
    EXPECT_TRUE(with([](QueueConfig& c) { c.size = 0; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.size = 3; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.size = 16; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.descriptors = PhysAddr{0x1008}; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.driver = PhysAddr{0x1001}; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.device = PhysAddr{0x1002}; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.descriptors = PhysAddr{(1u << 20) - 16}; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.driver = PhysAddr{(1u << 20) - 20}; }));
    EXPECT_FALSE(with([](QueueConfig& c) { c.driver = PhysAddr{(1u << 20) - 22}; }));
    EXPECT_TRUE(with([](QueueConfig& c) { c.device = PhysAddr{~u64{0} - 3}; }));
}

}  // namespace
}  // namespace ennead::vmcore
