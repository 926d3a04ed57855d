// SPDX-License-Identifier: MIT
// The ACPI tables of the PC: built once, then placed in memory or handed to firmware.
#pragma once

#include <vector>

#include "vmcore/devices/fw_cfg.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

struct AcpiConfig {
    unsigned cpus = 1;    // local APICs 0 … cpus-1
    u16 pm_base = 0x600;  // the PIIX4's ACPI registers, as firmware places them
};

// Tables that point at each other by offset, with what must be done to them once their addresses
// are known.
struct AcpiTables {
    enum class Blob : u8 { rsdp, tables };
    struct Pointer {  // a little-endian field that holds an offset into blob `to`
        Blob in;
        u32 at;
        u8 size;
        Blob to;
    };
    struct Checksum {  // the byte at `at` makes `length` bytes from `start` sum up to 0
        Blob in;
        u32 start;
        u32 length;
        u32 at;
    };
    static constexpr u32 kRsdpAlign = 16;
    static constexpr u32 kTablesAlign = 64;  // the FACS asks for it

    std::vector<u8> rsdp;
    std::vector<u8> tables;
    std::vector<Pointer> pointers;
    std::vector<Checksum> checksums;

    [[nodiscard]] const std::vector<u8>& blob(Blob b) const {
        return b == Blob::rsdp ? rsdp : tables;
    }
    [[nodiscard]] std::vector<u8>& blob(Blob b) { return b == Blob::rsdp ? rsdp : tables; }
};

// RSDP, and FACS, DSDT, FADT, MADT, RSDT.
[[nodiscard]] AcpiTables build_acpi_tables(const AcpiConfig& config);

// The same with pointers and checksums filled in for these addresses (below 4 GiB, aligned as
// above).
[[nodiscard]] AcpiTables relocate_acpi_tables(AcpiTables tables, PhysAddr rsdp, PhysAddr others);

// For a guest entered without firmware: all tables in one piece at `at`, a multiple of 64 within
// 0xe0000…0xfffff, where kernels look for the RSDP (its address is `at`). image_too_large if they
// do not fit there or RAM ends before; bad_value for another place.
Result<> install_acpi_tables(GuestRam& ram, PhysAddr at, const AcpiConfig& config);

// For SeaBIOS: the files etc/acpi/rsdp, etc/acpi/tables and etc/table-loader, whose commands do the
// rest.
Result<> offer_acpi_tables(FwCfg& fw_cfg, const AcpiConfig& config);

}  // namespace ennead::vmcore
