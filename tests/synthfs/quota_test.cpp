// SPDX-License-Identifier: MIT
// What a guest adds to the host's disk, counted by the blocks that the host itself counts.
#include "synthfs/quota.h"

#include <memory>
#include <random>

#include "synthfs/host_dir.h"
#include "synthfs/host_quota.h"
#include "synthfs/overlay.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

constexpr std::uint64_t kBlock = 4096;  // of the disks that tests run on

// The same for a layer of the guest's own, and for a directory of the host.
class QuotaTest : public ::testing::TestWithParam<Quota::Kind> {
  protected:
    void SetUp() override {
        if (!temp_.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        temp_.dir("base");
        temp_.file("base/lower", std::string(20 * kBlock, 'l'));
        temp_.dir("scratch");
        temp_.dir("share");
        temp_.file("share/theirs", std::string(8 * kBlock, 't'));
        counters_->limit = 100 * kBlock;
        open_tree();
        theirs_ = on_disk();
    }
    [[nodiscard]] bool is_layer() const { return GetParam() == Quota::Kind::layer; }
    void open_tree() {
        fs_ = nullptr;
        quota_ = std::make_shared<Quota>(counters_, [this] { ++times_full_; });
        auto made = is_layer()
                        ? make_overlay({temp_.fd("base")}, temp_.fd("scratch"), {.quota = quota_})
                        : make_host_dir(temp_.fd("share"), {.quota = quota_});
        ASSERT_TRUE(made);
        fs_ = made.value();
        (void)quota_->on();
    }
    // What the host counts below, less what was there at first in a directory of the host.
    [[nodiscard]] std::uint64_t on_disk() const {
        const int top = temp_.fd(is_layer() ? "scratch/root" : "share");
        const std::uint64_t sum = count_blocks(top) + own_blocks(top);
        ::close(top);
        return sum - theirs_;
    }
    // A directory's own grow with its names. That of a layer is not counted: it was there before.
    [[nodiscard]] std::uint64_t own_blocks(int top) const {
        struct stat st {};
        ::fstat(top, &st);
        return is_layer() ? 0 : static_cast<std::uint64_t>(st.st_blocks) * 512;
    }
    [[nodiscard]] std::uint64_t used() const { return counters_->used(); }
    Result<std::size_t> put(const std::string& name, std::uint64_t offset, std::uint64_t size) {
        auto handle = open(walk(fs_, name).value(), O_RDWR);
        return handle ? write(handle.value(), offset, std::string(size, 'x')) : handle.error();
    }
    HandlePtr make(const std::string& name) { return create(fs_, name).value().handle; }

    TempDir temp_{"/var/tmp"};
    std::shared_ptr<QuotaCounters> counters_ = std::make_shared<QuotaCounters>();
    std::shared_ptr<Quota> quota_;
    NodePtr fs_;
    std::uint64_t theirs_ = 0;
    int times_full_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Kinds, QuotaTest, ::testing::Values(Quota::Kind::layer, Quota::Kind::bind),
                         [](const auto& param) {
                             return param.param == Quota::Kind::layer ? "layer" : "bind";
                         });

TEST_P(QuotaTest, a_write_takes_what_it_needs_and_stops_where_the_limit_is) {
    make("file");
    EXPECT_EQ(put("file", 0, 10 * kBlock).value(), 10 * kBlock);
    EXPECT_EQ(used(), on_disk());
    const std::uint64_t room = quota_->room();
    EXPECT_EQ(room, 100 * kBlock - used());
    EXPECT_EQ(put("file", 10 * kBlock, room + 5 * kBlock).value(), room);  // as much as there is
    EXPECT_EQ(used(), 100 * kBlock);
    EXPECT_EQ(used(), on_disk());
    EXPECT_EQ(err(put("file", 200 * kBlock, 1)), EDQUOT);
    EXPECT_EQ(err(put("file", 150 * kBlock, 1)), EDQUOT);
    EXPECT_EQ(times_full_, 1);
    EXPECT_EQ(counters_->refused, 2u);
    // What has blocks costs nothing.
    EXPECT_EQ(put("file", 3, 9 * kBlock).value(), 9 * kBlock);
    EXPECT_EQ(put("file", kBlock / 2, 100).value(), 100u);
    EXPECT_EQ(used(), 100 * kBlock);
    // Nor does the rest of the last block, of a write that goes past it.
    const std::uint64_t end = 10 * kBlock + room;
    EXPECT_EQ(resize(walk(fs_, "file").value(), end - 100) ? 0 : 1, 0);
    EXPECT_EQ(put("file", end - 100, 200).value(), 100u);
}

TEST_P(QuotaTest, holes_cost_nothing_until_they_are_filled) {
    make("sparse");
    EXPECT_TRUE(resize(walk(fs_, "sparse").value(), 10000 * kBlock));
    EXPECT_EQ(put("sparse", 5000 * kBlock, kBlock).value(), kBlock);
    EXPECT_EQ(used(), on_disk());
    EXPECT_LT(used(), 10 * kBlock);
    const std::uint64_t room = quota_->room();
    // Over the one block that is there already.
    EXPECT_EQ(put("sparse", 4999 * kBlock, room + 10 * kBlock).value(), room + kBlock);
    EXPECT_EQ(used(), 100 * kBlock);
    EXPECT_EQ(used(), on_disk());
}

TEST_P(QuotaTest, what_goes_is_given_back) {
    make("file");
    EXPECT_EQ(put("file", 0, 50 * kBlock).value(), 50 * kBlock);
    EXPECT_TRUE(resize(walk(fs_, "file").value(), 20 * kBlock));
    EXPECT_EQ(used(), on_disk());
    EXPECT_TRUE(link(fs_, "second", walk(fs_, "file").value()));
    EXPECT_TRUE(unlink(fs_, "file"));
    EXPECT_GE(used(), 20 * kBlock);
    make("other");
    EXPECT_EQ(put("other", 0, 30 * kBlock).value(), 30 * kBlock);
    EXPECT_TRUE(rename(fs_, "second", fs_, "other"));
    EXPECT_EQ(used(), on_disk());
    EXPECT_LT(used(), 25 * kBlock);
    EXPECT_TRUE(mkdir(fs_, "dir"));
    EXPECT_TRUE(symlink(fs_, "link", std::string(2000, 's')));
    EXPECT_EQ(used(), on_disk());
    EXPECT_TRUE(rmdir(fs_, "dir"));
    EXPECT_TRUE(unlink(fs_, "link"));
    EXPECT_TRUE(unlink(fs_, "other"));
    EXPECT_EQ(used(), on_disk());
    EXPECT_EQ(used(), 0u);
}

TEST_P(QuotaTest, a_file_without_a_name_counts_until_it_is_closed) {
    HandlePtr handle = make("file");
    EXPECT_EQ(write(handle, 0, std::string(40 * kBlock, 'x')).value(), 40 * kBlock);
    EXPECT_TRUE(unlink(fs_, "file"));
    EXPECT_GE(used(), 40 * kBlock);
    EXPECT_EQ(write(handle, 40 * kBlock, std::string(80 * kBlock, 'x')).value(), 60 * kBlock);
    EXPECT_EQ(err(create(fs_, "another")), EDQUOT);
    EXPECT_EQ(on_disk(), 0u);
    handle.reset();
    EXPECT_EQ(used(), 0u);
    make("another");
}

TEST_P(QuotaTest, everything_that_makes_something_is_refused_when_it_is_full) {
    make("file");
    const std::uint64_t room = quota_->room();
    EXPECT_EQ(put("file", 0, room).value(), room);
    EXPECT_EQ(err(create(fs_, "a")), EDQUOT);
    EXPECT_EQ(err(mkdir(fs_, "a")), EDQUOT);
    EXPECT_EQ(err(symlink(fs_, "a", "b")), EDQUOT);
    EXPECT_EQ(err(mknod(fs_, "a", S_IFIFO | 0644, 0)), EDQUOT);
    EXPECT_EQ(err(setxattr(walk(fs_, "file").value(), "user.a", "value", 0)), EDQUOT);
    EXPECT_TRUE(chmod(walk(fs_, "file").value(), 0600));
    EXPECT_TRUE(rename(fs_, "file", fs_, "renamed"));
    EXPECT_TRUE(unlink(fs_, "renamed"));
    make("a");
}

TEST_P(QuotaTest, a_limit_may_come_and_go_and_be_less_than_what_is_used) {
    counters_->limit = 0;
    make("file");
    EXPECT_EQ(put("file", 0, 50 * kBlock).value(), 50 * kBlock);
    counters_->limit = 20 * kBlock;
    // A directory of the host is counted from now on.
    EXPECT_EQ(err(put("file", 50 * kBlock, 30 * kBlock)), is_layer() ? EDQUOT : 0);
    EXPECT_EQ(put("file", 0, 50 * kBlock).value(), 50 * kBlock);
    counters_->limit = kBlock;
    EXPECT_EQ(quota_->room(), 0u);
    counters_->limit = 0;
    EXPECT_EQ(quota_->room(), Quota::kEndless);
    EXPECT_EQ(put("file", 80 * kBlock, 200 * kBlock).value(), 200 * kBlock);
}

TEST_P(QuotaTest, it_outlives_the_process_that_counts) {
    HandlePtr handle = make("file");
    EXPECT_EQ(put("file", 0, 50 * kBlock).value(), 50 * kBlock);
    HandlePtr gone = make("gone");
    EXPECT_EQ(write(gone, 0, std::string(20 * kBlock, 'x')).value(), 20 * kBlock);
    EXPECT_TRUE(unlink(fs_, "gone"));
    // It is killed: nobody closes anything.
    auto killed = std::tuple(std::move(handle), std::move(gone), fs_, quota_);
    if (is_layer()) {
        killed = {};  // but a layer is in use until then
    }
    open_tree();
    EXPECT_GE(used(), 50 * kBlock);
    EXPECT_LT(used(), 55 * kBlock);
    EXPECT_EQ(used(), on_disk());
}

TEST_P(QuotaTest, df_shows_it) {
    make("file");
    EXPECT_EQ(put("file", 0, 50 * kBlock).value(), 50 * kBlock);
    const auto is = answer<StatFs>([&](auto reply) { fs_->statfs(root(), reply); }).value();
    EXPECT_EQ(is.blocks * is.block_size, 100 * kBlock);
    EXPECT_EQ(is.blocks_available * is.block_size, quota_->room());
}

TEST_P(QuotaTest, any_sequence_of_changes_is_counted_as_the_host_counts_it) {
    std::mt19937 random(7);
    const auto below = [&](unsigned n) { return random() % n; };
    std::map<std::string, HandlePtr> held;
    counters_->limit = 150 * kBlock;
    const auto change = [&] {
        const std::string name = "f" + std::to_string(below(12));
        const std::string other = "f" + std::to_string(below(12));
        const NodePtr node = walk(fs_, name) ? walk(fs_, name).value() : nullptr;
        switch (below(9)) {
            case 0:
            case 1:
            case 2:
                if (!node && create(fs_, name)) {
                    EXPECT_EQ(err(put(name, 0, 0)), 0);
                } else if (node && S_ISREG(node->type())) {
                    (void)put(name, below(60) * kBlock + below(3000),
                              below(30) * kBlock + below(9000));
                }
                break;
            case 3:
                if (node && S_ISREG(node->type())) {
                    (void)resize(node, below(80) * kBlock);
                }
                break;
            case 4:
                (void)(node && S_ISDIR(node->type()) ? rmdir(fs_, name) : unlink(fs_, name));
                break;
            case 5:
                (void)rename(fs_, name, fs_, other);
                break;
            case 6:
                if (node && S_ISREG(node->type())) {
                    (void)link(fs_, other, node);
                }
                break;
            case 7:
                (void)(below(2) != 0 ? mkdir(fs_, name)
                                     : symlink(fs_, name, std::string(1500, 'l')));
                break;
            default:
                if (node && S_ISREG(node->type()) && held.size() < 4) {
                    held[name] = open(node, O_RDWR).value();
                } else if (below(3) == 0) {
                    held.clear();
                }
        }
    };
    for (int step = 0; step < 3000; ++step) {
        change();
        EXPECT_LE(used(), 150 * kBlock + kBlock) << "step " << step;
        if (held.empty()) {
            // Files in many pieces: a block more each, once the host has written it.
            ASSERT_LE(used() > on_disk() ? used() - on_disk() : on_disk() - used(), 2 * kBlock)
                << "step " << step;
        }
    }
    held.clear();
    for (int i = 0; i < 12; ++i) {
        const std::string name = "f" + std::to_string(i);
        (void)(unlink(fs_, name) || rmdir(fs_, name));
    }
    EXPECT_EQ(on_disk(), 0u);
    EXPECT_LE(used(), 2 * kBlock);
    EXPECT_GT(counters_->refused, 20u);
}

class LayerQuotaTest : public QuotaTest {};
INSTANTIATE_TEST_SUITE_P(Kinds, LayerQuotaTest, ::testing::Values(Quota::Kind::layer));

TEST_P(LayerQuotaTest, a_copy_of_a_lower_file_counts_whole) {
    counters_->limit = 15 * kBlock;
    EXPECT_EQ(err(put("lower", 0, 1)), EDQUOT);
    EXPECT_EQ(used(), 0u);
    EXPECT_EQ(contents(fs_, "lower").substr(0, 3), "lll");
    counters_->limit = 60 * kBlock;
    EXPECT_EQ(put("lower", 0, 1).value(), 1u);
    EXPECT_GE(used(), 20 * kBlock);
    EXPECT_EQ(used(), on_disk());
}

class BindQuotaTest : public QuotaTest {};
INSTANTIATE_TEST_SUITE_P(Kinds, BindQuotaTest, ::testing::Values(Quota::Kind::bind));

TEST_P(BindQuotaTest, what_was_there_before_gives_nothing) {
    HandlePtr held = open(walk(fs_, "theirs").value(), O_RDWR).value();
    EXPECT_TRUE(unlink(fs_, "theirs"));
    EXPECT_EQ(used(), 0u);
    held.reset();
    EXPECT_EQ(used(), 0u);
    make("file");
    EXPECT_EQ(put("file", 0, 150 * kBlock).value(), 100 * kBlock);
}

}  // namespace
}  // namespace ennead::synthfs::test
