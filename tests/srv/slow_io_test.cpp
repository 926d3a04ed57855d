// SPDX-License-Identifier: MIT
// Work on another thread, its end on the loop's with the tree held.
#include "srv/ennead-vm/slow_io.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace ennead::srv {
namespace {

TEST(SlowIo, works_elsewhere_and_ends_on_the_loop_that_holds_the_tree) {
    boost::asio::io_context io;
    std::recursive_mutex tree;
    SlowIo slow(io, tree);
    std::thread::id worker;
    bool free_while_held = true;
    const auto owned = std::make_shared<int>(0);
    {
        const std::lock_guard held(tree);  // who asks has it; the work needs it not
        slow.run([&] { worker = std::this_thread::get_id(); },
                 [&, owned] {
                     std::thread([&] { free_while_held = tree.try_lock(); }).join();
                     EXPECT_EQ(owned.use_count(), 2);
                 });
        slow.stop();
    }
    EXPECT_NE(worker, std::thread::id());
    EXPECT_NE(worker, std::this_thread::get_id());
    EXPECT_TRUE(free_while_held);  // not before the loop runs
    EXPECT_EQ(io.run(), 1u);
    EXPECT_FALSE(free_while_held);
    EXPECT_EQ(owned.use_count(), 1);
    EXPECT_TRUE(tree.try_lock());
    tree.unlock();
}

TEST(SlowIo, stop_waits_for_the_work_and_drops_its_end) {
    boost::asio::io_context io;
    std::recursive_mutex tree;
    bool done = false, ended = false;
    {
        SlowIo slow(io, tree);
        slow.run([&] { done = true; }, [&] { ended = true; });
    }
    EXPECT_TRUE(done);
    EXPECT_FALSE(ended);
}

}  // namespace
}  // namespace ennead::srv
