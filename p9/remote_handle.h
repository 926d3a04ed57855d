// SPDX-License-Identifier: MIT
// An open file of another 9P server; for streams, one block is read ahead when somebody polls.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <system_error>
#include <vector>

#include "p9/client_core.h"
#include "synthfs/handle.h"

namespace ennead::p9 {

class RemoteHandle final : public synthfs::Handle,
                           public std::enable_shared_from_this<RemoteHandle> {
  public:
    RemoteHandle(std::shared_ptr<ClientCore> core, RemoteFidPtr fid, int flags, bool stream)
        : core_(std::move(core)), fid_(std::move(fid)), flags_(flags), stream_(stream) {}
    ~RemoteHandle() override;

    void read(synthfs::RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              synthfs::Reply<std::size_t> reply) override;
    void write(synthfs::RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               synthfs::Reply<std::size_t> reply) override;
    void readdir(synthfs::RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                 synthfs::Reply<std::vector<synthfs::DirEntry>> reply) override;
    void fsync(synthfs::RequestPtr request, bool data_only, synthfs::Reply<> reply) override;
    void lock(synthfs::RequestPtr request, const synthfs::Lock& lock,
              synthfs::Reply<> reply) override;
    void getlock(synthfs::RequestPtr request, const synthfs::Lock& lock,
                 synthfs::Reply<synthfs::Lock> reply) override;
    unsigned poll(std::function<void()> notify) override;

  private:
    struct Transfer;
    struct Waiter {
        std::uint64_t id = 0;
        synthfs::RequestPtr request;
        std::span<std::byte> into;
        synthfs::Reply<std::size_t> reply;
    };
    // The block read ahead: none, asked for, or there (with data, at the end, or failed).
    enum class Ahead { none, asked, ready };

    void read_more(std::shared_ptr<Transfer> transfer);
    void write_more(std::shared_ptr<Transfer> transfer);
    void read_stream(synthfs::RequestPtr request, std::span<std::byte> into,
                     synthfs::Reply<std::size_t> reply);
    void read_through(synthfs::RequestPtr request, std::span<std::byte> into,
                      synthfs::Reply<std::size_t> reply);
    void read_ahead();
    void arrived(synthfs::Result<Rread> result);
    void serve(std::span<std::byte> into, const synthfs::Reply<std::size_t>& reply);
    void wake();
    void cancel_waiter(std::uint64_t id);

    std::shared_ptr<ClientCore> core_;
    RemoteFidPtr fid_;
    int flags_;
    bool stream_;

    // Streams only.
    Ahead ahead_ = Ahead::none;
    std::vector<std::byte> block_;
    std::size_t served_ = 0;  // of block_
    std::error_code block_error_;
    std::size_t reads_under_way_ = 0;  // past the read-ahead
    std::uint64_t last_waiter_ = 0;
    std::deque<Waiter> waiters_;
    std::vector<std::function<void()>> notify_;
};

}  // namespace ennead::p9
