// SPDX-License-Identifier: MIT
// Priorities, initialisation and operation words of the 8259A pair (Intel data sheet 231468; PIIX3
// data sheet 290550 for what the chipset changes).
#include "vmcore/devices/pic8259.h"

#include <utility>

namespace ennead::vmcore {
namespace {

// PIIX3 ELCR1/ELCR2: the timer, keyboard, cascade, RTC and FERR inputs are always edge triggered.
constexpr std::array<u8, 2> kElcrWritable = {0xf8, 0xde};

// Priority of an input, 0 the highest, when `lowest` has the lowest.
constexpr unsigned priority(unsigned input, unsigned lowest) {
    return (input - lowest - 1) & 7;
}

// The input of highest priority among `mask`, or -1.
constexpr int first(u8 mask, unsigned lowest) {
    for (unsigned i = 1; i <= 8; i++) {
        const unsigned input = (lowest + i) & 7;
        if ((mask >> input) & 1) {
            return static_cast<int>(input);
        }
    }
    return -1;
}

}  // namespace

Pic8259::Pic8259(IrqLine intr) : intr_line_(std::move(intr)) {
    reset();
}

void Pic8259::reset() {
    for (Chip& c : chips_) {
        const u8 lines = c.lines;
        c = Chip{};
        c.lines = lines;
        // The data sheet leaves the mask undefined before ICW1. All masked keeps a line that is
        // already high from being delivered with a meaningless vector.
        c.imr = 0xff;
    }
    update();
}

void Pic8259::set_irq(unsigned irq, bool asserted) {
    if (irq > 15 || irq == kCascade) {
        return;
    }
    Chip& c = chips_[irq >> 3];
    const u8 bit = static_cast<u8>(1u << (irq & 7));
    if (asserted == ((c.lines & bit) != 0)) {
        return;
    }
    if (asserted) {
        c.lines |= bit;
        if ((c.elcr & bit) == 0) {
            c.edges |= bit;
        }
    } else {
        // "The IR inputs must remain high until after the falling edge of the first INTA": a
        // request withdrawn before that is gone in edge mode too.
        c.lines &= static_cast<u8>(~bit);
        c.edges &= static_cast<u8>(~bit);
    }
    update();
}

u8 Pic8259::irr(unsigned chip) const {
    u8 value = chips_[chip].irr();
    // The cascade is taken as a level: between two requests the slave's INT falls for less time
    // than any observer could see.
    if (chip == kMaster && request(kSlave) != kNone) {
        value |= 1u << kCascade;
    }
    return value;
}

int Pic8259::request(unsigned chip) const {
    const Chip& c = chips_[chip];
    const u8 requests = irr(chip) & static_cast<u8>(~c.imr);
    if (c.init_step != 0 || requests == 0) {
        return kNone;
    }
    u8 inhibiting = c.isr;
    if (c.special_mask) {
        // Special mask mode: a masked level in service no longer inhibits lower ones.
        inhibiting &= static_cast<u8>(~c.imr);
    }
    if (c.special_fully_nested && chip == kMaster) {
        // Special fully nested mode: the slave's higher priorities get through while it is in
        // service.
        inhibiting &= static_cast<u8>(~(1u << kCascade));
    }
    const int best = first(requests, c.lowest);
    const int busy = first(inhibiting, c.lowest);
    if (busy != kNone && priority(busy, c.lowest) <= priority(best, c.lowest)) {
        return kNone;
    }
    return best;
}

bool Pic8259::pending(unsigned irq) const {
    if (irq > 15) {
        return false;
    }
    const Chip& c = chips_[irq >> 3];
    return ((c.irr() & ~c.imr) >> (irq & 7)) & 1;
}

void Pic8259::put_in_service(unsigned chip, unsigned input) {
    Chip& c = chips_[chip];
    const u8 bit = static_cast<u8>(1u << input);
    c.edges &= static_cast<u8>(~bit);
    if (!c.auto_eoi) {
        c.isr |= bit;
    } else if (c.rotate_on_auto_eoi) {
        c.lowest = static_cast<u8>(input);
    }
}

u8 Pic8259::acknowledge() {
    const int input = request(kMaster);
    u8 vector;
    if (input == kNone) {
        // "If no interrupt request is present … the 8259A will issue an interrupt level 7"; no ISR
        // bit.
        vector = chips_[kMaster].base | 7;
    } else {
        // The slave is asked first: its INT is what the master's own bit 2 stands for.
        const int slave_input = input == kCascade ? request(kSlave) : kNone;
        put_in_service(kMaster, static_cast<unsigned>(input));
        if (input != static_cast<int>(kCascade)) {
            vector = static_cast<u8>(chips_[kMaster].base | input);
        } else if (slave_input == kNone) {
            vector = chips_[kSlave].base | 7;
        } else {
            put_in_service(kSlave, static_cast<unsigned>(slave_input));
            vector = static_cast<u8>(chips_[kSlave].base | slave_input);
        }
    }
    update();
    return vector;
}

void Pic8259::set_elcr(u16 level_triggered) {
    write_elcr(0, 1, level_triggered & 0xff);
    write_elcr(1, 1, level_triggered >> 8);
}

void Pic8259::write_elcr(u64 offset, unsigned, u32 v) {
    Chip& c = chips_[offset & 1];
    c.elcr = static_cast<u8>(v) & kElcrWritable[offset & 1];
    c.edges &= static_cast<u8>(~c.elcr);
    update();
}

u8 Pic8259::read_chip(unsigned chip, unsigned a0) {
    Chip& c = chips_[chip];
    if (c.poll) {
        // Poll command: the next read, at either address, is the INTA.
        c.poll = false;
        const int input = request(chip);
        if (input == kNone) {
            return 0;
        }
        put_in_service(chip, static_cast<unsigned>(input));
        update();
        return static_cast<u8>(0x80 | input);
    }
    if (a0 != 0) {
        return c.imr;
    }
    return c.read_isr ? c.isr : irr(chip);
}

void Pic8259::write_chip(unsigned chip, unsigned a0, u8 value) {
    Chip& c = chips_[chip];
    if (a0 == 0) {
        if (value & 0x10) {
            write_icw1(c, value);
        } else if (value & 0x08) {
            write_ocw3(c, value);
        } else {
            write_ocw2(c, value);
        }
    } else if (c.init_step != 0) {
        write_icw(c, value);
    } else {
        c.imr = value;
    }
    update();
}

// ICW1 resets the edge sense circuit, the mask, the priorities, special mask mode and the read
// selection. Its LTIM bit has no function in a PIIX3: ELCR decides.
void Pic8259::write_icw1(Chip& c, u8 value) {
    const u8 lines = c.lines;
    const u8 elcr = c.elcr;
    const u8 base = c.base;
    c = Chip{};
    c.lines = lines;
    c.elcr = elcr;
    c.base = base;
    c.init_step = 2;
    c.single = (value & 0x02) != 0;
    c.icw4_follows = (value & 0x01) != 0;
}

void Pic8259::write_icw(Chip& c, u8 value) {
    switch (c.init_step) {
        case 2:
            c.base = value & 0xf8;
            c.init_step = !c.single ? 3 : c.icw4_follows ? 4 : 0;
            break;
        case 3:
            // Which input carries a slave is soldered on a PC, so ICW3 changes nothing.
            c.init_step = c.icw4_follows ? 4 : 0;
            break;
        default:
            // Bits 3…2 (buffered mode) have no function on a PC; bit 0 clear would ask for the
            // three-byte CALL of an 8080, which no x86 CPU takes.
            c.special_fully_nested = (value & 0x10) != 0;
            c.auto_eoi = (value & 0x02) != 0;
            c.init_step = 0;
            break;
    }
}

int Pic8259::highest_in_service(const Chip& c) {
    // In special mask mode a non-specific EOI leaves masked levels alone.
    const u8 isr = c.special_mask ? c.isr & static_cast<u8>(~c.imr) : c.isr;
    return first(isr, c.lowest);
}

void Pic8259::write_ocw2(Chip& c, u8 value) {
    const unsigned level = value & 7;
    switch (value >> 5) {
        case 0:
            c.rotate_on_auto_eoi = false;
            break;
        case 4:
            c.rotate_on_auto_eoi = true;
            break;
        case 1:    // non-specific EOI
        case 5: {  // … and rotate
            const int input = highest_in_service(c);
            if (input != kNone) {
                c.isr &= static_cast<u8>(~(1u << input));
                if (value & 0x80) {
                    c.lowest = static_cast<u8>(input);
                }
            }
            break;
        }
        case 3:  // specific EOI
            c.isr &= static_cast<u8>(~(1u << level));
            break;
        case 7:  // … and rotate
            c.isr &= static_cast<u8>(~(1u << level));
            c.lowest = static_cast<u8>(level);
            break;
        case 6:  // set priority
            c.lowest = static_cast<u8>(level);
            break;
        default:  // no operation
            break;
    }
}

void Pic8259::write_ocw3(Chip& c, u8 value) {
    if (value & 0x40) {
        c.special_mask = (value & 0x20) != 0;
    }
    if (value & 0x04) {
        c.poll = true;
    } else if (value & 0x02) {
        c.read_isr = (value & 0x01) != 0;
    }
}

void Pic8259::update() {
    const bool now = request(kMaster) != kNone;
    if (now != intr_) {
        intr_ = now;
        if (intr_line_) {
            intr_line_(now);
        }
    }
}

}  // namespace ennead::vmcore
