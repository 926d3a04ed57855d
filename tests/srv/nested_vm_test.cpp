// SPDX-License-Identifier: MIT
// Machines that are given trees of the server, with real processes: what shows in their roots, what
// becomes of it when a machine above goes, and how much memory there is.
#include "synthfs/text_file.h"
#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

std::string errno_text(int errnum) {
    return "errno " + std::to_string(errnum);
}

class NestedVm : public RealVm {
  protected:
    void SetUp() override {
        RealVm::SetUp();
        if (IsSkipped()) {
            return;
        }
        set_kernel(code::kSpin);
        fs::create_directory(scratch.path() + "/src");
        scratch.file("src/one", "one");
        fs::create_directory(scratch.path() + "/src/sub");
        ASSERT_EQ(echo("mem 96M\nnest 1", "1/conf"), 0);
    }
    // In the root of a machine that has a process.
    std::string root(const std::string& vm, const std::string& path) {
        return cat_in(file(vm + "/root"), path);
    }
    NodePtr own() { return table->tree_of(*table->find("1")); }
    std::string child() {
        std::string number = cat_in(own(), "new");
        EXPECT_TRUE(number.ends_with('\n')) << number;
        number.pop_back();
        EXPECT_EQ(echo_in(own(), "mem 32M", number + "/conf"), 0);
        return number;
    }
};

TEST_F(NestedVm, a_machine_finds_its_own_directory_in_its_root) {
    ASSERT_EQ(echo("bind '#vm' /vm\nbind -r '#vm' /look", "1/ns"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(root("1", "vm/self"), "1\n");
    EXPECT_EQ(root("1", "look/self"), "1\n");
    EXPECT_EQ(root("1", "vm/1/status").find("running - - "), 0u) << root("1", "vm/1/status");
    EXPECT_EQ(root("1", "vm/1/regs").find("eax "), 0u);
    EXPECT_EQ(root("1", "vm/2"), errno_text(ENOENT));
    make();
    EXPECT_EQ(root("1", "vm/2"), errno_text(ENOENT));
    // A stream follows what comes, beside others that wait.
    const auto events = open_in(file("1/root"), "vm/events", O_RDONLY);
    ASSERT_TRUE(events.handle);
    EXPECT_NE(read(events.handle).find(" 1 state running\n"), std::string::npos);
    const auto waiting = start_read(events.handle);
    const auto called_off = start_read(events.handle);
    EXPECT_EQ(root("1", "vm/self"), "1\n");
    called_off->request->cancel();
    EXPECT_TRUE(run_until([&] { return called_off->answered(); }));
    EXPECT_EQ(called_off->errnum(), EINTR);
    EXPECT_EQ(echo("pause", "1/ctl"), 0);
    ASSERT_TRUE(run_until([&] { return waiting->answered(); }));
    EXPECT_NE(waiting->text().find(" 1 state paused\n"), std::string::npos);
    // Taken away while somebody waits.
    const auto last = start_read(events.handle);
    settle();
    EXPECT_EQ(echo("unbind /vm", "1/ctl"), 0);
    ASSERT_TRUE(run_until([&] { return last->answered(); }));
    EXPECT_EQ(last->errnum(), ESTALE);
    EXPECT_EQ(root("1", "vm/self"), errno_text(ENOENT));
    EXPECT_EQ(root("1", "look/self"), "1\n");
    EXPECT_EQ(echo("bind '#vm' /vm", "1/ctl"), 0);
    EXPECT_EQ(root("1", "vm/self"), "1\n");
    EXPECT_EQ(cat("1/ns").find("bind -r '#vm' /look\nbind '#vm' /vm\n") != std::string::npos, true);
}

TEST_F(NestedVm, a_target_may_lie_in_such_a_tree) {
    ASSERT_EQ(echo("bind '#vm' /vm\nbind " + scratch.path() + "/src /vm/1/jit", "1/ns"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(root("1", "vm/1/jit/one"), "one");
    EXPECT_EQ(echo("bind '#ram' /vm/1", "1/ctl"), 0);
    EXPECT_EQ(root("1", "vm/1/ctl"), errno_text(ENOENT));
    EXPECT_EQ(root("1", "vm/1/jit/one"), "one");
    EXPECT_EQ(echo("bind '#ram' /vm/self", "1/ctl"), ENOTDIR);
}

TEST_F(NestedVm, what_is_mounted_at_the_server_is_a_source) {
    const auto mounted = synthfs::Directory::make({.mode = 0755});
    const auto host = synthfs::Directory::make({.mode = 0755});
    const auto deep = synthfs::Directory::make({.mode = 0755});
    mounted->add("host", host);
    host->add("deep", deep);
    deep->add("name",
              synthfs::make_text_file(
                  {.mode = 0444, .name = "name", .text = []() -> synthfs::Checked<std::string> {
                       return std::string("far");
                   }}));
    services->mounted = [mounted]() -> NodePtr { return mounted; };
    ASSERT_EQ(echo("bind n/host /far\nbind -r n/host/deep /x\nbind -b n/host/deep /far", "1/ns"),
              0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(root("1", "far/deep/name"), "far");
    EXPECT_EQ(root("1", "far/name"), "far");
    EXPECT_EQ(root("1", "x/name"), "far");
    // Another tree of that name is found by itself.
    host->remove("deep");
    EXPECT_EQ(root("1", "x/name"), errno_text(ENOENT));
    host->add("deep", deep);
    EXPECT_EQ(root("1", "x/name"), "far");
    EXPECT_EQ(echo("bind n/host/none /y", "1/ctl"), ENOENT);
    EXPECT_EQ(echo("bind n/host/deep/name /y", "1/ctl"), ENOTDIR);
}

TEST_F(NestedVm, a_childs_sources_are_read_through_the_machine_above) {
    scratch.file("root/hosts", "of the base");
    ASSERT_EQ(echo("bind -r " + scratch.path() + "/src /src", "1/ns"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const std::string vm = child();
    EXPECT_EQ(echo_in(own(), "bind /none /x", vm + "/ns"), ENOENT);
    EXPECT_EQ(echo_in(own(), "bind /src/one /x", vm + "/ns"), ENOTDIR);
    fs::create_directory_symlink("/", scratch.path() + "/src/up");
    fs::create_directory_symlink("sub", scratch.path() + "/src/aside");
    for (const char* link : {"/src/up", "/src/up/etc", "/src/aside", "/src/aside/."}) {
        EXPECT_EQ(echo_in(own(), std::string("bind ") + link + " /x", vm + "/ns"), ENOTDIR) << link;
    }
    EXPECT_EQ(echo_in(own(), "bind " + scratch.path() + "/src /x", vm + "/ns"), ENOENT);
    ASSERT_EQ(echo_in(own(), "bind /src /x\nbind / /all\nbind -b '#vm' /vm", vm + "/ns"), 0);
    ASSERT_EQ(echo_in(own(), "start", vm + "/ctl"), 0) << cat(vm + "/error");
    EXPECT_EQ(root(vm, "x/one"), "one");
    EXPECT_EQ(root(vm, "all/src/one"), "one");
    EXPECT_EQ(root(vm, "all/hosts"), "of the base");
    EXPECT_EQ(root(vm, "vm/self"), vm + "\n");
    EXPECT_EQ(root(vm, "vm/1"), errno_text(ENOENT));
    // Without the machine above there is nothing, and with it again all of it.
    const auto held = open_in(file(vm + "/root"), "x/one", O_RDONLY);
    ASSERT_TRUE(held.handle);
    ASSERT_EQ(echo("kill", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "dead kill SIGKILL"));
    EXPECT_EQ(root(vm, "x/one"), errno_text(EIO));
    EXPECT_EQ(read(held.handle).find("errno "), 0u);
    EXPECT_EQ(root(vm, "hosts"), "of the base");
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(root(vm, "x/one"), "one");
    // With the one above, the child goes.
    ASSERT_EQ(echo("destroy", "1/ctl"), 0);
    EXPECT_EQ(file(vm), nullptr);
    EXPECT_EQ(process(), 0);
}

TEST_F(NestedVm, children_share_the_memory_of_the_machine_above) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const std::string a = child(), b = child(), c = child(), d = child();
    for (const std::string& vm : {a, b, c}) {
        EXPECT_EQ(echo_in(own(), "start", vm + "/ctl"), 0) << cat(vm + "/error");
    }
    EXPECT_EQ(echo_in(own(), "start", d + "/ctl"), EDQUOT);
    EXPECT_NE(cat(d + "/error").find("share 96M of memory"), std::string::npos)
        << cat(d + "/error");
    // Memory trees count as the most that they may take.
    EXPECT_EQ(echo_in(own(), "bind '#ram' /x", a + "/ctl"), EDQUOT);
    // It is taken as long as there is a process.
    EXPECT_EQ(echo_in(own(), "stop", a + "/ctl"), 0);
    ASSERT_TRUE(reaches(a, "stopped stop 0"));
    EXPECT_EQ(echo_in(own(), "mem 24M", a + "/conf"), 0);
    EXPECT_EQ(echo_in(own(), "start", d + "/ctl"), EDQUOT);
    EXPECT_EQ(echo_in(own(), "kill", a + "/ctl"), 0);
    EXPECT_TRUE(run_until([&] { return file(a + "/root") == nullptr; }));
    EXPECT_EQ(echo_in(own(), "start", d + "/ctl"), 0) << cat(d + "/error");
    EXPECT_EQ(echo_in(own(), "start", a + "/ctl"), EDQUOT);
    EXPECT_EQ(rmdir(b), EBUSY);
    EXPECT_EQ(echo_in(own(), "destroy", b + "/ctl"), 0);
    EXPECT_EQ(echo_in(own(), "start", a + "/ctl"), 0) << cat(a + "/error");
}

TEST_F(NestedVm, a_guest_that_keeps_what_it_saw_gets_no_such_tree) {
    ASSERT_EQ(echo("nest 0", "1/conf"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const std::string before = cat("1/ns");
    EXPECT_EQ(echo("bind '#vm' /vm", "1/ctl"), EBUSY);
    EXPECT_NE(cat("1/error").find("cache=loose"), std::string::npos);
    EXPECT_EQ(cat("1/ns"), before);
    // One that is told otherwise does.
    ASSERT_EQ(echo("kill", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "dead kill SIGKILL"));
    ASSERT_EQ(echo("append rootflags=cache=none", "1/conf"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(echo("bind '#vm' /vm", "1/ctl"), 0);
    EXPECT_EQ(root("1", "vm/self"), "1\n");
}

}  // namespace
}  // namespace ennead::srv::test
