// SPDX-License-Identifier: MIT
// A file of another 9P server as a node of ours.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "p9/client_core.h"
#include "synthfs/node.h"

namespace ennead::p9 {

class RemoteNode final : public synthfs::Node {
  public:
    // The node at `fid`. Asks for the attributes first where the qid leaves the type of file open.
    static void make(std::shared_ptr<ClientCore> core, synthfs::RequestPtr request,
                     RemoteFidPtr fid, const Qid& qid, synthfs::Reply<synthfs::NodePtr> reply);

    RemoteNode(std::shared_ptr<ClientCore> core, RemoteFidPtr fid, const Qid& qid, mode_t type)
        : core_(std::move(core)), fid_(std::move(fid)), qid_(qid), type_(type) {}

    synthfs::Identity identity() const override {
        return {core_->source(), qid_.path, qid_.version};
    }
    mode_t type() const override { return type_; }
    bool is_stream() const override { return (qid_.type & kQtAppend) != 0; }
    bool reading_makes() const override { return (qid_.type & kQtTmp) != 0; }

    void getattr(synthfs::RequestPtr request, synthfs::Reply<synthfs::Attr> reply) override;
    void setattr(synthfs::RequestPtr request, synthfs::SetAttr change,
                 synthfs::Reply<> reply) override;
    void open(synthfs::RequestPtr request, int flags,
              synthfs::Reply<synthfs::HandlePtr> reply) override;
    void readlink(synthfs::RequestPtr request, synthfs::Reply<std::string> reply) override;
    void statfs(synthfs::RequestPtr request, synthfs::Reply<synthfs::StatFs> reply) override;
    void walk(synthfs::RequestPtr request, std::string name,
              synthfs::Reply<synthfs::NodePtr> reply) override;
    void create(synthfs::RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                synthfs::Reply<synthfs::Created> reply) override;
    void mkdir(synthfs::RequestPtr request, std::string name, mode_t mode, gid_t gid,
               synthfs::Reply<synthfs::NodePtr> reply) override;
    void symlink(synthfs::RequestPtr request, std::string name, std::string target, gid_t gid,
                 synthfs::Reply<synthfs::NodePtr> reply) override;
    void mknod(synthfs::RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev,
               gid_t gid, synthfs::Reply<synthfs::NodePtr> reply) override;
    void link(synthfs::RequestPtr request, std::string name, synthfs::NodePtr target,
              synthfs::Reply<> reply) override;
    void unlink(synthfs::RequestPtr request, std::string name, bool directory,
                synthfs::Reply<> reply) override;
    void rename(synthfs::RequestPtr request, std::string name, synthfs::NodePtr new_parent,
                std::string new_name, synthfs::Reply<> reply) override;
    void getxattr(synthfs::RequestPtr request, std::string name,
                  synthfs::Reply<std::string> reply) override;
    void listxattr(synthfs::RequestPtr request,
                   synthfs::Reply<std::vector<std::string>> reply) override;
    void setxattr(synthfs::RequestPtr request, std::string name, std::string value, int flags,
                  synthfs::Reply<> reply) override;
    void removexattr(synthfs::RequestPtr request, std::string name,
                     synthfs::Reply<> reply) override;

  private:
    // The node of what was just made in this directory.
    template <class R>
    std::function<void(synthfs::Result<R>)> then_walk(synthfs::RequestPtr request, std::string name,
                                                      synthfs::Reply<synthfs::NodePtr> reply);
    // An empty `name` reads the list.
    void read_xattr(synthfs::RequestPtr request, std::string_view name,
                    synthfs::Reply<std::string> reply);
    void write_xattr(synthfs::RequestPtr request, std::string name, std::string value, int flags,
                     synthfs::Reply<> reply);
    [[nodiscard]] const RemoteNode* neighbour(const synthfs::NodePtr& node) const;
    std::shared_ptr<RemoteNode> self() {
        return std::static_pointer_cast<RemoteNode>(shared_from_this());
    }

    std::shared_ptr<ClientCore> core_;
    RemoteFidPtr fid_;
    Qid qid_;
    mode_t type_;
};

}  // namespace ennead::p9
