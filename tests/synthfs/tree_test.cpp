// SPDX-License-Identifier: MIT
// Directories, links, clone files, and the kernel's node numbers.
#include "synthfs/tree.h"

#include <sys/stat.h>

#include <set>

#include "synthfs/clone_file.h"
#include "synthfs/fuse/node_ids.h"
#include "synthfs/stream_file.h"
#include "synthfs/text_file.h"
#include "tests/synthfs/ask.h"

namespace ennead::synthfs {
namespace {

using namespace test;

NodePtr text(std::string contents) {
    return make_text_file({.text = [contents] { return contents; }});
}

Entry text_entry(std::string name) {
    return {name, S_IFREG | 0444, [name](mode_t mode) -> NodePtr {
                return make_text_file({.mode = mode, .text = [name] { return name + "\n"; }});
            }};
}

std::vector<DirEntry> list(const HandlePtr& handle, std::uint64_t offset, std::size_t max) {
    Asked<std::vector<DirEntry>> asked;
    handle->readdir(request(), offset, max, asked.reply());
    EXPECT_EQ(asked.errnum(), 0);
    return asked.value();
}

std::vector<std::string> names(const NodePtr& node, std::size_t at_once = 100) {
    const auto handle = open(node, O_RDONLY | O_DIRECTORY).handle;
    std::vector<std::string> all;
    for (std::uint64_t offset = 0;;) {
        const auto entries = list(handle, offset, at_once);
        if (entries.empty()) {
            return all;
        }
        for (const DirEntry& entry : entries) {
            all.push_back(entry.name);
            offset = entry.next_offset;
        }
    }
}

using Names = std::vector<std::string>;

TEST(Directory, table_entries_are_made_once_when_looked_at) {
    int made = 0;
    const auto dir =
        Directory::make({.entries = {{"a", S_IFREG | 0444,
                                      [&](mode_t mode) -> NodePtr {
                                          ++made;
                                          return make_text_file({.mode = mode, .text = [] {
                                                                     return std::string("x");
                                                                 }});
                                      }},
                                     text_entry("b")}});
    EXPECT_EQ(made, 0);
    const NodePtr a = walk(dir, "a");
    EXPECT_EQ(a, walk(dir, "a"));
    EXPECT_EQ(made, 1);
    EXPECT_EQ(getattr(a).mode, static_cast<mode_t>(S_IFREG | 0444));
    EXPECT_EQ(walk(dir, "c"), nullptr);
    EXPECT_EQ(names(dir), (Names{"a", "b"}));
    EXPECT_EQ(names(dir, 1), (Names{"a", "b"}));
}

TEST(Directory, entry_may_be_absent_or_change_its_file) {
    NodePtr current;
    const auto dir = Directory::make(
        {.entries = {text_entry("a"),
                     {"live", S_IFREG | 0444, [&](mode_t) { return current; }, true}}});
    EXPECT_EQ(walk(dir, "live"), nullptr);
    EXPECT_EQ(names(dir), Names{"a"});
    current = text("one");
    EXPECT_EQ(walk(dir, "live"), current);
    current = text("two");
    EXPECT_EQ(read_all(walk(dir, "live")), "two");
    EXPECT_EQ(names(dir), (Names{"a", "live"}));
}

TEST(Directory, name_made_again_is_another_file) {
    const auto dir = Directory::make({.entries = {text_entry("ctl")}});
    EXPECT_TRUE(dir->add("1", text("first")));
    EXPECT_FALSE(dir->add("1", text("other")));
    EXPECT_FALSE(dir->add("ctl", text("other")));
    const Identity first = walk(dir, "1")->identity();
    EXPECT_NE(dir->remove("1"), nullptr);
    EXPECT_EQ(dir->remove("1"), nullptr);
    EXPECT_EQ(walk(dir, "1"), nullptr);
    EXPECT_TRUE(dir->add("1", text("second")));
    EXPECT_FALSE(walk(dir, "1")->identity().same_file(first));
}

TEST(Directory, listing_gives_names_that_stay_exactly_once_under_change) {
    const auto dir = Directory::make({.entries = {text_entry("ctl"), text_entry("new")}});
    std::set<std::string> staying{"ctl", "new"};
    for (int i = 0; i < 100; ++i) {
        dir->add(std::to_string(i), text("x"));
        if (i % 2 == 0) {
            staying.insert(std::to_string(i));
        }
    }
    const auto handle = open(dir, O_RDONLY).handle;
    std::multiset<std::string> seen;
    std::uint64_t offset = 0;
    for (int round = 0;; ++round) {
        const auto entries = list(handle, offset, 3);
        if (entries.empty()) {
            break;
        }
        for (const DirEntry& entry : entries) {
            seen.insert(entry.name);
            offset = entry.next_offset;
            EXPECT_NE(offset, 0u);
        }
        dir->remove(std::to_string(2 * round + 1));
        if (round < 20) {
            dir->add("added" + std::to_string(round), text("x"));
        }
    }
    for (const std::string& name : staying) {
        EXPECT_EQ(seen.count(name), 1u) << name;
    }
}

TEST(Directory, link_count_is_two_and_one_for_each_directory_inside) {
    const auto dir =
        Directory::make({.entries = {text_entry("a"), {"n", S_IFDIR | 0755, [](mode_t) -> NodePtr {
                                                           return Directory::make({});
                                                       }}}});
    EXPECT_EQ(getattr(dir).nlink, 3u);
    dir->add("1", Directory::make({}));
    dir->add("x", make_symlink("1"));
    EXPECT_EQ(getattr(dir).nlink, 4u);
    dir->remove("1");
    EXPECT_EQ(getattr(dir).nlink, 3u);
    EXPECT_EQ(getattr(dir).mode, static_cast<mode_t>(S_IFDIR | 0755));
}

int mkdir(const NodePtr& dir, std::string name) {
    Asked<NodePtr> asked;
    dir->mkdir(request(), std::move(name), 0755, 0, asked.reply());
    return asked.errnum();
}

int unlink(const NodePtr& dir, std::string name, bool directory) {
    Asked<> asked;
    dir->unlink(request(), std::move(name), directory, asked.reply());
    return asked.errnum();
}

int rename(const NodePtr& dir, std::string from, const NodePtr& to_dir, std::string to) {
    Asked<> asked;
    dir->rename(request(), std::move(from), to_dir, std::move(to), asked.reply());
    return asked.errnum();
}

// A top level: mkdir makes a numbered directory and a link to it.
struct Top {
    int last = 0;
    bool running = false;
    std::shared_ptr<ErrorLog> log = error_log();
    std::shared_ptr<Directory> dir;

    Top() {
        DirectoryHooks hooks;
        hooks.mkdir = [this](RequestPtr, std::string name, CheckedReply<NodePtr> reply) {
            const std::string number = std::to_string(++last);
            const auto vm = Directory::make({.entries = {text_entry("status")}});
            dir->add(number, vm);
            dir->add(name, make_symlink(number));
            reply(NodePtr(vm));
        };
        hooks.rmdir = [this](RequestPtr, std::string name, CheckedReply<> reply) {
            if (running) {
                reply(make_fault(EBUSY, "%s runs", name.c_str()));
                return;
            }
            const NodePtr node = dir->remove(name);
            std::static_pointer_cast<SynthNode>(node)->retire();
            reply(success());
        };
        hooks.rename = [this](RequestPtr, std::string from, std::string to, CheckedReply<> reply) {
            if (dir->rename_child(from, to)) {
                reply(success());
            } else {
                reply(make_fault(EPERM, "no"));
            }
        };
        dir = Directory::make(
            {.name = "/", .errors = log->sink(), .entries = {text_entry("new")}, .hooks = hooks});
    }
};

TEST(Directory, mkdir_makes_a_directory_and_a_link_to_it) {
    Top top;
    EXPECT_EQ(mkdir(top.dir, "build"), 0);
    EXPECT_EQ(names(top.dir), (Names{"new", "1", "build"}));
    Asked<std::string> target;
    walk(top.dir, "build")->readlink(request(), target.reply());
    EXPECT_EQ(target.value(), "1");
    EXPECT_EQ(getattr(walk(top.dir, "build")).size, 1u);
    EXPECT_EQ(mkdir(top.dir, "build"), EEXIST);
    EXPECT_EQ(mkdir(top.dir, "new"), EEXIST);
    EXPECT_EQ(rename(top.dir, "build", top.dir, "built"), 0);
    EXPECT_EQ(names(top.dir), (Names{"new", "1", "built"}));
    EXPECT_EQ(rename(top.dir, "new", top.dir, "old"), EPERM);
    EXPECT_EQ(rename(top.dir, "none", top.dir, "old"), ENOENT);
    EXPECT_EQ(rename(top.dir, "1", Directory::make({}), "1"), EXDEV);
}

TEST(Directory, refusals_are_told) {
    Top top;
    mkdir(top.dir, "build");
    top.running = true;
    EXPECT_EQ(unlink(top.dir, "1", true), EBUSY);
    EXPECT_EQ(top.log->text(), "1000 42 EBUSY / '1 runs'\n");
    EXPECT_EQ(unlink(top.dir, "1", false), EISDIR);
    EXPECT_EQ(unlink(top.dir, "new", true), ENOTDIR);
    EXPECT_EQ(unlink(top.dir, "new", false), EPERM);
    EXPECT_EQ(unlink(top.dir, "none", true), ENOENT);
    Asked<Created> created;
    top.dir->create(request(), "file", O_WRONLY, 0644, 0, created.reply());
    EXPECT_EQ(created.errnum(), EPERM);
    EXPECT_EQ(mkdir(walk(top.dir, "1"), "x"), EPERM);
    EXPECT_EQ(mkdir(walk(top.dir, "new"), "x"), ENOTDIR);
}

TEST(Directory, retiring_ends_everything_below) {
    const auto stream = StreamFile::make({});
    const auto dir = Directory::make(
        {.entries = {{"cons", S_IFREG | 0600, [stream](mode_t) -> NodePtr { return stream; }},
                     text_entry("status")}});
    const auto status = walk(dir, "status");
    const auto listing = open(dir, O_RDONLY).handle;
    const auto handle = open(walk(dir, "cons"), O_RDONLY).handle;
    const auto waiting = start_read(handle);
    dir->retire();
    EXPECT_EQ(waiting->errnum(), ENODEV);
    EXPECT_EQ(getattr_errnum(status), ENODEV);
    EXPECT_EQ(getattr_errnum(dir), ENODEV);
    Asked<NodePtr> walked;
    dir->walk(request(), "status", walked.reply());
    EXPECT_EQ(walked.errnum(), ENODEV);
    Asked<std::vector<DirEntry>> listed;
    listing->readdir(request(), 0, 10, listed.reply());
    EXPECT_EQ(listed.errnum(), ENODEV);
}

TEST(Directory, names_may_be_found_without_being_listed) {
    const NodePtr block = text("block");
    DirectoryHooks hooks;
    hooks.find = [&](const std::string& name) { return name == "0x1000" ? block : nullptr; };
    const auto dir = Directory::make({.hooks = hooks});
    EXPECT_EQ(walk(dir, "0x1000"), block);
    EXPECT_EQ(walk(dir, "0x2000"), nullptr);
    EXPECT_EQ(names(dir), Names{});
}

struct Cloned {
    int last = 0;
    std::vector<Setting> settings;
    std::shared_ptr<ErrorLog> log = error_log();
    SynthNodePtr node = make_clone_file(
        {.errors = log->sink(),
         .make =
             [this](RequestPtr, std::vector<Setting> given, CheckedReply<std::string> reply) {
                 settings = std::move(given);
                 reply(std::to_string(++last) + "\n");
             },
         .check = [](const Setting& setting) -> Checked<> {
             if (setting.key == "mem" || setting.key == "append") {
                 return success();
             }
             return make_fault(EINVAL, "no key %s", setting.key.c_str());
         }});
};

// --- names that somebody else knows

// Asked, it answers when the test says so.
struct Elsewhere {
    DirectoryHooks hooks() {
        DirectoryHooks hooks;
        hooks.find_later = [this](RequestPtr, std::string, CheckedReply<NodePtr> reply) {
            find = std::move(reply);
        };
        hooks.names_later = [this](RequestPtr, CheckedReply<Names> reply) {
            list = std::move(reply);
        };
        return hooks;
    }
    CheckedReply<NodePtr> find;
    CheckedReply<Names> list;
};

TEST(Directory, names_known_elsewhere_are_asked_for) {
    Elsewhere elsewhere;
    const auto dir =
        Directory::make({.entries = {text_entry("table")}, .hooks = elsewhere.hooks()});
    EXPECT_EQ(read_all(walk(dir, "table")), "table\n");
    const auto look = [&] {
        Asked<NodePtr> asked;
        dir->walk(request(), "0x1000", asked.reply());
        EXPECT_FALSE(asked.answered());
        return asked;
    };
    auto found = look();
    elsewhere.find(text("block\n"));
    EXPECT_EQ(read_all(found.value()), "block\n");
    const auto absent = look();
    elsewhere.find(NodePtr());
    EXPECT_EQ(absent.errnum(), ENOENT);
}

TEST(Directory, failure_to_ask_elsewhere_is_told_unless_it_has_been) {
    Elsewhere elsewhere;
    std::vector<ErrorRecord> told;
    const auto dir = Directory::make({.name = "block",
                                      .errors = [&](ErrorRecord record) { told.push_back(record); },
                                      .hooks = elsewhere.hooks()});
    Asked<NodePtr> first, second;
    dir->walk(request(), "x", first.reply());
    elsewhere.find(make_fault(EBUSY, "no process"));
    EXPECT_EQ(first.errnum(), EBUSY);
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].text, "no process");
    dir->walk(request(), "x", second.reply());
    elsewhere.find(Fault{EOPNOTSUPP, {}, {}, {}});
    EXPECT_EQ(second.errnum(), EOPNOTSUPP);
    EXPECT_EQ(told.size(), 1u);
}

TEST(Directory, names_known_elsewhere_are_listed_from_one_copy) {
    Elsewhere elsewhere;
    const auto dir = Directory::make({.entries = {text_entry("a")}, .hooks = elsewhere.hooks()});
    const auto handle = open(dir, O_RDONLY | O_DIRECTORY).handle;
    Asked<std::vector<DirEntry>> asked;
    handle->readdir(request(), 0, 2, asked.reply());
    EXPECT_FALSE(asked.answered());
    elsewhere.list(Names{"x", "y", "z"});
    ASSERT_EQ(asked.value().size(), 2u);
    EXPECT_EQ(asked.value()[0].name, "a");
    EXPECT_EQ(asked.value()[1].name, "x");
    elsewhere.list = nullptr;
    const auto rest = list(handle, asked.value()[1].next_offset, 10);
    ASSERT_EQ(rest.size(), 2u);
    EXPECT_EQ(rest[1].name, "z");
    EXPECT_TRUE(list(handle, rest[1].next_offset, 10).empty());
    EXPECT_EQ(elsewhere.list, nullptr);
    // From the start again: a new copy.
    Asked<std::vector<DirEntry>> again;
    handle->readdir(request(), 0, 10, again.reply());
    elsewhere.list(Names{});
    EXPECT_EQ(again.value().size(), 1u);
}

TEST(CloneFile, first_read_of_an_open_makes_one) {
    Cloned clone;
    getattr(clone.node);
    const auto handle = open(clone.node, O_RDWR).handle;
    EXPECT_EQ(clone.last, 0);
    EXPECT_EQ(read(handle, 0), "1\n");
    EXPECT_EQ(read(handle, 2), "");
    EXPECT_EQ(read(handle, 0), "1\n");
    EXPECT_EQ(clone.last, 1);
    EXPECT_EQ(read_all(clone.node), "2\n");
}

TEST(CloneFile, settings_come_before_the_read) {
    Cloned clone;
    const auto handle = open(clone.node, O_RDWR).handle;
    EXPECT_EQ(write(handle, "mem=64M append='quiet debug'\n"), 0);
    EXPECT_EQ(write(handle, "mem=128M"), 0);
    EXPECT_EQ(read(handle, 37), "1\n");
    EXPECT_EQ(read(handle, 39), "");
    ASSERT_EQ(clone.settings.size(), 3u);
    EXPECT_EQ(clone.settings[1].key, "append");
    EXPECT_EQ(clone.settings[1].value, "quiet debug");
    EXPECT_EQ(clone.settings[2].value, "128M");
    EXPECT_EQ(write(handle, "mem=1G"), EBUSY);
}

TEST(CloneFile, bad_setting_leaves_nothing_of_its_message) {
    Cloned clone;
    const auto handle = open(clone.node, O_RDWR).handle;
    EXPECT_EQ(write(handle, "mem=64M speed=11"), EINVAL);
    EXPECT_EQ(clone.log->text(),
              "1000 42 EINVAL new 'no key speed'\n"
              "    mem=64M speed=11\n"
              "            ^\n");
    EXPECT_EQ(write(handle, "mem"), EINVAL);
    EXPECT_EQ(write(handle, "=1"), EINVAL);
    EXPECT_EQ(read(handle, 0), "errno 22");
    EXPECT_TRUE(clone.settings.empty());
    EXPECT_EQ(read_all(clone.node), "1\n");
}

TEST(CloneFile, interrupted_reader_finds_what_was_made) {
    CheckedReply<std::string> pending;
    int asked = 0;
    const auto node = make_clone_file(
        {.make = [&](RequestPtr, std::vector<Setting>, CheckedReply<std::string> reply) {
            ++asked;
            pending = std::move(reply);
        }});
    const auto handle = open(node, O_RDONLY).handle;
    const auto first = start_read(handle);
    first->request->cancel();
    EXPECT_EQ(first->errnum(), EINTR);
    const auto second = start_read(handle);
    std::exchange(pending, nullptr)(std::string("7\n"));
    EXPECT_EQ(second->text(), "7\n");
    EXPECT_EQ(asked, 1);
}

TEST(NodeIds, one_number_for_one_file_until_it_is_forgotten) {
    const NodePtr root = Directory::make({});
    fuse::NodeIds ids(root);
    const NodePtr node = text("x");
    const auto id = ids.remember(node);
    EXPECT_NE(id, fuse::NodeIds::kRoot);
    EXPECT_EQ(ids.remember(node), id);
    EXPECT_EQ(ids.find(id), node);
    ids.forget(id, 1);
    EXPECT_EQ(ids.find(id), node);
    ids.forget(id, 1);
    EXPECT_EQ(ids.find(id), nullptr);
    EXPECT_NE(ids.remember(node), id);
    EXPECT_EQ(ids.remember(root), fuse::NodeIds::kRoot);
    ids.forget(fuse::NodeIds::kRoot, 100);
    EXPECT_EQ(ids.find(fuse::NodeIds::kRoot), root);
    ids.forget(12345, 1);
}

TEST(NodeIds, inode_numbers_differ_between_sources) {
    EXPECT_EQ(fuse::inode_number(1, 1, 42), 42u);
    EXPECT_NE(fuse::inode_number(1, 2, 42), 42u);
    EXPECT_NE(fuse::inode_number(1, 2, 42), fuse::inode_number(1, 3, 42));
}

}  // namespace
}  // namespace ennead::synthfs
