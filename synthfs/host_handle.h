// SPDX-License-Identifier: MIT
// One open of a host tree's file or directory.
#pragma once

#include <sys/uio.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "synthfs/host_node.h"

namespace ennead::synthfs {

// A write under way.
struct HostWrite {
    FdRef fd;
    std::uint64_t offset = 0;  // of no meaning if it appends
    bool append = false;       // where the end of the file is then, whoever else appends
    HostNode::Claim claim{};   // what the quota lets it do
    std::size_t done = 0;
    std::error_code failure{};  // why no more is done
    HostPace::Clock::time_point begun{}, ended{};

    // Any thread. `from`: at most IOV_MAX places, which are used up.
    void run(std::span<iovec> from, const HostPace& pace);
};

// Holds the node rather than a descriptor, so that it reads what others write after a copy-up, and
// any number may be open. On a direct tree it does keep one while few enough are kept: there others
// may remove the file.
class HostFileHandle final : public Handle {
  public:
    HostFileHandle(HostNodePtr node, int flags);
    ~HostFileHandle() override;

    // Finds out whether the contents can be had at all.
    [[nodiscard]] Result<> prepare();

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override;
    std::optional<Result<std::size_t>> read_at_once(
        const Request& request, std::uint64_t offset,
        std::span<const std::span<std::byte>> into) override;
    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override;
    std::optional<Result<std::size_t>> write_at_once(
        const Request& request, std::uint64_t offset,
        std::span<const std::span<const std::byte>> data) override;
    void fsync(RequestPtr request, bool data_only, Reply<> reply) override;
    void lock(RequestPtr request, const Lock& lock, Reply<> reply) override;
    void getlock(RequestPtr request, const Lock& lock, Reply<Lock> reply) override;

  private:
    [[nodiscard]] Result<FdRef> contents(bool write);
    [[nodiscard]] Result<FdRef> keep(FdRef& kept, bool write);
    [[nodiscard]] bool may_wait(int fd);
    [[nodiscard]] Result<HostWrite> prepare_write(std::uint64_t offset, std::uint64_t size);

    const HostNodePtr node_;
    const int flags_;
    FdRef kept_read_, kept_write_;
    std::optional<bool> on_disk_;                                  // once known
    std::set<std::pair<std::string, std::uint32_t>> lock_owners_;  // who locked through this handle
};

// Lists what the directory held when reading began; an offset is an index into that list plus one.
class HostDirHandle final : public Handle {
  public:
    explicit HostDirHandle(HostNodePtr node) : node_(std::move(node)) {}

    void readdir(RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                 Reply<std::vector<DirEntry>> reply) override;
    void fsync(RequestPtr request, bool data_only, Reply<> reply) override;

  private:
    struct Listing {
        bool whole = false;
        std::vector<DirEntry> entries;

        [[nodiscard]] std::vector<DirEntry> part(std::uint64_t offset,
                                                 std::size_t max_entries) const;
    };

    const HostNodePtr node_;
    // Shared with a listing under way, which may outlast this.
    const std::shared_ptr<Listing> listed_ = std::make_shared<Listing>();
};

}  // namespace ennead::synthfs
