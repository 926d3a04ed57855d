// SPDX-License-Identifier: MIT
// Reserves the arena and puts a CPU's state at its start.
#include "vmcore/cpu/arena.h"

#include <sys/mman.h>

#include <new>

namespace ennead::vmcore {

static_assert(sizeof(CpuState) <= CpuArena::kEngine);

CpuArena::CpuArena() {
    void* base = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        throw std::bad_alloc();
    }
    madvise(base, kSize, MADV_DONTDUMP);
    base_ = static_cast<u8*>(base);
    new (base_) CpuState;
}

CpuArena::~CpuArena() {
    state().~CpuState();
    munmap(base_, kSize);
}

}  // namespace ennead::vmcore
