// SPDX-License-Identifier: MIT
// One reservation of address space for a CPU: its state, what its engine keeps beside it, and its
// translation tables, at distances from each other that emitted code may know.
#pragma once

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Zero pages of the host until they are touched. vCPU thread only, but for what CpuState says.
class CpuArena {
  public:
    CpuArena();  // throws std::bad_alloc
    ~CpuArena();
    CpuArena(const CpuArena&) = delete;
    CpuArena& operator=(const CpuArena&) = delete;

    [[nodiscard]] CpuState& state() { return *reinterpret_cast<CpuState*>(base_); }

    // Offsets from the state, in bytes.
    static constexpr u32 kEngine = 4096;  // a page for the engine: fields of its own
    // Six flat tables of translations: {supervisor, user} x {read, write, fetch}.
    static constexpr u32 kTables = 64 * 1024;
    static constexpr u32 kTableBytes = (1u << 20) * sizeof(u64);
    // Two tables {supervisor, user} for the engine's indirect jumps, by the low bits of EIP.
    static constexpr u32 kJumpTables = kTables + 6 * kTableBytes;
    static constexpr u32 kJumpTableEntries = 1u << 16;
    static constexpr u32 kJumpEntryBytes = 16;
    static constexpr u32 kJumpTableBytes = kJumpTableEntries * kJumpEntryBytes;
    static constexpr u32 kSize = kJumpTables + 2 * kJumpTableBytes;

    static constexpr u32 table_offset(bool user, unsigned access) {
        return kTables + ((user ? 3u : 0u) + access) * kTableBytes;
    }
    static constexpr u32 jump_table_offset(bool user) {
        return kJumpTables + (user ? kJumpTableBytes : 0);
    }
    template <class T>
    [[nodiscard]] T* at(u32 offset) {
        return reinterpret_cast<T*>(base_ + offset);
    }

  private:
    u8* base_;
};

}  // namespace ennead::vmcore
