// SPDX-License-Identifier: MIT
// What may wait for a disk is handed over, and all else is done on the spot.
#include "synthfs/offload.h"

#include <linux/magic.h>
#include <sys/statfs.h>

#include <chrono>
#include <functional>
#include <limits>
#include <optional>
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

// A disk that is slow now and then, by a clock of the test's.
class SlowDisk : public OffloadTest {
  protected:
    void SetUp() override {
        if (!disk_.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        disk_.file("share/file", kText);
        fs_ = make_host_dir(disk_.fd("share"),
                            {.offload = kept_,
                             .clock = [this] { return std::exchange(now_, now_ + each_call_); }})
                  .value();
    }
    // What a write to two places comes to.
    std::string at_once(const HandlePtr& to, std::uint64_t offset, std::string_view first,
                        std::string_view second) {
        const std::span<const std::byte> places[] = {std::as_bytes(std::span(first)),
                                                     std::as_bytes(std::span(second))};
        const auto put = to->write_at_once(*root(), offset, places);
        return !put ? "not" : !*put ? "error" : std::to_string(put->value());
    }

    TempDir disk_{"/var/tmp"};
    HostPace::Clock::time_point now_{std::chrono::hours(1)};
    std::chrono::microseconds each_call_{1};
};

TEST_F(SlowDisk, data_in_several_places_are_written_at_once) {
    EXPECT_EQ(at_once(handle(O_RDWR), 5, "TH", "E f"), "5");
    EXPECT_EQ(disk_.text("share/file"), "what THE file holds");
    EXPECT_EQ(at_once(handle(O_WRONLY | O_APPEND), 0, "!", "?"), "2");
    EXPECT_EQ(disk_.text("share/file"), "what THE file holds!?");
    EXPECT_EQ(at_once(handle(O_RDONLY), 0, "a", "b"), "error");
    EXPECT_EQ(at_once(handle(O_WRONLY | O_DSYNC), 0, "a", "b"), "not");
    EXPECT_EQ(at_once(handle(O_WRONLY), std::numeric_limits<off_t>::max() - 1, "a", "b"), "not");
    const std::vector<std::span<const std::byte>> many(5000, std::as_bytes(std::span("x", 1)));
    EXPECT_FALSE(handle(O_WRONLY)->write_at_once(*root(), 0, many).has_value());
    EXPECT_EQ(disk_.text("share/file"), "what THE file holds!?");
    EXPECT_EQ(kept_->jobs(), 0u);
}

TEST_F(SlowDisk, a_write_that_took_long_sends_those_after_it_elsewhere_for_a_while) {
    const HandlePtr file = handle(O_RDWR);
    each_call_ = HostPace::kLong;
    EXPECT_EQ(write(file, 0, "W").value(), 1u);  // nobody knew
    EXPECT_EQ(at_once(file, 1, "H", "A"), "not");
    each_call_ = std::chrono::microseconds(1);
    std::optional<Result<std::size_t>> written;
    const auto note = [&](Result<std::size_t> result) { written = result; };
    file->write(root(), 1, std::as_bytes(std::span("HA", 2)), note);
    EXPECT_FALSE(written.has_value());
    EXPECT_EQ(disk_.text("share/file"), "What the file holds");
    kept_->do_all();
    ASSERT_TRUE(written && *written);
    EXPECT_EQ(written->value(), 2u);
    EXPECT_EQ(disk_.text("share/file"), "WHAt the file holds");
    now_ += HostPace::kSpell;
    EXPECT_EQ(at_once(file, 3, "T", " "), "2");
    // One that took long over there begins a spell too.
    each_call_ = HostPace::kLong;
    EXPECT_EQ(write(file, 0, "w").value(), 1u);
    now_ += HostPace::kSpell / 2;
    file->write(root(), 0, std::as_bytes(std::span("W", 1)), note);
    kept_->do_all();
    each_call_ = std::chrono::microseconds(1);
    now_ += HostPace::kSpell * 3 / 4;
    EXPECT_EQ(at_once(file, 0, "w", "h"), "not");
}

// The host never says of a name below /proc/sys that it is at hand.
TEST_F(OffloadTest, names_and_listings_that_the_host_has_to_fetch_are_fetched_elsewhere) {
    const int sys = ::open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    ASSERT_GE(sys, 0);
    const NodePtr proc = make_host_dir(sys, {.offload = kept_}).value();
    std::optional<Result<NodePtr>> kernel, none;
    proc->walk(root(), "kernel", [&](Result<NodePtr> found) { kernel = std::move(found); });
    proc->walk(root(), "no such name", [&](Result<NodePtr> found) { none = std::move(found); });
    EXPECT_FALSE(kernel.has_value());
    EXPECT_FALSE(none.has_value());
    kept_->do_all();
    ASSERT_TRUE(kernel && *kernel);
    ASSERT_TRUE(none && !*none);
    EXPECT_EQ(none->error(), error(ENOENT));

    const auto list = [&] {
        std::vector<DirEntry> entries;
        auto dir = open(kernel->value(), O_RDONLY | O_DIRECTORY).value();
        dir->readdir(root(), 0, 1000,
                     [&](Result<std::vector<DirEntry>> got) { entries = std::move(got.value()); });
        dir.reset();  // while it may still be read
        const std::size_t at_once = entries.size();
        kept_->do_all();
        return std::pair(at_once, entries.size());
    };
    const auto [none_yet, all] = list();
    EXPECT_EQ(none_yet, 0u);
    EXPECT_GT(all, 20u);
    EXPECT_EQ(list(), std::pair(all, all));  // it was read just now
}

}  // namespace
}  // namespace ennead::synthfs::test
