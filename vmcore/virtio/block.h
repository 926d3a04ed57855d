// SPDX-License-Identifier: MIT
// The virtio block device (virtio 1.2 §5.2): hands requests out and takes their ends back, knowing
// nothing of files.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vmcore/virtio/device.h"

namespace ennead::vmcore {

inline constexpr u32 kSectorSize = 512;

struct BlockConfig {
    u64 sectors = 0;
    bool read_only = false;
    std::string serial;  // what GET_ID tells; its first 20 bytes
};

// What the guest asks of the disk. All sectors named lie inside it.
struct BlockRequest {
    enum class Kind : u8 { read, write, flush, discard, write_zeroes };
    struct Range {
        u64 sector = 0;
        u32 count = 0;  // sectors
        bool unmap = false;
    };

    u64 id = 0;
    Kind kind = Kind::read;
    // The driver knows of no write cache: what is done must be on stable storage before it is
    // answered.
    bool durable = false;
    u64 sector = 0;               // read, write
    std::vector<std::byte> data;  // read: to be filled; write: copied out of guest memory once
    std::vector<Range> ranges;    // discard, write_zeroes
};

// vCPU thread only. The disk is elsewhere and does one request after the other, in their order:
// submit() posts one to it, and its end is posted back and ends in complete().
class VirtioBlock : public VirtioDevice {
  public:
    // A request; must not wait. complete() may be called from inside.
    using Submit = std::function<void(BlockRequest)>;

    // Ids count from `first_id`, so that those of another device in this one's place differ.
    VirtioBlock(BlockConfig config, u64 first_id, Submit submit);

    // Ends a request, in any order. An id from before a reset is dropped silently. `data`: what was
    // read, all of it, if it was `ok` and a read.
    void complete(u64 id, bool ok, std::span<const std::byte> data);
    // Requests submitted and not yet completed, and the bytes of their data.
    [[nodiscard]] std::size_t pending() const { return pending_.size(); }
    [[nodiscard]] u64 pending_bytes() const { return pending_bytes_; }

    [[nodiscard]] const char* name() const override { return "virtio-blk"; }
    [[nodiscard]] u16 id() const override { return 2; }
    [[nodiscard]] u64 features() const override;
    [[nodiscard]] std::span<const u16> queue_sizes() const override { return kQueueSizes; }
    [[nodiscard]] std::span<const u8> config() const override { return space_; }
    void activated(u64 features, std::span<Queue* const> queues) override;
    void queue_notified(unsigned n) override;
    void reset() override;

    static constexpr u64 kFeatureSizeMax = 1u << 1, kFeatureSegMax = 1u << 2,
                         kFeatureReadOnly = 1u << 5, kFeatureBlockSize = 1u << 6,
                         kFeatureFlush = 1u << 9, kFeatureDiscard = 1u << 13,
                         kFeatureWriteZeroes = 1u << 14;

    // A driver that keeps to these two never has a request of more than kMaxData.
    static constexpr u32 kMaxSegment = 256 * 1024, kMaxSegments = 126;
    static constexpr u64 kMaxData = u64{kMaxSegment} * 128;
    // Further requests wait in the queue while those under way have more data than this.
    static constexpr u64 kMaxPendingBytes = kMaxData;
    // Of discard and write zeroes.
    static constexpr u32 kMaxRangeSectors = 64 * 1024 * 1024 / kSectorSize, kMaxRanges = 16;

  private:
    // What is given back once the disk has done it.
    struct Pending {
        Chain chain;
        u64 bytes = 0;  // counted in pending_bytes_
    };

    [[nodiscard]] static std::vector<u8> make_space(const BlockConfig& config);
    [[nodiscard]] bool inside(u64 sector, u64 count) const;
    // Answers what needs no disk; else gives what to do.
    [[nodiscard]] std::optional<BlockRequest> decode(const Chain& chain, u8& status) const;
    [[nodiscard]] u8 decode_ranges(BlockRequest& request, std::span<const std::byte> body) const;
    void tell_serial(const Chain& chain);
    void answer(const Chain& chain, u8 status, std::span<const std::byte> data);

    static constexpr u16 kQueueSizes[] = {256};

    const BlockConfig config_;
    const std::vector<u8> space_;
    const Submit submit_;
    Queue* queue_ = nullptr;
    u64 features_ = 0;  // negotiated
    std::map<u64, Pending> pending_;
    u64 pending_bytes_ = 0;
    u64 next_id_;
    bool serving_ = false;  // inside queue_notified()
};

}  // namespace ennead::vmcore
