// SPDX-License-Identifier: MIT
// What may wait for a disk is handed over, and all else is done on the spot.
#include "synthfs/offload.h"

#include <linux/magic.h>
#include <sys/statfs.h>

#include <functional>
#include <utility>

#include "synthfs/host_dir.h"
#include "tests/synthfs/host_dir_test_kit.h"
#include "tests/synthfs/kept_offload.h"

namespace ennead::synthfs::test {
namespace {

class OffloadTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!temp_.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        temp_.file("share/file", kText);
        fs_ = make_host_dir(temp_.fd("share"), {.offload = kept_}).value();
    }
    [[nodiscard]] HandlePtr handle(int flags) {
        return open(walk(fs_, "file").value(), flags).value();
    }

    const std::string kText = "what the file holds";
    TempDir temp_;
    std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
    NodePtr fs_;
};

TEST_F(OffloadTest, what_the_host_has_in_memory_is_read_on_the_spot) {
    EXPECT_EQ(read(handle(O_RDONLY)).value(), kText);
    EXPECT_EQ(read(handle(O_RDONLY), 5).value(), kText.substr(5));
    EXPECT_EQ(read(handle(O_RDONLY), 500).value(), "");
    EXPECT_EQ(kept_->jobs(), 0u);
}

TEST_F(OffloadTest, what_is_in_memory_is_read_to_several_places_at_once) {
    const auto at_once = [&](const HandlePtr& from, std::uint64_t offset, std::size_t first,
                             std::size_t second) {
        std::string text(first + second, '.');
        const auto bytes = std::as_writable_bytes(std::span(text));
        const std::span<std::byte> places[] = {bytes.first(first), bytes.subspan(first)};
        const auto got = from->read_at_once(*root(), offset, places);
        return !got ? "not" : !*got ? "error" : std::to_string(got->value()) + text;
    };
    EXPECT_EQ(at_once(handle(O_RDONLY), 0, 4, 5), "9what the ");
    EXPECT_EQ(at_once(handle(O_RDONLY), 14, 3, 6), "5holds....");
    EXPECT_EQ(at_once(handle(O_RDONLY), 100, 3, 1), "0....");
    EXPECT_EQ(at_once(handle(O_WRONLY), 0, 4, 5), "not");
    const std::vector<std::span<std::byte>> many(5000);
    EXPECT_FALSE(handle(O_RDONLY)->read_at_once(*root(), 0, many).has_value());
}

TEST_F(OffloadTest, what_is_on_the_disk_is_read_by_another) {
    const int fd = ::open(temp_.path("share/file").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(::fsync(fd), 0);
    ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    struct statfs medium {};
    ASSERT_EQ(::fstatfs(fd, &medium), 0);
    ::close(fd);
    std::string text(100, '\0');
    std::optional<Result<std::size_t>> got;
    handle(O_RDONLY)->read(root(), 5, std::as_writable_bytes(std::span(text)),
                           [&](Result<std::size_t> result) { got = result; });
    // A file system in memory has it at hand always.
    EXPECT_EQ(got.has_value(), medium.f_type == TMPFS_MAGIC);
    kept_->do_all();  // and the handle is gone by now
    ASSERT_TRUE(got && *got);
    EXPECT_EQ(text.substr(0, got->value()), kText.substr(5));
}

TEST_F(OffloadTest, fsync_and_synchronous_writes_wait_elsewhere) {
    std::optional<Result<>> synced;
    handle(O_RDWR)->fsync(root(), false, [&](Result<> result) { synced = result; });
    EXPECT_FALSE(synced.has_value());
    EXPECT_EQ(kept_->jobs(), 1u);
    kept_->do_all();
    EXPECT_TRUE(synced && *synced);

    for (const int flag : {O_SYNC, O_DSYNC}) {
        std::optional<Result<std::size_t>> written;
        handle(O_RDWR | flag)
            ->write(root(), 0, std::as_bytes(std::span("WHAT", 4)),
                    [&](Result<std::size_t> result) { written = result; });
        EXPECT_FALSE(written.has_value());
        EXPECT_EQ(temp_.text("share/file"), "WHAT the file holds");
        kept_->do_all();
        ASSERT_TRUE(written && *written);
        EXPECT_EQ(written->value(), 4u);
    }
}

TEST_F(OffloadTest, plain_writes_do_not_wait) {
    EXPECT_EQ(write(handle(O_RDWR), 5, "THE").value(), 3u);
    EXPECT_EQ(kept_->jobs(), 0u);
}

}  // namespace
}  // namespace ennead::synthfs::test
