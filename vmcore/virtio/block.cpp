// SPDX-License-Identifier: MIT
// Requests as virtio 1.2 §5.2.6 lays them out: a header, data, one byte of status.
#include "vmcore/virtio/block.h"

#include <algorithm>
#include <cstring>

namespace ennead::vmcore {
namespace {

// Types and status, §5.2.6.
constexpr u32 kTypeIn = 0, kTypeOut = 1, kTypeFlush = 4, kTypeGetId = 8, kTypeDiscard = 11,
              kTypeWriteZeroes = 13;
constexpr u8 kOk = 0, kIoError = 1, kUnsupported = 2;

struct Header {
    u32 type;
    u32 reserved;
    u64 sector;
};
static_assert(sizeof(Header) == 16);

// struct virtio_blk_discard_write_zeroes
struct Segment {
    u64 sector;
    u32 sectors;
    u32 flags;
};
static_assert(sizeof(Segment) == 16);
constexpr u32 kSegmentUnmap = 1;

constexpr std::size_t kSerialSize = 20;

}  // namespace

VirtioBlock::VirtioBlock(BlockConfig config, u64 first_id, Submit submit)
    : config_(std::move(config)),
      space_(make_space(config_)),
      submit_(std::move(submit)),
      next_id_(first_id) {}

// struct virtio_blk_config, §5.2.4. What belongs to features that are not offered is zero.
std::vector<u8> VirtioBlock::make_space(const BlockConfig& config) {
    std::vector<u8> space(60);
    const auto put = [&space](std::size_t offset, auto value) {
        std::memcpy(space.data() + offset, &value, sizeof value);
    };
    put(0, config.sectors);
    put(8, kMaxSegment);
    put(12, kMaxSegments);
    put(20, kSectorSize);
    if (!config.read_only) {
        put(36, kMaxRangeSectors);  // discard: sectors, ranges, alignment
        put(40, kMaxRanges);
        put(44, u32{1});
        put(48, kMaxRangeSectors);  // write zeroes: sectors, ranges, may unmap
        put(52, kMaxRanges);
        put(56, u8{1});
    }
    return space;
}

u64 VirtioBlock::features() const {
    const u64 always = kFeatureSizeMax | kFeatureSegMax | kFeatureBlockSize | kFeatureFlush;
    return always | (config_.read_only ? kFeatureReadOnly : kFeatureDiscard | kFeatureWriteZeroes);
}

void VirtioBlock::activated(u64 features, std::span<Queue* const> queues) {
    features_ = features;
    queue_ = queues[0];
}

void VirtioBlock::reset() {
    pending_.clear();
    pending_bytes_ = 0;
    queue_ = nullptr;
}

void VirtioBlock::queue_notified(unsigned /*n*/) {
    serving_ = true;
    Chain chain;
    while (pending_bytes_ < kMaxPendingBytes && queue_->pop(chain)) {
        if (chain.readable_bytes < sizeof(Header) || chain.writable_bytes == 0) {
            queue_->fail("blk request without a header or without room for its status");
            break;
        }
        if (chain.readable_bytes + chain.writable_bytes > kMaxData) {
            queue_->fail("blk request is larger than size_max and seg_max allow");
            break;
        }
        u8 status = kOk;
        auto request = decode(chain, status);
        if (!request) {
            if (status == kOk) {
                tell_serial(chain);
            } else {
                answer(chain, status, {});
            }
            continue;
        }
        request->id = next_id_++;
        const u64 bytes = chain.readable_bytes + chain.writable_bytes;
        pending_bytes_ += bytes;
        pending_.emplace(request->id, Pending{std::exchange(chain, Chain{}), bytes});
        submit_(std::move(*request));
    }
    serving_ = false;
    queue_->signal();
}

bool VirtioBlock::inside(u64 sector, u64 count) const {
    return sector <= config_.sectors && count <= config_.sectors - sector;
}

std::optional<BlockRequest> VirtioBlock::decode(const Chain& chain, u8& status) const {
    std::vector<std::byte> bytes;
    chain.gather(bytes);
    Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    bytes.erase(bytes.begin(), bytes.begin() + sizeof header);

    BlockRequest request;
    request.sector = header.sector;
    request.durable = (features_ & kFeatureFlush) == 0;
    status = kIoError;
    switch (header.type) {
        case kTypeIn:
            request.kind = BlockRequest::Kind::read;
            if (const u64 room = chain.writable_bytes - 1;
                room % kSectorSize == 0 && inside(header.sector, room / kSectorSize)) {
                request.data.resize(room);
                return request;
            }
            return std::nullopt;
        case kTypeOut:
            request.kind = BlockRequest::Kind::write;
            if (!config_.read_only && bytes.size() % kSectorSize == 0 &&
                inside(header.sector, bytes.size() / kSectorSize)) {
                request.data = std::move(bytes);
                return request;
            }
            return std::nullopt;
        case kTypeFlush:
            request.kind = BlockRequest::Kind::flush;
            return request;
        case kTypeGetId:
            status = kOk;
            return std::nullopt;
        case kTypeDiscard:
        case kTypeWriteZeroes:
            request.kind = header.type == kTypeDiscard ? BlockRequest::Kind::discard
                                                       : BlockRequest::Kind::write_zeroes;
            status = decode_ranges(request, bytes);
            return status == kOk ? std::optional(std::move(request)) : std::nullopt;
        default:
            status = kUnsupported;
            return std::nullopt;
    }
}

u8 VirtioBlock::decode_ranges(BlockRequest& request, std::span<const std::byte> body) const {
    const bool discard = request.kind == BlockRequest::Kind::discard;
    // Both come with their features only (§5.2.6.1).
    if ((features_ & (discard ? kFeatureDiscard : kFeatureWriteZeroes)) == 0) {
        return kUnsupported;
    }
    if (body.empty() || body.size() % sizeof(Segment) != 0 ||
        body.size() / sizeof(Segment) > kMaxRanges) {
        return kIoError;
    }
    for (std::size_t at = 0; at < body.size(); at += sizeof(Segment)) {
        Segment segment;
        std::memcpy(&segment, body.data() + at, sizeof segment);
        // §5.2.6.2: unknown flags, and `unmap` of a discard, are unsupported.
        if ((segment.flags & ~(discard ? 0u : kSegmentUnmap)) != 0) {
            return kUnsupported;
        }
        if (segment.sectors > kMaxRangeSectors || !inside(segment.sector, segment.sectors)) {
            return kIoError;
        }
        request.ranges.push_back({.sector = segment.sector,
                                  .count = segment.sectors,
                                  .unmap = (segment.flags & kSegmentUnmap) != 0});
    }
    return kOk;
}

void VirtioBlock::tell_serial(const Chain& chain) {
    // §5.2.6.1: 20 bytes, padded with zeroes; no terminator if it is that long.
    std::vector<std::byte> serial(kSerialSize);
    std::memcpy(serial.data(), config_.serial.data(), std::min(config_.serial.size(), kSerialSize));
    const bool fits = chain.writable_bytes - 1 >= kSerialSize;
    answer(chain, fits ? kOk : kIoError, fits ? serial : std::vector<std::byte>());
}

void VirtioBlock::complete(u64 id, bool ok, std::span<const std::byte> data) {
    const auto at = pending_.find(id);
    if (at == pending_.end()) {
        return;
    }
    const Pending done = std::move(at->second);
    pending_.erase(at);
    pending_bytes_ -= done.bytes;
    answer(done.chain, ok ? kOk : kIoError, ok ? data : std::span<const std::byte>());
    if (serving_) {
        return;  // called from inside submit(): the loop there goes on
    }
    queue_->signal();
    if (!queue_->stopped()) {
        queue_notified(0);  // what had to wait for room
    }
}

// The status is the last writable byte; what lies before it and was not read is zeroed, since the
// driver is told that all of it was written.
void VirtioBlock::answer(const Chain& chain, u8 status, std::span<const std::byte> data) {
    const u64 room = chain.writable_bytes - 1;
    const std::size_t n = std::min<u64>(room, data.size());
    chain.scatter(data.first(n));
    if (n < room) {
        chain.scatter(std::vector<std::byte>(room - n), n);
    }
    const std::byte last[] = {std::byte{status}};
    chain.scatter(last, room);
    queue_->push(chain, static_cast<u32>(chain.writable_bytes));
}

}  // namespace ennead::vmcore
