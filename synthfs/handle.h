// SPDX-License-Identifier: MIT
// One open of a node: what belongs to the opener alone (captured text, a stream's cursor, a host
// descriptor).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "synthfs/request.h"
#include "synthfs/result.h"

namespace ennead::synthfs {

struct Lock;

struct DirEntry {
    std::string name;
    std::uint64_t path = 0;         // Identity::path of the entry
    mode_t type = 0;                // S_IFMT bits
    std::uint64_t next_offset = 0;  // the offset that continues after this entry; never 0
    std::uint64_t source = 0;       // Identity::source of the entry; 0: that of the directory
};

// Closing is destruction: it never fails and never waits. Requests still under way at that moment
// have been cancelled by the face that owns the handle.
class Handle {
  public:
    virtual ~Handle() = default;

    // Reads up to `into.size()` bytes; 0 is the end of the file. `into` stays valid until the
    // reply.
    virtual void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
                      Reply<std::size_t> reply);
    // The same for bytes that are at hand, into several places one after the other, which no other
    // memory need come between. Nothing: they are not, or this file cannot do it; read() can. What
    // the places then hold is undefined.
    virtual std::optional<Result<std::size_t>> read_at_once(
        const Request& request, std::uint64_t offset, std::span<const std::span<std::byte>> into);
    // `data` stays valid until the reply. Never waits: EAGAIN where a stream's queue is full.
    virtual void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
                       Reply<std::size_t> reply);
    // The same for data in several places, where it can be done without waiting and without other
    // memory. Nothing: it cannot, and nothing was written; write() can.
    virtual std::optional<Result<std::size_t>> write_at_once(
        const Request& request, std::uint64_t offset,
        std::span<const std::span<const std::byte>> data);
    // The next entries after `offset` (0: from the start), at most `max_entries`; none means the
    // end. "." and
    // ".." are left to the faces. Names that stay are given once, whatever comes and goes
    // meanwhile.
    virtual void readdir(RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                         Reply<std::vector<DirEntry>> reply);
    virtual void fsync(RequestPtr request, bool data_only, Reply<> reply);

    // Whether the lock was granted: EAGAIN if another owner holds it. Locks end with their owner's
    // handles.
    virtual void lock(RequestPtr request, const Lock& lock, Reply<> reply);
    // The lock that would stand in the way, or `lock` itself as Kind::unlock if none would.
    virtual void getlock(RequestPtr request, const Lock& lock, Reply<Lock> reply);

    // What a read or write would not wait for, now: POLLIN, POLLOUT, POLLHUP, POLLERR. If `notify`
    // is given and not everything is ready, it is called once when that changes. Ordinary files are
    // always ready.
    virtual unsigned poll(std::function<void()> notify);
};

using HandlePtr = std::shared_ptr<Handle>;

}  // namespace ennead::synthfs
