// SPDX-License-Identifier: MIT
// The fids of a connection: each is given out once, opened at most once and released once.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "synthfs/node.h"

namespace ennead::p9 {

// Where a fid stands: a node and the way back to the root it was attached at. Shared by all fids
// that stand below it, so a rename is seen by all of them.
struct Place {
    Place(synthfs::NodePtr node, std::shared_ptr<Place> parent, std::string name)
        : node(std::move(node)), parent(std::move(parent)), name(std::move(name)) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // Frees the way up in a loop: a client can make it long enough to exhaust the stack otherwise.
    ~Place();

    synthfs::NodePtr node;
    std::shared_ptr<Place> parent;  // null at the root
    std::string name;               // within the parent
    std::uint64_t seen = 0;         // by which pass over all places (see FidTable::renamed)
};
using PlacePtr = std::shared_ptr<Place>;

// How many files are open at once: each holds a ticket as long as it holds its handle, which for a
// clunked fid is until the last request on it is answered.
class OpenLimit {
  public:
    using Ticket = std::shared_ptr<const void>;

    explicit OpenLimit(std::size_t limit) : limit_(limit) {}

    // Null if too many are open. A ticket may outlive the limit.
    [[nodiscard]] Ticket take() const {
        const auto given = static_cast<std::size_t>(source_.use_count()) - 1;
        return given < limit_ ? source_ : nullptr;
    }

  private:
    std::size_t limit_;
    Ticket source_ = std::make_shared<char>();
};

// Tells the rest of a read(2) of Linux's v9fs, which follows an answer that was shorter than asked
// for, from the next read(2).
class ReadOn {
  public:
    // A read of `count` bytes at `offset` was answered with `size`; `most` is what one message can
    // ask for.
    void answered(std::uint64_t offset, std::uint32_t count, std::uint64_t size,
                  std::uint32_t most) {
        expected_ = size > 0 && size < count;
        offset_ = offset + size;
        rest_ = static_cast<std::uint32_t>(count - size);
        cut_ = count >= most;
    }
    // Whether this is it; asked of each read once. A read(2) of more than a message can ask for has
    // a rest of any size from there on.
    [[nodiscard]] bool is_rest(std::uint64_t offset, std::uint32_t count) {
        return std::exchange(expected_, false) && offset == offset_ &&
               (count == rest_ || (cut_ && count > rest_));
    }

  private:
    bool expected_ = false, cut_ = false;
    std::uint64_t offset_ = 0;
    std::uint32_t rest_ = 0;
};

struct Fid {
    enum class Use { node, file, xattr_read, xattr_write };

    PlacePtr place;
    synthfs::Caller caller;
    Use use = Use::node;
    bool busy = false;  // an open or create of this fid is under way

    // Use::file
    OpenLimit::Ticket ticket;  // given back after the handle is gone
    synthfs::HandlePtr handle;
    int flags = 0;  // O_*
    bool remove_on_close = false;
    ReadOn read_on;  // of a stream
    // Of a directory read in 9P2000: where on the wire the next read goes on, where in the handle,
    // and records that did not fit.
    std::uint64_t stat_offset = 0, stat_cookie = 0;
    std::deque<std::string> stats_left;

    // Use::xattr_read: the value or the list. Use::xattr_write: what was written so far.
    std::string xattr_name, xattr_value;
    std::uint64_t xattr_size = 0;  // as announced
    int xattr_flags = 0;
};
using FidPtr = std::shared_ptr<Fid>;

class FidTable {
  public:
    explicit FidTable(std::size_t limit) : limit_(limit) {}

    // Null if there is none, or it is only reserved.
    [[nodiscard]] FidPtr find(std::uint32_t number) const;
    [[nodiscard]] std::size_t size() const { return fids_.size(); }

    // Takes a number for a fid to come: EINVAL if it is in use (or is NOFID), ENFILE if there are
    // too many.
    [[nodiscard]] synthfs::Result<> reserve(std::uint32_t number);
    // Fills a reserved number.
    void bind(std::uint32_t number, FidPtr fid);
    // Frees a number, reserved or bound; gives what was there.
    FidPtr release(std::uint32_t number);
    // Frees all numbers; gives what was there, null for those that were only reserved.
    [[nodiscard]] std::vector<FidPtr> take_all();

    // A file was renamed: every place that stood at the old name now stands at the new one.
    void renamed(const PlacePtr& old_parent, const std::string& old_name,
                 const PlacePtr& new_parent, const std::string& new_name);

  private:
    std::unordered_map<std::uint32_t, FidPtr> fids_;
    std::size_t limit_;
    std::uint64_t passes_ = 0;
};

}  // namespace ennead::p9
