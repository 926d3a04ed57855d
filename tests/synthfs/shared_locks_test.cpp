// SPDX-License-Identifier: MIT
// Two trees over one host directory, as two guests have them: locks and appends of one and the
// other.
#include "synthfs/shared_locks.h"

#include <fcntl.h>

#include <thread>

#include "synthfs/host_dir.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

using Kind = Lock::Kind;

class TwoGuestsTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!temp_.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        temp_.file("share/file", std::string(1000, '.'), 0666);
        for (HandlePtr& handle : handles_) {
            handle = open(O_RDWR);
        }
    }
    [[nodiscard]] HandlePtr open(int flags) {
        const NodePtr root = make_host_dir(temp_.fd("share")).value();
        return test::open(walk(root, "file").value(), flags).value();
    }
    int lock(int guest, Kind kind, std::uint64_t start, std::uint64_t length,
             std::uint32_t pid = 7) {
        return err(answer<void>([&](auto reply) {
            handles_[guest]->lock(root(), Lock{kind, start, length, pid, "guest"}, reply);
        }));
    }
    [[nodiscard]] Lock blocking(int guest, Kind kind, std::uint64_t start, std::uint64_t length) {
        return answer<Lock>([&](auto reply) {
                   handles_[guest]->getlock(root(), Lock{kind, start, length, 7, "guest"}, reply);
               })
            .value();
    }
    // What keeps a program of the host from a write lock of these bytes.
    [[nodiscard]] short host_finds(std::uint64_t start, std::uint64_t length) {
        const int fd = ::open(temp_.path("share/file").c_str(), O_RDWR | O_CLOEXEC);
        struct flock range {};
        range.l_type = F_WRLCK;
        range.l_start = static_cast<off_t>(start);
        range.l_len = static_cast<off_t>(length);
        EXPECT_EQ(::fcntl(fd, F_OFD_GETLK, &range), 0);
        ::close(fd);
        return range.l_type;
    }

    TempDir temp_;
    HandlePtr handles_[2];
};

TEST_F(TwoGuestsTest, a_lock_of_one_keeps_the_other_out) {
    EXPECT_EQ(lock(0, Kind::write, 10, 10), 0);
    EXPECT_EQ(lock(1, Kind::write, 19, 5), EAGAIN);
    EXPECT_EQ(lock(1, Kind::read, 0, 0), EAGAIN);
    EXPECT_EQ(lock(1, Kind::write, 20, 5), 0);
    EXPECT_EQ(lock(0, Kind::read, 24, 1), EAGAIN);
    const Lock found = blocking(1, Kind::read, 0, 100);
    EXPECT_EQ(found.kind, Kind::write);
    EXPECT_EQ(found.start, 10u);
    EXPECT_EQ(found.length, 10u);
    EXPECT_EQ(found.client, "host");
    EXPECT_EQ(lock(0, Kind::unlock, 0, 0), 0);
    EXPECT_EQ(lock(1, Kind::write, 10, 10), 0);
    EXPECT_EQ(blocking(1, Kind::write, 0, 0).kind, Kind::unlock);
}

TEST_F(TwoGuestsTest, readers_share) {
    EXPECT_EQ(lock(0, Kind::read, 0, 0), 0);
    EXPECT_EQ(lock(1, Kind::read, 0, 0), 0);
    EXPECT_EQ(lock(1, Kind::write, 5, 1), EAGAIN);
    EXPECT_EQ(lock(1, Kind::read, 5, 1), 0);  // a refusal has changed nothing
    EXPECT_EQ(lock(0, Kind::unlock, 0, 0), 0);
    EXPECT_EQ(lock(1, Kind::write, 5, 1), 0);
    EXPECT_EQ(lock(0, Kind::read, 0, 5), 0);
    EXPECT_EQ(lock(0, Kind::read, 0, 6), EAGAIN);
}

TEST_F(TwoGuestsTest, what_one_process_gives_back_others_of_the_guest_keep) {
    EXPECT_EQ(lock(0, Kind::read, 0, 100, 1), 0);
    EXPECT_EQ(lock(0, Kind::read, 50, 100, 2), 0);
    EXPECT_EQ(lock(0, Kind::write, 200, 10, 2), 0);
    EXPECT_EQ(lock(0, Kind::unlock, 20, 60, 1), 0);
    EXPECT_EQ(host_finds(0, 20), F_RDLCK);
    EXPECT_EQ(host_finds(20, 30), F_UNLCK);
    EXPECT_EQ(host_finds(50, 10), F_RDLCK);
    EXPECT_EQ(host_finds(149, 1), F_RDLCK);
    EXPECT_EQ(host_finds(150, 50), F_UNLCK);
    EXPECT_EQ(host_finds(200, 1), F_WRLCK);
    EXPECT_EQ(lock(0, Kind::unlock, 0, 0, 2), 0);
    EXPECT_EQ(host_finds(80, 20), F_RDLCK);
    EXPECT_EQ(host_finds(100, 0), F_UNLCK);
    handles_[0].reset();
    EXPECT_EQ(host_finds(0, 0), F_UNLCK);
}

TEST_F(TwoGuestsTest, programs_of_the_host_are_kept_out_and_heeded) {
    const int fd = ::open(temp_.path("share/file").c_str(), O_RDWR | O_CLOEXEC);
    struct flock range {};
    range.l_type = F_WRLCK;
    range.l_start = 40;
    range.l_len = 2;
    ASSERT_EQ(::fcntl(fd, F_OFD_SETLK, &range), 0);
    EXPECT_EQ(lock(0, Kind::write, 41, 0), EAGAIN);
    EXPECT_EQ(lock(0, Kind::write, 0, 40), 0);
    ::close(fd);
    EXPECT_EQ(lock(0, Kind::write, 41, 0), 0);
    EXPECT_EQ(host_finds(999, 1), F_WRLCK);
}

TEST_F(TwoGuestsTest, a_lock_outlives_the_name) {
    EXPECT_EQ(lock(0, Kind::write, 0, 1), 0);
    std::filesystem::remove(temp_.path("share/file"));
    EXPECT_EQ(lock(1, Kind::write, 0, 1), ESTALE);
    EXPECT_EQ(lock(0, Kind::unlock, 0, 1), 0);
}

TEST_F(TwoGuestsTest, a_lock_taken_without_a_name_ends_too) {
    const int fd = ::open(temp_.path("share/file").c_str(), O_RDWR | O_CLOEXEC);
    // By the guest itself, which goes on using it.
    const NodePtr top = make_host_dir(temp_.fd("share")).value();
    handles_[0] = test::open(walk(top, "file").value(), O_RDWR).value();
    ASSERT_EQ(err(unlink(top, "file")), 0);
    const auto held = [fd] {
        struct flock range {};
        range.l_type = F_WRLCK;
        EXPECT_EQ(::fcntl(fd, F_OFD_GETLK, &range), 0);
        return range.l_type;
    };
    EXPECT_EQ(lock(0, Kind::write, 3, 4), 0);
    EXPECT_EQ(held(), F_WRLCK);
    EXPECT_EQ(lock(0, Kind::unlock, 0, 0), 0);
    EXPECT_EQ(held(), F_UNLCK);
    ::close(fd);
}

TEST_F(TwoGuestsTest, lines_appended_by_both_are_all_there_and_whole) {
    constexpr int kLines = 500;
    std::filesystem::resize_file(temp_.path("share/file"), 0);
    std::vector<std::thread> guests;
    for (int guest = 0; guest < 2; ++guest) {
        guests.emplace_back([this, guest] {
            const HandlePtr handle = open(O_WRONLY | O_APPEND);
            for (int i = 0; i < kLines; ++i) {
                const std::string line = std::string(static_cast<std::size_t>(i % 90 + 1),
                                                     static_cast<char>('a' + guest)) +
                                         "\n";
                EXPECT_EQ(write(handle, 0, line).value(), line.size());
            }
        });
    }
    for (std::thread& guest : guests) {
        guest.join();
    }
    std::ifstream in(temp_.path("share/file"));
    std::map<std::string, int> lines;
    int count = 0;
    for (std::string line; std::getline(in, line); ++count) {
        EXPECT_EQ(line.find_first_not_of(line[0]), line.npos) << line;
        ++lines[line];
    }
    EXPECT_EQ(count, 2 * kLines);
    EXPECT_EQ(lines[std::string(90, 'a')], kLines / 90);
    EXPECT_EQ(lines[std::string(90, 'b')], kLines / 90);
}

}  // namespace
}  // namespace ennead::synthfs::test
