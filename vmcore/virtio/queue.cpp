// SPDX-License-Identifier: MIT
// Takes descriptor chains from a split virtqueue and gives them back.
#include "vmcore/virtio/queue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

namespace ennead::vmcore {
namespace {

// Ring fields are little-endian (virtio 1.2 §1.4) and copied as they are.
static_assert(std::endian::native == std::endian::little);

constexpr u16 kDescNext = 1;
constexpr u16 kDescWrite = 2;
constexpr u16 kDescIndirect = 4;
constexpr u16 kAvailNoInterrupt = 1;

constexpr unsigned kDescriptorSize = 16;
constexpr unsigned kUsedElementSize = 8;
constexpr unsigned kRingIndex = 2;  // flags come first, then idx, then the ring
constexpr unsigned kRingStart = 4;

std::atomic_ref<u16> shared(u8* field) {
    return std::atomic_ref<u16>(*reinterpret_cast<u16*>(field));
}

}  // namespace

const char* QueueConfig::defect(GuestRam& ram) const {
    if (!std::has_single_bit(size) || size > max_size) {
        return "queue size is not a power of two within the maximum";
    }
    if (raw(descriptors) % 16 != 0 || raw(driver) % 2 != 0 || raw(device) % 4 != 0) {
        return "queue area is misaligned";
    }
    if (!ram.span(descriptors, u64{kDescriptorSize} * size) ||
        !ram.span(driver, kRingStart + 2u * size + 2) ||
        !ram.span(device, kRingStart + kUsedElementSize * u64{size} + 2)) {
        return "queue area lies outside of memory";
    }
    return nullptr;
}

std::vector<std::span<const u8>> Chain::gather(std::vector<std::byte>& out,
                                               std::size_t most) const {
    out.reserve(out.size() + std::min<u64>(readable_bytes, most));
    std::vector<std::span<const u8>> rest;
    for (const auto& part : readable) {
        const auto bytes = std::as_bytes(part.first(std::min(part.size(), most)));
        out.insert(out.end(), bytes.begin(), bytes.end());
        most -= bytes.size();
        if (bytes.size() < part.size()) {
            rest.push_back(part.subspan(bytes.size()));
        }
    }
    return rest;
}

std::size_t Chain::scatter(std::span<const std::byte> bytes, u64 offset) const {
    std::size_t done = 0;
    for (const auto& part : writable) {
        if (offset >= part.size()) {
            offset -= part.size();
            continue;
        }
        const std::size_t n = std::min<std::size_t>(part.size() - offset, bytes.size() - done);
        if (n != 0) {
            std::memcpy(part.data() + offset, bytes.data() + done, n);
        }
        done += n;
        offset = 0;
        if (done == bytes.size()) {
            break;
        }
    }
    return done;
}

Queue::Queue(const QueueConfig& config, GuestRam& ram, u64 features, Hooks hooks)
    : ram_(ram),
      hooks_(std::move(hooks)),
      size_(config.size),
      event_idx_((features & kVirtioFEventIdx) != 0),
      indirect_((features & kVirtioFIndirectDesc) != 0),
      descriptors_(ram.base() + raw(config.descriptors)),
      available_(ram.base() + raw(config.driver)),
      used_(ram.base() + raw(config.device)) {
    assert(config.defect(ram) == nullptr);
}

u16 Queue::waiting() {
    // Orders with the driver's write barrier between the ring entry and idx (§2.7.13.3).
    const u16 index = shared(available_ + kRingIndex).load(std::memory_order_seq_cst);
    return static_cast<u16>(index - next_available_);
}

bool Queue::pop(Chain& chain) {
    if (stopped_) {
        return false;
    }
    u16 count = waiting();
    if (count == 0 && event_idx_) {
        // §2.7.10: avail_event asks for a notification with the next buffer. A buffer that came in
        // meanwhile brings none, so idx is looked at again; both accesses are seq_cst, which keeps
        // their order.
        shared(used_ + kRingStart + kUsedElementSize * size_)
            .store(next_available_, std::memory_order_seq_cst);
        count = waiting();
    }
    if (count == 0) {
        return false;
    }
    if (count > size_) {
        fail("available index is ahead of the ring");
        return false;
    }
    if (in_flight_ >= size_) {
        fail("more requests at once than the queue holds");
        return false;
    }
    u8* entry = available_ + kRingStart + 2u * (next_available_ & (size_ - 1u));
    const u16 head = shared(entry).load(std::memory_order_relaxed);
    if (const char* problem = collect(head, chain)) {
        fail(problem);
        return false;
    }
    ++next_available_;
    ++in_flight_;
    return true;
}

// Follows a chain; gives what is wrong with it, or null.
const char* Queue::collect(u16 head, Chain& chain) {
    chain.head = head;
    chain.readable.clear();
    chain.writable.clear();
    chain.readable_bytes = chain.writable_bytes = 0;

    std::span<const u8> table(descriptors_, std::size_t{kDescriptorSize} * size_);
    bool in_indirect = false;
    unsigned in_table = 0;  // descriptors followed in this table: more than it has means a loop
    unsigned buffers = 0;
    for (u16 index = head;;) {
        if (index >= table.size() / kDescriptorSize) {
            return "descriptor index is out of range";
        }
        if (++in_table > table.size() / kDescriptorSize) {
            return "descriptor chain has a loop";
        }
        Descriptor descriptor;
        std::memcpy(&descriptor, table.data() + std::size_t{kDescriptorSize} * index,
                    sizeof descriptor);
        if ((descriptor.flags & kDescIndirect) != 0) {
            if (in_indirect) {
                return "indirect descriptor inside an indirect table";
            }
            if (const char* problem = enter_indirect(descriptor, table)) {
                return problem;
            }
            in_indirect = true;
            in_table = 0;
            index = 0;
            continue;
        }
        if (const char* problem = add_buffer(descriptor, ++buffers, chain)) {
            return problem;
        }
        if ((descriptor.flags & kDescNext) == 0) {
            return nullptr;
        }
        index = descriptor.next;
    }
}

const char* Queue::enter_indirect(const Descriptor& descriptor, std::span<const u8>& table) const {
    if (!indirect_) {
        return "indirect descriptor without the feature";
    }
    // §2.7.5.3.1: NEXT must not be set beside INDIRECT. WRITE has no meaning here (§2.7.5.3.2).
    if ((descriptor.flags & kDescNext) != 0) {
        return "indirect descriptor with a next one";
    }
    if (descriptor.length == 0 || descriptor.length % kDescriptorSize != 0) {
        return "indirect table has a bad length";
    }
    const auto found = ram_.span(PhysAddr{descriptor.address}, descriptor.length);
    if (!found) {
        return "indirect table lies outside of memory";
    }
    table = *found;
    return nullptr;
}

const char* Queue::add_buffer(const Descriptor& descriptor, unsigned count, Chain& chain) {
    if (count > kMaxChain) {
        return "descriptor chain is too long";
    }
    if (descriptor.length == 0) {
        return "descriptor of length zero";
    }
    const auto buffer = ram_.span(PhysAddr{descriptor.address}, descriptor.length);
    if (!buffer) {
        return "buffer lies outside of memory";
    }
    if ((descriptor.flags & kDescWrite) != 0) {
        chain.writable.push_back(*buffer);
        chain.writable_bytes += descriptor.length;
        return nullptr;
    }
    // §2.7.4.2: device-readable elements come before device-writable ones.
    if (!chain.writable.empty()) {
        return "readable buffer after a writable one";
    }
    chain.readable.push_back(*buffer);
    chain.readable_bytes += descriptor.length;
    return nullptr;
}

void Queue::push(const Chain& chain, u32 written) {
    u64 left = written;
    for (const std::span<u8> part : chain.writable) {
        const u64 n = std::min<u64>(left, part.size());
        ram_.written(part.first(n));
        left -= n;
    }
    if (stopped_) {
        return;
    }
    assert(in_flight_ != 0);
    --in_flight_;
    const u32 element[2] = {chain.head, written};
    u8* const place = used_ + kRingStart + kUsedElementSize * (next_used_ & (size_ - 1u));
    std::memcpy(place, element, sizeof element);
    ram_.written({place, sizeof element});
    ++next_used_;
    // §2.7.14: the element must be seen before the index that announces it.
    shared(used_ + kRingIndex).store(next_used_, std::memory_order_release);
    ram_.written({used_ + kRingIndex, sizeof next_used_});
}

void Queue::scribbled(const Chain& chain) {
    for (const std::span<u8> part : chain.writable) {
        ram_.written(part);
    }
}

void Queue::signal() {
    if (stopped_ || next_used_ == signalled_used_) {
        return;
    }
    const u16 before = std::exchange(signalled_used_, next_used_);
    // The driver turns interrupts on, then looks at idx; we set idx, then look whether they are on.
    // Storing the index once more with seq_cst keeps these two of ours in order.
    shared(used_ + kRingIndex).store(next_used_, std::memory_order_seq_cst);
    bool wanted = false;
    if (event_idx_) {
        // §2.7.10: interrupt when the index has passed used_event since the last time.
        const u16 event =
            shared(available_ + kRingStart + 2u * size_).load(std::memory_order_seq_cst);
        wanted = static_cast<u16>(next_used_ - event - 1) < static_cast<u16>(next_used_ - before);
    } else {
        const u16 flags = shared(available_).load(std::memory_order_seq_cst);
        wanted = (flags & kAvailNoInterrupt) == 0;
    }
    if (wanted) {
        hooks_.interrupt();
    }
}

void Queue::fail(const char* what) {
    if (!stopped_) {
        stopped_ = true;
        hooks_.broken(what);
    }
}

}  // namespace ennead::vmcore
