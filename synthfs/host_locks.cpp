// SPDX-License-Identifier: MIT
// The POSIX record locks of one file, between owners that are (client, process) pairs.
#include "synthfs/host_locks.h"

#include <iterator>
#include <limits>
#include <set>
#include <utility>

namespace ennead::synthfs {

namespace {

constexpr std::size_t kMaxRanges = 4096;
constexpr std::uint64_t kEnd = std::numeric_limits<std::uint64_t>::max();

std::uint64_t last_byte(std::uint64_t start, std::uint64_t length) {
    return length == 0 || length - 1 > kEnd - start ? kEnd : start + (length - 1);
}
std::uint64_t last_byte(const Lock& lock) {
    return last_byte(lock.start, lock.length);
}

}  // namespace

const LockTable::Range* LockTable::conflict(const Lock& lock) const {
    const std::uint64_t last = last_byte(lock);
    for (const Range& range : ranges_) {
        const bool same_owner = range.pid == lock.pid && range.client == lock.client;
        const bool overlap = range.first <= last && lock.start <= range.last;
        const bool exclusive = range.kind == Lock::Kind::write || lock.kind == Lock::Kind::write;
        if (!same_owner && overlap && exclusive) {
            return &range;
        }
    }
    return nullptr;
}

Result<> LockTable::set(const Lock& lock) {
    if (lock.kind != Lock::Kind::unlock && conflict(lock) != nullptr) {
        return error(EAGAIN);
    }
    const std::uint64_t last = last_byte(lock);
    std::vector<Range> kept;
    kept.reserve(ranges_.size() + 2);
    for (const Range& range : ranges_) {
        const bool same_owner = range.pid == lock.pid && range.client == lock.client;
        if (!same_owner || range.last < lock.start || last < range.first) {
            kept.push_back(range);
            continue;
        }
        if (range.first < lock.start) {
            kept.push_back(range);
            kept.back().last = lock.start - 1;
        }
        if (range.last > last) {
            kept.push_back(range);
            kept.back().first = last + 1;
        }
    }
    if (lock.kind != Lock::Kind::unlock) {
        kept.push_back({lock.kind, lock.start, last, lock.pid, lock.client});
    }
    if (kept.size() > kMaxRanges && kept.size() > ranges_.size()) {
        return error(ENOLCK);
    }
    ranges_ = std::move(kept);
    return success();
}

Lock LockTable::blocking(const Lock& lock) const {
    Lock found = lock;
    const Range* range = lock.kind == Lock::Kind::unlock ? nullptr : conflict(lock);
    if (range == nullptr) {
        found.kind = Lock::Kind::unlock;
        return found;
    }
    found.kind = range->kind;
    found.start = range->first;
    found.length = range->last == kEnd ? 0 : range->last - range->first + 1;
    found.pid = range->pid;
    found.client = range->client;
    return found;
}

std::vector<LockTable::Part> LockTable::strongest(std::uint64_t start, std::uint64_t length) const {
    const std::uint64_t last = last_byte(start, length);
    std::set<std::uint64_t> starts{start};  // of parts
    for (const Range& range : ranges_) {
        if (range.first > start && range.first <= last) {
            starts.insert(range.first);
        }
        if (range.last >= start && range.last < last) {
            starts.insert(range.last + 1);
        }
    }
    std::vector<Part> parts;
    for (auto at = starts.begin(); at != starts.end(); ++at) {
        const auto next = std::next(at);
        Part part{Lock::Kind::unlock, *at, next == starts.end() ? last : *next - 1};
        for (const Range& range : ranges_) {
            if (range.first <= part.first && part.last <= range.last &&
                part.kind != Lock::Kind::write) {
                part.kind = range.kind;
            }
        }
        parts.push_back(part);
    }
    return parts;
}

void LockTable::release(const std::string& client, std::uint32_t pid) {
    std::erase_if(ranges_,
                  [&](const Range& range) { return range.pid == pid && range.client == client; });
}

}  // namespace ennead::synthfs
