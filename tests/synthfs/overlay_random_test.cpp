// SPDX-License-Identifier: MIT
// A long random run over an overlay, in step with a model in memory; the whole tree is compared
// again and again.
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "synthfs/overlay.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

// A file of the model; a directory has children.
struct File {
    mode_t mode = 0;
    unsigned uid = 0;
    std::string text;  // contents, or a link's target
    std::map<std::string, std::shared_ptr<File>> children;
    unsigned links = 1;
    bool gone = false;

    [[nodiscard]] bool is_dir() const { return S_ISDIR(mode); }
};
using FilePtr = std::shared_ptr<File>;

// What the guest would hold: a node, an open handle, and the model's file for both.
struct Held {
    NodePtr node;
    HandlePtr handle;  // regular files only
    FilePtr file;
};

class Exerciser {
  public:
    Exerciser(const TempDir& temp, unsigned seed) : temp_(temp), random_(seed) {
        root_ = std::make_shared<File>();
        root_->mode = S_IFDIR | 0755;
        build_base("base", root_, 3);
        mount();
    }

    void step() {
        switch (pick(16)) {
            case 0:
            case 1:
                do_create();
                break;
            case 2:
                do_mkdir();
                break;
            case 3:
                do_symlink();
                break;
            case 4:
            case 5:
                do_unlink();
                break;
            case 6:
                do_rmdir();
                break;
            case 7:
            case 8:
            case 9:
                do_rename();
                break;
            case 10:
                do_link();
                break;
            case 11:
                do_chmod();
                break;
            case 12:
                do_hold();
                break;
            case 13:
            case 14:
                do_held_io();
                break;
            case 15:
                do_lookup();
                break;
        }
    }

    void compare() { compare(fs_, root_, "/"); }

    void reopen() {
        held_.clear();
        fs_.reset();
        mount();
    }

  private:
    struct Spot {
        NodePtr node;
        FilePtr file;
        std::string path;
    };

    unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
    std::string pick_name() { return std::string(1, static_cast<char>('a' + pick(6))); }

    void mount() {
        fs_ = make_overlay({temp_.fd("base")}, temp_.fd("scratch"), {.max_descriptors = 8}).value();
    }

    void build_base(const std::string& path, const FilePtr& dir, int depth) {
        temp_.dir(path);
        for (char c = 'a'; c < 'g'; ++c) {
            const std::string name(1, c);
            auto file = std::make_shared<File>();
            switch (pick(5)) {
                case 0:
                case 1:
                    if (depth == 0) {
                        continue;
                    }
                    file->mode = S_IFDIR | 0755;
                    build_base(path + "/" + name, file, depth - 1);
                    break;
                case 2:
                    file->mode = S_IFREG | 0644;
                    file->text = path + name;
                    temp_.file(path + "/" + name, file->text);
                    break;
                case 3:
                    file->mode = S_IFLNK | 0777;
                    file->text = "to" + name;
                    temp_.symlink(path + "/" + name, file->text);
                    break;
                default:
                    continue;
            }
            dir->children[name] = file;
        }
    }

    // A random directory, at any depth.
    Spot pick_dir() {
        Spot spot{fs_, root_, ""};
        for (int depth = static_cast<int>(pick(4)); depth > 0; --depth) {
            const auto child = spot.file->children.find(pick_name());
            if (child == spot.file->children.end() || !child->second->is_dir()) {
                continue;
            }
            spot.path += "/" + child->first;
            spot.node = walk(spot.node, child->first).value();
            spot.file = child->second;
        }
        return spot;
    }

    FilePtr child(const Spot& dir, const std::string& name) {
        const auto found = dir.file->children.find(name);
        return found == dir.file->children.end() ? nullptr : found->second;
    }

    void do_create() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        const auto made = create(dir.node, name, 0600 | pick(0200), O_RDWR | O_EXCL, by(pick(3)));
        if (child(dir, name)) {
            ASSERT_EQ(err(made), EEXIST) << dir.path << "/" << name;
            return;
        }
        ASSERT_EQ(err(made), 0) << dir.path << "/" << name;
        auto file = std::make_shared<File>();
        file->mode = attr(made.value().node).value().mode;
        file->uid = attr(made.value().node).value().uid;
        file->text = std::to_string(random_());
        ASSERT_EQ(err(write(made.value().handle, 0, file->text)), 0);
        dir.file->children[name] = file;
    }

    void do_mkdir() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        const auto made = mkdir(dir.node, name, 0700);
        ASSERT_EQ(err(made), child(dir, name) ? EEXIST : 0) << dir.path << "/" << name;
        if (made) {
            auto file = std::make_shared<File>();
            file->mode = S_IFDIR | 0700;
            dir.file->children[name] = file;
        }
    }

    void do_symlink() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        auto file = std::make_shared<File>();
        file->mode = S_IFLNK | 0777;
        file->text = std::to_string(random_());
        const auto made = symlink(dir.node, name, file->text);
        ASSERT_EQ(err(made), child(dir, name) ? EEXIST : 0) << dir.path << "/" << name;
        if (made) {
            dir.file->children[name] = file;
        }
    }

    void do_unlink() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        const FilePtr file = child(dir, name);
        const int expected = !file ? ENOENT : file->is_dir() ? EISDIR : 0;
        ASSERT_EQ(err(unlink(dir.node, name)), expected) << dir.path << "/" << name;
        if (expected == 0) {
            --file->links;
            dir.file->children.erase(name);
        }
    }

    void do_rmdir() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        const FilePtr file = child(dir, name);
        const int expected = !file                     ? ENOENT
                             : !file->is_dir()         ? ENOTDIR
                             : !file->children.empty() ? ENOTEMPTY
                                                       : 0;
        ASSERT_EQ(err(rmdir(dir.node, name)), expected) << dir.path << "/" << name;
        if (expected == 0) {
            file->gone = true;
            dir.file->children.erase(name);
        }
    }

    static bool contains(const File& dir, const File* file) {
        if (&dir == file) {
            return true;
        }
        for (const auto& [name, below] : dir.children) {
            if (below->is_dir() && contains(*below, file)) {
                return true;
            }
        }
        return false;
    }

    static int rename_error(const FilePtr& moved, const FilePtr& replaced, const Spot& to) {
        if (!moved) {
            return ENOENT;
        }
        if (moved == replaced) {
            return 0;
        }
        if (moved->is_dir() && contains(*moved, to.file.get())) {
            return EINVAL;
        }
        if (replaced && moved->is_dir() != replaced->is_dir()) {
            return moved->is_dir() ? ENOTDIR : EISDIR;
        }
        return replaced && !replaced->children.empty() ? ENOTEMPTY : 0;
    }

    void do_rename() {
        const Spot from = pick_dir();
        const Spot to = pick_dir();
        const std::string name = pick_name(), new_name = pick_name();
        const FilePtr moved = child(from, name), replaced = child(to, new_name);
        const int expected = rename_error(moved, replaced, to);
        ASSERT_EQ(err(rename(from.node, name, to.node, new_name)), expected)
            << from.path << "/" << name << " to " << to.path << "/" << new_name;
        if (expected != 0 || moved == replaced) {
            return;
        }
        if (replaced) {
            --replaced->links;
            replaced->gone = replaced->is_dir();
        }
        from.file->children.erase(name);
        to.file->children[new_name] = moved;
    }

    void do_link() {
        const Spot from = pick_dir();
        const Spot to = pick_dir();
        const std::string name = pick_name(), new_name = pick_name();
        const FilePtr file = child(from, name);
        if (!file) {
            return;
        }
        const NodePtr node = walk(from.node, name).value();
        const int expected = file->is_dir() ? EPERM : child(to, new_name) ? EEXIST : 0;
        ASSERT_EQ(err(link(to.node, new_name, node)), expected) << to.path << "/" << new_name;
        if (expected == 0) {
            ++file->links;
            to.file->children[new_name] = file;
        }
    }

    void do_chmod() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        const FilePtr file = child(dir, name);
        if (!file || S_ISLNK(file->mode)) {
            return;
        }
        SetAttr change;
        change.mode = 0700 | pick(0100);
        change.uid = pick(5);
        ASSERT_EQ(err(set(walk(dir.node, name).value(), change)), 0) << dir.path << "/" << name;
        file->mode = (file->mode & S_IFMT) | *change.mode;
        file->uid = *change.uid;
    }

    void do_hold() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        const FilePtr file = child(dir, name);
        if (!file) {
            return;
        }
        Held held{walk(dir.node, name).value(), nullptr, file};
        if (S_ISREG(file->mode)) {
            held.handle = open(held.node, O_RDWR).value();
        }
        if (held_.size() < 20) {
            held_.push_back(std::move(held));
        } else {
            held_[pick(20)] = std::move(held);
        }
    }

    void do_held_io() {
        if (held_.empty()) {
            return;
        }
        Held& held = held_[pick(static_cast<unsigned>(held_.size()))];
        File& file = *held.file;
        if (!held.handle) {
            if (file.is_dir()) {
                ASSERT_EQ(err(create(held.node, "held/bad")), EINVAL);
                ASSERT_EQ(names(held.node).size(), file.children.size());
                ASSERT_EQ(attr(held.node).value().nlink, file.gone ? 0u : 1u);
            } else {
                ASSERT_EQ(readlink(held.node).value(), file.text);
            }
            return;
        }
        const unsigned offset = pick(40);
        switch (pick(3)) {
            case 0: {
                const std::string text = std::to_string(random_());
                ASSERT_EQ(err(write(held.handle, offset, text)), 0);
                file.text.resize(std::max<std::size_t>(file.text.size(), offset + text.size()));
                file.text.replace(offset, text.size(), text);
                break;
            }
            case 1:
                ASSERT_EQ(err(resize(held.node, offset)), 0);
                file.text.resize(offset);
                break;
            default:
                break;
        }
        ASSERT_EQ(read(held.handle).value(), file.text);
        ASSERT_EQ(attr(held.node).value().nlink, file.links);
    }

    void do_lookup() {
        const Spot dir = pick_dir();
        const std::string name = pick_name();
        ASSERT_EQ(err(walk(dir.node, name)), child(dir, name) ? 0 : ENOENT)
            << dir.path << "/" << name;
    }

    void compare(const NodePtr& node, const FilePtr& file, const std::string& path) {
        const auto listed = entries(node).value();
        std::map<std::string, DirEntry> by_name;
        for (const DirEntry& entry : listed) {
            ASSERT_TRUE(by_name.emplace(entry.name, entry).second)
                << "twice: " << path << entry.name;
        }
        ASSERT_EQ(by_name.size(), file->children.size()) << path;
        for (const auto& [name, below] : file->children) {
            ASSERT_TRUE(by_name.contains(name)) << path << name;
            const NodePtr found = walk(node, name).value();
            const Attr seen = attr(found).value();
            ASSERT_EQ(by_name[name].path, seen.identity.path) << path << name;
            ASSERT_EQ(by_name[name].type, below->mode & S_IFMT) << path << name;
            ASSERT_EQ(seen.mode, below->mode) << path << name;
            ASSERT_EQ(seen.uid, below->uid) << path << name;
            if (below->is_dir()) {
                compare(found, below, path + name + "/");
                continue;
            }
            ASSERT_EQ(seen.nlink, below->links) << path << name;
            ASSERT_EQ(seen.size, below->text.size()) << path << name;
            if (S_ISLNK(below->mode)) {
                ASSERT_EQ(readlink(found).value(), below->text) << path << name;
            } else {
                ASSERT_EQ(contents(found, ""), below->text) << path << name;
            }
        }
    }

    const TempDir& temp_;
    std::mt19937 random_;
    FilePtr root_;
    NodePtr fs_;
    std::vector<Held> held_;
};

class OverlayRandomTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(OverlayRandomTest, agrees_with_a_model) {
    TempDir temp;
    if (!temp.usable()) {
        GTEST_SKIP() << "no directory here keeps user extended attributes";
    }
    temp.dir("scratch");
    const unsigned seed = GetParam();
    Exerciser run(temp, seed);
    run.compare();
    for (int i = 1; i <= 3000 && !::testing::Test::HasFatalFailure(); ++i) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(i));
        run.step();
        if (i % 500 == 0) {
            run.reopen();
        }
        if (i % 100 == 0) {
            run.compare();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(seeds, OverlayRandomTest, ::testing::Values(1u, 2u, 3u, 4u));

}  // namespace
}  // namespace ennead::synthfs::test
