// SPDX-License-Identifier: MIT
// Random operations on random files.
#include "tests/stress/meddler.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdlib>

namespace ennead::stress {
namespace {

const std::vector<std::string> kTopFiles{"ctl",   "conf",    "status", "events", "error",
                                         "stats", "version", "help",   "n",      ""};
const std::vector<std::string> kFiles{
    "ctl", "conf", "name",  "status",  "wait", "events",    "error",      "cons", "log",
    "ns",  "com1", "com2",  "consctl", "regs", "fpregs",    "mem",        "vmem", "map",
    "io",  "bp",   "stats", "root",    "jit",  "jit/stats", "jit/blocks", "",     "jit/block"};

}  // namespace

void Meddler::step() {
    switch (client_.random(16)) {
        case 0:
        case 1:
        case 2:
            return change_victim();
        case 3:
        case 4:
            return write_junk();
        case 5:
            return vanish();
        case 6:
        case 7:
            return call_off();
        case 8:
        case 9:
            return stat_any();
        case 10:
            return list_any();
        default:
            return look_at_any();
    }
}

std::string Meddler::any_file() {
    if (client_.one_in(6)) {
        return client_.pick(kTopFiles);
    }
    const std::string machine = client_.one_in(3)
                                    ? client_.pick(victims_)
                                    : std::to_string(1 + client_.random(last_.load() + 4));
    const std::string& name = client_.pick(kFiles);
    return name.empty() ? machine : machine + '/' + name;
}

void Meddler::look_at_any() {
    const std::string path = any_file();
    int file = 0;
    const int opened = client_.open(path, O_RDONLY | O_NONBLOCK, file);
    client_.expect("open of " + path, opened, {0, ENOENT, ENODEV, EBUSY});
    if (opened != 0) {
        return;
    }
    std::string piece;
    std::uint64_t offset = client_.one_in(4) ? client_.random(64 << 20) : 0;
    for (unsigned i = 1 + client_.random(3); i != 0; --i) {
        const int outcome = client_.read(path, file, offset, 1 + client_.random(64 << 10), piece);
        client_.expect("read of " + path, outcome,
                       {0, EAGAIN, EISDIR, ENODEV, EBUSY, EFAULT, ENOENT});
        offset += piece.size();
    }
    bool ready = false;
    client_.expect("poll of " + path, client_.poll(path, file, ready), {0, EOPNOTSUPP});
    client_.close(file);
}

void Meddler::stat_any() {
    const std::string path = any_file();
    Files::Stat stat;
    client_.expect("stat of " + path, client_.stat(path, stat), {0, ENOENT, ENODEV});
}

void Meddler::list_any() {
    const std::string path = any_file();
    std::vector<std::string> names;
    client_.expect("list of " + path, client_.list(path, names), {0, ENOENT, ENOTDIR, ENODEV});
}

void Meddler::call_off() {
    static const std::vector<std::string> streams{"wait", "cons", "com1", "com2", "events"};
    std::string path = any_file();
    path = path.substr(0, path.find('/')) + '/' + client_.pick(streams);
    int file = 0;
    const int opened = client_.open(path, O_RDONLY, file);
    client_.expect("open of " + path, opened, {0, ENOENT, ENOTDIR, ENODEV, EBUSY});
    if (opened != 0) {
        return;
    }
    std::string text;
    client_.expect("read of " + path + ", called off", client_.read_called_off(path, file, text),
                   {0, EINTR, ENODEV, EBUSY});
    client_.close(file);
}

void Meddler::change_victim() {
    static const std::vector<std::string> lines{
        "start",       "start",        "stop",       "pause",          "resume",
        "reset",       "kill",         "nmi",        "powerdown",      "step 100",
        "set mem 25M", "set append x", "timeout 5s", "bind '#ram' /t", "unbind /t",
        "start\nstop", "nonsense",     "destroy",    "killonclose"};
    const std::string& victim = client_.pick(victims_);
    const std::string& line = client_.pick(lines);
    const int outcome = client_.put(victim + "/ctl", line + '\n', O_WRONLY);
    client_.expect(victim + "/ctl " + line, outcome,
                   {0, EBUSY, EINVAL, ENOENT, ENODEV, EIO, ECANCELED});
    if (line == "destroy" || outcome == ENOENT) {
        // Somebody else may be quicker.
        client_.expect("mkdir " + victim, client_.mkdir(victim), {0, EEXIST});
    }
}

void Meddler::write_junk() {
    const std::string path = client_.pick(victims_) + '/' + client_.pick(kFiles);
    std::string junk(1 + client_.random(client_.one_in(8) ? 70'000 : 60), 'x');
    static constexpr std::string_view kLetters = "abc 0x19'\n#\t\xff\0-=";
    for (char& each : junk) {
        each = kLetters[client_.random(static_cast<unsigned>(kLetters.size()))];
    }
    // ENODATA: cons and the serial ports take as much as there is room for.
    client_.expect("junk in " + path,
                   client_.put(path, junk, client_.one_in(2) ? O_WRONLY : O_WRONLY | O_APPEND),
                   {0, EINVAL, ENOENT, EISDIR, ENODEV, EBUSY, EPERM, EACCES, E2BIG, EPIPE, EAGAIN,
                    EFAULT, EEXIST, ENOSPC, EIO, ECANCELED, ENODATA});
}

// A machine of an instant, or a victim that is renamed or removed under the others' hands.
void Meddler::vanish() {
    if (client_.one_in(2)) {
        const std::string number = client_.cat("new");
        if (std::strtoul(number.c_str(), nullptr, 10) == 0) {
            client_.wrong("new gave " + number);
            return;
        }
        client_.expect("rmdir of a new machine", client_.rmdir(number.substr(0, number.find('\n'))),
                       {0});
        return;
    }
    const std::string& victim = client_.pick(victims_);
    const std::string& other = client_.pick(victims_);
    if (client_.one_in(2)) {
        // To a name that another victim has: refused, or both are one of them.
        client_.expect("rename " + victim, client_.rename(victim, other),
                       {0, EEXIST, ENOENT, EBUSY, EPERM});
    } else {
        client_.expect("rmdir " + victim, client_.rmdir(victim), {0, ENOENT, EBUSY});
    }
    client_.expect("mkdir " + victim, client_.mkdir(victim), {0, EEXIST});
}

}  // namespace ennead::stress
