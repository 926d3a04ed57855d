// SPDX-License-Identifier: MIT
// What a guest cannot find out by itself: the PCI root with its windows and interrupts, how to power off, and how
// to tell of a panic.
//
// Everything here is interpreted by the guest while it boots, so there is nothing beyond what it needs. No
// device is named that would make it probe for something that is not there; the serial ports and the clock it
// finds at their usual addresses.
DefinitionBlock ("dsdt.aml", "DSDT", 1, "ENNEAD", "ENNEADPC", 0x00000001)
{
    // SLP_TYP 0 of PM1a_CNT is soft-off in a PIIX4.
    Name (\_S5, Package () { 0x00, 0x00, 0x00, 0x00 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0x00)

            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                // Configuration mechanism 1.
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                // The VGA window.
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
                // Between the top of RAM and the APICs.
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xC0000000, 0xFEBFFFFF, 0x00000000, 0x3EC00000)
            })

            // pvpanic. _STA: present, enabled, functioning, not shown to a user.
            Device (PEVT)
            {
                Name (_HID, "QEMU0001")
                Name (_STA, 0x0B)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0505, 0x0505, 0x01, 0x01)
                })
            }

            // PIRQA and B are wired to interrupt 10, PIRQC and D to 11, and the wires rotate by one from slot
            // to slot. All functions use INTA, so the other pins are not listed.
            Name (_PRT, Package ()
            {
                Package () { 0x0001FFFF, 0, 0, 10 }, Package () { 0x0002FFFF, 0, 0, 10 },
                Package () { 0x0003FFFF, 0, 0, 11 }, Package () { 0x0004FFFF, 0, 0, 11 },
                Package () { 0x0005FFFF, 0, 0, 10 }, Package () { 0x0006FFFF, 0, 0, 10 },
                Package () { 0x0007FFFF, 0, 0, 11 }, Package () { 0x0008FFFF, 0, 0, 11 },
                Package () { 0x0009FFFF, 0, 0, 10 }, Package () { 0x000AFFFF, 0, 0, 10 },
                Package () { 0x000BFFFF, 0, 0, 11 }, Package () { 0x000CFFFF, 0, 0, 11 },
                Package () { 0x000DFFFF, 0, 0, 10 }, Package () { 0x000EFFFF, 0, 0, 10 },
                Package () { 0x000FFFFF, 0, 0, 11 }, Package () { 0x0010FFFF, 0, 0, 11 },
                Package () { 0x0011FFFF, 0, 0, 10 }, Package () { 0x0012FFFF, 0, 0, 10 },
                Package () { 0x0013FFFF, 0, 0, 11 }, Package () { 0x0014FFFF, 0, 0, 11 },
                Package () { 0x0015FFFF, 0, 0, 10 }, Package () { 0x0016FFFF, 0, 0, 10 },
                Package () { 0x0017FFFF, 0, 0, 11 }, Package () { 0x0018FFFF, 0, 0, 11 },
                Package () { 0x0019FFFF, 0, 0, 10 }, Package () { 0x001AFFFF, 0, 0, 10 },
                Package () { 0x001BFFFF, 0, 0, 11 }, Package () { 0x001CFFFF, 0, 0, 11 },
                Package () { 0x001DFFFF, 0, 0, 10 }, Package () { 0x001EFFFF, 0, 0, 10 },
                Package () { 0x001FFFFF, 0, 0, 11 }
            })
        }
    }
}
