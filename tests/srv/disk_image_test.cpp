// SPDX-License-Identifier: MIT
// The layer over an image, against a model; its end at any moment; and the thread in front of it.
#include "srv/ennead-vm/disk_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <condition_variable>
#include <csignal>
#include <fstream>
#include <mutex>
#include <random>
#include <string>

#include "srv/ennead-vm/disk_worker.h"
#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

constexpr std::uint64_t kSectors = 777, kSector = 512;

class DiskImages : public ::testing::Test {
  protected:
    DiskImages() {
        model.resize(kSectors * kSector);
        for (std::size_t i = 0; i < model.size(); i++) {
            model[i] = static_cast<char>(i / kSector * 7 + i);
        }
        original = model + "tail";  // no whole sector: never seen
        std::ofstream(path("image"), std::ios::binary) << original;
    }
    std::string path(const char* name) { return scratch.path() + '/' + name; }
    Fd file(const char* name, int flags) {
        return Fd(::open(path(name).c_str(), flags | O_CLOEXEC, 0600));
    }
    synthfs::Checked<std::unique_ptr<DiskImage>> open() {
        return DiskImage::copy_on_write(file("image", O_RDONLY), file("layer", O_RDWR | O_CREAT),
                                        file("map", O_RDWR | O_CREAT));
    }
    std::string contents(DiskImage& disk) {
        std::string all(kSectors * kSector, '?');
        EXPECT_EQ(disk.read(0, std::as_writable_bytes(std::span(all))), 0);
        return all;
    }
    std::string image_file() {
        std::ifstream in(path("image"), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    static int write(DiskImage& disk, std::uint64_t sector, const std::string& data) {
        return disk.write(sector, std::as_bytes(std::span(data)));
    }
    // One random change, to the disk and to the model.
    void change(DiskImage& disk) {
        const std::uint64_t sector = random() % kSectors;
        const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(40, kSectors - sector);
        if (random() % 4 != 0) {
            const std::string data(count * kSector, static_cast<char>(random()));
            ASSERT_EQ(write(disk, sector, data), 0);
            model.replace(sector * kSector, data.size(), data);
        } else {
            const bool unmap = random() % 2 != 0;
            ASSERT_EQ(disk.write_zeroes({sector, static_cast<std::uint32_t>(count), unmap}), 0);
            model.replace(sector * kSector, count * kSector, count * kSector, '\0');
        }
    }

    ScratchDir scratch;
    std::string model, original;
    std::mt19937 random{1};
};

TEST_F(DiskImages, layer_follows_a_model_and_survives_its_process) {
    for (int life = 0; life < 20; life++) {
        // What is opened anew has only what the files have: nothing was flushed or closed for it.
        auto opened = open();
        ASSERT_TRUE(opened) << opened.error().text;
        DiskImage& disk = *opened.value();
        EXPECT_EQ(disk.sectors(), kSectors);
        ASSERT_EQ(contents(disk), model) << "life " << life;
        for (int i = 0; i < 30; i++) {
            change(disk);
            const std::uint64_t at = random() % kSectors, n = 1 + random() % (kSectors - at);
            std::string part(n * kSector, '?');
            ASSERT_EQ(disk.read(at, std::as_writable_bytes(std::span(part))), 0);
            ASSERT_TRUE(part == model.substr(at * kSector, n * kSector)) << life << ' ' << i;
        }
        EXPECT_EQ(disk.flush(), 0);
    }
    EXPECT_EQ(image_file(), original);
}

TEST_F(DiskImages, discard_leaves_old_contents_or_zeroes_and_frees_room) {
    auto opened = open();
    ASSERT_TRUE(opened);
    ASSERT_EQ(write(*opened.value(), 8, std::string(400 * kSector, 'x')), 0);
    struct stat before {
    }, after{};
    ASSERT_EQ(stat(path("layer").c_str(), &before), 0);
    ASSERT_EQ(opened.value()->discard({0, 700, false}), 0);
    ASSERT_EQ(stat(path("layer").c_str(), &after), 0);
    EXPECT_LT(after.st_blocks, before.st_blocks);
    const std::string now = contents(*opened.value());
    EXPECT_EQ(now.substr(0, 8 * kSector), model.substr(0, 8 * kSector));
    EXPECT_EQ(now.substr(8 * kSector, 400 * kSector), std::string(400 * kSector, '\0'));
    EXPECT_EQ(now.substr(408 * kSector), model.substr(408 * kSector));
}

TEST_F(DiskImages, layer_of_an_image_that_changed_is_refused) {
    ASSERT_TRUE(open());
    std::ofstream(path("image"), std::ios::binary) << original << 'x';
    auto opened = open();
    ASSERT_TRUE(opened) << "nothing was in the layer";
    ASSERT_EQ(write(*opened.value(), 0, std::string(kSector, 'x')), 0);
    std::ofstream(path("image"), std::ios::binary) << original << "xy";
    opened = open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().errnum, EINVAL);
    EXPECT_NE(opened.error().text.find("was changed"), std::string::npos);
}

// A host without room, as a limit on the size of files makes it.
TEST_F(DiskImages, write_that_fails_leaves_what_was_there) {
    auto opened = open();
    ASSERT_TRUE(opened);
    DiskImage& disk = *opened.value();
    ASSERT_EQ(write(disk, 1, std::string(kSector, 'a')), 0);
    ASSERT_EQ(disk.flush(), 0);
    model.replace(kSector, kSector, kSector, 'a');
    const auto old = std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlimit small{100 * kSector, limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_EQ(write(disk, 95, std::string(10 * kSector, 'b')), EFBIG);
    EXPECT_EQ(write(disk, 700, std::string(kSector, 'b')), EFBIG);
    const rlimit tiny{4096, limit.rlim_max};  // not even the map's bits find room
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    EXPECT_EQ(write(disk, 2, std::string(kSector, 'b')), EFBIG);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    std::signal(SIGXFSZ, old);
    EXPECT_TRUE(contents(disk) == model);
    opened = open();
    ASSERT_TRUE(opened);
    EXPECT_TRUE(contents(*opened.value()) == model);
    EXPECT_EQ(write(*opened.value(), 700, std::string(kSector, 'b')), 0);
}

TEST_F(DiskImages, written_through) {
    auto opened = DiskImage::write_through(file("image", O_RDWR));
    ASSERT_TRUE(opened);
    for (int i = 0; i < 50; i++) {
        change(*opened.value());
    }
    EXPECT_EQ(opened.value()->flush(), 0);
    EXPECT_EQ(opened.value()->discard({0, 0, false}), 0);
    EXPECT_TRUE(contents(*opened.value()) == model);
    EXPECT_TRUE(image_file() == model + "tail");
    EXPECT_FALSE(DiskImage::write_through(file("empty", O_RDWR | O_CREAT)));
}

TEST_F(DiskImages, image_that_became_shorter_is_an_error) {
    auto opened = open();
    ASSERT_TRUE(opened);
    ASSERT_EQ(truncate(path("image").c_str(), 10 * kSector), 0);
    std::string sector(kSector, '?');
    EXPECT_EQ(opened.value()->read(9, std::as_writable_bytes(std::span(sector))), 0);
    EXPECT_EQ(opened.value()->read(10, std::as_writable_bytes(std::span(sector))), EIO);
}

TEST_F(DiskImages, worker_does_requests_in_order_and_closes_after_them) {
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<std::pair<std::uint64_t, int>> done;
    bool closed = false;
    DiskWorker worker(std::move(open().value()), nullptr, [&](vmcore::BlockRequest r, int errnum) {
        const std::lock_guard lock(mutex);
        done.emplace_back(r.id, errnum);
        if (r.kind == vmcore::BlockRequest::Kind::read) {
            EXPECT_EQ(r.data, std::vector<std::byte>(kSector, std::byte{99}));
        }
    });
    for (unsigned i = 0; i < 100; i++) {
        vmcore::BlockRequest r;
        r.id = i;
        r.kind = i < 99 ? vmcore::BlockRequest::Kind::write : vmcore::BlockRequest::Kind::read;
        r.durable = i == 50;
        r.data.assign(kSector, std::byte{static_cast<unsigned char>(i + 1)});
        worker.submit(std::move(r));
    }
    worker.close([&] {
        const std::lock_guard lock(mutex);
        closed = true;
        wake.notify_one();
    });
    worker.submit({});
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return closed; });
    ASSERT_EQ(done.size(), 100u);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(done[i], (std::pair<std::uint64_t, int>{i, 0}));
    }
}

}  // namespace
}  // namespace ennead::srv::test
