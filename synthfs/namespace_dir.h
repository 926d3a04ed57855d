// SPDX-License-Identifier: MIT
// A directory of a name space: shows whatever is bound at it, at the moment of each operation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "synthfs/namespace.h"
#include "synthfs/node.h"

namespace ennead::synthfs {

// Wraps the directory that is at its name without what is bound there, and is known by that one's
// identity, so it stays the same file when something is bound or unbound.
//
// A union is one level deep, as in Plan 9 (bind(2)): a name leads to the first member that has it.
// New files go to the first member that takes them: EPERM if none does. Removing takes away the
// file that is seen; one of that name in a later member then shows. Renaming and linking are done
// inside one member: EXDEV otherwise.
class NamespaceDir final : public Node {
  public:
    NamespaceDir(std::shared_ptr<Namespace> names, NodePtr inner)
        : names_(std::move(names)), inner_(std::move(inner)) {}

    Identity identity() const override { return inner_->identity(); }
    mode_t type() const override { return inner_->type(); }
    void getattr(RequestPtr request, Reply<Attr> reply) override;
    void setattr(RequestPtr request, SetAttr change, Reply<> reply) override;
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) override;
    void statfs(RequestPtr request, Reply<StatFs> reply) override;
    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override;
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<Created> reply) override;
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override;
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override;
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<NodePtr> reply) override;
    void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) override;
    void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) override;
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override;
    void getxattr(RequestPtr request, std::string name, Reply<std::string> reply) override;
    void listxattr(RequestPtr request, Reply<std::vector<std::string>> reply) override;
    void setxattr(RequestPtr request, std::string name, std::string value, int flags,
                  Reply<> reply) override;
    void removexattr(RequestPtr request, std::string name, Reply<> reply) override;

  private:
    // Null: nothing is bound here or below, and the directory inside answers for itself. Places go
    // with a change of the name space: not to be kept over a reply.
    [[nodiscard]] Namespace::Place* place() const { return names_->place_of(inner_.get()); }
    [[nodiscard]] std::vector<NodePtr> directories() const;
    // The directory whose own attributes are shown.
    [[nodiscard]] NodePtr front() const;
    // Something is bound at this name in here, or below it.
    [[nodiscard]] bool is_held(const std::string& name) const;
    [[nodiscard]] NodePtr wrap(NodePtr node) const;
    [[nodiscard]] Reply<NodePtr> wrapping(Reply<NodePtr> reply) const;
    [[nodiscard]] std::shared_ptr<NamespaceDir> self() {
        return std::static_pointer_cast<NamespaceDir>(shared_from_this());
    }

    // Hands the member that takes new files to `make`, if nothing has the name yet; else, or if
    // there is no such member, the errno to `refuse`.
    void with_creator(RequestPtr request, const std::string& name,
                      std::function<void(NodePtr)> make,
                      std::function<void(std::error_code)> refuse);
    // The member into which what `from` has may be moved as `new_name`.
    void rename_into(RequestPtr request, NodePtr from, std::string name,
                     std::shared_ptr<NamespaceDir> to, std::string new_name, Reply<> reply);

    const std::shared_ptr<Namespace> names_;
    const NodePtr inner_;
};

// Lists what the directory showed when reading began; an offset is an index into that list plus
// one.
class NamespaceDirHandle final : public Handle,
                                 public std::enable_shared_from_this<NamespaceDirHandle> {
  public:
    NamespaceDirHandle(std::shared_ptr<Namespace> names, NodePtr under)
        : names_(std::move(names)), under_(std::move(under)) {}

    void readdir(RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                 Reply<std::vector<DirEntry>> reply) override;

  private:
    struct Listing;
    void answer(std::uint64_t offset, std::size_t max_entries,
                const Reply<std::vector<DirEntry>>& reply) const;
    void add_held(std::vector<DirEntry>& entries) const;

    const std::shared_ptr<Namespace> names_;
    const NodePtr under_;  // of the place that is listed
    bool listed_ = false;
    std::vector<DirEntry> entries_;
};

}  // namespace ennead::synthfs
