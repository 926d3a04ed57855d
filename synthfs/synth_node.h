// SPDX-License-Identifier: MIT
// What all synthetic files share: attributes kept in the node, retirement, and the list of their
// opens.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/node.h"

namespace ennead::synthfs {

class SynthHandle;

// Identity: one source for all synthetic files of the process, and a path that no other file ever
// had; so a name that is removed and made again is another file, and an old handle never meets it.
class SynthNode : public Node {
  public:
    struct Base {
        mode_t mode = 0;     // permission bits
        std::string name;    // what an `error` file calls this file
        ErrorSink errors{};  // where this file's failures are told
    };

    SynthNode(mode_t type, Base base);

    [[nodiscard]] Identity identity() const final { return identity_; }
    [[nodiscard]] mode_t type() const final { return type_; }
    void getattr(RequestPtr request, Reply<Attr> reply) final;
    void setattr(RequestPtr request, SetAttr change, Reply<> reply) final;
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) final;

    // The file's owner is gone: open handles and every later operation answer ENODEV, blocked reads
    // end with it. For good.
    void retire();
    [[nodiscard]] bool retired() const { return retired_; }

    // The contents changed now.
    void touch();

    // Tells the `error` file, unless the failure is one of everyday life (EINTR, EAGAIN, ENODEV).
    void report(const Request& request, const Fault& fault) const;
    // The same, and the code to answer with.
    std::error_code refuse(const Request& request, const Fault& fault) const;

  protected:
    [[nodiscard]] virtual bool can_read() const { return true; }
    [[nodiscard]] virtual bool can_write() const { return false; }
    // Cannot fail for lack of permission or for retirement: that has been checked.
    virtual Checked<HandlePtr> open_handle(RequestPtr request, int flags) = 0;
    // What getattr shows.
    [[nodiscard]] virtual std::uint64_t size() const { return 0; }
    [[nodiscard]] virtual std::uint64_t link_count() const { return 1; }
    // truncate(2), and O_TRUNC as seen by clients that send it as an attribute (9P).
    virtual void truncate(RequestPtr request, std::uint64_t size, CheckedReply<> reply);
    virtual void on_retire() {}

    // The opens that are alive now.
    [[nodiscard]] std::vector<std::shared_ptr<SynthHandle>> handles() const;

  private:
    friend class SynthHandle;

    [[nodiscard]] Checked<> check_setattr(const Request& request, const SetAttr& change) const;
    void apply(const SetAttr& change);

    mode_t type_;
    Base base_;
    Identity identity_;
    uid_t uid_;
    gid_t gid_;
    std::timespec atime_, mtime_, ctime_;
    bool retired_ = false;
    std::vector<SynthHandle*> handles_;  // each leaves in its destructor
};

using SynthNodePtr = std::shared_ptr<SynthNode>;

class SynthHandle : public Handle, public std::enable_shared_from_this<SynthHandle> {
  public:
    SynthHandle(std::shared_ptr<SynthNode> node, int flags);
    SynthHandle(const SynthHandle&) = delete;
    SynthHandle& operator=(const SynthHandle&) = delete;
    ~SynthHandle() override;

    // Ends what waits in this handle with ENODEV.
    virtual void on_retire() {}

  protected:
    // 0, or why this open cannot be read or written now: ENODEV, EBADF.
    [[nodiscard]] int read_refusal() const;
    [[nodiscard]] int write_refusal() const;
    [[nodiscard]] bool opened_for_reading() const { return (flags_ & O_ACCMODE) != O_WRONLY; }
    [[nodiscard]] bool opened_for_writing() const { return (flags_ & O_ACCMODE) != O_RDONLY; }
    [[nodiscard]] int flags() const { return flags_; }
    [[nodiscard]] SynthNode& node() const { return *node_; }

  private:
    std::shared_ptr<SynthNode> node_;
    int flags_;
};

// Copies what `text` has from `offset` on.
[[nodiscard]] std::size_t copy_out(std::string_view text, std::uint64_t offset,
                                   std::span<std::byte> into);

// The answer to a write, read back on the same descriptor, whose offset stands wherever the write
// left it: the first read sets where the answer begins; a read before that place starts it again.
class Answer {
  public:
    void set(std::string text);
    [[nodiscard]] bool given() const { return given_; }
    [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<std::byte> into);

  private:
    std::string text_;
    bool given_ = false;
    std::optional<std::uint64_t> begin_;
};

}  // namespace ennead::synthfs
