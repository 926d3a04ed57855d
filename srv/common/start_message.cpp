// SPDX-License-Identifier: MIT
// The start message as lines of text.
#include "srv/common/start_message.h"

#include <climits>

#include "synthfs/words.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

namespace {

// `disk NUMBER IMAGE [LAYER MAP]`
Checked<StartMessage::Disk> decode_disk(const synthfs::Command& command) {
    if (command.arg_count() != 2 && command.arg_count() != 4) {
        return make_fault(EINVAL, "start message: disk takes 2 or 4 values");
    }
    int values[4] = {-1, -1, -1, -1};
    for (std::size_t i = 0; i < command.arg_count(); i++) {
        const auto number =
            synthfs::parse_number(command.arg(i), {.max = i == 0 ? 3u : unsigned{INT_MAX}});
        if (!number) {
            return number.error();
        }
        values[i] = static_cast<int>(number.value());
    }
    return StartMessage::Disk{static_cast<unsigned>(values[0]), values[1], values[2], values[3]};
}

}  // namespace

std::string StartMessage::encode() const {
    std::string text;
    const auto line = [&text](std::string_view key, std::string_view value) {
        text += std::string(key) + ' ' + synthfs::quote(value) + '\n';
    };
    line("vm", std::to_string(vm));
    line("mem", std::to_string(memory_bytes));
    line("engine", engine);
    line("cmdline", command_line);
    if (bios_fd >= 0) {
        line("bios", std::to_string(bios_fd));
    }
    line("bootmenu", boot_menu);
    line("biosdebug", bios_debug ? "on" : "off");
    if (limits_fd >= 0) {
        line("limits", std::to_string(limits_fd));
    }
    if (seed) {
        line("seed", std::to_string(*seed));
    }
    for (const Initrd& initrd : initrds) {
        text += "initrd " + std::to_string(initrd.fd) + ' ' + synthfs::quote(initrd.name) + '\n';
    }
    for (const Disk& disk : disks) {
        text += "disk " + std::to_string(disk.number) + ' ' + std::to_string(disk.image_fd);
        if (disk.layer_fd >= 0) {
            text += ' ' + std::to_string(disk.layer_fd) + ' ' + std::to_string(disk.map_fd);
        }
        text += '\n';
    }
    line("bootfirst", disks_first ? "disks" : "kernel");
    // Last: nothing starts without it, so no message that was cut does.
    line("kernel", std::to_string(kernel_fd));
    return text;
}

Checked<StartMessage> StartMessage::decode(std::string_view text) {
    const auto commands = synthfs::parse_commands(text);
    if (!commands) {
        return commands.error();
    }
    StartMessage message;
    for (const synthfs::Command& command : commands.value()) {
        const std::string& key = command.verb();
        if (key == "disk") {
            const auto disk = decode_disk(command);
            if (!disk) {
                return disk.error();
            }
            message.disks.push_back(disk.value());
            continue;
        }
        const std::size_t wanted = key == "initrd" ? 2 : 1;
        if (command.arg_count() != wanted) {
            return make_fault(EINVAL, "start message: %s takes %zu values", key.c_str(), wanted);
        }
        if (key == "cmdline") {
            message.command_line = command.arg(0).text;
            continue;
        }
        if (key == "bootfirst") {
            message.disks_first = command.arg(0).text == "disks";
            continue;
        }
        if (key == "engine") {
            message.engine = command.arg(0).text;
            if (message.engine != "jit" && message.engine != "interp") {
                return make_fault(EINVAL, "start message: no engine %s", message.engine.c_str());
            }
            continue;
        }
        if (key == "bootmenu" || key == "biosdebug") {
            const std::string& word = command.arg(0).text;
            if (word != "on" && word != "off" && (key == "biosdebug" || word != "choice")) {
                return make_fault(EINVAL, "start message: %s cannot be %s", key.c_str(),
                                  word.c_str());
            }
            if (key == "bootmenu") {
                message.boot_menu = word;
            } else {
                message.bios_debug = word == "on";
            }
            continue;
        }
        const synthfs::Bounds bounds{.max = key == "mem" || key == "seed" ? UINT64_MAX : INT_MAX};
        const auto number = synthfs::parse_number(command.arg(0), bounds);
        if (!number) {
            return number.error();
        }
        const auto fd = static_cast<int>(number.value());
        if (key == "vm") {
            message.vm = static_cast<unsigned>(number.value());
        } else if (key == "mem") {
            message.memory_bytes = number.value();
        } else if (key == "seed") {
            message.seed = number.value();
        } else if (key == "limits") {
            message.limits_fd = fd;
        } else if (key == "kernel") {
            message.kernel_fd = fd;
        } else if (key == "bios") {
            message.bios_fd = fd;
        } else if (key == "initrd") {
            message.initrds.push_back({fd, command.arg(1).text});
        } else {
            return make_fault(EINVAL, "start message: unknown key %s", key.c_str());
        }
    }
    if (message.kernel_fd < 0) {
        return make_fault(EINVAL, "start message: a kernel is needed");
    }
    return message;
}

}  // namespace ennead::srv
