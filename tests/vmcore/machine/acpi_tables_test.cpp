// SPDX-License-Identifier: MIT
// The ACPI tables as a kernel and as SeaBIOS would walk them.
#include "vmcore/machine/acpi_tables.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>

namespace ennead::vmcore {
namespace {

class AcpiTablesTest : public testing::Test {
  protected:
    template <class T>
    T get(u64 at) {
        T value;
        std::memcpy(&value, ram->base() + at, sizeof value);
        return value;
    }
    std::string text(u64 at, std::size_t n) {
        return {reinterpret_cast<const char*>(ram->base()) + at, n};
    }
    u8 sum(u64 at, u64 length) {
        u8 total = 0;
        for (u64 i = 0; i < length; i++) {
            total = static_cast<u8>(total + ram->base()[at + i]);
        }
        return total;
    }
    // The tables by signature, from the RSDP on, each with its checksum looked at.
    std::map<std::string, u64> walk(u64 rsdp) {
        std::map<std::string, u64> found;
        EXPECT_EQ(text(rsdp, 8), "RSD PTR ");
        EXPECT_EQ(sum(rsdp, 20), 0);
        const u64 rsdt = get<u32>(rsdp + 16);
        EXPECT_EQ(text(rsdt, 4), "RSDT");
        EXPECT_EQ(sum(rsdt, get<u32>(rsdt + 4)), 0);
        for (u64 i = 36; i < get<u32>(rsdt + 4); i += 4) {
            const u64 table = get<u32>(rsdt + i);
            EXPECT_EQ(sum(table, get<u32>(table + 4)), 0);
            found[text(table, 4)] = table;
        }
        return found;
    }

    std::unique_ptr<GuestRam> ram = GuestRam::create(2 << 20).value();
};

TEST_F(AcpiTablesTest, installed_tables_are_found_and_sum_up_to_zero) {
    ASSERT_TRUE(install_acpi_tables(*ram, PhysAddr{0xe0000}, {}));
    const auto tables = walk(0xe0000);
    ASSERT_TRUE(tables.count("FACP"));
    ASSERT_TRUE(tables.count("APIC"));
    const u64 fadt = tables.at("FACP");
    const u64 facs = get<u32>(fadt + 36);
    const u64 dsdt = get<u32>(fadt + 40);
    EXPECT_EQ(text(facs, 4), "FACS");
    EXPECT_EQ(facs % 64, 0u);
    EXPECT_EQ(text(dsdt, 4), "DSDT");
    EXPECT_EQ(sum(dsdt, get<u32>(dsdt + 4)), 0);
    EXPECT_EQ(get<u64>(fadt + 132), facs);
    EXPECT_EQ(get<u64>(fadt + 140), dsdt);
}

TEST_F(AcpiTablesTest, fadt_describes_the_piix4) {
    ASSERT_TRUE(install_acpi_tables(*ram, PhysAddr{0xe0000}, {.cpus = 1, .pm_base = 0xb000}));
    const u64 f = walk(0xe0000).at("FACP");
    EXPECT_EQ(get<u32>(f + 4), 244u);
    EXPECT_EQ(get<u8>(f + 8), 3);
    EXPECT_EQ(get<u16>(f + 46), 9);  // SCI_INT
    EXPECT_EQ(get<u32>(f + 48), 0xb2u);
    EXPECT_EQ(get<u8>(f + 52), 0xf1);  // ACPI_ENABLE
    EXPECT_EQ(get<u32>(f + 56), 0xb000u);
    EXPECT_EQ(get<u32>(f + 64), 0xb004u);
    EXPECT_EQ(get<u32>(f + 76), 0xb008u);
    EXPECT_EQ(get<u32>(f + 80), 0xb00cu);
    EXPECT_EQ(get<u8>(f + 88), 4);  // PM1_EVT_LEN
    EXPECT_EQ(get<u8>(f + 89), 2);
    EXPECT_EQ(get<u8>(f + 91), 4);
    EXPECT_EQ(get<u8>(f + 92), 4);
    EXPECT_EQ(get<u8>(f + 108), 0x32);  // CENTURY
    EXPECT_EQ(get<u16>(f + 109), 0x0005);
    EXPECT_EQ(get<u32>(f + 112) & 0x410, 0x400u);  // reset register; a fixed power button
    EXPECT_EQ(get<u8>(f + 116), 1);
    EXPECT_EQ(get<u64>(f + 120), 0xcf9u);
    EXPECT_EQ(get<u8>(f + 128), 6);
    EXPECT_EQ(get<u64>(f + 148 + 4), 0xb000u);
    EXPECT_EQ(get<u64>(f + 172 + 4), 0xb004u);
    EXPECT_EQ(get<u64>(f + 208 + 4), 0xb008u);
    EXPECT_EQ(get<u64>(f + 220 + 4), 0xb00cu);
}

TEST_F(AcpiTablesTest, madt_lists_apics_and_overrides) {
    ASSERT_TRUE(install_acpi_tables(*ram, PhysAddr{0xe0000}, {.cpus = 2}));
    const u64 m = walk(0xe0000).at("APIC");
    EXPECT_EQ(get<u32>(m + 36), 0xfee00000u);
    EXPECT_EQ(get<u32>(m + 40), 1u);
    unsigned cpus = 0;
    unsigned ioapics = 0;
    std::map<u8, std::pair<u32, u16>> overrides;
    u64 at = m + 44;
    const u64 end = m + get<u32>(m + 4);
    while (at < end) {
        const u8 length = get<u8>(at + 1);
        ASSERT_GE(length, 2);
        switch (get<u8>(at)) {
            case 0:
                EXPECT_EQ(get<u8>(at + 3), cpus++);
                break;
            case 1:
                ioapics++;
                EXPECT_EQ(get<u32>(at + 4), 0xfec00000u);
                EXPECT_EQ(get<u32>(at + 8), 0u);
                break;
            case 2:
                overrides[get<u8>(at + 3)] = {get<u32>(at + 4), get<u16>(at + 8)};
                break;
            default:
                break;
        }
        at += length;
    }
    EXPECT_EQ(at, end);
    EXPECT_EQ(cpus, 2u);
    EXPECT_EQ(ioapics, 1u);
    EXPECT_EQ(overrides[0], std::make_pair(u32{2}, u16{0}));
    for (const u8 irq : {u8{9}, u8{10}, u8{11}}) {
        EXPECT_EQ(overrides[irq], std::make_pair(u32{irq}, u16{0x0d}));
    }
}

TEST_F(AcpiTablesTest, bad_places_are_refused) {
    EXPECT_EQ(install_acpi_tables(*ram, PhysAddr{0xd0000}, {}).error(), Error::bad_value);
    EXPECT_EQ(install_acpi_tables(*ram, PhysAddr{0x100000}, {}).error(), Error::bad_value);
    EXPECT_EQ(install_acpi_tables(*ram, PhysAddr{0xe0010}, {}).error(), Error::bad_value);
    EXPECT_EQ(install_acpi_tables(*ram, PhysAddr{0xfffc0}, {}).error(), Error::image_too_large);
}

// Carries out etc/table-loader as SeaBIOS does.
TEST_F(AcpiTablesTest, loader_commands_give_the_same_tables) {
    FwCfg fw(*ram);
    ASSERT_TRUE(offer_acpi_tables(fw, {}));
    struct File {
        u16 key;
        u32 size;
        u64 at;
    };
    std::map<std::string, File> files;
    const auto take = [&](std::size_t n) {
        std::string s;
        for (std::size_t i = 0; i < n; i++) {
            s.push_back(static_cast<char>(fw.ports().read(1, 1)));
        }
        return s;
    };
    const auto be = [](const std::string& s) {
        u32 v = 0;
        for (const char c : s) {
            v = v << 8 | static_cast<u8>(c);
        }
        return v;
    };
    fw.ports().write(0, 2, FwCfg::kFileDirectory);
    for (u32 n = be(take(4)); n != 0; n--) {
        const u32 size = be(take(4));
        const u16 key = static_cast<u16>(be(take(2)));
        take(2);
        files[take(56).c_str()] = {key, size, 0};
    }
    const auto contents = [&](const std::string& name) {
        fw.ports().write(0, 2, files.at(name).key);
        return take(files.at(name).size);
    };
    const std::string script = contents("etc/table-loader");
    ASSERT_EQ(script.size() % 128, 0u);
    const auto number = [](const std::string& s, std::size_t at, std::size_t n) {
        u64 v = 0;
        std::memcpy(&v, s.data() + at, n);
        return v;
    };
    u64 high = 0x180000;
    u64 low = 0xf0000;
    for (std::size_t at = 0; at < script.size(); at += 128) {
        const std::string c = script.substr(at, 128);
        const std::string first = c.substr(4, 56).c_str();
        switch (number(c, 0, 4)) {
            case 1: {
                u64& place = c[64] == 2 ? low : high;
                EXPECT_EQ(place % number(c, 60, 4), 0u);
                const std::string data = contents(first);
                std::memcpy(ram->base() + place, data.data(), data.size());
                files.at(first).at = place;
                place += 0x1000;
                break;
            }
            case 2: {
                const u64 field = files.at(first).at + number(c, 116, 4);
                const u64 target = files.at(c.substr(60, 56).c_str()).at;
                if (c[120] == 4) {
                    const u32 v = get<u32>(field) + static_cast<u32>(target);
                    std::memcpy(ram->base() + field, &v, 4);
                } else {
                    EXPECT_EQ(c[120], 8);
                    const u64 v = get<u64>(field) + target;
                    std::memcpy(ram->base() + field, &v, 8);
                }
                break;
            }
            case 3: {
                const u64 base = files.at(first).at;
                u8& check = ram->base()[base + number(c, 60, 4)];
                check = static_cast<u8>(check - sum(base + number(c, 64, 4), number(c, 68, 4)));
                break;
            }
            default:
                FAIL() << "unknown command";
        }
    }
    const auto tables = walk(0xf0000);
    EXPECT_TRUE(tables.count("FACP"));
    EXPECT_TRUE(tables.count("APIC"));
    EXPECT_EQ(text(get<u32>(tables.at("FACP") + 40), 4), "DSDT");
}

}  // namespace
}  // namespace ennead::vmcore
