// SPDX-License-Identifier: MIT
// VMs made, named, listed, reaped and destroyed, through their files and without a mount.
#include "srv/ennead/vm_table.h"

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

namespace fs = std::filesystem;
using synthfs::NodePtr;

TEST_F(Tree, new_gives_numbers_that_are_never_used_again) {
    EXPECT_EQ(make(), "1");
    EXPECT_EQ(make(), "2");
    EXPECT_EQ(rmdir("2"), 0);
    EXPECT_EQ(rmdir("1"), 0);
    EXPECT_EQ(make(), "3");
    EXPECT_EQ(file("1"), nullptr);
    EXPECT_EQ(cat("3/ctl"), "3\n");
    EXPECT_EQ(table->find("3")->number(), 3u);
    EXPECT_EQ(table->find("1"), nullptr);
}

TEST_F(Tree, looking_at_new_makes_nothing) {
    (void)synthfs::test::getattr(file("new"));
    (void)open(file("new"), O_RDONLY);
    EXPECT_EQ(cat("status"), "");
}

TEST_F(Tree, cap_bounds_the_number_of_vms) {
    EXPECT_EQ(echo("cap 2", "ctl"), 0);
    EXPECT_EQ(make(), "1");
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(cat("new"), "errno " + std::to_string(ENOSPC));
    EXPECT_EQ(mkdir("other"), ENOSPC);
    EXPECT_NE(cat("error").find(" ENOSPC new 'there are 2 VMs, and ctl says cap 2'\n"),
              std::string::npos)
        << cat("error");
    EXPECT_EQ(file("other"), nullptr);
    EXPECT_EQ(cat("stats").find("vms 2\nvms_on 0\nmade 2\ndestroyed 0\nreaped 0\nrefused 2\n"), 0u)
        << cat("stats");
    EXPECT_EQ(echo("cap 1", "ctl"), 0);  // those that are there stay
    EXPECT_NE(file("web"), nullptr);
    EXPECT_EQ(rmdir("1"), 0);
    EXPECT_EQ(cat("new"), "errno " + std::to_string(ENOSPC));
    EXPECT_EQ(rmdir("web"), 0);
    EXPECT_EQ(make(), "3");  // a refusal takes no number
}

TEST_F(Tree, untouched_vm_is_reaped_and_any_other_stays) {
    for (int i = 0; i < 7; ++i) {
        make();
    }
    const auto with_settings = open(file("new"), O_RDWR).handle;
    EXPECT_EQ(write(with_settings, "mem=64M\n"), 0);
    EXPECT_EQ(read(with_settings), "8\n");
    EXPECT_EQ(mkdir("nine"), 0);
    EXPECT_EQ(echo("mem 64M", "2/conf"), 0);
    EXPECT_EQ(echo("three", "3/name"), 0);
    EXPECT_EQ(echo("set mem 64M", "4/ctl"), 0);
    EXPECT_EQ(echo("bind '#ram' /tmp", "5/ctl"), 0);
    EXPECT_EQ(echo("pause", "6/ctl"), EBUSY);
    const auto events = open(file("1/events"), O_RDONLY).handle;
    EXPECT_EQ(cat("7/conf"), cat("conf"));  // a look is no touch
    EXPECT_EQ(echo("reap 1us", "ctl"), 0);
    EXPECT_TRUE(run_until([&] { return file("1") == nullptr && file("7") == nullptr; }));
    settle();
    for (const char* vm : {"2", "3", "4", "5", "6", "8", "9"}) {
        EXPECT_NE(file(vm), nullptr) << vm;
    }
    EXPECT_EQ(cat("stats").find("vms 7\nvms_on 0\nmade 9\ndestroyed 2\nreaped 2\nrefused 0\n"), 0u)
        << cat("stats");
    EXPECT_NE(cat("status").find("2 2 new"), std::string::npos);
    EXPECT_EQ(read(events), "errno " + std::to_string(ENODEV));

    EXPECT_EQ(make(), "10");  // with this time it is gone as soon as the loop turns
    EXPECT_TRUE(run_until([&] { return file("10") == nullptr; }));
    EXPECT_EQ(echo("reap 0", "ctl"), 0);
    EXPECT_EQ(make(), "11");
    settle();
    EXPECT_NE(file("11"), nullptr);
}

TEST_F(Tree, status_lists_all_vms) {
    EXPECT_EQ(cat("status"), "");
    make();
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(cat("status"), "1 1 new - 128M 0.000\n2 web new - 128M 0.000\n");
    EXPECT_EQ(cat("1/status"), "new - - 0.000 0\n");
    EXPECT_EQ(cat("1/ns"), "bind -o " + scratch.path() + "/root /\n");
}

TEST_F(Tree, mkdir_makes_a_vm_by_that_name) {
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(cat("web/name"), "web\n");
    EXPECT_EQ(cat("web/ctl"), "1\n");
    EXPECT_EQ(file("web/ctl"), file("1/ctl"));
    EXPECT_EQ(table->find("web"), table->find("1"));
    EXPECT_EQ(rmdir("web"), 0);
    EXPECT_EQ(file("web"), nullptr);
    EXPECT_EQ(file("1"), nullptr);
}

TEST_F(Tree, names_that_cannot_be) {
    make();
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(mkdir("web"), EEXIST);
    EXPECT_EQ(mkdir("status"), EEXIST);
    for (const std::string& bad : {std::string("17"), std::string("0"), std::string("a b"),
                                   std::string("a'b"), std::string("a\nb"), std::string(65, 'a')}) {
        EXPECT_EQ(mkdir(bad), EINVAL) << bad;
    }
    EXPECT_EQ(mkdir("1"), EEXIST);
    EXPECT_EQ(mkdir(std::string(64, 'a')), 0);
    EXPECT_EQ(cat("status").find("4 "), std::string::npos);  // refused names made no VM
}

TEST_F(Tree, name_can_be_changed_and_taken_away) {
    make();
    EXPECT_EQ(cat("1/name"), "1\n");
    EXPECT_EQ(echo("web", "1/name"), 0);
    EXPECT_EQ(cat("web/name"), "web\n");
    EXPECT_EQ(echo("mail", "web/name"), 0);
    EXPECT_EQ(file("web"), nullptr);
    EXPECT_EQ(cat("mail/name"), "mail\n");
    EXPECT_EQ(echo("mail", "mail/name"), 0);  // as it is
    EXPECT_EQ(rename("mail", "db"), 0);
    EXPECT_EQ(cat("1/name"), "db\n");
    EXPECT_EQ(echo("1", "1/name"), 0);
    EXPECT_EQ(file("db"), nullptr);
    EXPECT_EQ(cat("1/name"), "1\n");
}

TEST_F(Tree, bad_names_are_refused_and_nothing_changes) {
    make();
    make();
    EXPECT_EQ(echo("web", "1/name"), 0);
    EXPECT_EQ(echo("web", "2/name"), EEXIST);
    EXPECT_EQ(echo("two words", "2/name"), EINVAL);
    EXPECT_EQ(echo("1", "2/name"), EINVAL);
    EXPECT_EQ(echo("new", "2/name"), EEXIST);
    EXPECT_EQ(rename("web", "conf"), EPERM);
    EXPECT_EQ(rename("conf", "x"), EPERM);
    EXPECT_EQ(cat("2/name"), "2\n");
    EXPECT_EQ(cat("web/name"), "web\n");
}

TEST_F(Tree, only_vms_can_be_removed) {
    EXPECT_EQ(rmdir("nothing"), ENOENT);
    EXPECT_NE(rmdir("status"), 0);
    EXPECT_NE(file("status"), nullptr);
}

TEST_F(Tree, destroyed_vm_answers_enodev) {
    make();
    EXPECT_EQ(echo("web", "1/name"), 0);
    const NodePtr status = file("1/status"), ctl = file("web/ctl"), cons = file("1/cons");
    const auto opened = open(status, O_RDONLY);
    EXPECT_EQ(read(opened.handle), "new - - 0.000 0\n");
    const auto wait_handle = open(file("1/wait"), O_RDONLY).handle;
    const auto waiting = start_read(wait_handle);
    const auto cons_handle = open(cons, O_RDONLY).handle;
    const auto reading = start_read(cons_handle);
    EXPECT_EQ(echo("destroy", "1/ctl"), 0);
    EXPECT_EQ(waiting->errnum(), ENODEV);
    EXPECT_EQ(reading->errnum(), ENODEV);
    EXPECT_EQ(read(opened.handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(open(ctl, O_WRONLY).errnum, ENODEV);
    EXPECT_EQ(open(cons, O_RDONLY).errnum, ENODEV);
    EXPECT_EQ(file("1"), nullptr);
    EXPECT_EQ(file("web"), nullptr);
    EXPECT_EQ(cat("status"), "");
    EXPECT_FALSE(fs::exists(state + "/1"));
}

TEST_F(Tree, scratch_directory_lives_as_long_as_its_vm) {
    make();
    EXPECT_TRUE(fs::exists(state + "/1/upper"));
    table->destroy_all();
    EXPECT_TRUE(fs::is_empty(state));
}

TEST_F(Tree, events_tell_the_life_of_each_vm) {
    make();
    EXPECT_EQ(echo("web", "1/name"), 0);
    const auto vm_events = open(file("1/events"), O_RDONLY).handle;
    EXPECT_EQ(rmdir("web"), 0);
    const std::string text = read(open(file("events"), O_RDONLY).handle);
    EXPECT_NE(text.find(" 1 state new\n"), std::string::npos) << text;
    EXPECT_NE(text.find(" 1 name web\n"), std::string::npos) << text;
    EXPECT_NE(text.find(" 1 state destroyed\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace ennead::srv::test
