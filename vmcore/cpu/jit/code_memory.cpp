// SPDX-License-Identifier: MIT
// The two views of the code cache, and how bytes get into them.
#include "vmcore/cpu/jit/code_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace ennead::vmcore::jit {

CodeMemory::CodeMemory() {
    using asmjit::VirtMem::MemoryFlags;
    if (asmjit::VirtMem::allocDualMapping(&mapping_, kSize, MemoryFlags::kAccessRWX) !=
        asmjit::kErrorOk) {
        throw std::bad_alloc();
    }
    madvise(mapping_.rw, kSize, MADV_DONTDUMP);
    madvise(mapping_.rx, kSize, MADV_DONTDUMP);
}

CodeMemory::~CodeMemory() {
    asmjit::VirtMem::releaseDualMapping(&mapping_, kSize);
}

u8* CodeMemory::commit(u64 size) {
    u8* const to = rw() + used_;
    constexpr u64 kAlignment = 16;
    used_ = (used_ + size + kAlignment - 1) & ~(kAlignment - 1);
    // Pages by the dozen: a fault for each of them, in both views, would cost more than the
    // translation.
    constexpr u64 kStride = 256 * 1024;
    while (populated_ < used_) {
        madvise(rw() + populated_, kStride, MADV_POPULATE_WRITE);
        madvise(rx() + populated_, kStride, MADV_POPULATE_READ);
        populated_ += kStride;
    }
    return to;
}

void CodeMemory::patch(const u8* where, u32 value) {
    std::memcpy(rw() + (where - rx()), &value, sizeof value);
}

void CodeMemory::patch_jump(const u8* where, const u8* target) {
    patch(where, static_cast<u32>(target - (where + 4)));
}

}  // namespace ennead::vmcore::jit
