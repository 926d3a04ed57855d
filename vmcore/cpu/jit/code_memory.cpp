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

void CodeMemory::commit(std::span<const u8> code) {
    std::memcpy(rw() + used_, code.data(), code.size());
    constexpr u64 kAlignment = 16;
    used_ = (used_ + code.size() + kAlignment - 1) & ~(kAlignment - 1);
}

void CodeMemory::patch_jump(const u8* where, const u8* target) {
    const auto distance = static_cast<i32>(target - (where + 4));
    std::memcpy(rw() + (where - rx()), &distance, sizeof distance);
}

}  // namespace ennead::vmcore::jit
