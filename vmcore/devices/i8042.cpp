// SPDX-License-Identifier: MIT
// Commands of the PC's keyboard controller and keyboard (IBM PS/2 Hardware Interface Technical
// Reference).
#include "vmcore/devices/i8042.h"

#include <algorithm>
#include <utility>

namespace ennead::vmcore {
namespace {

constexpr u8 kOutputFull = 0x01;  // status
constexpr u8 kSystemFlag = 0x04;
constexpr u8 kLastWasCommand = 0x08;
constexpr u8 kUnlocked = 0x10;

constexpr u8 kInterrupt1 = 0x01;  // configuration
constexpr u8 kConfigSystem = 0x04;
constexpr u8 kKeyboardOff = 0x10;
constexpr u8 kAuxiliaryOff = 0x20;
constexpr u8 kTranslate = 0x40;

constexpr u8 kNotReset = 0x01;  // output port
constexpr u8 kA20 = 0x02;
constexpr u8 kOutputFullPin = 0x10;

constexpr u8 kAck = 0xfa;

// Scan code set 2 to set 1, for the few bytes that our keyboard's replies have below 84h.
u8 translate(u8 value) {
    switch (value) {
        case 0x01:
            return 0x43;
        case 0x02:
            return 0x41;
        case 0x03:
            return 0x3f;
        case 0x83:
            return 0x41;
        default:
            return value;
    }
}

}  // namespace

I8042::I8042(Wiring wiring) {
    reset();
    wiring_ = std::move(wiring);  // only now: who is told may not be complete before
}

void I8042::reset() {
    ram_ = {};
    ram_[0] = kTranslate | kAuxiliaryOff | kConfigSystem | kInterrupt1;
    status_ = kSystemFlag | kUnlocked;
    output_ = 0;
    expect_ = Expect::keyboard;
    ram_index_ = 0;
    port92_ = 0;
    keyboard_argument_ = 0;
    scancode_set_ = 2;
    queued_ = 0;
    set_a20(true);
    update();
}

void I8042::set_a20(bool on) {
    if (a20_ != on) {
        a20_ = on;
        if (wiring_.a20) {
            wiring_.a20(on);
        }
    }
}

void I8042::pulse_reset() {
    if (wiring_.reset) {
        wiring_.reset();
    }
}

// Gives the keyboard's next byte if there is room for it, and follows with the interrupt line.
void I8042::update() {
    if ((status_ & kOutputFull) == 0 && queued_ != 0 && (ram_[0] & kKeyboardOff) == 0) {
        output_ = queue_[0];
        if (ram_[0] & kTranslate) {
            output_ = translate(output_);
        }
        queued_--;
        std::copy(queue_.begin() + 1, queue_.end(), queue_.begin());
        status_ |= kOutputFull;
    }
    if (wiring_.irq1) {
        wiring_.irq1((status_ & kOutputFull) && (ram_[0] & kInterrupt1));
    }
}

u32 I8042::read_data(u64, unsigned) {
    if (status_ & kOutputFull) {
        // The line falls between two bytes, so that each is an edge of its own.
        status_ &= static_cast<u8>(~kOutputFull);
        if (wiring_.irq1) {
            wiring_.irq1(false);
        }
        const u8 value = output_;
        update();
        return value;
    }
    return output_;
}

u32 I8042::read_status(u64, unsigned) {
    return status_;
}

// The controller's own answers go before what the keyboard has queued.
void I8042::reply(u8 value) {
    output_ = value;
    status_ |= kOutputFull;
    update();
}

void I8042::write_command(u64, unsigned, u32 value) {
    status_ |= kLastWasCommand;
    expect_ = Expect::keyboard;
    controller_command(static_cast<u8>(value));
}

void I8042::controller_command(u8 command) {
    if (command >= 0x20 && command < 0x40) {
        reply(ram_[command & 31]);
        return;
    }
    if (command >= 0x60 && command < 0x80) {
        ram_index_ = command & 31;
        expect_ = ram_index_ == 0 ? Expect::configuration : Expect::ram;
        return;
    }
    if (command >= 0xf0) {
        // Pulses low those of output bits 0…3 whose command bit is 0; bit 0 is the CPU's reset.
        if ((command & kNotReset) == 0) {
            pulse_reset();
        }
        return;
    }
    switch (command) {
        case 0xa7:
            ram_[0] |= kAuxiliaryOff;
            break;
        case 0xa8:
            ram_[0] &= static_cast<u8>(~kAuxiliaryOff);
            break;
        case 0xa9:
            reply(0x01);  // auxiliary clock line stuck low: nothing is connected
            break;
        case 0xaa:
            ram_[0] |= kKeyboardOff | kConfigSystem;
            status_ |= kSystemFlag;
            reply(0x55);
            break;
        case 0xab:
            reply(0x00);
            break;
        case 0xad:
            ram_[0] |= kKeyboardOff;
            break;
        case 0xae:
            ram_[0] &= static_cast<u8>(~kKeyboardOff);
            update();
            break;
        case 0xc0:
            reply(0x80);  // input port: keyboard not locked
            break;
        case 0xd0:
            reply(static_cast<u8>(kNotReset | (a20_ ? kA20 : 0) |
                                  (status_ & kOutputFull ? kOutputFullPin : 0)));
            break;
        case 0xd1:
            expect_ = Expect::output_port;
            break;
        case 0xd2:
            expect_ = Expect::keyboard_echo;
            break;
        case 0xd3:
            expect_ = Expect::auxiliary_echo;
            break;
        case 0xd4:
            expect_ = Expect::auxiliary;
            break;
        case 0xdd:
            set_a20(false);
            break;
        case 0xdf:
            set_a20(true);
            break;
        default:
            break;
    }
}

void I8042::write_data(u64, unsigned, u32 value) {
    const u8 v = static_cast<u8>(value);
    status_ &= static_cast<u8>(~kLastWasCommand);
    const Expect to = expect_;
    expect_ = Expect::keyboard;
    switch (to) {
        case Expect::configuration:
            ram_[0] = v;
            status_ = static_cast<u8>((status_ & ~kSystemFlag) | (v & kConfigSystem));
            update();
            break;
        case Expect::ram:
            ram_[ram_index_] = v;
            break;
        case Expect::output_port:
            set_output_port(v);
            break;
        case Expect::keyboard_echo:
        case Expect::auxiliary_echo:
            // With an auxiliary port the second would come back marked as such; unmarked, a driver
            // knows that there is none.
            reply(v);
            break;
        case Expect::auxiliary:
            break;  // nothing is there to answer
        case Expect::keyboard:
            keyboard_byte(v);
            break;
    }
}

void I8042::set_output_port(u8 value) {
    set_a20((value & kA20) != 0);
    if ((value & kNotReset) == 0) {
        pulse_reset();
    }
}

void I8042::keyboard_reply(u8 value) {
    if (queued_ < queue_.size()) {
        queue_[queued_++] = value;
    }
}

void I8042::keyboard_byte(u8 value) {
    // A byte for the keyboard enables its interface, data sheet of the PS/2 controller.
    ram_[0] &= static_cast<u8>(~kKeyboardOff);
    const u8 command = keyboard_argument_;
    keyboard_argument_ = 0;
    if (command == 0xf0 && value <= 3) {
        keyboard_reply(kAck);
        if (value == 0) {
            keyboard_reply(scancode_set_);
        } else {
            scancode_set_ = value;
        }
    } else if (command != 0 && value < 0x80) {
        keyboard_reply(kAck);  // the argument of ED (lights) or F3 (typematic rate)
    } else {
        switch (value) {
            case 0xed:
            case 0xf0:
            case 0xf3:
                keyboard_argument_ = value;
                keyboard_reply(kAck);
                break;
            case 0xee:  // echo
                keyboard_reply(0xee);
                break;
            case 0xf2:  // identify: an MF2 keyboard
                keyboard_reply(kAck);
                keyboard_reply(0xab);
                keyboard_reply(0x83);
                break;
            case 0xf6:
                scancode_set_ = 2;
                keyboard_reply(kAck);
                break;
            case 0xff:  // reset; the self test passes
                scancode_set_ = 2;
                queued_ = 0;
                keyboard_reply(kAck);
                keyboard_reply(0xaa);
                break;
            default:
                // F4, F5 and the rest of the commands are acknowledged; what is none asks for a
                // repeat.
                keyboard_reply(value >= 0xf4 && value <= 0xfd ? kAck : 0xfe);
                break;
        }
    }
    update();
}

u32 I8042::read_92(u64, unsigned) {
    return port92_ | (a20_ ? kA20 : 0u);
}

void I8042::write_92(u64, unsigned, u32 value) {
    // PIIX3: bit 1 is A20, a rising bit 0 resets the CPU. The last one to write, here or through
    // the controller's output port, decides about A20.
    const bool rising = (value & 1) && !(port92_ & 1);
    port92_ = value & 0x01;
    set_a20((value & kA20) != 0);
    if (rising) {
        pulse_reset();
    }
}

}  // namespace ennead::vmcore
