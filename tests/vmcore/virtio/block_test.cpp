// SPDX-License-Identifier: MIT
// The block device: every type of request, its bounds, and who breaks the rules.
#include "vmcore/virtio/block.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kHeader = 0x40000, kData = 0x41000, kStatus = 0x7f000;
constexpr u32 kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kWriteZeroes = 13;
constexpr u8 kOk = 0, kIoError = 1, kUnsupported = 2, kNone = 0xee;
constexpr u64 kAllBlock = VirtioBlock::kFeatureSizeMax | VirtioBlock::kFeatureSegMax |
                          VirtioBlock::kFeatureBlockSize | VirtioBlock::kFeatureFlush |
                          VirtioBlock::kFeatureDiscard | VirtioBlock::kFeatureWriteZeroes;

class Block : public ::testing::Test {
  protected:
    explicit Block(bool read_only = false)
        : device({.sectors = 100, .read_only = read_only, .serial = "ennead-disk0"}, 1000,
                 [this](BlockRequest r) { requests.push_back(std::move(r)); }) {
        run(kAllBlock);
    }
    void run(u64 features) {
        bench.negotiate((kAllTransport | features) & bench.device_features());
        ring.emplace(bench.make_queue(0, 16));
        bench.driver_ok();
    }
    void header(u32 type, u64 sector) {
        ring->set<u32>(kHeader, type);
        ring->set<u32>(kHeader + 4, 0);
        ring->set<u64>(kHeader + 8, sector);
        ring->set<u8>(kStatus, kNone);
    }
    // A request whose data are `size` bytes at kData, written by the device or read.
    void request(u32 type, u64 sector, u32 size, bool device_writes) {
        header(type, sector);
        ring->describe(0, kHeader, 16, kNext, size == 0 ? 2 : 1);
        if (size != 0) {
            ring->describe(1, kData, size, static_cast<u16>(kNext | (device_writes ? kWrite : 0)),
                           2);
        }
        ring->describe(2, kStatus, 1, kWrite);
        ring->offer(0);
        bench.notify(0);
    }
    void segment(u32 n, u64 sector, u32 sectors, u32 flags) {
        ring->set<u64>(kData + 16 * n, sector);
        ring->set<u32>(kData + 16 * n + 8, sectors);
        ring->set<u32>(kData + 16 * n + 12, flags);
    }
    u8 status() { return ring->get<u8>(kStatus); }
    bool broken() { return (bench.status() & PciTransport::kNeedsReset) != 0; }
    void complete(bool ok, std::string_view data = {}) {
        device.complete(requests.back().id, ok, std::as_bytes(std::span(data)));
    }

    std::vector<BlockRequest> requests;
    VirtioBlock device;
    VirtioBench bench{device};
    std::optional<DriverRing> ring;
};
class ReadOnlyBlock : public Block {
  protected:
    ReadOnlyBlock() : Block(true) {}
};
using Kind = BlockRequest::Kind;

TEST_F(Block, configuration) {
    EXPECT_EQ(bench.transport->config_read(2, 2), 0x1042u);
    EXPECT_EQ(bench.device_features() & 0xff'ffff & ~kAllTransport, kAllBlock);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 4), 100u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 8, 4), VirtioBlock::kMaxSegment);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 12, 4), VirtioBlock::kMaxSegments);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 20, 4), 512u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 36, 4), VirtioBlock::kMaxRangeSectors);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 56, 1), 1u);
}

TEST_F(Block, read) {
    request(kIn, 7, 1024, true);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].kind, Kind::read);
    EXPECT_EQ(requests[0].sector, 7u);
    EXPECT_EQ(requests[0].data.size(), 1024u);
    EXPECT_GE(requests[0].id, 1000u);
    EXPECT_EQ(status(), kNone);
    complete(true, std::string(512, 'a') + std::string(512, 'b'));
    EXPECT_EQ(status(), kOk);
    EXPECT_EQ(bench.text(kData + 511, 2), "ab");
    EXPECT_EQ(ring->used(0), (std::pair<u32, u32>{0, 1025}));
    EXPECT_TRUE(bench.line);
    EXPECT_EQ(device.pending_bytes(), 0u);
}

TEST_F(Block, read_that_fails_shows_nothing) {
    ring->set<u8>(kData, 'x');
    request(kIn, 7, 512, true);
    complete(false, std::string(512, 'a'));
    EXPECT_EQ(status(), kIoError);
    EXPECT_EQ(ring->get<u8>(kData), 0);
}

TEST_F(Block, write_is_copied_out) {
    bench.write(kData, std::string(512, 'w'));
    request(kOut, 99, 512, false);
    bench.write(kData, std::string(512, 'X'));
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].kind, Kind::write);
    EXPECT_EQ(requests[0].sector, 99u);
    EXPECT_EQ(requests[0].data, std::vector<std::byte>(512, std::byte{'w'}));
    EXPECT_FALSE(requests[0].durable);
    complete(true);
    EXPECT_EQ(status(), kOk);
    EXPECT_EQ(ring->used(0), (std::pair<u32, u32>{0, 1}));
    request(kOut, 99, 512, false);
    complete(false);
    EXPECT_EQ(status(), kIoError);
}

TEST_F(Block, write_is_durable_for_a_driver_without_flush) {
    run(0);
    request(kOut, 0, 512, false);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_TRUE(requests[0].durable);
}

TEST_F(Block, flush) {
    request(kFlush, 0, 0, false);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].kind, Kind::flush);
    complete(true);
    EXPECT_EQ(status(), kOk);
}

TEST_F(Block, get_id) {
    request(kGetId, 0, 20, true);
    EXPECT_TRUE(requests.empty());
    EXPECT_EQ(status(), kOk);
    EXPECT_EQ(bench.text(kData, 20), std::string("ennead-disk0") + std::string(8, '\0'));
    request(kGetId, 0, 19, true);
    EXPECT_EQ(status(), kIoError);
}

TEST_F(Block, discard_and_write_zeroes) {
    segment(0, 10, 5, 0);
    segment(1, 0, 100, 0);
    request(kDiscard, 0, 32, false);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].kind, Kind::discard);
    ASSERT_EQ(requests[0].ranges.size(), 2u);
    EXPECT_EQ(requests[0].ranges[0].sector, 10u);
    EXPECT_EQ(requests[0].ranges[0].count, 5u);
    complete(true);
    EXPECT_EQ(status(), kOk);
    segment(0, 99, 1, 1);
    request(kWriteZeroes, 0, 16, false);
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_EQ(requests[1].kind, Kind::write_zeroes);
    EXPECT_TRUE(requests[1].ranges.at(0).unmap);
}

TEST_F(Block, ranges_are_checked) {
    const struct {
        u32 type, size;
        u64 sector;
        u32 sectors, flags;
        u8 status;
    } cases[] = {
        {kDiscard, 16, 99, 2, 0, kIoError},
        {kDiscard, 16, 101, 0, 0, kIoError},
        {kDiscard, 16, ~u64{0}, 2, 0, kIoError},
        {kDiscard, 16, 0, VirtioBlock::kMaxRangeSectors + 1, 0, kIoError},
        {kDiscard, 16, 0, 1, 1, kUnsupported},
        {kWriteZeroes, 16, 0, 1, 2, kUnsupported},
        {kWriteZeroes, 15, 0, 1, 0, kIoError},
        {kWriteZeroes, 0, 0, 1, 0, kIoError},
        {kWriteZeroes, 17 * 16, 0, 1, 0, kIoError},
    };
    for (const auto& c : cases) {
        for (u32 n = 0; n < 17; ++n) {
            segment(n, c.sector, c.sectors, c.flags);
        }
        request(c.type, 0, c.size, false);
        EXPECT_EQ(status(), c.status) << c.type << ' ' << c.sector << ' ' << c.sectors;
    }
    run(kAllBlock & ~(VirtioBlock::kFeatureDiscard | VirtioBlock::kFeatureWriteZeroes));
    for (const u32 type : {kDiscard, kWriteZeroes}) {
        segment(0, 0, 1, 0);
        request(type, 0, 16, false);
        EXPECT_EQ(status(), kUnsupported);
    }
    EXPECT_TRUE(requests.empty());
    EXPECT_FALSE(broken());
}

TEST_F(Block, bounds) {
    for (const u32 type : {kIn, kOut}) {
        for (const auto& [sector, size] : {std::pair<u64, u32>{99, 1024},
                                           {100, 512},
                                           {~u64{0}, 512},
                                           {~u64{0} - 1, 1024},
                                           {0, 511},
                                           {0, 513}}) {
            request(type, sector, size, type == kIn);
            EXPECT_EQ(status(), kIoError) << type << ' ' << sector << ' ' << size;
        }
    }
    request(0x1234, 0, 512, false);
    EXPECT_EQ(status(), kUnsupported);
    EXPECT_TRUE(requests.empty());
    EXPECT_FALSE(broken());
}

TEST_F(Block, framing_is_the_drivers) {
    header(kIn, 3);
    ring->describe(0, kHeader, 5, kNext, 1);
    ring->describe(1, kHeader + 5, 11, kNext, 2);
    ring->describe(2, kData, 500, kNext | kWrite, 3);
    ring->describe(3, kData + 0x1000, 13, kWrite);  // twelve bytes and the status
    ring->offer(0);
    bench.notify(0);
    ASSERT_EQ(requests.size(), 1u);
    complete(true, std::string(500, 'a') + std::string(12, 'b'));
    EXPECT_EQ(bench.text(kData + 0x1000, 13), std::string(12, 'b') + '\0');
}

TEST_F(Block, who_breaks_the_rules_stops_the_device) {
    header(kIn, 0);
    ring->describe(0, kHeader, 15, kNext, 1);
    ring->describe(1, kStatus, 1, kWrite);
    ring->offer(0);
    bench.notify(0);
    EXPECT_TRUE(broken());
    EXPECT_EQ(bench.lines.size(), 1u);
    run(kAllBlock);
    ring->describe(0, kHeader, 16, 0);
    ring->offer(0);
    bench.notify(0);
    EXPECT_TRUE(broken());
    run(kAllBlock);
    request(kFlush, 0, 0, false);
    EXPECT_EQ(requests.size(), 1u);
}

TEST_F(Block, too_large_a_request_stops_the_device) {
    header(kIn, 0);
    ring->describe(0, kHeader, 16, kNext, 1);
    ring->describe(1, kData, 0x1000, kIndirect);
    for (u16 i = 0; i < 256; ++i) {
        ring->describe_in(kData, i, 0, 0x80000, static_cast<u16>(kWrite | (i < 255 ? kNext : 0)),
                          static_cast<u16>(i + 1));
    }
    ring->offer(0);
    bench.notify(0);
    EXPECT_TRUE(broken());
    EXPECT_TRUE(requests.empty());
}

TEST_F(Block, what_is_under_way_is_bounded) {
    VirtioBlock large({.sectors = 1u << 20, .read_only = false, .serial = ""}, 1,
                      [this](BlockRequest r) { requests.push_back(std::move(r)); });
    VirtioBench other(large);
    other.negotiate(kAllTransport | kAllBlock);
    DriverRing queue = other.make_queue(0, 256);
    other.driver_ok();
    queue.set<u64>(kHeader + 8, 0);
    queue.describe(0, kHeader, 16, kNext, 1);
    queue.describe(1, kData, 256, kIndirect);
    for (u16 i = 0; i < 16; ++i) {  // 8 MiB, and the status
        queue.describe_in(kData, i, 0x80000, i < 15 ? 0x80000 : 0x1,
                          static_cast<u16>(kWrite | (i < 15 ? kNext : 0)), static_cast<u16>(i + 1));
    }
    for (int i = 0; i < 20; ++i) {
        queue.offer(0);
    }
    other.notify(0);
    const std::size_t at_first = requests.size();
    EXPECT_GE(at_first, 2u);
    EXPECT_LT(at_first, 20u);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        EXPECT_LE(large.pending_bytes(), 2 * VirtioBlock::kMaxPendingBytes);
        large.complete(requests[i].id, false, {});
    }
    EXPECT_EQ(requests.size(), 20u);
    EXPECT_EQ(queue.used_index(), 20);
}

TEST_F(Block, late_end_after_a_reset_is_dropped) {
    request(kIn, 0, 512, true);
    const u64 old = requests[0].id;
    run(kAllBlock);
    request(kIn, 0, 512, true);
    device.complete(old, true, std::vector<std::byte>(512));
    EXPECT_EQ(ring->used_index(), 0);
    complete(true, std::string(512, 'n'));
    EXPECT_EQ(ring->used_index(), 1);
    bench.set_status(0);
    complete(true);
}

TEST_F(ReadOnlyBlock, refuses_what_writes) {
    EXPECT_EQ(bench.device_features() & 0xff'ffff & ~kAllTransport,
              (kAllBlock & ~(VirtioBlock::kFeatureDiscard | VirtioBlock::kFeatureWriteZeroes)) |
                  VirtioBlock::kFeatureReadOnly);
    request(kOut, 0, 512, false);
    EXPECT_EQ(status(), kIoError);
    segment(0, 0, 1, 0);
    request(kWriteZeroes, 0, 16, false);
    EXPECT_EQ(status(), kUnsupported);
    EXPECT_TRUE(requests.empty());
    request(kIn, 0, 512, true);
    EXPECT_EQ(requests.size(), 1u);
}

TEST(BlockReentry, end_from_inside_submit) {
    VirtioBlock* self = nullptr;
    VirtioBlock device({.sectors = 8, .read_only = false, .serial = ""}, 1,
                       [&](BlockRequest r) { self->complete(r.id, true, r.data); });
    self = &device;
    VirtioBench bench(device);
    bench.negotiate(kAllTransport | kAllBlock);
    DriverRing ring = bench.make_queue(0, 8);
    bench.driver_ok();
    ring.set<u32>(kHeader, kFlush);
    ring.describe(0, kHeader, 16, kNext, 1);
    ring.describe(1, kStatus, 1, kWrite);
    ring.set<u8>(kStatus, kNone);
    ring.offer(0);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(ring.used_index(), 2);
    EXPECT_EQ(ring.get<u8>(kStatus), kOk);
    EXPECT_TRUE(bench.line);
}

}  // namespace
}  // namespace ennead::vmcore
