// SPDX-License-Identifier: MIT
// The tree without a mount, asked through its files: with scripts for VM processes, or real ones
// that run a kernel of a few bytes.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "srv/ennead/state_dir.h"
#include "srv/ennead/top_dir.h"
#include "srv/ennead/vm_table.h"
#include "tests/srv/loop_test.h"
#include "tests/vmcore/machine/tiny_kernel.h"

namespace ennead::srv::test {

class Tree : public LoopTest {
  protected:
    void SetUp() override {
        std::filesystem::create_directory(scratch.path() + "/root");
        std::filesystem::create_directory(scratch.path() + "/state");
        set_kernel(vmcore::test::code::kHello);
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
        const std::filesystem::path tests =
            std::filesystem::read_symlink("/proc/self/exe").parent_path();
        for (const std::filesystem::path& path :
             {tests.parent_path() / "ennead-vm",
              std::filesystem::path(Installation::find().vm_program),
              std::filesystem::path(ENNEAD_TEST_DATA).parent_path() / "build/ennead-vm"}) {
            if (access(path.c_str(), X_OK) == 0) {
                services->installation.vm_program = path;
                return static_cast<bool>(StateDir::make());
            }
        }
        return false;
    }

    synthfs::NodePtr file(const std::string& path) {
        synthfs::NodePtr at = top;
        for (std::size_t begin = 0; at && begin < path.size();) {
            const std::size_t end = std::min(path.find('/', begin), path.size());
            at = walk(at, path.substr(begin, end - begin));
            begin = end + 1;
        }
        return at;
    }
    std::string cat(const std::string& path) {
        const synthfs::NodePtr node = file(path);
        return node ? read_all(node) : "no such file";
    }
    int echo(const std::string& text, const std::string& path) {
        const synthfs::NodePtr node = file(path);
        return node ? LoopTest::echo(node, text + '\n') : ENOENT;
    }
    // As `cat new`: the number, without its newline.
    std::string make() {
        std::string number = cat("new");
        EXPECT_TRUE(number.ends_with('\n')) << number;
        number.pop_back();
        return number;
    }
    int mkdir(const std::string& name) {
        Asked<synthfs::NodePtr> asked;
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

// A real VM process with a guest of a few bytes.
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
