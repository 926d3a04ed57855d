// SPDX-License-Identifier: MIT
// Drivers that write anything anywhere: the devices survive, in bounded time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <random>

#include "tests/vmcore/virtio/virtio_driver.h"
#include "vmcore/virtio/block.h"
#include "vmcore/virtio/console.h"
#include "vmcore/virtio/p9_channel.h"
#include "vmcore/virtio/rng.h"

namespace ennead::vmcore {
namespace {

// Everything follows from the seed, so a failure can be had again on any machine.
class HostileDriver {
  public:
    // `answered`: its chains often are a header, data and room for a status.
    HostileDriver(VirtioBench& bench, u32 seed, u16 queues = 2, bool answered = false)
        : bench_(bench), random_(seed), queues_(queues), answered_(answered) {}

    void step() {
        switch (below(16)) {
            case 0:
                bench_.set_common(2 * below(32), 1u << below(3), random_());
                break;
            case 1:
                bench_.set_status(static_cast<u8>(random_()));
                break;
            case 2:
                bench_.mmio.write(VirtioBench::kBar0 + below(0x4000), 1u << below(4), wide());
                break;
            case 3:
                bench_.mmio.read(VirtioBench::kBar0 + below(0x4000), 1u << below(4));
                break;
            case 4:
                write_config_space();
                break;
            case 5:
                bench_.transport->config_read(below(256) & ~3u, 4);
                break;
            case 6:
                set_up();
                break;
            case 7:
                bench_.map();
                break;
            case 8:
                bench_.mmio.write(VirtioBench::kBar1 + below(0x1000), 1u << below(4), wide());
                break;
            case 9:
                scribble();
                break;
            default:
                offer();
                break;
        }
    }

  private:
    u32 below(u32 n) { return static_cast<u32>(random_() % n); }
    u64 wide() { return (u64{random_()} << 32) | random_(); }

    void write_config_space() {
        const unsigned size = 1u << below(3);
        bench_.transport->config_write(below(256) & ~(size - 1), size, random_());
    }

    // A driver that gets as far as DRIVER_OK, since without it nothing behind is reached.
    void set_up() {
        bench_.map();
        const u64 own = below(2) ? bench_.device_features() & 0xff'ffff : 0;
        bench_.negotiate(own | kVirtioFVersion1 | (below(2) ? kVirtioFEventIdx : 0) |
                         (below(4) ? kVirtioFIndirectDesc : 0));
        size_ = static_cast<u16>(1u << below(8));
        for (u16 n = 0; n < queues_; ++n) {
            // What a queue cannot have breaks the device; at times that, too.
            bench_.set_common(22, 2, n);
            const u16 most = static_cast<u16>(bench_.common(24, 2));
            if (most != 0 && most < size_ && below(16) != 0) {
                size_ = most;
            }
        }
        for (u16 n = 0; n < queues_; ++n) {
            bench_.make_queue(n, size_);
        }
        bench_.driver_ok();
        std::fill(std::begin(index_), std::end(index_), u16{0});
    }

    void scribble() {
        const u64 at = VirtioBench::kRings + below(queues_ * VirtioBench::kRingStride);
        const u64 value = wide();
        std::memcpy(bench_.ram->base() + at, &value, sizeof value);
    }

    // A chain that is plausible in most of its fields.
    void offer() {
        const u16 n = static_cast<u16>(below(queues_));
        DriverRing ring(*bench_.ram, VirtioBench::kRings + VirtioBench::kRingStride * n, size_);
        const u16 length = static_cast<u16>(1 + below(4));
        const bool writable = below(2) != 0;
        const bool answered =
            answered_ && length > 1 && below(2) != 0;  // header first, status last
        for (u16 i = 0; i < length; ++i) {
            u16 flags =
                static_cast<u16>((writable || below(8) == 0 ? kWrite : 0) |
                                 (i + 1 < length ? kNext : 0) | (below(8) == 0 ? kIndirect : 0));
            if (below(32) == 0) {
                flags = static_cast<u16>(random_());
            }
            u64 address = below(32) == 0 ? wide() : below(0x120000);
            u32 bytes = below(32) == 0 ? random_() : 16 * below(300);
            if (answered) {
                flags = i + 1 < length ? kNext : kWrite;
                address = 0x80000 + 16 * below(0x7000);
                bytes = i == 0 ? 16 : i + 1 == length ? 1 + 512 * below(4) : 512;
            }
            if (i == 0 && n == 3 && address < 0x40000 && below(4) != 0) {
                write_control(address);
            }
            ring.describe(static_cast<u16>(i % size_), address, bytes, flags,
                          below(32) == 0 ? static_cast<u16>(random_()) : static_cast<u16>(i + 1));
        }
        ring.set_available_index(index_[n]);
        ring.offer(below(32) == 0 ? static_cast<u16>(random_()) : 0);
        ++index_[n];
        ring.set_used_event(static_cast<u16>(random_()));
        bench_.notify(n);
    }

    // A console's control message that a driver may send, or nearly so.
    void write_control(u64 address) {
        const u16 message[] = {static_cast<u16>(below(16) == 0), 0, static_cast<u16>(below(8)),
                               static_cast<u16>(below(8) != 0)};
        std::memcpy(bench_.ram->base() + address, message, sizeof message);
    }

    static constexpr u16 kMostQueues = 4;

    VirtioBench& bench_;
    std::mt19937 random_;
    const u16 queues_;
    const bool answered_;
    u16 size_ = 8;
    u16 index_[kMostQueues] = {};
};

constexpr u32 kSeeds = 12;
constexpr int kSteps = 1500;

TEST(HostileDriver, console_survives) {
    bool opened = false;
    for (u32 seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        u64 printed = 0;
        VirtioConsole console([&](std::span<const u8> bytes) {
            for (const u8 byte : bytes) {
                printed += byte;
            }
        });
        VirtioBench bench(console);
        HostileDriver driver(bench, seed, 4);
        const std::array<u8, 100> typed{};
        for (int i = 0; i < kSteps; ++i) {
            driver.step();
            console.input(typed);
            console.resize(static_cast<u16>(i), 24);
            opened = opened || console.listening();
        }
        EXPECT_LT(bench.lines.size(), 100u);
    }
    EXPECT_TRUE(opened) << "the drivers never got far";
}

TEST(HostileDriver, rng_survives) {
    for (u32 seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        VirtioRng rng([](std::span<u8> out) { std::memset(out.data(), 0xa5, out.size()); });
        VirtioBench bench(rng);
        HostileDriver driver(bench, seed);
        for (int i = 0; i < kSteps; ++i) {
            driver.step();
        }
    }
}

TEST(HostileDriver, p9_channel_survives) {
    for (u32 seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        std::vector<P9Request> waiting;
        P9Channel channel(
            "t", 8192,
            {.submit = [&](P9Request r) { waiting.push_back(std::move(r)); }, .reset = {}});
        VirtioBench bench(channel);
        HostileDriver driver(bench, seed);
        std::mt19937 random(seed);
        for (int i = 0; i < kSteps; ++i) {
            driver.step();
            // Late, out of order, sometimes twice, sometimes for a driver long gone.
            if (!waiting.empty() && random() % 2 == 0) {
                const P9Request& r = waiting[random() % waiting.size()];
                const std::vector<std::byte> reply(random() % (r.reply_capacity + 1));
                channel.complete(r.id, reply);
            }
            if (random() % 256 == 0) {
                channel.disconnect("bad frame");
            }
        }
        EXPECT_LE(channel.pending(), 256u);
    }
}

TEST(HostileDriver, block_survives) {
    u64 seen = 0;
    for (u32 seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        std::vector<BlockRequest> waiting;
        VirtioBlock disk({.sectors = 1000, .read_only = false, .serial = "s"}, 1,
                         [&](BlockRequest r) { waiting.push_back(std::move(r)); });
        VirtioBench bench(disk);
        HostileDriver driver(bench, seed, 1, true);
        std::mt19937 random(seed);
        for (int i = 0; i < kSteps; ++i) {
            // Headers that mean something, wherever its buffers are; the ring lies in between.
            for (u64 at = 0; i % 100 == 0 && at < bench.ram->size(); at += 16) {
                const u64 header[] = {random() % 16, random() % 1001};
                if (at < VirtioBench::kRings ||
                    at >= VirtioBench::kRings + VirtioBench::kRingStride) {
                    std::memcpy(bench.ram->base() + at, header, sizeof header);
                }
            }
            driver.step();
            if (!waiting.empty() && random() % 2 == 0) {
                const BlockRequest& r = waiting[random() % waiting.size()];
                disk.complete(r.id, random() % 4 != 0, r.data);
            }
            EXPECT_LE(disk.pending(), 256u);
            EXPECT_LE(disk.pending_bytes(), 2 * VirtioBlock::kMaxPendingBytes);
        }
        seen += waiting.size();
    }
    EXPECT_GT(seen, 50u) << "the drivers never got far";
}

}  // namespace
}  // namespace ennead::vmcore
