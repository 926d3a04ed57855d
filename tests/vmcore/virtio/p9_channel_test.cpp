// SPDX-License-Identifier: MIT
// The 9P channel: requests out, replies back in any order, resets in between.
#include "vmcore/virtio/p9_channel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kData = 0x40000;

class P9ChannelTest : public ::testing::Test {
  protected:
    P9ChannelTest() { run(); }
    void run() {
        bench.negotiate(kAllTransport | 1);
        ring.emplace(bench.make_queue(0, 8));
        bench.driver_ok();
    }
    // A request of `text` with room for 16 bytes at kData + 0x1000 · head + 0x800.
    void request(u16 head, std::string_view text) {
        const u64 at = kData + 0x1000u * head;
        bench.write(at, text);
        ring->describe(head, at, static_cast<u32>(text.size()), kNext, static_cast<u16>(head + 1));
        ring->describe(static_cast<u16>(head + 1), at + 0x800, 16, kWrite);
        ring->offer(head);
        bench.notify(0);
    }
    std::string reply_text(u16 head, std::size_t n) {
        return bench.text(kData + 0x1000u * head + 0x800, n);
    }
    void complete(u64 id, std::string_view text) {
        channel.complete(id, std::as_bytes(std::span(text)));
    }
    static std::string text(const P9Request& r) {
        return {reinterpret_cast<const char*>(r.bytes.data()), r.bytes.size()};
    }

    static constexpr std::size_t kMaxRequest = P9Channel::kMaxCopied + 100;

    std::vector<P9Request> requests;
    std::string in_place;  // what the server puts into the next request's place
    int resets = 0;
    P9Channel channel{"root",
                      kMaxRequest,
                      {.submit =
                           [this](P9Request r) {
                               requests.push_back(std::move(r));
                               if (!in_place.empty()) {
                                   std::memcpy(requests.back().reply_places[0].data(),
                                               in_place.data(), in_place.size());
                                   channel.complete_in_place(requests.back().id, in_place.size());
                               }
                           },
                       .reset = [this] { ++resets; }}};
    VirtioBench bench{channel};
    std::optional<DriverRing> ring;
};

TEST_F(P9ChannelTest, mount_tag_is_in_the_configuration) {
    EXPECT_EQ(bench.device_features() & 1, 1u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 2), 4u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 2, 4), 0x746f6f72u);
    EXPECT_EQ(bench.transport->config_read(2, 2), 0x1049u);
    bench.set_common(22, 2, 0);
    bench.set_status(0);
    EXPECT_GE(bench.common(24, 2), 128u);
}

TEST_F(P9ChannelTest, request_is_copied_out) {
    request(0, "Tversion");
    bench.write(kData, "XXXXXXXX");
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(text(requests[0]), "Tversion");
    EXPECT_EQ(requests[0].reply_capacity, 16u);
    EXPECT_EQ(ring->used_index(), 0);
    complete(requests[0].id, "Rversion");
    EXPECT_EQ(reply_text(0, 8), "Rversion");
    EXPECT_EQ(ring->used(0), (std::pair<u32, u32>{0, 8}));
    EXPECT_TRUE(bench.line);
}

TEST_F(P9ChannelTest, a_long_request_is_copied_only_at_its_beginning) {
    const std::string beginning(P9Channel::kMaxCopied - 3, 'a'), rest = "bbbcccc";
    ring->describe(0, kData, static_cast<u32>(beginning.size()), kNext, 1);
    ring->describe(1, kData + 0x4000, static_cast<u32>(rest.size()), kNext, 2);
    ring->describe(2, kData + 0x5000, 16, kWrite);
    bench.write(kData, beginning);
    bench.write(kData + 0x4000, rest);
    ring->offer(0);
    bench.notify(0);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(text(requests[0]), beginning + "bbb");
    ASSERT_EQ(requests[0].rest.size(), 1u);
    EXPECT_EQ(std::string(requests[0].rest[0].begin(), requests[0].rest[0].end()), "cccc");
}

TEST_F(P9ChannelTest, the_tap_hears_whole_frames_while_it_is_on) {
    std::vector<std::string> heard;
    bool on = false;
    channel.set_tap({.on = [&] { return on; },
                     .frame =
                         [&](std::span<const std::byte> frame) {
                             heard.emplace_back(reinterpret_cast<const char*>(frame.data()),
                                                frame.size());
                         }});
    request(0, "Tversion");
    complete(requests[0].id, "Rversion");
    EXPECT_TRUE(heard.empty());
    on = true;
    request(2, "Twalk");
    complete(requests[1].id, "Rwalk");
    in_place = "Rread in place";
    request(4, "Tread");
    EXPECT_EQ(heard, (std::vector<std::string>{"Twalk", "Rwalk", "Tread", "Rread in place"}));
}

TEST_F(P9ChannelTest, reply_may_be_put_into_its_place_at_once) {
    in_place = "Rread in place";
    request(0, "Tread");
    EXPECT_EQ(reply_text(0, 14), "Rread in place");
    EXPECT_EQ(ring->used(0), (std::pair<u32, u32>{0, 14}));
    EXPECT_EQ(channel.pending(), 0u);
    channel.complete_in_place(requests[0].id, 14);  // done already
    EXPECT_EQ(ring->used_index(), 1);
    EXPECT_TRUE(bench.line);
    in_place.clear();
    request(2, "x");
    channel.complete_in_place(requests[1].id, 17);
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
}

TEST_F(P9ChannelTest, what_was_scribbled_is_told_though_the_reply_is_shorter) {
    struct Watcher final : CodeWatcher {
        void code_written(PhysAddr address, u64 length) override {
            last = raw(address);
            bytes += length;
        }
        u64 last = 0, bytes = 0;
    } watcher;
    bench.ram->watch_code(&watcher);
    bench.ram->code().mark(PhysAddr{kData + 0x800}, 16);
    request(0, "Tread");
    EXPECT_EQ(watcher.bytes, 0u);
    channel.scribbled(requests[0].id);
    EXPECT_EQ(watcher.last, kData + 0x800);
    EXPECT_EQ(watcher.bytes, 16u);
    complete(requests[0].id, "R");
    EXPECT_EQ(watcher.bytes, 17u);
    channel.scribbled(requests[0].id);  // nobody's any more
    EXPECT_EQ(watcher.bytes, 17u);
    bench.ram->unwatch_code(&watcher);
}

TEST_F(P9ChannelTest, replies_may_come_in_any_order) {
    request(0, "a");
    request(2, "b");
    request(4, "c");
    ASSERT_EQ(requests.size(), 3u);
    EXPECT_EQ(channel.pending(), 3u);
    complete(requests[2].id, "C");
    complete(requests[0].id, "A");
    complete(requests[0].id, "twice");
    complete(requests[1].id, "B");
    EXPECT_EQ(ring->used_index(), 3);
    EXPECT_EQ(ring->used(0).first, 4u);
    EXPECT_EQ(ring->used(1).first, 0u);
    EXPECT_EQ(ring->used(2).first, 2u);
    EXPECT_EQ(reply_text(0, 1), "A");
    EXPECT_EQ(reply_text(2, 1), "B");
}

TEST_F(P9ChannelTest, late_reply_after_reset_is_dropped) {
    request(0, "old");
    bench.set_status(0);
    EXPECT_EQ(resets, 1);
    EXPECT_EQ(channel.pending(), 0u);
    run();
    request(0, "new");
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_NE(requests[0].id, requests[1].id);
    complete(requests[0].id, "late");
    EXPECT_EQ(ring->used_index(), 0);
    complete(requests[1].id, "good");
    EXPECT_EQ(ring->used_index(), 1);
}

TEST_F(P9ChannelTest, reset_of_an_idle_device_is_not_reported) {
    bench.set_status(0);
    bench.set_status(0);
    EXPECT_EQ(resets, 1);
}

TEST_F(P9ChannelTest, too_long_a_request_breaks_the_device) {
    request(0, std::string(kMaxRequest + 1, 'x'));
    EXPECT_TRUE(requests.empty());
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
}

TEST_F(P9ChannelTest, request_without_room_for_a_reply_breaks_the_device) {
    ring->describe(0, kData, 8, 0);
    ring->offer(0);
    bench.notify(0);
    EXPECT_TRUE(requests.empty());
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
}

TEST_F(P9ChannelTest, too_long_a_reply_breaks_the_device) {
    request(0, "a");
    complete(requests.at(0).id, "this is seventeen");
    EXPECT_EQ(ring->used_index(), 0);
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
}

TEST_F(P9ChannelTest, disconnect_stops_the_device_until_reset) {
    request(0, "junk");
    channel.disconnect("bad frame");
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
    ASSERT_EQ(bench.lines.size(), 1u);
    EXPECT_NE(bench.lines[0].find("bad frame"), std::string::npos);
    complete(requests.at(0).id, "x");
    EXPECT_EQ(ring->used_index(), 0);
    run();
    request(0, "good");
    EXPECT_EQ(requests.size(), 2u);
    bench.set_status(0);
    channel.disconnect("nobody there");
    EXPECT_EQ(bench.lines.size(), 1u);
}

TEST(P9ChannelReentry, reply_from_inside_submit) {
    P9Channel* self = nullptr;
    P9Channel channel("t", 64,
                      {.submit = [&](P9Request r) { self->complete(r.id, r.bytes); }, .reset = {}});
    self = &channel;
    VirtioBench bench(channel);
    bench.negotiate(kAllTransport);
    DriverRing ring = bench.make_queue(0, 8);
    bench.driver_ok();
    bench.write(kData, "echo");
    ring.describe(0, kData, 4, kNext, 1);
    ring.describe(1, kData + 0x100, 4, kWrite);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(bench.text(kData + 0x100, 4), "echo");
    bench.set_status(0);
}

}  // namespace
}  // namespace ennead::vmcore
