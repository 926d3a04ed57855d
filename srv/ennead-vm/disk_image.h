// SPDX-License-Identifier: MIT
// A disk's contents on the host: an image written through, or an image that stays as it is under a
// layer of changed sectors.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "srv/common/fd.h"
#include "synthfs/fault.h"
#include "vmcore/virtio/block.h"

namespace ennead::srv {

// Used by one thread at a time. Operations wait for the host's disk and give 0 or an errno; the
// sectors that they name lie inside. What ends in an error may have been done in part.
class DiskImage {
  public:
    using Range = vmcore::BlockRequest::Range;

    virtual ~DiskImage() = default;
    [[nodiscard]] virtual std::uint64_t sectors() const = 0;
    virtual int read(std::uint64_t sector, std::span<std::byte> data) = 0;
    virtual int write(std::uint64_t sector, std::span<const std::byte> data) = 0;
    // What was written is on stable storage. After one failure every later one fails too: the host
    // reports only once that it dropped what it could not write.
    virtual int flush() = 0;
    // The contents no longer matter; reads them as they were or as zeroes.
    virtual int discard(const Range& range) = 0;
    virtual int write_zeroes(const Range& range) = 0;

    // Of an image only whole sectors are seen: a shorter piece at its end is not.
    static synthfs::Checked<std::unique_ptr<DiskImage>> write_through(Fd image);

    // `image` is only read. `layer` has the changed sectors at their places, `map` a header and
    // then a bit for each sector that is in the layer. Both are set up if they are empty. EINVAL
    // with words if they belong to another image, or to this one as it was before somebody changed
    // it.
    //
    // A sector's data are written before its bit, and the bit before the write is answered: so
    // the end of the process at any moment loses nothing that was answered.
    static synthfs::Checked<std::unique_ptr<DiskImage>> copy_on_write(Fd image, Fd layer, Fd map);
};

}  // namespace ennead::srv
