// SPDX-License-Identifier: MIT
// Contents of the tables (ACPI specification 3.0, chapter 5) and the loader commands of QEMU's
// firmware interface.
#include "vmcore/machine/acpi_tables.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "vmcore/devices/acpi_pm.h"
#include "vmcore/devices/apic.h"
#include "vmcore/devices/ioapic.h"

namespace ennead::vmcore {
namespace {

#include "gen/dsdt.hex"

using Blob = AcpiTables::Blob;

constexpr u32 kHeaderLength = 36;
constexpr u32 kHeaderChecksum = 9;

// Appends little-endian fields.
class Writer {
  public:
    explicit Writer(std::vector<u8>& out) : out_(out) {}

    [[nodiscard]] u32 at() const { return static_cast<u32>(out_.size()); }
    Writer& number(u64 value, unsigned size) {
        for (unsigned i = 0; i < size; i++) {
            out_.push_back(static_cast<u8>(value >> (8 * i)));
        }
        return *this;
    }
    Writer& u8_(u64 v) { return number(v, 1); }
    Writer& u16_(u64 v) { return number(v, 2); }
    Writer& u32_(u64 v) { return number(v, 4); }
    Writer& text(std::string_view s, std::size_t size) {
        for (std::size_t i = 0; i < size; i++) {
            out_.push_back(i < s.size() ? static_cast<u8>(s[i]) : 0);
        }
        return *this;
    }
    Writer& zeros(std::size_t n) { return text({}, n); }
    // Generic address structure of an I/O port.
    Writer& io_address(u64 port, unsigned bits) {
        return u8_(1).u8_(bits).u8_(0).u8_(0).number(port, 8);
    }
    void align(std::size_t n) { zeros((n - out_.size() % n) % n); }

  private:
    std::vector<u8>& out_;
};

class Builder {
  public:
    explicit Builder(const AcpiConfig& config) : config_(config) {}

    AcpiTables build() {
        // The order puts the FACS at the start of the blob, for its alignment.
        const u32 facs = add_facs();
        const u32 dsdt = add_dsdt();
        const u32 fadt = add_fadt(facs, dsdt);
        const u32 madt = add_madt();
        const u32 rsdt = add_rsdt({fadt, madt});
        add_rsdp(rsdt);
        return std::move(result_);
    }

  private:
    // A field of `size` bytes that will hold the address of `target` in the tables' blob.
    void pointer(Blob in, u32 target, u8 size) {
        Writer w(result_.blob(in));
        result_.pointers.push_back({in, w.at(), size, Blob::tables});
        w.number(target, size);
    }

    u32 begin(std::string_view signature, u8 revision) {
        out_.align(16);
        const u32 start = out_.at();
        out_.text(signature, 4).u32_(0).u8_(revision).u8_(0).text("ENNEAD", 6).text("ENNEADPC", 8);
        out_.u32_(1).text("ENND", 4).u32_(1);
        return start;
    }

    u32 end(u32 start) {
        const u32 length = out_.at() - start;
        for (unsigned i = 0; i < 4; i++) {
            result_.tables[start + 4 + i] = static_cast<u8>(length >> (8 * i));
        }
        result_.checksums.push_back({Blob::tables, start, length, start + kHeaderChecksum});
        return start;
    }

    u32 add_facs() {
        const u32 start = out_.at();
        out_.text("FACS", 4).u32_(64).zeros(56);  // no waking vector, no global lock, version 0
        return start;
    }

    u32 add_dsdt() {
        out_.align(16);
        const u32 start = out_.at();
        result_.tables.insert(result_.tables.end(), std::begin(dsdt_aml_code),
                              std::end(dsdt_aml_code));
        return start;  // complete, its checksum too
    }

    u32 add_fadt(u32 facs, u32 dsdt);
    u32 add_madt();

    u32 add_rsdt(std::initializer_list<u32> tables) {
        const u32 start = begin("RSDT", 1);
        for (const u32 t : tables) {
            pointer(Blob::tables, t, 4);
        }
        return end(start);
    }

    // Revision 0, as a table of 32-bit pointers needs no more: §5.2.5.3.
    void add_rsdp(u32 rsdt) {
        Writer w(result_.rsdp);
        w.text("RSD PTR ", 8).u8_(0).text("ENNEAD", 6).u8_(0);
        pointer(Blob::rsdp, rsdt, 4);
        result_.checksums.push_back({Blob::rsdp, 0, w.at(), 8});
    }

    const AcpiConfig& config_;
    AcpiTables result_;
    Writer out_{result_.tables};
};

// Fixed ACPI description table, §5.2.9; revision 3 is the first with a reset register that kernels
// believe.
u32 Builder::add_fadt(u32 facs, u32 dsdt) {
    constexpr u32 kWbinvd = 1u << 0;
    constexpr u32 kProcC1 = 1u << 2;
    constexpr u32 kNoSleepButton =
        1u << 5;  // in the fixed registers; the power button is (bit 4 clear)
    constexpr u32 kNoRtcWake = 1u << 6;
    constexpr u32 kResetRegister = 1u << 10;
    // IAPC_BOOT_ARCH: legacy devices (serial ports) are there; bit 1 clear: no 8042 worth probing;
    // bit 2: no VGA; bit 5 clear: the CMOS clock is there.
    constexpr u16 kLegacyDevices = 1u << 0;
    constexpr u16 kNoVga = 1u << 2;
    const u32 pm = config_.pm_base;

    const u32 start = begin("FACP", 3);
    pointer(Blob::tables, facs, 4);
    pointer(Blob::tables, dsdt, 4);
    out_.u8_(0).u8_(0);  // reserved, preferred profile: unspecified
    out_.u16_(9);        // SCI_INT
    out_.u32_(AcpiPm::kSmiCommandPort).u8_(AcpiPm::kAcpiEnable).u8_(AcpiPm::kAcpiDisable);
    out_.u8_(0).u8_(0);  // S4BIOS_REQ, PSTATE_CNT
    out_.u32_(pm + AcpiPm::kPm1Event).u32_(0);
    out_.u32_(pm + AcpiPm::kPm1Control).u32_(0);
    out_.u32_(0);  // PM2_CNT_BLK
    out_.u32_(pm + AcpiPm::kPmTimer);
    out_.u32_(pm + AcpiPm::kGpe0).u32_(0);
    out_.u8_(4).u8_(2).u8_(0).u8_(4).u8_(4).u8_(0).u8_(0);  // lengths of the blocks; GPE1_BASE
    out_.u8_(0);                                            // CST_CNT
    out_.u16_(0xfff).u16_(0xfff);                           // no C2, no C3
    out_.u16_(0).u16_(0).u8_(0).u8_(0);                     // cache flush, duty cycle
    out_.u8_(0).u8_(0).u8_(0x32);                           // no day or month alarm; CENTURY
    out_.u16_(kLegacyDevices | kNoVga).u8_(0);
    out_.u32_(kWbinvd | kProcC1 | kNoSleepButton | kNoRtcWake | kResetRegister);
    out_.io_address(0xcf9, 8).u8_(0x06).zeros(3);
    pointer(Blob::tables, facs, 8);
    pointer(Blob::tables, dsdt, 8);
    out_.io_address(pm + AcpiPm::kPm1Event, 32).zeros(12);
    out_.io_address(pm + AcpiPm::kPm1Control, 16).zeros(12);
    out_.zeros(12);
    out_.io_address(pm + AcpiPm::kPmTimer, 32);
    out_.io_address(pm + AcpiPm::kGpe0, 32).zeros(12);
    return end(start);
}

// Multiple APIC description table, §5.2.12.
u32 Builder::add_madt() {
    constexpr u16 kHighLevel = 0x000d;  // active high, level triggered
    const u32 start = begin("APIC", 1);
    out_.u32_(LocalApic::kDefaultBase).u32_(1);  // PCAT_COMPAT: the 8259 pair is there too
    for (unsigned i = 0; i < config_.cpus; i++) {
        out_.u8_(0).u8_(8).u8_(i).u8_(i).u32_(1);  // processor, APIC ID, enabled
    }
    out_.u8_(1).u8_(12).u8_(0).u8_(0).u32_(IoApic::kBase).u32_(0);
    const auto override = [this](u8 irq, u32 gsi, u16 flags) {
        out_.u8_(2).u8_(10).u8_(0).u8_(irq).u32_(gsi).u16_(flags);
    };
    override(0, 2, 0);
    override(9, 9, kHighLevel);    // SCI
    override(10, 10, kHighLevel);  // PCI
    override(11, 11, kHighLevel);
    out_.u8_(4).u8_(6).u8_(0xff).u16_(0).u8_(1);  // NMI: LINT1 of every processor
    return end(start);
}

u8 sum(const std::vector<u8>& bytes, u32 start, u32 length) {
    u8 total = 0;
    for (u32 i = start; i < start + length; i++) {
        total = static_cast<u8>(total + bytes[i]);
    }
    return total;
}

// The files' names, and the commands of etc/table-loader: 128 bytes each, little-endian.
constexpr std::size_t kNameSize = 56;
constexpr std::size_t kCommandSize = 128;

std::string_view file_name(Blob b) {
    return b == Blob::rsdp ? "etc/acpi/rsdp" : "etc/acpi/tables";
}

std::vector<u8> loader_commands(const AcpiTables& t) {
    constexpr u32 kAllocate = 1, kAddPointer = 2, kAddChecksum = 3;
    constexpr u8 kZoneHigh = 1, kZoneFseg = 2;
    std::vector<u8> out;
    Writer w(out);
    w.u32_(kAllocate).text(file_name(Blob::rsdp), kNameSize);
    w.u32_(AcpiTables::kRsdpAlign).u8_(kZoneFseg).align(kCommandSize);
    w.u32_(kAllocate).text(file_name(Blob::tables), kNameSize);
    w.u32_(AcpiTables::kTablesAlign).u8_(kZoneHigh).align(kCommandSize);
    for (const auto& p : t.pointers) {
        w.u32_(kAddPointer).text(file_name(p.in), kNameSize).text(file_name(p.to), kNameSize);
        w.u32_(p.at).u8_(p.size).align(kCommandSize);
    }
    for (const auto& c : t.checksums) {
        w.u32_(kAddChecksum).text(file_name(c.in), kNameSize);
        w.u32_(c.at).u32_(c.start).u32_(c.length).align(kCommandSize);
    }
    return out;
}

}  // namespace

AcpiTables build_acpi_tables(const AcpiConfig& config) {
    return Builder(config).build();
}

AcpiTables relocate_acpi_tables(AcpiTables t, PhysAddr rsdp, PhysAddr others) {
    for (const auto& p : t.pointers) {
        u8* field = &t.blob(p.in)[p.at];
        u64 value = 0;
        for (unsigned i = 0; i < p.size; i++) {
            value |= u64{field[i]} << (8 * i);
        }
        value += raw(p.to == Blob::rsdp ? rsdp : others);
        for (unsigned i = 0; i < p.size; i++) {
            field[i] = static_cast<u8>(value >> (8 * i));
        }
    }
    for (const auto& c : t.checksums) {
        std::vector<u8>& bytes = t.blob(c.in);
        bytes[c.at] = 0;
        bytes[c.at] = static_cast<u8>(-sum(bytes, c.start, c.length));
    }
    return t;
}

Result<> install_acpi_tables(GuestRam& ram, PhysAddr at, const AcpiConfig& config) {
    if (raw(at) < 0xe0000 || raw(at) > 0xfffff || raw(at) % AcpiTables::kTablesAlign != 0) {
        return Error::bad_value;
    }
    AcpiTables t = build_acpi_tables(config);
    const u64 gap = (t.rsdp.size() + AcpiTables::kTablesAlign - 1) / AcpiTables::kTablesAlign *
                    AcpiTables::kTablesAlign;
    const u64 length = gap + t.tables.size();
    const auto space = ram.span(at, length);
    if (!space || raw(at) + length > 0x100000) {
        return Error::image_too_large;
    }
    t = relocate_acpi_tables(std::move(t), at, at + gap);
    std::copy(t.rsdp.begin(), t.rsdp.end(), space->begin());
    std::copy(t.tables.begin(), t.tables.end(), space->begin() + static_cast<std::ptrdiff_t>(gap));
    return success();
}

Result<> offer_acpi_tables(FwCfg& fw_cfg, const AcpiConfig& config) {
    const AcpiTables t = build_acpi_tables(config);
    if (auto r = fw_cfg.add_file(file_name(Blob::rsdp), t.rsdp); !r) {
        return r.error();
    }
    if (auto r = fw_cfg.add_file(file_name(Blob::tables), t.tables); !r) {
        return r.error();
    }
    return fw_cfg.add_file("etc/table-loader", loader_commands(t));
}

}  // namespace ennead::vmcore
