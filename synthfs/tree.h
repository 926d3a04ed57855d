// SPDX-License-Identifier: MIT
// Directories: a fixed table of entries, and names that come and go; and symbolic links.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

// A row of a directory's table.
struct Entry {
    std::string name;
    mode_t mode = 0;  // type and permission bits
    // Makes the file, given `mode`; called when the name is first looked at. The directory keeps
    // what it gave. Null: not there for now, asked again next time.
    std::function<NodePtr(mode_t)> make;
    // Never kept: asked at every look, so that one name can show one file now and another later.
    // While it is the same file the function must give the same node.
    bool fresh = false;
};

// What users may do to the names of a directory; anything left out refuses with EPERM. The
// functions change the directory themselves (Directory::add and so on); their faults go to the
// `error` file.
struct DirectoryHooks {
    // Answers with the new directory. The name may come to stand for it otherwise, by a symbolic
    // link.
    std::function<void(RequestPtr, std::string name, CheckedReply<NodePtr>)> mkdir{};
    std::function<void(RequestPtr, std::string name, CheckedReply<>)> rmdir{};
    std::function<void(RequestPtr, std::string name, CheckedReply<>)> unlink{};
    // Within this directory (else EXDEV); `to` may exist.
    std::function<void(RequestPtr, std::string from, std::string to, CheckedReply<>)> rename{};
    std::function<void(RequestPtr, std::string name, std::string target, CheckedReply<NodePtr>)>
        symlink{};
    // Names that can be walked to but are not listed (`block/<addr>`); null if there is no such
    // file. While a file is in use it must give the same node.
    std::function<NodePtr(const std::string& name)> find{};

    // Files that somebody else knows of, who has to be asked: the node, or null if there is none
    // of that name. While it is in use it must be the same node. A fault without a text has been
    // told already.
    std::function<void(RequestPtr, std::string name, CheckedReply<NodePtr>)> find_later{};
    // Their names, listed behind all others. Called as a listing begins; it goes on from that copy.
    std::function<void(RequestPtr, CheckedReply<std::vector<std::string>>)> names_later{};
};

class Directory final : public SynthNode {
  public:
    struct Options {
        mode_t mode = 0755;
        std::string name{};
        ErrorSink errors{};
        std::vector<Entry> entries{};
        DirectoryHooks hooks{};
    };
    static std::shared_ptr<Directory> make(Options options);
    explicit Directory(Options options);

    // Growing names. False if there is such a name already, in the table or not.
    bool add(const std::string& name, NodePtr node);
    // The file that had the name, or null. It is not retired.
    NodePtr remove(const std::string& name);
    // Renames a name added; replaces `to`, if that was added too. False if impossible.
    bool rename_child(const std::string& from, const std::string& to);
    // The file of that name, made if need be; null if there is none.
    [[nodiscard]] NodePtr find(const std::string& name);
    // Names added, in the order they were.
    [[nodiscard]] std::vector<std::string> added_names() const;

    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override;
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<Created> reply) override;
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override;
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override;
    void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) override;
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override;

    // The next entries after the one that has `offset`; those of names_later are not among them.
    [[nodiscard]] std::vector<DirEntry> list(std::uint64_t offset, std::size_t max_entries);

  protected:
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;
    [[nodiscard]] std::uint64_t link_count() const override;
    // Retires all synthetic files below.
    void on_retire() override;

  private:
    friend class DirectoryHandle;

    struct Fixed {
        Entry entry;
        NodePtr node;
    };
    struct Added {
        std::string name;
        NodePtr node;
    };

    [[nodiscard]] NodePtr fixed_node(Fixed& fixed);
    template <class T>
    CheckedReply<T> answer(RequestPtr request, Reply<T> reply);
    [[nodiscard]] bool is_fixed(const std::string& name) const;

    std::vector<Fixed> fixed_;
    DirectoryHooks hooks_;
    // By offset: where a listing goes on. Rows of the table have 1 and up; names added have ever
    // larger ones, so whatever comes and goes, a listing meets each name that stays exactly once.
    std::map<std::uint64_t, Added> added_;
    std::unordered_map<std::string, std::uint64_t> offsets_;
    std::uint64_t next_offset_;
    std::uint64_t added_directories_ = 0;
};

// A symbolic link whose target is a function.
[[nodiscard]] SynthNodePtr make_symlink(std::function<std::string()> target);
[[nodiscard]] SynthNodePtr make_symlink(std::string target);

}  // namespace ennead::synthfs
