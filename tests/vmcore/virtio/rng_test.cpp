// SPDX-License-Identifier: MIT
// The entropy device.
#include "vmcore/virtio/rng.h"

#include <gtest/gtest.h>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kData = 0x40000;

DriverRing run(VirtioBench& bench) {
    bench.negotiate(kAllTransport);
    DriverRing ring = bench.make_queue(0, 8);
    bench.driver_ok();
    return ring;
}

TEST(VirtioRng, fills_all_buffers_of_a_request) {
    u8 next = 1;
    VirtioRng rng([&](std::span<u8> out) {
        for (u8& byte : out) {
            byte = next++;
        }
    });
    VirtioBench bench(rng);
    DriverRing ring = run(bench);
    ring.describe(0, kData, 3, kNext | kWrite, 1);
    ring.describe(1, kData + 0x100, 2, kWrite);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(ring.used(0), (std::pair<u32, u32>{0, 5}));
    EXPECT_EQ(bench.text(kData, 4), std::string("\1\2\3\0", 4));
    EXPECT_EQ(bench.text(kData + 0x100, 3), std::string("\4\5\0", 3));
}

TEST(VirtioRng, request_is_bounded) {
    std::size_t asked = 0;
    VirtioRng rng([&](std::span<u8> out) { asked += out.size(); });
    VirtioBench bench(rng);
    DriverRing ring = run(bench);
    ring.describe(0, kData, 0x80000, kWrite);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(asked, VirtioRng::kMaxRequest);
    EXPECT_EQ(ring.used(0).second, VirtioRng::kMaxRequest);
}

TEST(VirtioRng, host_bytes_differ_from_request_to_request) {
    VirtioRng rng;
    VirtioBench bench(rng);
    DriverRing ring = run(bench);
    ring.describe(0, kData, 32, kWrite);
    ring.describe(1, kData + 32, 32, kWrite);
    ring.offer(0);
    ring.offer(1);
    bench.notify(0);
    EXPECT_EQ(ring.used_index(), 2);
    EXPECT_NE(bench.text(kData, 32), std::string(32, '\0'));
    EXPECT_NE(bench.text(kData, 32), bench.text(kData + 32, 32));
}

TEST(VirtioRng, seeded_bytes_are_the_same_in_whatever_pieces) {
    // The first numbers of std::mt19937_64(1), which the standard fixes.
    const std::vector<u8> expected{0x68, 0x6f, 0x68, 0xbb, 0x5f, 0xbd, 0x45, 0x22};
    std::vector<u8> whole(1000), pieces(1000), other(1000);
    seeded_bytes(1)(whole);
    const auto source = seeded_bytes(1);
    for (std::size_t at = 0, size = 1; at < pieces.size(); at += size, size = size % 13 + 1) {
        source(std::span(pieces).subspan(at, std::min(size, pieces.size() - at)));
    }
    EXPECT_EQ(whole, pieces);
    seeded_bytes(2)(other);
    EXPECT_NE(whole, other);
    EXPECT_EQ(std::vector<u8>(whole.begin(), whole.begin() + 8), expected);
}

TEST(VirtioRng, readable_buffer_breaks_the_device) {
    VirtioRng rng;
    VirtioBench bench(rng);
    DriverRing ring = run(bench);
    ring.describe(0, kData, 32, 0);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(bench.status() & PciTransport::kNeedsReset, PciTransport::kNeedsReset);
}

TEST(VirtioRng, has_no_device_configuration) {
    VirtioRng rng;
    VirtioBench bench(rng);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 4), 0xffffffffu);
    EXPECT_EQ(bench.transport->config_read(2, 2), 0x1044u);
}

}  // namespace
}  // namespace ennead::vmcore
