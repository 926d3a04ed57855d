// SPDX-License-Identifier: MIT
// The tree without a mount, asked as a shell asks it: for tests of what its files do.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "srv/ennead/state_dir.h"
#include "srv/ennead/top_dir.h"
#include "srv/ennead/vm_table.h"
#include "tests/srv/loop_test.h"
#include "tests/vmcore/machine/tiny_kernel.h"

namespace ennead::srv::test {

namespace fs = std::filesystem;
namespace code = vmcore::test::code;
using synthfs::NodePtr;

class Tree : public LoopTest {
  protected:
    void SetUp() override {
        fs::create_directory(scratch.path() + "/root");
        fs::create_directory(scratch.path() + "/state");
        set_kernel(code::kHello);
        state = scratch.path() + "/state";
        state_fd = Fd(::open(state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        services = std::make_unique<VmServices>(
            VmServices{.io = io,
                       .installation = {"/nonexistent/ennead-vm", scratch.path() + "/kernel",
                                        scratch.path() + "/root"},
                       .state_dir_fd = state_fd.get(),
                       .events = synthfs::StreamFile::make({.name = "events", .lines = true}),
                       .log = [](const std::string&) {}});
        table = std::make_unique<VmTable>(*services);
        top = make_top_dir(
            {.table = *table, .errors = errors, .events = services->events, .quit = [this] {
                 ++quits;
             }});
        table->attach(top);
    }

    void set_kernel(const std::vector<vmcore::u8>& guest) {
        const auto image = vmcore::test::TinyKernel{.code = guest, .cmdline_size = 2047}.image();
        scratch.file("kernel", {reinterpret_cast<const char*>(image.data()), image.size()});
    }
    // The program of VMs from now on.
    void use_script(std::string_view lines) {
        services->installation.vm_program = scratch.script("vm", lines);
    }
    // False: there is none, or no place where it can keep its scratch layer.
    bool use_real_program() {
        // Above all the program of the same build, which under a sanitizer is sanitized as well.
        const fs::path tests = fs::read_symlink("/proc/self/exe").parent_path();
        for (const fs::path& path :
             {tests.parent_path() / "ennead-vm", fs::path(Installation::find().vm_program),
              fs::path(ENNEAD_TEST_DATA).parent_path() / "build/ennead-vm"}) {
            if (access(path.c_str(), X_OK) == 0) {
                services->installation.vm_program = path;
                return static_cast<bool>(StateDir::make());
            }
        }
        return false;
    }

    NodePtr file(const std::string& path) {
        NodePtr at = top;
        for (std::size_t begin = 0; at && begin < path.size();) {
            const std::size_t end = std::min(path.find('/', begin), path.size());
            at = walk(at, path.substr(begin, end - begin));
            begin = end + 1;
        }
        return at;
    }
    std::string cat(const std::string& path) {
        const NodePtr node = file(path);
        return node ? read_all(node) : "no such file";
    }
    int echo(const std::string& text, const std::string& path) {
        const NodePtr node = file(path);
        return node ? LoopTest::echo(node, text + '\n') : ENOENT;
    }
    // What is at a path below `from`, whoever has to be asked for it; null, and the errno.
    NodePtr find_in(NodePtr at, const std::string& path, int* errnum = nullptr) {
        for (std::size_t begin = 0; at && begin < path.size();) {
            const std::size_t end = std::min(path.find('/', begin), path.size());
            Asked<NodePtr> asked;
            at->walk(request(), path.substr(begin, end - begin), asked.reply());
            EXPECT_TRUE(run_until([&] { return asked.answered(); }));
            if (errnum != nullptr) {
                *errnum = asked.errnum();
            }
            at = asked.errnum() == 0 ? asked.value() : nullptr;
            begin = end + 1;
        }
        return at;
    }
    synthfs::test::Opened open_in(const NodePtr& from, const std::string& path, int flags) {
        int errnum = ENOENT;
        const NodePtr node = find_in(from, path, &errnum);
        if (!node) {
            return {nullptr, errnum};
        }
        Asked<synthfs::HandlePtr> opened;
        node->open(request(), flags, opened.reply());
        EXPECT_TRUE(run_until([&] { return opened.answered(); }));
        return opened.errnum() == 0 ? synthfs::test::Opened{opened.value(), 0}
                                    : synthfs::test::Opened{nullptr, opened.errnum()};
    }
    std::string cat_in(const NodePtr& from, const std::string& path) {
        const auto opened = open_in(from, path, O_RDONLY);
        return opened.handle ? read(opened.handle) : "errno " + std::to_string(opened.errnum);
    }
    int echo_in(const NodePtr& from, const std::string& text, const std::string& path) {
        const auto opened = open_in(from, path, O_WRONLY | O_TRUNC);
        return opened.handle ? write(opened.handle, text + '\n') : opened.errnum;
    }
    std::vector<std::string> names_in(const NodePtr& from, const std::string& path) {
        const auto opened = open_in(from, path, O_RDONLY | O_DIRECTORY);
        Asked<std::vector<synthfs::DirEntry>> asked;
        if (opened.handle) {
            opened.handle->readdir(request(), 0, 1000, asked.reply());
            EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        }
        std::vector<std::string> names;
        if (asked.errnum() == 0) {
            for (const auto& entry : asked.value()) {
                names.push_back(entry.name);
            }
        }
        std::ranges::sort(names);
        return names;
    }
    // As `cat new`: the number, without its newline.
    std::string make() {
        std::string number = cat("new");
        EXPECT_TRUE(number.ends_with('\n')) << number;
        number.pop_back();
        return number;
    }
    int mkdir(const std::string& name) {
        Asked<NodePtr> asked;
        top->mkdir(request(), name, 0755, 0, asked.reply());
        return asked.errnum();
    }
    int rmdir(const std::string& name) {
        Asked<> asked;
        top->unlink(request(), name, true, asked.reply());
        return asked.errnum();
    }
    int rename(const std::string& from, const std::string& to) {
        Asked<> asked;
        top->rename(request(), from, top, to, asked.reply());
        return asked.errnum();
    }
    // The first words of `status`.
    std::string status(const std::string& vm, std::size_t words = 3) {
        const std::string text = cat(vm + "/status");
        std::size_t end = 0;
        while (words-- != 0 && end != std::string::npos) {
            end = text.find(' ', end + 1);
        }
        return text.substr(0, end);
    }
    bool reaches(const std::string& vm, const std::string& words) {
        return run_until([&] { return status(vm) == words; });
    }
    // Whether `wait` ends with such a text.
    std::string wait_text(const std::string& vm) { return cat(vm + "/wait"); }

    ScratchDir scratch;
    std::string state;
    Fd state_fd;
    std::shared_ptr<synthfs::ErrorLog> errors = synthfs::ErrorLog::make(16);
    std::unique_ptr<VmServices> services;
    std::unique_ptr<VmTable> table;
    std::shared_ptr<synthfs::Directory> top;
    int quits = 0;
};

// Its first VM is that of a real program.
class RealVm : public Tree {
  protected:
    void SetUp() override {
        Tree::SetUp();
        if (!use_real_program()) {
            GTEST_SKIP() << "no ennead-vm beside this program, or nowhere to keep a scratch layer";
        }
        make();
        ASSERT_EQ(echo("mem 32M", "conf"), 0);
        ASSERT_EQ(echo("mem 32M", "1/conf"), 0);
    }
    pid_t process() {
        // The only child.
        std::ifstream children("/proc/self/task/" + std::to_string(getpid()) + "/children");
        pid_t pid = 0;
        children >> pid;
        return pid;
    }
};

}  // namespace ennead::srv::test
