// SPDX-License-Identifier: MIT
// The 8042 keyboard controller with a keyboard that nobody types on, its reset and A20 lines, and
// port 92h.
#pragma once

#include <array>
#include <functional>

#include "vmcore/devices/device_window.h"
#include "vmcore/devices/irq.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Complete enough that an operating system's probe ends at once: the controller passes its tests,
// the keyboard acknowledges every command, and there is no auxiliary (mouse) port. vCPU thread
// only.
class I8042 {
  public:
    struct Wiring {  // every function may be empty
        IrqLine irq1;
        std::function<void()> reset;       // the CPU's reset line was pulsed
        std::function<void(bool on)> a20;  // address line 20 passes (on) or reads as 0
    };

    explicit I8042(Wiring wiring);

    // A20 is on after reset, as it is when a PC's BIOS starts an operating system.
    void reset();
    [[nodiscard]] bool a20() const { return a20_; }

    Device& data_port() { return data_window_; }        // 0x60, 1 byte, width 1
    Device& command_port() { return command_window_; }  // 0x64, 1 byte, width 1
    Device& port92() { return window92_; }              // 0x92, 1 byte, width 1

  private:
    // Where the next byte written to port 60h goes.
    enum class Expect : u8 {
        keyboard,
        configuration,
        ram,
        output_port,
        keyboard_echo,
        auxiliary_echo,
        auxiliary
    };

    u32 read_data(u64 offset, unsigned size);
    void write_data(u64 offset, unsigned size, u32 value);
    u32 read_status(u64 offset, unsigned size);
    void write_command(u64 offset, unsigned size, u32 value);
    u32 read_92(u64 offset, unsigned size);
    void write_92(u64 offset, unsigned size, u32 value);

    void controller_command(u8 command);
    void keyboard_byte(u8 value);
    void keyboard_reply(u8 value);
    void reply(u8 value);
    void set_output_port(u8 value);
    void set_a20(bool on);
    void pulse_reset();
    void update();

    Wiring wiring_;
    std::array<u8, 32> ram_{};  // byte 0 is the configuration ("command byte")
    u8 status_ = 0;
    u8 output_ = 0;  // the output buffer
    Expect expect_ = Expect::keyboard;
    u8 ram_index_ = 0;
    bool a20_ = true;
    u8 port92_ = 0;
    u8 keyboard_argument_ = 0;  // the keyboard command whose argument comes next; 0: none
    u8 scancode_set_ = 2;
    std::array<u8, 16> queue_{};  // what the keyboard has yet to send
    unsigned queued_ = 0;
    DeviceWindow<I8042> data_window_{*this, &I8042::read_data, &I8042::write_data};
    DeviceWindow<I8042> command_window_{*this, &I8042::read_status, &I8042::write_command};
    DeviceWindow<I8042> window92_{*this, &I8042::read_92, &I8042::write_92};
};

}  // namespace ennead::vmcore
