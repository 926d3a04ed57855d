// SPDX-License-Identifier: MIT
// Makes, maps and clears guest RAM.
#include "vmcore/mem/guest_ram.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace ennead::vmcore {

Result<std::unique_ptr<GuestRam>> GuestRam::create(u64 size_bytes) {
    if (size_bytes < (1u << 20) || size_bytes > kMaxSize || size_bytes % kPageSize != 0) {
        return Error::bad_memory_size;
    }
    const auto last_error = [] { return std::error_code(errno, std::generic_category()); };
    const int fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (fd < 0) {
        return last_error();
    }
    if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) {
        const auto code = last_error();
        close(fd);
        return code;
    }
    void* base =
        mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        const auto code = last_error();
        close(fd);
        return code;
    }
    madvise(base, size_bytes, MADV_DONTDUMP);
    return std::unique_ptr<GuestRam>(new GuestRam(fd, static_cast<u8*>(base), size_bytes));
}

GuestRam::~GuestRam() {
    munmap(base_, size_);
    close(fd_);
}

std::optional<std::span<u8>> GuestRam::span(PhysAddr address, u64 length) {
    const u64 at = raw(address);
    if (at > size_ || length > size_ - at) {
        return std::nullopt;
    }
    return std::span<u8>(base_ + at, length);
}

void GuestRam::clear() {
    // Punching the whole file out drops the pages for every mapping at once.
    fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size_));
}

}  // namespace ennead::vmcore
