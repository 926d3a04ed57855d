// SPDX-License-Identifier: MIT
// One open of a file in a host directory that another server shows there by FUSE, and that has no
// size: made at each read, perhaps a stream.
#pragma once

#include <memory>

#include "synthfs/host_node.h"
#include "synthfs/waiting_reads.h"

namespace ennead::synthfs {

// Such files mean each open of theirs, so this one has a descriptor of its own, without
// O_NONBLOCK's meaning for the reader: a read waits for what comes, as far as
// HostDirOptions::when_readable can tell, and else answers EAGAIN.
class ForeignHandle final : public Handle {
  public:
    // `fd` is non-blocking; `stream`: it has no offsets.
    ForeignHandle(HostNodePtr node, FdRef fd, bool stream);
    ~ForeignHandle() override;

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override;
    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override;
    void fsync(RequestPtr request, bool data_only, Reply<> reply) override;

  private:
    [[nodiscard]] Result<std::size_t> read_now(std::uint64_t offset, std::span<std::byte> into);
    void wait();
    void readable();
    void end(int errnum);

    const HostNodePtr node_;
    FdRef fd_;  // null once the tree was revoked
    const bool stream_;
    WaitingReads reads_;
    std::shared_ptr<void> waiting_;  // for the descriptor
    int in_vain_ = 0;                // times that it was called readable and was not
};

}  // namespace ennead::synthfs
