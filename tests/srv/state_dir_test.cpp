// SPDX-License-Identifier: MIT
// The state directory: made anew, removed at the end, and what dead servers left is cleared.
#include "srv/ennead/state_dir.h"

#include <sys/file.h>

#include <cstdlib>
#include <optional>

#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

namespace fs = std::filesystem;

class StateDirTest : public testing::Test {
  protected:
    void SetUp() override {
        if (const char* tmp = std::getenv("TMPDIR")) {
            tmpdir_before = tmp;
        }
        setenv("TMPDIR", scratch.path().c_str(), 1);
        auto probe = StateDir::make();
        if (!probe || !probe.value().path().starts_with(scratch.path())) {
            GTEST_SKIP() << scratch.path() << " keeps no user extended attributes";
        }
    }
    void TearDown() override {
        if (tmpdir_before) {
            setenv("TMPDIR", tmpdir_before->c_str(), 1);
        } else {
            unsetenv("TMPDIR");
        }
    }
    // A directory as a server makes it.
    std::string leave(const std::string& name, bool with_lock = true) {
        const std::string path = scratch.path() + '/' + name;
        fs::create_directories(path + "/1/upper");
        std::ofstream(path + "/1/log") << "old";
        if (with_lock) {
            std::ofstream(path + "/lock").flush();
        }
        return path;
    }

    const std::string prefix = "ennead-" + std::to_string(geteuid()) + '-';
    ScratchDir scratch;
    std::optional<std::string> tmpdir_before;
};

TEST_F(StateDirTest, is_private_and_removed_with_all_it_holds) {
    std::string path;
    {
        const auto made = StateDir::make();
        ASSERT_TRUE(made);
        path = made.value().path();
        EXPECT_TRUE(path.starts_with(scratch.path() + '/' + prefix));
        struct stat st {};
        ASSERT_EQ(fstat(made.value().fd(), &st), 0);
        EXPECT_EQ(st.st_mode & 07777, 0700u);
        ASSERT_EQ(mkdirat(made.value().fd(), "1", 0700), 0);
        EXPECT_TRUE(fs::exists(path + "/1"));
    }
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(StateDirTest, two_servers_do_not_share_nor_harm_each_other) {
    const auto one = StateDir::make();
    const auto two = StateDir::make();
    ASSERT_TRUE(one && two);
    EXPECT_NE(one.value().path(), two.value().path());
    EXPECT_TRUE(fs::exists(one.value().path() + "/lock"));
}

TEST_F(StateDirTest, leftovers_of_a_dead_server_are_removed) {
    const std::string dead = leave(prefix + "dead12");
    ASSERT_TRUE(StateDir::make());
    EXPECT_FALSE(fs::exists(dead));
}

TEST_F(StateDirTest, directory_of_a_live_server_is_kept) {
    const std::string live = leave(prefix + "live12");
    const Fd lock(::open((live + "/lock").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(flock(lock.get(), LOCK_EX | LOCK_NB), 0);
    ASSERT_TRUE(StateDir::make());
    EXPECT_TRUE(fs::exists(live + "/1/log"));
}

TEST_F(StateDirTest, what_only_looks_alike_is_kept) {
    const std::string other_name = leave("vm-" + prefix + "x");
    const std::string other_user = leave("ennead-" + std::to_string(geteuid() + 1) + "-x");
    const std::string no_lock = leave(prefix + "nolock", false);
    scratch.file(prefix + "file", "a file");
    fs::create_directory_symlink(other_name, scratch.path() + '/' + prefix + "link");
    ASSERT_TRUE(StateDir::make());
    EXPECT_TRUE(fs::exists(other_name + "/lock"));
    EXPECT_TRUE(fs::exists(other_user));
    EXPECT_TRUE(fs::exists(no_lock));
    EXPECT_TRUE(fs::exists(scratch.path() + '/' + prefix + "file"));
    EXPECT_TRUE(fs::is_symlink(scratch.path() + '/' + prefix + "link"));
}

TEST_F(StateDirTest, moved_one_is_removed_once) {
    auto made = StateDir::make();
    ASSERT_TRUE(made);
    const std::string path = made.value().path();
    {
        const StateDir moved(std::move(made.value()));
        EXPECT_TRUE(fs::exists(path));
    }
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(StateDirTest, goes_on_to_the_next_place) {
    setenv("TMPDIR", "/nonexistent", 1);
    const auto made = StateDir::make();
    ASSERT_TRUE(made);
    EXPECT_FALSE(made.value().path().starts_with("/nonexistent"));
    setenv("TMPDIR", "relative", 1);
    EXPECT_TRUE(StateDir::make());
}

}  // namespace
}  // namespace ennead::srv::test
