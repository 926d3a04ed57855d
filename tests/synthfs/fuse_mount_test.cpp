// SPDX-License-Identifier: MIT
// A small tree mounted for real, used through plain file calls.
#include "synthfs/fuse/mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "synthfs/clone_file.h"
#include "synthfs/ctl_file.h"
#include "synthfs/data_file.h"
#include "synthfs/error_log.h"
#include "synthfs/host_dir.h"
#include "synthfs/stream_file.h"
#include "synthfs/text_file.h"
#include "synthfs/tree.h"
#include "synthfs/wait_file.h"
#include "tests/synthfs/ask.h"

namespace ennead::synthfs {
namespace {

namespace fs = std::filesystem;
using fuse::Mount;

// The thread that owns the tree: serves the mount and runs what the test posts.
class Loop {
  public:
    explicit Loop(std::unique_ptr<Mount> mount)
        : mount_(std::move(mount)), wake_(::eventfd(0, EFD_CLOEXEC)), thread_([this] { run(); }) {}
    ~Loop() {
        post([this] { stop_ = true; });
        thread_.join();
        ::close(wake_);
    }

    // Runs `task` on the owner's thread and waits for it.
    void post(std::function<void()> task) {
        std::promise<void> done;
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back([&] {
                task();
                done.set_value();
            });
        }
        const std::uint64_t one = 1;
        EXPECT_EQ(::write(wake_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
        done.get_future().wait();
    }
    // What `function` sees on the owner's thread.
    template <class F>
    auto look(F function) {
        decltype(function()) seen{};
        post([&] { seen = function(); });
        return seen;
    }
    bool ended() {
        return look([this] { return mount_->ended(); });
    }
    void unmount() {
        post([this] { mount_->unmount(); });
    }

  private:
    void run() {
        while (!stop_) {
            std::array<pollfd, 2> fds{
                {{wake_, POLLIN, 0}, {mount_->ended() ? -1 : mount_->fd(), POLLIN, 0}}};
            ::poll(fds.data(), fds.size(), -1);
            if (fds[1].revents != 0) {
                mount_->process();
            }
            if (fds[0].revents != 0) {
                std::uint64_t count = 0;
                EXPECT_EQ(::read(wake_, &count, sizeof(count)),
                          static_cast<ssize_t>(sizeof(count)));
                std::vector<std::function<void()>> tasks;
                {
                    const std::lock_guard lock(mutex_);
                    tasks.swap(tasks_);
                }
                for (const auto& task : tasks) {
                    task();
                }
            }
        }
        mount_.reset();
    }

    std::unique_ptr<Mount> mount_;
    int wake_;
    bool stop_ = false;
    std::mutex mutex_;
    std::vector<std::function<void()>> tasks_;
    std::thread thread_;
};

std::string error_text(int errnum) {
    return "errno " + std::to_string(errnum);
}

class Descriptor {
  public:
    Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {
        EXPECT_GE(fd_, 0) << path << ": " << std::strerror(errno);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { ::close(fd_); }
    operator int() const { return fd_; }

    std::string read(std::size_t size = 4096) const {
        std::string bytes(size, '\0');
        const ssize_t got = ::read(fd_, bytes.data(), size);
        return got < 0 ? error_text(errno) : bytes.substr(0, static_cast<std::size_t>(got));
    }
    int write(const std::string& bytes) const {
        const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
        return put < 0 ? errno : put == static_cast<ssize_t>(bytes.size()) ? 0 : -1;
    }

  private:
    int fd_;
};

std::string cat(const std::string& path) {
    const Descriptor fd(path, O_RDONLY);
    std::string all;
    for (std::string piece; !(piece = fd.read()).empty();) {
        if (piece.starts_with("errno ")) {
            return piece;
        }
        all += piece;
    }
    return all;
}

// As `echo text > path` with these flags.
int echo(const std::string& text, const std::string& path,
         int flags = O_WRONLY | O_CREAT | O_TRUNC) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (fd < 0) {
        return errno;
    }
    const ssize_t put = ::write(fd, text.data(), text.size());
    const int errnum = put == static_cast<ssize_t>(text.size()) ? 0 : errno;
    ::close(fd);
    return errnum;
}

class FuseMount : public ::testing::Test {
  protected:
    void SetUp() override {
        if (::access("/dev/fuse", R_OK | W_OK) != 0) {
            GTEST_SKIP() << "SKIPPED: /dev/fuse is missing or closed to this user; nothing of the "
                            "mount is tested";
        }
        std::string name = (fs::temp_directory_path() / "ennead-mount-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        dir_ = name;
    }
    void TearDown() override {
        loop_.reset();
        if (!dir_.empty()) {
            ::umount2(dir_.c_str(), MNT_DETACH);
            ::rmdir(dir_.c_str());
        }
    }

    static Checked<std::unique_ptr<Mount>> try_mount(const std::string& dir, NodePtr root) {
        return Mount::mount(std::move(root), {.dir = dir}, {});
    }

    // Mounts `root`. If that is not allowed here (a container), the test is skipped.
    bool serve(NodePtr root) {
        auto mount = try_mount(dir_, std::move(root));
        if (!mount) {
            if (::geteuid() != 0 || mount.error().errnum == EPERM) {
                skipped_ = mount.error().text;
                return false;
            }
            ADD_FAILURE() << mount.error().text;
            return false;
        }
        loop_ = std::make_unique<Loop>(std::move(mount.value()));
        return true;
    }
    [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }

    std::string dir_;
    std::string skipped_;
    std::unique_ptr<Loop> loop_;
};

#define SERVE(root)                              \
    if (!serve(root)) {                          \
        GTEST_SKIP() << "SKIPPED: " << skipped_; \
    }

Entry entry(std::string name, mode_t mode, NodePtr node) {
    return {std::move(name), static_cast<mode_t>(node->type() | mode),
            [node](mode_t) { return node; }};
}

SynthNodePtr text(std::string contents) {
    return make_text_file({.text = [contents] { return contents; }});
}

TEST_F(FuseMount, text_files_are_read_by_ordinary_calls) {
    int calls = 0;
    const auto counted = make_text_file({.text = [&] { return std::to_string(++calls) + "\n"; }});
    SERVE(Directory::make(
        {.entries = {entry("version", 0444, text("ennead\n")), entry("count", 0444, counted)}}));
    EXPECT_EQ(cat(path("version")), "ennead\n");
    EXPECT_EQ(cat(path("count")), "1\n");
    EXPECT_EQ(cat(path("count")), "2\n");
    const Descriptor fd(path("count"), O_RDONLY);
    EXPECT_EQ(fd.read(), "3\n");
    EXPECT_EQ(fd.read(), "");
    EXPECT_EQ(::lseek(fd, 0, SEEK_SET), 0);
    EXPECT_EQ(fd.read(), "4\n");

    struct stat info {};
    ASSERT_EQ(::stat(path("version").c_str(), &info), 0);
    EXPECT_EQ(info.st_size, 0);
    EXPECT_EQ(info.st_mode, static_cast<mode_t>(S_IFREG | 0444));
    EXPECT_EQ(info.st_uid, ::geteuid());
    EXPECT_EQ(::open(path("none").c_str(), O_RDONLY), -1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(echo("x", path("version")), ::geteuid() == 0 ? EPERM : EACCES);
    EXPECT_EQ(echo("x", path("unheard-of")), EPERM);
}

TEST_F(FuseMount, truncation_and_append_arrive_as_flags) {
    std::vector<TextWrite> writes;
    const auto list = make_text_file({.mode = 0644,
                                      .text = [] { return std::string("x\n"); },
                                      .write =
                                          [&](RequestPtr, TextWrite write, CheckedReply<> reply) {
                                              writes.push_back(std::move(write));
                                              reply(success());
                                          }});
    SERVE(Directory::make({.entries = {entry("list", 0644, list)}}));
    EXPECT_EQ(echo("a\n", path("list")), 0);
    EXPECT_EQ(echo("b\n", path("list"), O_WRONLY | O_APPEND), 0);
    EXPECT_EQ(echo(std::string(100'000, '\n'), path("list"), O_WRONLY), E2BIG);
    const auto seen = loop_->look([&] { return writes; });
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_TRUE(seen[0].truncate);
    EXPECT_FALSE(seen[0].append);
    EXPECT_FALSE(seen[1].truncate);
    EXPECT_TRUE(seen[1].append);
    EXPECT_EQ(seen[1].text, "b\n");
}

TEST_F(FuseMount, ctl_answers_on_its_descriptor_and_errors_are_kept) {
    const auto log = ErrorLog::make(8);
    std::vector<std::string> ran;
    const auto ctl = make_ctl_file(
        {.errors = log->sink(),
         .verbs = {{"start", 0, 0, "start", at_once([&](const Command& command) -> Checked<> {
                        ran.push_back(command.line);
                        return success();
                    })}},
         .text = [] { return std::string("1\n"); }});
    SERVE(Directory::make(
        {.entries = {entry("ctl", 0644, ctl), entry("error", 0644, make_error_file(log))}}));
    EXPECT_EQ(echo("start\n", path("ctl")), 0);
    EXPECT_EQ(echo("start\nstrat\n", path("ctl")), EINVAL);
    EXPECT_EQ(loop_->look([&] { return ran.size(); }), 1u);
    EXPECT_NE(cat(path("error"))
                  .find(" " + std::to_string(::gettid()) +
                        " EINVAL ctl 'unknown verb strat; known are: start'"),
              std::string::npos);
    EXPECT_EQ(echo("", path("error")), 0);
    EXPECT_EQ(cat(path("error")), "");
    const Descriptor fd(path("ctl"), O_RDWR);
    EXPECT_EQ(fd.write("start\n"), 0);
    EXPECT_EQ(fd.read(), "ok\n");
    EXPECT_EQ(fd.read(), "");
}

TEST_F(FuseMount, ten_readers_of_one_stream_all_get_everything) {
    const auto cons = StreamFile::make({});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    std::vector<std::future<std::string>> readers;
    for (int i = 0; i < 10; ++i) {
        readers.push_back(std::async(std::launch::async, [this] { return cat(path("cons")); }));
    }
    std::string sent;
    for (int i = 0; i < 200; ++i) {
        const std::string line = "line " + std::to_string(i) + "\n";
        sent += line;
        loop_->post([&] { cons->append(line); });
    }
    loop_->post([&] { cons->set_eof(); });
    for (auto& reader : readers) {
        EXPECT_EQ(reader.get(), sent);
    }
}

TEST_F(FuseMount, nonblocking_read_of_an_idle_stream_says_eagain) {
    const auto cons = StreamFile::make({});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    const Descriptor fd(path("cons"), O_RDONLY | O_NONBLOCK);
    EXPECT_EQ(fd.read(), error_text(EAGAIN));
    loop_->post([&] { cons->append("x"); });
    EXPECT_EQ(fd.read(), "x");
}

void wait_until(Loop& loop, const std::function<bool()>& condition) {
    while (!loop.look(condition)) {
        std::this_thread::yield();
    }
}

// Whether a thread of ours sleeps in the kernel: proc(5), field 3 of stat.
bool sleeps(pid_t thread) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string pid, name, state;
    stat >> pid >> name >> state;
    return state == "S";
}

TEST_F(FuseMount, signal_ends_a_blocked_read_at_once) {
    const auto cons = StreamFile::make({});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = [](int) {};  // and no SA_RESTART
    ::sigaction(SIGINT, &action, &before);
    std::atomic<pid_t> reader_id{0};
    std::string got;
    std::thread reader([&] {
        const Descriptor fd(path("cons"), O_RDONLY);
        reader_id = ::gettid();
        got = fd.read();
    });
    wait_until(*loop_, [&] { return reader_id != 0 && sleeps(reader_id); });
    ::pthread_kill(reader.native_handle(), SIGINT);
    reader.join();
    ::sigaction(SIGINT, &before, nullptr);
    EXPECT_EQ(got, error_text(EINTR));
    loop_->post([&] { cons->append("still alive"); });
    EXPECT_EQ(Descriptor(path("cons"), O_RDONLY).read(), "still alive");
}

TEST_F(FuseMount, killed_reader_is_gone_at_once) {
    const auto cons = StreamFile::make({});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    const std::string file = path("cons");
    const pid_t child = ::fork();
    if (child == 0) {
        char byte = 0;
        const int fd = ::open(file.c_str(), O_RDONLY);
        ::_exit(::read(fd, &byte, 1) == 1 ? 0 : 1);
    }
    wait_until(*loop_, [&] { return cons->reader_count() == 1; });
    ::kill(child, SIGKILL);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    wait_until(*loop_, [&] { return cons->reader_count() == 0; });
}

TEST_F(FuseMount, blocked_read_does_not_block_a_write_on_the_same_descriptor) {
    std::shared_ptr<StreamFile> cons;
    cons = StreamFile::make({.write = [&](RequestPtr, std::span<const std::byte> data,
                                          CheckedReply<std::size_t> reply) {
        cons->append("echo:" +
                     std::string(reinterpret_cast<const char*>(data.data()), data.size()));
        reply(data.size());
    }});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    {
        const Descriptor fd(path("cons"), O_RDWR);
        std::atomic<pid_t> reader_id{0};
        auto reader = std::async(std::launch::async, [&] {
            reader_id = ::gettid();
            return fd.read();
        });
        wait_until(*loop_, [&] { return reader_id != 0 && sleeps(reader_id); });
        EXPECT_EQ(fd.write("hello"), 0);
        EXPECT_EQ(reader.get(), "echo:hello");
    }
    loop_.reset();
    cons.reset();
}

TEST_F(FuseMount, poll_waits_for_a_stream) {
    const auto cons = StreamFile::make({});
    SERVE(
        Directory::make({.entries = {entry("cons", 0600, cons), entry("text", 0444, text("x"))}}));
    const Descriptor fd(path("cons"), O_RDONLY);
    pollfd poll{fd, POLLIN, 0};
    EXPECT_EQ(::poll(&poll, 1, 0), 0);
    auto waiting = std::async(std::launch::async, [&] {
        pollfd inner{fd, POLLIN, 0};
        const int ready = ::poll(&inner, 1, 20'000);
        return ready == 1 ? static_cast<int>(inner.revents) : -1;
    });
    loop_->post([&] { cons->append("x"); });
    EXPECT_EQ(waiting.get(), POLLIN);
    EXPECT_EQ(fd.read(), "x");
    loop_->post([&] { cons->set_eof(); });
    EXPECT_EQ(::poll(&poll, 1, 20'000), 1);
    EXPECT_EQ(poll.revents, POLLIN | POLLHUP);
    const Descriptor plain(path("text"), O_RDONLY);
    pollfd always{plain, POLLIN, 0};
    EXPECT_EQ(::poll(&always, 1, 0), 1);
}

TEST_F(FuseMount, wait_and_clone_files) {
    std::optional<std::string> ended;
    const auto wait = WaitFile::make({.text = [&] { return ended; }});
    int last = 0;
    std::vector<Setting> settings;
    const auto made = make_clone_file(
        {.make = [&](RequestPtr, std::vector<Setting> given, CheckedReply<std::string> reply) {
            settings = std::move(given);
            reply(std::to_string(++last) + "\n");
        }});
    SERVE(Directory::make({.entries = {entry("wait", 0444, wait), entry("new", 0666, made)}}));
    auto waiting = std::async(std::launch::async, [this] { return cat(path("wait")); });
    EXPECT_EQ(cat(path("new")), "1\n");
    {
        const Descriptor fd(path("new"), O_RDWR);
        EXPECT_EQ(fd.write("mem=64M\n"), 0);
        EXPECT_EQ(fd.read(), "2\n");
        EXPECT_EQ(fd.read(), "");
        EXPECT_EQ(loop_->look([&] { return settings.size(); }), 1u);
    }
    loop_->post([&] {
        ended = "1 poweroff\n";
        wait->wake();
    });
    EXPECT_EQ(waiting.get(), "1 poweroff\n");
}

TEST_F(FuseMount, data_files_have_offsets_and_size) {
    std::string bytes(3 << 20, 'a');
    std::size_t largest = 0;
    const auto mem = make_data_file(
        {.mode = 0600,
         .size = [&] { return bytes.size(); },
         .read = [&](RequestPtr, std::uint64_t offset, std::span<std::byte> into,
                     CheckedReply<std::size_t> reply) { reply(copy_out(bytes, offset, into)); },
         .write =
             [&](RequestPtr, std::uint64_t offset, std::span<const std::byte> data,
                 CheckedReply<std::size_t> reply) {
                 largest = std::max(largest, data.size());
                 std::memcpy(bytes.data() + offset, data.data(), data.size());
                 reply(data.size());
             }});
    SERVE(Directory::make({.entries = {entry("mem", 0600, mem)}}));
    EXPECT_EQ(fs::file_size(path("mem")), 3u << 20);
    const Descriptor fd(path("mem"), O_RDWR);
    const std::string block(1 << 20, 'b');
    EXPECT_EQ(::pwrite(fd, block.data(), block.size(), 1 << 20), 1 << 20);
    // The kernel cuts a write only where its bytes lie over more than 256 pages.
    EXPECT_GE(loop_->look([&] { return largest; }), block.size() - 4096);
    std::string back(3 << 20, '\0');
    EXPECT_EQ(::pread(fd, back.data(), back.size(), 0), static_cast<ssize_t>(back.size()));
    EXPECT_EQ(back, std::string(1 << 20, 'a') + block + std::string(1 << 20, 'a'));
}

// The data of a write must outlive the call that brought it, for whoever answers later.
TEST_F(FuseMount, write_answered_later_still_has_its_data) {
    struct Pending {
        std::span<const std::byte> data;
        CheckedReply<std::size_t> reply;
    };
    std::vector<Pending> pending;
    const auto mem =
        make_data_file({.mode = 0600,
                        .size = [] { return 0; },
                        .write =
                            [&](RequestPtr, std::uint64_t, std::span<const std::byte> data,
                                CheckedReply<std::size_t> reply) {
                                pending.push_back({data, std::move(reply)});
                            }});
    SERVE(Directory::make({.entries = {entry("mem", 0600, mem), entry("text", 0444, text("x"))}}));
    auto writer = std::async(
        std::launch::async, [this] { return echo(std::string(5000, 'w'), path("mem"), O_WRONLY); });
    wait_until(*loop_, [&] { return pending.size() == 1; });
    EXPECT_EQ(cat(path("text")), "x");
    loop_->post([&] {
        const auto* bytes = reinterpret_cast<const char*>(pending[0].data.data());
        EXPECT_EQ(std::string(bytes, pending[0].data.size()), std::string(5000, 'w'));
        pending[0].reply(std::size_t{5000});
        pending.clear();
    });
    EXPECT_EQ(writer.get(), 0);
}

std::shared_ptr<Directory> numbered_top() {
    auto top = std::make_shared<std::weak_ptr<Directory>>();
    auto last = std::make_shared<int>(0);
    DirectoryHooks hooks;
    hooks.mkdir = [=](RequestPtr, std::string name, CheckedReply<NodePtr> reply) {
        const std::string number = std::to_string(++*last);
        const auto vm =
            Directory::make({.entries = {entry("status", 0444, text("new " + number + "\n"))}});
        top->lock()->add(number, vm);
        top->lock()->add(name, make_symlink(number));
        reply(NodePtr(vm));
    };
    hooks.rmdir = [=](RequestPtr, std::string name, CheckedReply<> reply) {
        std::static_pointer_cast<SynthNode>(top->lock()->remove(name))->retire();
        reply(success());
    };
    hooks.unlink = hooks.rmdir;
    hooks.rename = [=](RequestPtr, std::string from, std::string to, CheckedReply<> reply) {
        top->lock()->rename_child(from, to);
        reply(success());
    };
    auto dir = Directory::make({.hooks = std::move(hooks)});
    *top = dir;
    return dir;
}

TEST_F(FuseMount, directories_are_made_as_links_renamed_and_removed) {
    SERVE(numbered_top());
    ASSERT_EQ(::mkdir(path("build").c_str(), 0777), 0) << std::strerror(errno);
    EXPECT_EQ(fs::read_symlink(path("build")), "1");
    EXPECT_EQ(cat(path("build/status")), "new 1\n");
    EXPECT_EQ(cat(path("1/status")), "new 1\n");
    EXPECT_EQ(::mkdir(path("build").c_str(), 0777), -1);
    EXPECT_EQ(errno, EEXIST);
    EXPECT_EQ(::rename(path("build").c_str(), path("built").c_str()), 0);
    EXPECT_EQ(cat(path("built/status")), "new 1\n");
    ASSERT_EQ(::mkdir(path("other").c_str(), 0777), 0);
    EXPECT_EQ(::renameat2(AT_FDCWD, path("built").c_str(), AT_FDCWD, path("other").c_str(),
                          RENAME_NOREPLACE),
              -1);
    EXPECT_EQ(errno, EEXIST);
    EXPECT_EQ(cat(path("other/status")), "new 2\n");
    struct stat info {};
    ASSERT_EQ(::stat(dir_.c_str(), &info), 0);
    EXPECT_EQ(info.st_nlink, 4u);
    const Descriptor status(path("1/status"), O_RDONLY);
    EXPECT_EQ(::unlink(path("built").c_str()), 0);
    EXPECT_EQ(::rmdir(path("1").c_str()), 0);
    EXPECT_EQ(status.read(), error_text(ENODEV));
    EXPECT_FALSE(fs::exists(path("1")));
    EXPECT_EQ(::rmdir(path("nothing").c_str()), -1);
    EXPECT_EQ(errno, ENOENT);
}

TEST_F(FuseMount, long_listings_are_whole) {
    const auto dir = Directory::make({});
    std::set<std::string> expected{".", ".."};
    for (int i = 0; i < 2000; ++i) {
        const std::string name = "a-rather-long-name-of-a-file-" + std::to_string(i);
        dir->add(name, text("x"));
        expected.insert(name);
    }
    SERVE(dir);
    DIR* stream = ::opendir(dir_.c_str());
    ASSERT_NE(stream, nullptr);
    for (int round = 0; round < 2; ++round) {
        std::multiset<std::string> seen;
        while (const dirent* row = ::readdir(stream)) {
            seen.insert(row->d_name);
            if (seen.size() == 3) {
                struct stat info {};
                EXPECT_EQ(::fstatat(::dirfd(stream), row->d_name, &info, AT_SYMLINK_NOFOLLOW), 0);
                EXPECT_EQ(info.st_ino, row->d_ino);
                EXPECT_EQ(row->d_type, DT_REG);
            }
        }
        EXPECT_EQ(seen, std::multiset<std::string>(expected.begin(), expected.end()));
        ::rewinddir(stream);
    }
    ::closedir(stream);
}

TEST_F(FuseMount, attributes_are_set_and_kept) {
    const auto file = make_text_file(
        {.mode = 0644,
         .text = [] { return std::string("x"); },
         .write = [](RequestPtr, TextWrite, CheckedReply<> reply) { reply(success()); }});
    SERVE(Directory::make({.entries = {entry("file", 0644, file)}}));
    EXPECT_EQ(::chmod(path("file").c_str(), 0600), 0);
    struct stat info {};
    ASSERT_EQ(::stat(path("file").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode, static_cast<mode_t>(S_IFREG | 0600));
    const std::array<timespec, 2> times{{{1000, 5}, {2000, 7}}};
    EXPECT_EQ(::utimensat(AT_FDCWD, path("file").c_str(), times.data(), 0), 0);
    ASSERT_EQ(::stat(path("file").c_str(), &info), 0);
    EXPECT_EQ(info.st_mtim.tv_sec, 2000);
    EXPECT_EQ(info.st_mtim.tv_nsec, 7);
    EXPECT_EQ(::truncate(path("file").c_str(), 0), 0);
    EXPECT_EQ(::truncate(path("file").c_str(), 1), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::getxattr(path("file").c_str(), "user.x", nullptr, 0), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    EXPECT_EQ(::listxattr(path("file").c_str(), nullptr, 0), 0);
    struct statfs fs {};
    EXPECT_EQ(::statfs(dir_.c_str(), &fs), 0);
    EXPECT_EQ(fs.f_namelen, 255);
}

TEST_F(FuseMount, retired_stream_ends_blocked_reads_with_enodev) {
    const auto cons = StreamFile::make({});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    auto reader = std::async(std::launch::async,
                             [this] { return Descriptor(path("cons"), O_RDONLY).read(); });
    wait_until(*loop_, [&] { return cons->reader_count() == 1; });
    loop_->post([&] { cons->retire(); });
    EXPECT_EQ(reader.get(), error_text(ENODEV));
}

TEST_F(FuseMount, unmounting_ends_blocked_reads) {
    const auto cons = StreamFile::make({});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons)}}));
    std::atomic<pid_t> reader_id{0};
    auto reader = std::async(std::launch::async, [&] {
        const Descriptor fd(path("cons"), O_RDONLY);
        reader_id = ::gettid();
        return fd.read();
    });
    wait_until(*loop_, [&] { return reader_id != 0 && sleeps(reader_id); });
    loop_->unmount();
    EXPECT_TRUE(reader.get().starts_with("errno "));
    EXPECT_TRUE(loop_->ended());
    EXPECT_FALSE(fs::exists(path("cons")));
}

TEST_F(FuseMount, unmount_from_outside_is_noticed) {
    SERVE(Directory::make({.entries = {entry("text", 0444, text("x"))}}));
    EXPECT_EQ(cat(path("text")), "x");
    ASSERT_EQ(std::system(("fusermount3 -u " + dir_).c_str()), 0);
    while (!loop_->ended()) {
        std::this_thread::yield();
    }
}

TEST_F(FuseMount, exception_in_a_node_becomes_eio) {
    const auto bad =
        make_text_file({.text = []() -> Checked<std::string> { throw std::runtime_error("bug"); }});
    SERVE(Directory::make({.entries = {entry("bad", 0444, bad), entry("text", 0444, text("x"))}}));
    EXPECT_EQ(cat(path("bad")), error_text(EIO));
    EXPECT_EQ(cat(path("text")), "x");
}

TEST_F(FuseMount, dropped_reply_becomes_eio) {
    const auto bad = make_text_file({.text_later = [](RequestPtr, CheckedReply<std::string>) {}});
    const auto dropped = make_data_file({.size = [] { return 1; },
                                         .read = [](RequestPtr, std::uint64_t, std::span<std::byte>,
                                                    CheckedReply<std::size_t>) {}});
    SERVE(Directory::make({.entries = {entry("dropped", 0444, dropped)}}));
    EXPECT_EQ(cat(path("dropped")), error_text(EIO));
}

TEST_F(FuseMount, mount_of_a_killed_server_is_replaced) {
    const pid_t child = ::fork();
    if (child == 0) {
        auto mount = try_mount(dir_, Directory::make({}));
        ::_exit(mount ? 0 : 1);  // as if killed: nothing is unmounted
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) != 0) {
        GTEST_SKIP() << "SKIPPED: mounting is not allowed here";
    }
    struct stat info {};
    EXPECT_EQ(::stat(dir_.c_str(), &info), -1);
    EXPECT_EQ(errno, ENOTCONN);
    SERVE(Directory::make({.entries = {entry("text", 0444, text("x"))}}));
    EXPECT_EQ(cat(path("text")), "x");
}

TEST_F(FuseMount, refusals_are_one_clear_line) {
    const auto refusal = [](const std::string& dir) {
        auto mount = try_mount(dir, Directory::make({}));
        return mount ? std::string("mounted") : mount.error().text;
    };
    EXPECT_EQ(refusal(path("none")), path("none") + ": no such directory; make it with mkdir -p");
    EXPECT_EQ(refusal(path("none/deeper")),
              path("none/deeper") + ": no such directory; make it with mkdir -p");
    EXPECT_EQ(refusal("/etc/passwd"), "/etc/passwd: not a directory; name one to mount on");
    SERVE(Directory::make({}));
    const std::string real = fs::canonical(dir_).string();
    EXPECT_EQ(refusal(dir_ + "/"),
              real + ": a tree is mounted here already; end it with: fusermount3 -u " + real);
}

// A guest to which such a mount is bound.
TEST_F(FuseMount, through_a_host_directory_each_open_is_one_of_the_tree) {
    const auto cons =
        StreamFile::make({.mode = 0600,
                          .write = [](RequestPtr, std::span<const std::byte> data,
                                      CheckedReply<std::size_t> reply) { reply(data.size()); }});
    int made = 0;
    const auto clone = make_clone_file(
        {.make = [&](RequestPtr, const std::vector<Setting>&, CheckedReply<std::string> reply) {
            reply(std::to_string(++made) + "\n");
        }});
    std::vector<TextWrite> writes;
    const auto list = make_text_file({.mode = 0644,
                                      .text = [] { return std::string("listed\n"); },
                                      .write =
                                          [&](RequestPtr, TextWrite write, CheckedReply<> reply) {
                                              writes.push_back(std::move(write));
                                              reply(success());
                                          }});
    SERVE(Directory::make({.entries = {entry("cons", 0600, cons), entry("new", 0600, clone),
                                       entry("list", 0644, list)}}));

    struct Wait {
        int fd = -1;
        std::function<void()> ready;
    };
    std::vector<std::weak_ptr<Wait>> waits;
    const int at = ::open(dir_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const auto shown = make_host_dir(
        at, {.when_readable = [&](int fd, std::function<void()> ready) -> std::shared_ptr<void> {
            const auto wait = std::make_shared<Wait>(Wait{fd, std::move(ready)});
            waits.push_back(wait);
            return wait;
        }});
    ASSERT_TRUE(shown);
    // What an event loop does, once.
    const auto turn = [&] {
        for (const auto& weak : std::exchange(waits, {})) {
            const auto wait = weak.lock();
            pollfd fd{wait ? wait->fd : -1, POLLIN, 0};
            if (wait && ::poll(&fd, 1, 10'000) == 1) {
                wait->ready();
            }
        }
    };
    const auto open_at = [&](const char* name, int flags) {
        return test::open(test::walk(shown.value(), name), flags).handle;
    };

    const auto one = open_at("new", O_RDWR), other = open_at("new", O_RDWR);
    EXPECT_EQ(test::read(one), "1\n");
    EXPECT_EQ(test::read(other), "2\n");
    EXPECT_EQ(test::read(one, 2), "");
    EXPECT_EQ(test::write(open_at("list", O_WRONLY | O_TRUNC), "a\n"), 0);
    EXPECT_EQ(test::write(open_at("list", O_WRONLY | O_APPEND), "b\n"), 0);
    EXPECT_EQ(test::read(open_at("list", O_RDONLY)), "listed\n");
    const auto seen = loop_->look([&] { return writes; });
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_TRUE(seen[0].truncate);
    EXPECT_TRUE(seen[1].append);

    // A stream: history for each open, offsets mean nothing, and a read waits.
    loop_->post([&] { cons->append("abc"); });
    const auto reader = open_at("cons", O_RDONLY), late = open_at("cons", O_RDWR);
    EXPECT_TRUE(test::walk(shown.value(), "cons")->is_stream());
    EXPECT_EQ(test::read(reader, 0, 2), "ab");
    EXPECT_EQ(test::read(reader, 2), "c");
    EXPECT_EQ(test::read(late, 4096), "abc");
    EXPECT_EQ(test::read(reader, 3, 100, true), error_text(EAGAIN));
    EXPECT_EQ(test::write(late, "typed"), 0);
    const auto first = test::start_read(reader, 3), second = test::start_read(reader, 3);
    const auto stopped = test::start_read(late);
    EXPECT_FALSE(first->answered());
    stopped->request->cancel();
    EXPECT_EQ(stopped->errnum(), EINTR);
    loop_->post([&] { cons->append("de"); });
    turn();
    EXPECT_EQ(first->text(), "de");
    EXPECT_FALSE(second->answered());
    loop_->post([&] { cons->append("f"); });
    turn();
    EXPECT_EQ(second->text(), "f");
    // Its end, and being taken away.
    const auto waiting = test::start_read(late), last = test::start_read(reader);
    shown.value()->revoke();
    EXPECT_EQ(last->errnum(), ESTALE);
    EXPECT_NE(waiting->errnum(), -1);
    EXPECT_EQ(test::read(reader), error_text(ESTALE));
    turn();
}

}  // namespace
}  // namespace ennead::synthfs
