// SPDX-License-Identifier: MIT
// The table of settings, and where the defaults of this installation lie.
#include "srv/ennead/vm_conf.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <limits>
#include <utility>

#include "srv/ennead/time_text.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Command;
using synthfs::Fault;
using synthfs::make_fault;

Fault at(Fault fault, const Command& line, std::size_t word) {
    fault.command = line.line;
    fault.column = line.words[word].column;
    return fault;
}

constexpr std::size_t kMaxCommandLine = 2047;  // COMMAND_LINE_SIZE of Linux on x86, less the zero

// Each check gives the value as it is kept and printed.
using Check = Checked<std::string> (*)(const Command& line);

Checked<std::string> check_memory(const Command& line) {
    // The least in which our kernel finds room to unpack itself, and what lies below the PCI hole.
    constexpr std::uint64_t kMin = 24u << 20, kMax = 3ull << 30;
    const auto size = synthfs::parse_size(line.arg(0), {kMin, kMax});
    if (!size) {
        return at(size.error(), line, 1);
    }
    if (size.value() % 4096 != 0) {
        return at(make_fault(EINVAL, "memory must be a multiple of 4K"), line, 1);
    }
    return synthfs::format_size(size.value());
}

Checked<std::string> check_cpus(const Command& line) {
    const auto count = synthfs::parse_number(line.arg(0));
    if (!count) {
        return at(count.error(), line, 1);
    }
    if (count.value() != 1) {
        return at(make_fault(count.value() == 0 ? EINVAL : EOPNOTSUPP, "a VM has one CPU"), line,
                  1);
    }
    return std::string("1");
}

Checked<std::string> check_engine(const Command& line) {
    const std::string& name = line.arg(0).text;
    if (name != "jit" && name != "interp") {
        return at(make_fault(EINVAL, "engine is jit or interp"), line, 1);
    }
    return name;
}

Checked<std::string> check_boot(const Command& line) {
    const std::string& how = line.arg(0).text;
    if (how != "direct" && how != "bios") {
        return at(make_fault(EINVAL, "boot is direct or bios"), line, 1);
    }
    return how;
}

Checked<std::string> check_switch(const Command& line) {
    const std::string& word = line.arg(0).text;
    if (word != "on" && word != "off") {
        return at(make_fault(EINVAL, "%s is on or off", line.verb().c_str()), line, 1);
    }
    return word;
}

Checked<std::string> check_boot_menu(const Command& line) {
    const std::string& word = line.arg(0).text;
    if (word != "on" && word != "off" && word != "choice") {
        return at(make_fault(EINVAL, "bootmenu is off, choice or on"), line, 1);
    }
    return word;
}

Checked<std::string> check_path_at(const Command& line, std::size_t index) {
    const std::string& path = line.arg(index).text;
    if (path.empty() || path.front() != '/') {
        return at(make_fault(EINVAL, "relative path: the server's directory is not yours"), line,
                  index + 1);
    }
    if (path.size() >= PATH_MAX) {
        return at(make_fault(ENAMETOOLONG, "path is too long"), line, index + 1);
    }
    return path;
}

Checked<std::string> check_path(const Command& line) {
    return check_path_at(line, 0);
}

// A list is kept as the words that it would be written with.
Checked<std::string> check_paths(const Command& line) {
    // Each takes a descriptor of the machine's process.
    constexpr std::size_t kMaxPaths = 16;
    if (line.arg_count() > kMaxPaths) {
        return at(make_fault(EINVAL, "more than %zu files", kMaxPaths), line, kMaxPaths + 1);
    }
    std::string list;
    for (std::size_t i = 0; i < line.arg_count(); i++) {
        const auto path = check_path_at(line, i);
        if (!path) {
            return path.error();
        }
        list += (i == 0 ? "" : " ") + synthfs::quote(path.value());
    }
    return list;
}

// PATH, or PATH rw.
Checked<std::string> check_disk(const Command& line) {
    const auto path = check_path_at(line, 0);
    if (!path) {
        return path.error();
    }
    if (line.arg_count() > 2 || (line.arg_count() == 2 && line.arg(1).text != "rw")) {
        return at(make_fault(EINVAL, "after a disk's path comes nothing or rw"), line,
                  line.arg_count() > 2 ? 3 : 2);
    }
    return synthfs::quote(path.value()) + (line.arg_count() == 2 ? " rw" : "");
}

Checked<std::string> check_text(const Command& line) {
    const std::string text = line.rest();
    if (text.size() > kMaxCommandLine) {
        return at(
            make_fault(EINVAL, "a kernel command line has at most %zu bytes", kMaxCommandLine),
            line, 1);
    }
    return text;
}

Checked<std::string> check_delay(const Command& line) {
    const auto time = parse_delay(line.arg(0));
    return time ? Checked<std::string>(format_time(time.value())) : at(time.error(), line, 1);
}

template <std::uint64_t kMost>
Checked<std::string> check_count(const Command& line) {
    const auto count = synthfs::parse_number(line.arg(0), {0, kMost});
    return count ? Checked<std::string>(std::to_string(count.value())) : at(count.error(), line, 1);
}
// Levels of VMs in VMs, whose trees are handed on by the one above; and VMs, as at the top.
constexpr std::uint64_t kMostNested = 8, kMostVms = 1'000'000;

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 60;

Checked<std::string> check_disk_limit(const Command& line) {
    const auto size = synthfs::parse_size(line.arg(0), {0, kMostBytes});
    return size ? Checked<std::string>(synthfs::format_size(size.value()))
                : at(size.error(), line, 1);
}

// OPERATIONS, or OPERATIONS BYTES.
Checked<std::string> check_io_limit(const Command& line) {
    constexpr std::uint64_t kMostOperations = 1'000'000'000;
    if (line.arg_count() > 2) {
        return at(make_fault(EINVAL, "iolimit is operations and bytes a second"), line, 3);
    }
    const auto operations = synthfs::parse_number(line.arg(0), {0, kMostOperations});
    if (!operations) {
        return at(operations.error(), line, 1);
    }
    std::uint64_t bytes = 0;
    if (line.arg_count() == 2) {
        const auto size = synthfs::parse_size(line.arg(1), {0, kMostBytes});
        if (!size) {
            return at(size.error(), line, 2);
        }
        bytes = size.value();
    }
    return std::to_string(operations.value()) + ' ' + synthfs::format_size(bytes);
}

Checked<std::string> check_seed(const Command& line) {
    const auto seed = synthfs::parse_number(line.arg(0));
    return seed ? Checked<std::string>(std::to_string(seed.value())) : at(seed.error(), line, 1);
}

enum class Shape { word, words, rest_of_line };

struct Key {
    const char* name;
    Shape shape;
    Check check;
};

// In the order of vm(4).
// clang-format off
constexpr std::array kKeys{
    Key{"mem",       Shape::word,         check_memory},
    Key{"cpus",      Shape::word,         check_cpus},
    Key{"engine",    Shape::word,         check_engine},
    Key{"boot",      Shape::word,         check_boot},
    Key{"bios",      Shape::word,         check_path},
    Key{"biosdebug", Shape::word,         check_switch},
    Key{"bootmenu",  Shape::word,         check_boot_menu},
    Key{"kernel",    Shape::word,         check_path},
    Key{"initrd",    Shape::words,        check_paths},
    Key{"disk0",     Shape::words,        check_disk},
    Key{"disk1",     Shape::words,        check_disk},
    Key{"disk2",     Shape::words,        check_disk},
    Key{"disk3",     Shape::words,        check_disk},
    Key{"cmdline",   Shape::rest_of_line, check_text},
    Key{"append",    Shape::rest_of_line, check_text},
    Key{"root",      Shape::word,         check_path},
    Key{"disklimit", Shape::word,         check_disk_limit},
    Key{"iolimit",   Shape::words,        check_io_limit},
    Key{"timeout",   Shape::word,         check_delay},
    Key{"nest",      Shape::word,         check_count<kMostNested>},
    Key{"cap",       Shape::word,         check_count<kMostVms>},
    Key{"seed",      Shape::word,         check_seed},
    Key{"hostwrite", Shape::word,         check_switch},
};
// clang-format on

const Key* find_key(std::string_view name) {
    for (const Key& key : kKeys) {
        if (key.name == name) {
            return &key;
        }
    }
    return nullptr;
}

}  // namespace

Installation Installation::find() {
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    const std::string program(path, n > 0 ? static_cast<std::size_t>(n) : 0);
    const std::string directory = program.substr(0, program.rfind('/'));
    if (access((directory + "/ennead-vm").c_str(), X_OK) == 0) {
        const std::string guest = directory + "/guest";
        return {directory + "/ennead-vm", guest + "/bzImage", guest + "/root", guest + "/bios.bin"};
    }
    const std::string prefix = directory.substr(0, directory.rfind('/'));
    const std::string share = prefix + "/share/ennead";
    return {prefix + "/libexec/ennead/ennead-vm", share + "/bzImage", share + "/root",
            share + "/bios.bin"};
}

Settings::Settings(const Installation& installation)
    : defaults_{
          {"mem", "128M"},
          {"cpus", "1"},
          {"engine", "jit"},
          {"boot", "direct"},
          {"bios", installation.bios},
          {"biosdebug", "off"},
          {"bootmenu", "choice"},
          {"kernel", installation.kernel},
          {"initrd", ""},
          {"disk0", ""},
          {"disk1", ""},
          {"disk2", ""},
          {"disk3", ""},
          {"cmdline", ""},
          {"append", ""},
          {"root", installation.root},
          {"disklimit", "0"},
          {"iolimit", "0 0"},
          {"timeout", "0s"},
          {"nest", "0"},
          {"cap", "16"},
          {"seed", ""},
          {"hostwrite", "off"},
      } {
    values_ = defaults_;
}

Checked<> Settings::apply(const std::vector<Command>& lines) {
    auto next = values_;
    for (const Command& line : lines) {
        const Key* key = find_key(line.verb());
        if (key == nullptr) {
            return at(make_fault(EINVAL, "no such setting: %s", line.verb().c_str()), line, 0);
        }
        const bool empty =
            line.arg_count() == 0 || (line.arg_count() == 1 && line.arg(0).text.empty());
        if (empty) {
            next[key->name] = defaults_.at(key->name);
            continue;
        }
        if (key->shape == Shape::word && line.arg_count() > 1) {
            return at(make_fault(EINVAL, "%s takes one value", key->name), line, 2);
        }
        auto value = key->check(line);
        if (!value) {
            return value.error();
        }
        next[key->name] = value.value();
    }
    std::swap(values_, next);
    // With the longest number, so that what is accepted can also be started.
    if (command_line(std::numeric_limits<unsigned>::max()).size() > kMaxCommandLine) {
        std::swap(values_, next);
        return make_fault(EINVAL, "the kernel's command line would be longer than %zu bytes",
                          kMaxCommandLine);
    }
    text_.clear();
    return synthfs::success();
}

Checked<> Settings::apply(std::string_view text) {
    const auto lines = synthfs::parse_commands(text);
    if (!lines) {
        return lines.error();
    }
    return apply(lines.value());
}

const std::string& Settings::text() const {
    if (text_.empty()) {
        for (const Key& key : kKeys) {
            const std::string& kept = value(key.name);
            const bool as_words = key.shape == Shape::words && !kept.empty();
            text_ += std::string(key.name) + ' ' + (as_words ? kept : synthfs::quote(kept)) + '\n';
        }
    }
    return text_;
}

std::vector<std::string> Settings::words(const std::string& key) const {
    std::vector<std::string> list;
    // The key stands for the verb of a line.
    const auto line = synthfs::parse_commands(key + ' ' + value(key));
    for (std::size_t i = 0; line && i < line.value().front().arg_count(); i++) {
        list.push_back(line.value().front().arg(i).text);
    }
    return list;
}

std::vector<Settings::Disk> Settings::disks() const {
    constexpr unsigned kMost = 4;
    std::vector<Disk> list;
    for (unsigned number = 0; number < kMost; number++) {
        const auto found = words("disk" + std::to_string(number));
        if (!found.empty()) {
            list.push_back({number, found[0], found.size() > 1});
        }
    }
    return list;
}

std::optional<std::uint64_t> Settings::seed() const {
    if (value("seed").empty()) {
        return std::nullopt;
    }
    return synthfs::parse_number({value("seed"), 0}).value();
}

std::chrono::microseconds Settings::timeout() const {
    // It was checked before it was kept.
    return synthfs::parse_time({value("timeout"), 0}).value();
}

std::uint64_t Settings::disk_limit() const {
    return synthfs::parse_size({value("disklimit"), 0}).value();
}

Settings::IoRate Settings::io_limit() const {
    const auto both = words("iolimit");
    return {synthfs::parse_number({both[0], 0}).value(), synthfs::parse_size({both[1], 0}).value()};
}

bool Settings::is_limit(std::string_view key) {
    return key == "disklimit" || key == "iolimit";
}

unsigned Settings::nest() const {
    return static_cast<unsigned>(synthfs::parse_number({value("nest"), 0}).value());
}

std::uint64_t Settings::cap() const {
    return synthfs::parse_number({value("cap"), 0}).value();
}

std::vector<std::string> Settings::host_keys() const {
    std::vector<std::string> keys;
    for (const char* key :
         {"bios", "kernel", "initrd", "disk0", "disk1", "disk2", "disk3", "root"}) {
        if (value(key) != defaults_.at(key)) {
            keys.emplace_back(key);
        }
    }
    return keys;
}

std::uint64_t Settings::memory_bytes() const {
    const auto size = synthfs::parse_size({.text = value("mem")});
    return size ? size.value() : 0;
}

std::string Settings::command_line(unsigned number, bool shared_root) const {
    if (!value("cmdline").empty()) {
        return value("cmdline");
    }
    // The boot console speaks on COM1 until the virtio console takes over without repeating it;
    // `cons` shows the two as one stream. `msize` is the most that Linux's transport does. Who
    // waits for a record lock that another machine has asks again each second, not half a minute.
    // Our kernel trusts the TSC, whose frequency CPUID tells.
    std::string line =
        "earlyprintk=ttyS0 console=hvc0 root=ennead rootfstype=9p rw "
        "rootflags=trans=virtio,version=9p2000.L,cache=" +
        std::string(shared_root ? "mmap" : "loose") +
        ",msize=512000,locktimeout=1 init=/init panic=-1 ennead.vm=" + std::to_string(number);
    if (!value("append").empty()) {
        line += ' ' + value("append");
    }
    return line;
}

}  // namespace ennead::srv
