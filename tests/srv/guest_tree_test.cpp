// SPDX-License-Identifier: MIT
// What a guest that has `#vm` can see and do, and all that it cannot: its siblings, the host's
// files, more than it was given.
#include "srv/ennead/guest_tree.h"

#include "srv/ennead-vm/tree_source.h"
#include "srv/ennead/served_trees.h"
#include "synthfs/read_only.h"
#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

using Names = std::vector<std::string>;

class GuestTree : public Tree {
  protected:
    std::recursive_mutex guests;

    void SetUp() override {
        Tree::SetUp();
        fs::create_directory(scratch.path() + "/src");
        ASSERT_EQ(make(), "1");
        ASSERT_EQ(make(), "2");
        ASSERT_EQ(echo("nest 2\nmem 256M", "1/conf"), 0);
    }
    NodePtr tree_of(const std::string& vm) { return table->tree_of(*table->find(vm)); }
    // In the tree of VM 1's guest.
    std::string see(const std::string& path) { return cat_in(tree_of("1"), path); }
    int say(const std::string& text, const std::string& path) {
        return echo_in(tree_of("1"), text, path);
    }
    Names list(const std::string& path = "") { return names_in(tree_of("1"), path); }
    static std::string make_in(const std::string& text) {
        return text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
    }
    // As `cat new` in that tree; or the errno in words.
    std::string make_below(const std::string& vm = "1") {
        return make_in(cat_in(tree_of(vm), "new"));
    }
    int mkdir_in(const NodePtr& tree, const std::string& name) {
        Asked<NodePtr> asked;
        tree->mkdir(request(), name, 0755, 0, asked.reply());
        return asked.errnum();
    }
    int rmdir_in(const NodePtr& tree, const std::string& name) {
        Asked<> asked;
        tree->unlink(request(), name, true, asked.reply());
        return asked.errnum();
    }
    int rename_in(const NodePtr& tree, const std::string& from, const std::string& to) {
        Asked<> asked;
        tree->rename(request(), from, tree, to, asked.reply());
        return asked.errnum();
    }
};

TEST_F(GuestTree, shows_the_vm_and_those_below_it_alone) {
    ASSERT_EQ(mkdir("sibling"), 0);  // 3
    EXPECT_EQ(list(), (Names{"1", "error", "events", "help", "new", "self", "status", "version"}));
    EXPECT_EQ(see("self"), "1\n");
    EXPECT_EQ(see("version"), cat("version"));
    EXPECT_EQ(make_below(), "4");
    EXPECT_EQ(make_below(), "5");
    EXPECT_EQ(list(), (Names{"1", "4", "5", "error", "events", "help", "new", "self", "status",
                             "version"}));
    for (const char* path : {"2", "3", "sibling", "2/ctl", "ctl", "conf", "n", "stats", "..", ".",
                             "1/root", "1/..", "4/../2", "0", "-1", "04", "4 "}) {
        EXPECT_EQ(see(path), "errno " + std::to_string(ENOENT)) << path;
    }
    EXPECT_EQ(see("status"), "1 1 new - 256M 0.000\n4 4 new - 128M 0.000\n5 5 new - 128M 0.000\n");
    EXPECT_EQ(cat("4/ctl"), "4\n");  // the host sees all
}

TEST_F(GuestTree, its_events_are_those_of_the_family) {
    const auto events = open_in(tree_of("1"), "events", O_RDONLY).handle;
    (void)make_below();
    make();
    EXPECT_EQ(say("set mem 64M", "3/ctl"), 0);
    EXPECT_EQ(say("renamed", "3/name"), 0);
    const std::string text = read(events);
    EXPECT_NE(text.find(" 3 state new\n"), std::string::npos) << text;
    EXPECT_NE(text.find(" 3 name renamed\n"), std::string::npos) << text;
    EXPECT_EQ(text.find(" 4 "), std::string::npos) << text;
    EXPECT_EQ(text.find(" 2 "), std::string::npos) << text;
}

TEST_F(GuestTree, its_own_files_are_to_be_looked_at) {
    Names own = names_in(top, "1");
    std::erase(own, "root");
    std::erase(own, "jit");
    EXPECT_EQ(see("1/conf"), cat("1/conf"));
    for (const std::string& name : own) {
        const bool port = name == "cons" || name == "com1" || name == "com2" || name == "consctl";
        const int errnum = open_in(tree_of("1"), "1/" + name, O_WRONLY).errnum;
        if (name == "ctl" || name == "cons") {
            EXPECT_EQ(errnum, 0) << name;
        } else if (port) {
            EXPECT_EQ(errnum, EBUSY) << name;  // no process
        } else {
            EXPECT_EQ(errnum, EROFS) << name;
        }
        synthfs::SetAttr size;
        size.size = 0;
        if (name != "ctl" && !port) {
            EXPECT_EQ(synthfs::test::setattr(find_in(tree_of("1"), "1/" + name), size), EROFS)
                << name;
        }
    }
    EXPECT_EQ(open_in(tree_of("1"), "1/jit/stats", O_RDWR).errnum, EROFS);
    EXPECT_EQ(rmdir_in(tree_of("1"), "1"), EPERM);
    EXPECT_EQ(rename_in(tree_of("1"), "1", "me"), EPERM);
    EXPECT_EQ(rename_in(tree_of("1"), "self", "me"), EPERM);
    EXPECT_EQ(rmdir_in(tree_of("1"), "new"), ENOTDIR);
    EXPECT_EQ(cat("1/name"), "1\n");
}

TEST_F(GuestTree, it_may_end_itself_and_nothing_else) {
    const std::string before = cat("1/conf") + cat("1/ns");
    for (const char* line :
         {"set nest 8", "set mem 512M", "set cap 1000", "set kernel /etc/passwd", "set mem",
          "bind / /host", "bind '#ram' /x", "unbind /", "timeout 0", "start", "resume", "step"}) {
        EXPECT_EQ(say(line, "1/ctl"), EPERM) << line;
        EXPECT_EQ(say(std::string("stop\n") + line, "1/ctl"), EPERM) << line;
    }
    EXPECT_NE(cat("1/error").find("not for the VM''s own guest"), std::string::npos);
    EXPECT_EQ(say("nonsense", "1/ctl"), EINVAL);
    for (const char* line : {"pause", "reset", "stop", "powerdown", "nmi", "kill"}) {
        EXPECT_EQ(say(line, "1/ctl"), EBUSY) << line;  // it is off
    }
    EXPECT_EQ(cat("1/conf") + cat("1/ns"), before);
    EXPECT_EQ(say("killonclose\ndestroy", "1/ctl"), 0);
    EXPECT_EQ(file("1"), nullptr);
}

TEST_F(GuestTree, without_nest_there_is_no_child) {
    const std::string before = cat("status");
    EXPECT_EQ(make_below("2"), "errno " + std::to_string(EPERM));
    EXPECT_EQ(mkdir_in(tree_of("2"), "web"), EPERM);
    EXPECT_NE(cat_in(tree_of("2"), "error").find("nesting limit"), std::string::npos);
    EXPECT_EQ(cat("status"), before);
    EXPECT_EQ(cat("stats").find("refused 2\n") != std::string::npos, true) << cat("stats");
}

TEST_F(GuestTree, depth_is_bounded_by_every_vm_above) {
    ASSERT_EQ(make_below("1"), "3");
    EXPECT_EQ(say("nest 2", "3/conf"), EPERM);
    EXPECT_EQ(say("set nest 8", "3/ctl"), EPERM);
    EXPECT_NE(cat("3/error").find("nesting limit"), std::string::npos);
    EXPECT_EQ(echo("nest 2", "3/conf"), EPERM);  // nor from the host
    EXPECT_EQ(make_below("3"), "errno " + std::to_string(EPERM));
    ASSERT_EQ(say("nest 1", "3/conf"), 0);
    ASSERT_EQ(make_below("3"), "4");
    EXPECT_EQ(echo_in(tree_of("3"), "nest 1", "4/conf"), EPERM);
    EXPECT_EQ(make_below("4"), "errno " + std::to_string(EPERM));
    // All below show, by number; what is above does not.
    EXPECT_EQ(see("4/ctl"), "4\n");
    EXPECT_EQ(names_in(tree_of("4"), ""),
              (Names{"4", "error", "events", "help", "new", "self", "status", "version"}));
    EXPECT_EQ(cat_in(tree_of("3"), "1"), "errno " + std::to_string(ENOENT));
    // What was allowed once is asked anew.
    ASSERT_EQ(echo("nest 1", "1/conf"), 0);
    EXPECT_EQ(make_below("3"), "errno " + std::to_string(EPERM));
    EXPECT_EQ(make_below("1"), "5");
}

TEST_F(GuestTree, the_cap_counts_all_below) {
    ASSERT_EQ(echo("cap 2", "1/conf"), 0);
    ASSERT_EQ(make_below("1"), "3");
    ASSERT_EQ(say("nest 1\ncap 1000", "3/conf"), 0);
    ASSERT_EQ(make_below("3"), "4");
    EXPECT_EQ(make_below("3"), "errno " + std::to_string(ENOSPC));
    EXPECT_EQ(make_below("1"), "errno " + std::to_string(ENOSPC));
    EXPECT_EQ(rmdir_in(tree_of("1"), "4"), 0);
    EXPECT_EQ(make_below("3"), "5");
    table->set_cap(4);
    ASSERT_EQ(rmdir_in(tree_of("3"), "5"), 0);
    make();  // 6
    EXPECT_EQ(make_below("1"), "errno " + std::to_string(ENOSPC));
    // How many there are elsewhere is not told.
    EXPECT_EQ(see("error").find("there are 4"), std::string::npos) << see("error");
}

TEST_F(GuestTree, names_are_known_in_one_tree) {
    ASSERT_EQ(mkdir("web"), 0);                   // 3
    ASSERT_EQ(mkdir_in(tree_of("1"), "web"), 0);  // 4
    EXPECT_EQ(cat("web/ctl"), "3\n");
    EXPECT_EQ(see("web/ctl"), "4\n");
    EXPECT_EQ(see("web/name"), "web\n");
    EXPECT_EQ(mkdir_in(tree_of("1"), "web"), EEXIST);
    EXPECT_EQ(mkdir_in(tree_of("1"), "self"), EEXIST);
    EXPECT_EQ(mkdir_in(tree_of("1"), "7"), EINVAL);
    EXPECT_EQ(rename_in(tree_of("1"), "web", "wob"), 0);
    EXPECT_EQ(see("wob/ctl"), "4\n");
    EXPECT_EQ(cat("web/ctl"), "3\n");
    EXPECT_EQ(file("wob"), nullptr);
    EXPECT_EQ(say("4", "wob/name"), 0);
    EXPECT_EQ(see("wob"), "errno " + std::to_string(ENOENT));
    EXPECT_EQ(see("4/ctl"), "4\n");
    // Names of those further down are given there.
    ASSERT_EQ(say("nest 1", "4/conf"), 0);
    ASSERT_EQ(mkdir_in(tree_of("4"), "deep"), 0);  // 5
    EXPECT_EQ(see("deep"), "errno " + std::to_string(ENOENT));
    EXPECT_EQ(rename_in(tree_of("1"), "5", "x"), EPERM);
    EXPECT_EQ(rename("5", "x"), EPERM);
    EXPECT_EQ(cat_in(tree_of("4"), "deep/ctl"), "5\n");
    EXPECT_EQ(rmdir_in(tree_of("1"), "2"), ENOENT);
    EXPECT_EQ(rmdir_in(tree_of("1"), "5"), 0);
    EXPECT_EQ(cat_in(tree_of("4"), "deep"), "errno " + std::to_string(ENOENT));
}

TEST_F(GuestTree, a_child_has_no_files_of_the_host) {
    scratch.file("image", std::string(4096, 'x'));
    const std::string image = scratch.path() + "/image";
    ASSERT_EQ(make_below(), "3");
    const std::string before = cat("3/conf");
    for (const std::string key :
         {"kernel ", "bios ", "initrd ", "disk0 ", "disk1 ", "disk2 ", "disk3 "}) {
        EXPECT_EQ(say(key + image, "3/conf"), EPERM) << key;
        EXPECT_EQ(say("set " + key + image, "3/ctl"), EPERM) << key;
        EXPECT_EQ(echo(key + image, "3/conf"), EPERM) << key;
        const auto opened = open_in(tree_of("1"), "new", O_RDWR);
        EXPECT_EQ(write(opened.handle, "'" + key.substr(0, key.size() - 1) + "=" + image + "'\n"),
                  EPERM);
        EXPECT_EQ(read(opened.handle), "errno " + std::to_string(EPERM));
    }
    EXPECT_EQ(say("disk0 " + image + " rw", "3/conf"), EPERM);
    EXPECT_EQ(say("root " + scratch.path() + "/src", "3/conf"), EPERM);
    EXPECT_EQ(say("engine interp\nkernel " + image, "3/conf"), EPERM);
    EXPECT_EQ(cat("3/conf"), before);
    EXPECT_NE(cat("3/error").find("^"), std::string::npos);
    // What it has anyway may be written back.
    ASSERT_EQ(make_below(), "4");
    EXPECT_EQ(say(see("3/conf"), "4/conf"), 0) << see("4/error");
    // Defaults of the host's user are not handed on.
    ASSERT_EQ(echo("root " + scratch.path() + "/src\nmem 32M", "conf"), 0);
    ASSERT_EQ(make_below(), "5");
    EXPECT_EQ(cat("5/conf"), before);
}

TEST_F(GuestTree, a_child_has_no_more_memory) {
    ASSERT_EQ(make_below(), "3");
    EXPECT_EQ(say("mem 257M", "3/conf"), EDQUOT);
    EXPECT_EQ(say("mem 256M", "3/conf"), 0);
    ASSERT_EQ(say("nest 1", "3/conf"), 0);
    ASSERT_EQ(echo("mem 64M", "1/conf"), 0);
    ASSERT_EQ(make_below("3"), "4");
    // Whoever above it has least.
    EXPECT_NE(cat("4/conf").find("mem 64M\n"), std::string::npos) << cat("4/conf");
    EXPECT_EQ(echo_in(tree_of("3"), "mem 65M", "4/conf"), EDQUOT);
    ASSERT_EQ(make_below("1"), "5");
    EXPECT_NE(cat("5/conf").find("mem 64M\n"), std::string::npos) << cat("5/conf");
}

TEST_F(GuestTree, a_childs_limits_are_no_larger_than_those_above) {
    ASSERT_EQ(make_below(), "3");
    EXPECT_EQ(say("disklimit 7G\niolimit 9 9G", "3/conf"), 0);
    ASSERT_EQ(echo("disklimit 1G\niolimit 0 5M", "1/conf"), 0);
    ASSERT_EQ(make_below(), "4");
    EXPECT_NE(cat("4/conf").find("disklimit 1G\niolimit 0 5M\n"), std::string::npos);
    for (const char* bad : {"disklimit 2G", "disklimit 0", "iolimit 0 6M", "iolimit 5"}) {
        EXPECT_EQ(say(bad, "4/conf"), EDQUOT) << bad;
    }
    EXPECT_EQ(say("disklimit 512M\niolimit 100 5M", "4/conf"), 0) << see("4/error");
    // Its own are not the guest's to change.
    EXPECT_NE(say("disklimit 2G", "1/conf"), 0);
    EXPECT_EQ(say("set disklimit 2G", "1/ctl"), EPERM);
}

TEST_F(GuestTree, a_childs_sources_are_in_the_guests_tree) {
    ASSERT_EQ(make_below(), "3");
    const auto mounted = synthfs::Directory::make({.mode = 0755});
    mounted->add("host", synthfs::Directory::make({.mode = 0755}));
    services->mounted = [mounted]() -> NodePtr { return mounted; };
    const std::string before = cat("3/ns");
    for (const auto& [line, errnum] : {std::pair{"bind n/host /x", EPERM},
                                       {"bind n/missing /x", EPERM},
                                       {"mount tcp!127.0.0.1!5640 /x", EPERM},
                                       {"mount -a unix!/run/ennead /x", EPERM},
                                       {"bind /../etc /x", EINVAL},
                                       {"bind /src/.. /x", EINVAL},
                                       {"bind /a/../../etc /x", EINVAL},
                                       {"bind -o /src /x", EOPNOTSUPP},
                                       {"bind -bo /src /", EOPNOTSUPP},
                                       {"bind -o '#vm' /x", EOPNOTSUPP}}) {
        EXPECT_EQ(say(line, "3/ns"), errnum) << line;
        EXPECT_EQ(say(std::string("bind '#ram' /first\n") + line, "3/ns"), errnum) << line;
        EXPECT_EQ(say(line, "3/ctl"), errnum) << line;
        EXPECT_EQ(echo(line, "3/ns"), errnum) << line;
        EXPECT_EQ(cat("3/ns"), before) << line;
    }
    EXPECT_NE(cat("3/error").find("\n    bind -bo /src /\n             ^\n"), std::string::npos)
        << cat("3/error");
    // The host's directory of that name is not asked for; and the guest is off.
    EXPECT_EQ(say("bind /nonexistent /x\nbind '#vm' /vm\nbind -r / /all", "3/ns"), 0);
    EXPECT_EQ(cat("3/ns"), before + "bind -r / /all\nbind '#vm' /vm\nbind /nonexistent /x\n");
    EXPECT_EQ(echo(cat("3/ns"), "3/ns"), 0);
    // The same lines are about the host at the top.
    EXPECT_EQ(echo("bind /nonexistent /x", "2/ns"), ENOENT);
    EXPECT_EQ(echo("bind n/host /x", "2/ns"), 0);
    EXPECT_EQ(echo("mount unix!/nonexistent /y", "2/ns"), 0);
    EXPECT_EQ(echo("bind n/missing /x", "2/ns"), ENOENT);
    EXPECT_EQ(echo("bind n/host/missing /x", "2/ns"), ENOENT);
}

TEST_F(GuestTree, all_below_go_with_a_vm) {
    ASSERT_EQ(make_below("1"), "3");
    ASSERT_EQ(say("nest 1", "3/conf"), 0);
    ASSERT_EQ(make_below("3"), "4");
    ASSERT_EQ(make_below("1"), "5");
    const NodePtr tree = tree_of("1");
    const auto events = open_in(tree, "events", O_RDONLY).handle;
    const auto conf = open_in(tree, "4/conf", O_RDONLY).handle;
    EXPECT_EQ(rmdir("3"), 0);
    EXPECT_EQ(file("4"), nullptr);
    EXPECT_EQ(cat_in(tree, "4"), "errno " + std::to_string(ENOENT));
    EXPECT_EQ(read(conf), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(rmdir("1"), 0);
    EXPECT_EQ(names_in(top, "5"), Names{});
    EXPECT_EQ(cat("status"), "2 2 new - 128M 0.000\n");
    EXPECT_EQ(cat_in(tree, "self"), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(cat_in(tree, "new"), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(read(events), "errno " + std::to_string(ENODEV));
    EXPECT_NE(cat("stats").find("destroyed 4\n"), std::string::npos) << cat("stats");
}

TEST_F(GuestTree, over_9p_modes_and_owners_are_not_its_to_change) {
    ASSERT_EQ(make_below(), "3");
    ServedTrees served(io, "vm1", [](const std::string&) {});
    auto end = served.give(tree_of("1"));
    ASSERT_TRUE(end);
    NodePtr tree = make_tree_source(io, guests, std::move(end.value()));
    EXPECT_EQ(cat_in(tree, "self"), "1\n");
    EXPECT_EQ(cat_in(tree, "2"), "errno " + std::to_string(ENOENT));
    EXPECT_EQ(echo_in(tree, "set mem 64M", "3/ctl"), 0);
    for (const char* path : {"3/mem", "3", "new", "1/cons", "1/mem"}) {
        for (const bool mode : {true, false}) {
            synthfs::SetAttr change;
            mode ? change.mode = 0777 : change.uid = 1;
            Asked<> asked;
            find_in(tree, path)->setattr(request(), change, asked.reply());
            ASSERT_TRUE(run_until([&] { return asked.answered(); }));
            EXPECT_TRUE(asked.errnum() == EPERM || asked.errnum() == EROFS) << path;
        }
    }
    // What is the server's shows as root's.
    Asked<synthfs::Attr> attr;
    find_in(tree, "3/ctl")->getattr(request(), attr.reply());
    ASSERT_TRUE(run_until([&] { return attr.answered(); }));
    EXPECT_EQ(attr.value().uid, 0u);
    // It ends itself while it is served, and a read that waits ends with that.
    const auto events = open_in(tree, "events", O_RDONLY).handle;
    (void)read(events);
    const auto waiting = start_read(events);
    EXPECT_EQ(echo_in(tree, "destroy", "1/ctl"), 0);
    EXPECT_TRUE(run_until([&] { return waiting->answered(); }));
    EXPECT_EQ(cat_in(tree, "new"), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(served.count(), 1u);
    tree->revoke();
    EXPECT_EQ(cat_in(tree, "new"), "errno " + std::to_string(ESTALE));
    EXPECT_TRUE(run_until([&] { return served.count() == 0; }));
}

TEST_F(GuestTree, read_only_it_makes_nothing) {
    ServedTrees served(io, "vm1", [](const std::string&) {});
    auto end = served.give(synthfs::make_read_only(tree_of("1")));
    ASSERT_TRUE(end);
    const NodePtr tree = make_tree_source(io, guests, std::move(end.value()));
    EXPECT_EQ(cat_in(tree, "self"), "1\n");
    EXPECT_EQ(cat_in(tree, "new"), "errno " + std::to_string(EROFS));
    EXPECT_EQ(echo_in(tree, "stop", "1/ctl"), EROFS);
    Asked<NodePtr> made;
    tree->mkdir(request(), "web", 0755, 0, made.reply());
    ASSERT_TRUE(run_until([&] { return made.answered(); }));
    EXPECT_EQ(made.errnum(), EROFS);
    tree->revoke();
    EXPECT_TRUE(run_until([&] { return served.count() == 0; }));
}

}  // namespace
}  // namespace ennead::srv::test
