// SPDX-License-Identifier: MIT
// Operations on a machine of one's own, each with what must be true afterwards.
#include "tests/stress/own_vm.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace ennead::stress {
namespace {

constexpr int kAppend = O_WRONLY | O_APPEND;

std::string number_after(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

}  // namespace

OwnVm::OwnVm(Client& client, std::string label, Guest guest, const std::string& kernel,
             bool running)
    : client_(client), label_(std::move(label)), guest_(guest), kernel_(kernel), running_(running) {
    number_ = static_cast<unsigned>(std::strtoul(client_.cat("new").c_str(), nullptr, 10));
    name_ = std::to_string(number_);
    client_.expect("conf of a new machine",
                   client_.put(file("conf"), "mem " + memory_ + "\nkernel " + kernel_ + '\n'), {0});
    if (running_) {
        become(State::running);
    }
}

std::string OwnVm::file(const char* name) {
    return (client_.one_in(2) ? std::to_string(number_) : name_) + '/' + name;
}

void OwnVm::step() {
    const unsigned choice = client_.random(running_ ? 24 : 18);
    switch (choice) {
        case 0:
        case 1:
        case 2:
            return change_setting();
        case 3:
        case 4:
            return change_name();
        case 5:
        case 6:
            return change_namespace();
        case 7:
        case 8:
            return mistake();
        case 9:
        case 10:
            return read_ctl();
        case 11:
        case 12:
            return look();
        case 13:
        case 14:
            return wait_in_vain();
        case 15:
            return follow_events();
        case 16:
            return make_again();
        case 17:
            return verify();
        case 18:
        case 19:
            return registers();
        case 20:
        case 21:
            return memory();
        case 22:
            return type();
        default:
            return change_state();
    }
}

void OwnVm::verify() {
    client_.expect_line(std::to_string(number_) + "/conf", "mem " + memory_);
    client_.expect_line(std::to_string(number_) + "/conf",
                        append_.empty() ? "append ''" : "append " + append_);
    client_.expect_text(std::to_string(number_) + "/name", client_.cat(file("name")), name_ + '\n');
    for (unsigned i = 0; i < 4; ++i) {
        client_.expect_line(std::to_string(number_) + "/ns", "bind '#ram' /r" + std::to_string(i),
                            binds_.contains(i));
    }
    if (state_ == State::off) {
        const std::string status = client_.cat(file("status"));
        client_.expect_text(std::to_string(number_) + "/status", status.substr(0, status_.size()),
                            status_);
    }
}

void OwnVm::destroy() {
    client_.expect("destroy", client_.put(file("ctl"), "destroy\n", O_WRONLY), {0});
    Files::Stat stat;
    client_.expect("stat of a machine destroyed",
                   client_.stat(std::to_string(number_) + "/conf", stat), {ENOENT});
}

// --- settings, names, name space -----------------------------------------------------------------

void OwnVm::change_setting() {
    const int outcome = state_ == State::off ? 0 : EBUSY;
    const bool is_memory = client_.one_in(2);
    const std::string value = is_memory ? std::to_string(24 + client_.random(8)) + 'M'
                                        : "word=" + std::to_string(client_.random(1'000'000));
    const std::string line = (is_memory ? "mem " : "append ") + value;
    client_.expect(line,
                   client_.one_in(2) ? client_.put(file("conf"), line + '\n')
                                     : client_.put(file("ctl"), "set " + line + '\n', O_WRONLY),
                   {outcome});
    if (outcome == 0) {
        (is_memory ? memory_ : append_) = value;
    }
    client_.expect_line(file("conf"), "mem " + memory_);
    if (!append_.empty()) {
        client_.expect_line(file("conf"), "append " + append_);
    }
    Files::Stat stat;
    client_.expect("stat of mem", client_.stat(file("mem"), stat), {0});
    client_.expect_text("size of mem", std::to_string(stat.size >> 20) + 'M', memory_);
}

void OwnVm::change_name() {
    const std::string before = name_;
    std::string after = label_ + '-' + std::to_string(++names_given_);
    const bool numbered = before == std::to_string(number_);
    if (client_.one_in(8)) {
        after = std::to_string(number_);  // takes the name away
    }
    if (after == before || (!numbered && after != std::to_string(number_) && client_.one_in(2))) {
        if (after == before) {
            return;
        }
        client_.expect("rename", client_.rename(before, after), {0});
    } else {
        client_.expect("name", client_.put(file("name"), after + '\n'), {0});
    }
    name_ = after;
    client_.expect_text("name", client_.cat(file("name")), after + '\n');
    Files::Stat stat;
    if (!numbered) {
        client_.expect("stat of the name before", client_.stat(before, stat), {ENOENT});
    }
    client_.expect("stat of the name", client_.stat(after, stat), {0});
}

void OwnVm::change_namespace() {
    const unsigned which = client_.random(4);
    const std::string place = "/r" + std::to_string(which);
    const bool there = binds_.contains(which);
    const std::string line = there ? "unbind " + place + '\n' : "bind '#ram' " + place + '\n';
    client_.expect(line,
                   client_.one_in(2) ? client_.put(file("ns"), line, kAppend)
                                     : client_.put(file("ctl"), line, O_WRONLY),
                   {0});
    if (there) {
        binds_.erase(which);
    } else {
        binds_.insert(which);
    }
    client_.expect_line(file("ns"), "bind '#ram' " + place, !there);
}

void OwnVm::make_again() {
    if (state_ != State::off) {
        client_.expect("rmdir of a machine that is on", client_.rmdir(name_), {EBUSY});
        return;
    }
    client_.expect("rmdir", client_.rmdir(name_), {0});
    Files::Stat stat;
    client_.expect("stat of what was removed", client_.stat(std::to_string(number_), stat),
                   {ENOENT});
    const std::string name = label_ + '-' + std::to_string(++names_given_);
    client_.expect("mkdir", client_.mkdir(name), {0});
    client_.expect("mkdir of what is there", client_.mkdir(name), {EEXIST});
    const std::string number = number_after(client_.cat(name + "/ctl"));
    if (std::strtoul(number.c_str(), nullptr, 10) <= number_) {
        client_.wrong("machine " + number + " was made after " + std::to_string(number_));
    }
    number_ = static_cast<unsigned>(std::strtoul(number.c_str(), nullptr, 10));
    name_ = name;
    status_ = "new - -";
    memory_ = "24M";
    append_.clear();
    binds_.clear();
    client_.expect("conf", client_.put(file("conf"), "mem 24M\nkernel " + kernel_ + '\n'), {0});
}

// --- what changes nothing ------------------------------------------------------------------------

void OwnVm::mistake() {
    struct Mistake {
        const char* file;
        const char* line;
        int outcome;
    };
    static const std::vector<Mistake> mistakes{
        {"ctl", "nonsense\n", EINVAL},
        {"ctl", "start now\n", EINVAL},
        {"ctl", "set mem 1M\n", EINVAL},
        {"ctl", "bind /nonexistent /x\n", ENOENT},
        {"ctl", "unbind /nowhere\n", ENOENT},
        {"conf", "mem 24M\nnonesuch 1\n", EINVAL},
        {"conf", "kernel relative\n", EINVAL},
        {"name", "two words\n", EINVAL},
        {"name", "status\n", EEXIST},
        {"status", "x\n", EPERM},
        {"wait", "x\n", EPERM},
        {"ns", "bind -ab / /x\n", EINVAL},
        {"events", "x\n", EPERM},
    };
    const Mistake& mistake = client_.pick(mistakes);
    // A machine that is on refuses settings before it looks at them.
    const bool setting = std::string_view(mistake.file) == "conf" ||
                         std::string_view(mistake.line).starts_with("set");
    const int busy = setting && state_ != State::off ? EBUSY : mistake.outcome;
    client_.expect(std::string(mistake.file) + ' ' + mistake.line,
                   client_.put(file(mistake.file), mistake.line, O_WRONLY),
                   {mistake.outcome, busy});
    // What failed is told, and nothing has changed.
    if (mistake.outcome != EPERM &&
        client_.cat(file("error")).find(outcome_name(EINVAL)) == std::string::npos &&
        client_.cat(file("error")).find(outcome_name(mistake.outcome)) == std::string::npos &&
        client_.cat(file("error")).find(outcome_name(busy)) == std::string::npos) {
        client_.wrong("error says nothing about " + std::string(mistake.line));
    }
    verify();
}

void OwnVm::read_ctl() {
    const std::string path = file("ctl");
    int ctl = 0;
    client_.expect("open of ctl", client_.open(path, O_RDWR, ctl), {0});
    std::string text;
    client_.expect("read of ctl", client_.read(path, ctl, 0, 100, text), {0});
    client_.expect_text("ctl", text, std::to_string(number_) + '\n');
    client_.expect("write of a comment", client_.write(path, ctl, 0, "# nothing\n"), {0});
    client_.read(path, ctl, 0, 100, text);
    client_.expect_text("ctl after a comment", text, "ok\n");
    client_.expect("write of nonsense", client_.write(path, ctl, 0, "nonsense\n"), {EINVAL});
    client_.read(path, ctl, 0, 100, text);
    client_.expect_text("ctl after nonsense", text.substr(0, 21), "unknown verb nonsense");
    client_.close(ctl);
}

void OwnVm::look() {
    std::vector<std::string> names;
    client_.expect("list of a machine", client_.list(std::to_string(number_), names), {0});
    for (const char* name : {"ctl", "conf", "cons", "mem", "jit", "ns"}) {
        if (std::ranges::count(names, name) != 1) {
            client_.wrong(std::to_string(number_) + " lists " + name + ' ' +
                          std::to_string(std::ranges::count(names, name)) + " times");
        }
    }
    client_.expect("list of the top", client_.list("", names), {0});
    for (const std::string& name : {std::to_string(number_), name_, std::string("new")}) {
        if (std::ranges::count(names, name) != 1) {
            client_.wrong("the top lists " + name + ' ' +
                          std::to_string(std::ranges::count(names, name)) + " times");
        }
    }
    // Of the same snapshot, however it is read.
    const std::string path = file("conf");
    int conf = 0;
    std::string all, piece;
    client_.expect("open of conf", client_.open(path, O_RDONLY, conf), {0});
    do {
        client_.read(path, conf, all.size(), 1 + client_.random(40), piece);
        all += piece;
    } while (!piece.empty());
    client_.close(conf);
    client_.expect_text("conf in pieces", all, client_.cat(path));
}

void OwnVm::wait_in_vain() {
    const bool ended = status_.starts_with("stopped") && state_ == State::off;
    const std::string path = file("wait");
    int wait = 0;
    std::string text;
    client_.expect("open of wait", client_.open(path, O_RDONLY, wait), {0});
    const int outcome = client_.read_called_off(path, wait, text);
    client_.expect("read of wait, called off", outcome, {ended ? 0 : EINTR});
    if (ended) {
        const std::string begin = std::to_string(number_) + " stop 0 ";
        client_.expect_text("wait", text.substr(0, begin.size()), begin);
    }
    bool ready = false;
    if (client_.poll(path, wait, ready) == 0 && ready != ended && !ended) {
        client_.wrong("poll says that wait can be read");
    }
    client_.close(wait);
    client_.expect("open of wait", client_.open(path, O_RDONLY | O_NONBLOCK, wait), {0});
    client_.expect("read of wait without waiting", client_.read(path, wait, 0, 100, text),
                   {ended ? 0 : EAGAIN});
    client_.close(wait);
}

void OwnVm::follow_events() {
    const std::string path = file("events");
    int events = 0;
    client_.expect("open of events", client_.open(path, O_RDONLY | O_NONBLOCK, events), {0});
    std::string all, piece;
    while (client_.read(path, events, all.size(), 512, piece) == 0 && !piece.empty()) {
        all += piece;
    }
    client_.close(events);
    unsigned long long last = 0;
    const std::string number = ' ' + std::to_string(number_) + ' ';
    for (std::size_t begin = 0; begin < all.size();) {
        const std::size_t end = all.find('\n', begin);
        if (end == std::string::npos) {
            client_.wrong("events end inside a line");
            return;
        }
        const std::string line = all.substr(begin, end - begin);
        begin = end + 1;
        if (line.starts_with("lost ")) {
            continue;
        }
        const unsigned long long time = std::strtoull(line.c_str(), nullptr, 10);
        if (time < last || line.find(number) != line.find(' ')) {
            client_.wrong("events has '" + line + "' after " + std::to_string(last));
        }
        last = time;
    }
}

// --- while it runs -------------------------------------------------------------------------------

void OwnVm::await_status(const std::string& words) {
    // What its process says reaches the server by itself, after the write that asked for it.
    for (int i = 0; i < 2'000; ++i) {
        if (client_.cat(std::to_string(number_) + "/status").starts_with(words)) {
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    client_.wrong("machine " + std::to_string(number_) + " is '" +
                  client_.cat(std::to_string(number_) + "/status") + "', not " + words);
}

void OwnVm::become(State state) {
    if (state == state_) {
        return;
    }
    const char* verb = state == State::off       ? "stop\n"
                       : state == State::paused  ? "pause\n"
                       : state_ == State::paused ? "resume\n"
                                                 : "start\n";
    client_.expect(verb, client_.put(file("ctl"), verb, O_WRONLY), {0});
    state_ = state;
    status_ = "stopped stop 0";
    await_status(state == State::off      ? status_
                 : state == State::paused ? "paused - -"
                                          : "running - -");
}

void OwnVm::change_state() {
    if (client_.one_in(4)) {
        become(State::off);
        client_.expect("pause of what is off", client_.put(file("ctl"), "resume\n", O_WRONLY),
                       {EBUSY});
    } else if (state_ == State::off) {
        become(State::running);
        client_.expect("start twice", client_.put(file("ctl"), "start\n", O_WRONLY), {EBUSY});
    } else {
        become(state_ == State::running ? State::paused : State::running);
    }
}

void OwnVm::registers() {
    if (state_ == State::off) {
        return become(State::running);
    }
    if (state_ == State::running) {
        client_.expect("write of regs", client_.put(file("regs"), "eax 1\n"), {EBUSY});
        become(State::paused);
    }
    char line[32];
    std::snprintf(line, sizeof line, "ebx 0x%08x", client_.random(~0u));
    client_.expect("write of regs", client_.put(file("regs"), std::string(line) + '\n'), {0});
    client_.expect_line(file("regs"), line);
    client_.expect("write of bad regs", client_.put(file("regs"), "ebx 5\neax one\n"), {EINVAL});
    client_.expect_line(file("regs"), line);
    become(State::running);
}

void OwnVm::memory() {
    if (state_ == State::off) {
        return become(State::running);
    }
    become(State::paused);
    const std::string path = file(client_.one_in(2) ? "mem" : "vmem");
    // No guest uses what is above 8 MB, and linear addresses are physical ones.
    const std::uint64_t at = (8u << 20) + client_.random(8u << 20);
    std::string put(1 + client_.random(9'000), 'x'), got;
    for (char& each : put) {
        each = static_cast<char>(client_.random(256));
    }
    int memory = 0;
    client_.expect("open of mem", client_.open(path, O_RDWR, memory), {0});
    client_.expect("write of mem", client_.write(path, memory, at, put), {0});
    client_.expect("read of mem", client_.read(path, memory, at, put.size(), got), {0});
    client_.close(memory);
    if (got != put) {
        client_.wrong(path + " reads otherwise than it was written");
    }
    if (client_.one_in(2)) {
        become(State::running);
    }
}

void OwnVm::type() {
    if (state_ == State::off) {
        client_.expect("write of cons", client_.put(file("cons"), "x\n"),
                       {status_.starts_with("new") ? EBUSY : EPIPE});
        return;
    }
    become(State::running);
    if (guest_ != Guest::echo) {
        return;
    }
    const std::string token = '<' + label_ + '.' + std::to_string(++typed_) + '>';
    client_.expect("write of cons", client_.put(file("cons"), token + '\n', O_WRONLY), {0});
    for (int i = 0; i < 2'000; ++i) {
        if (client_.cat(file("log")).find(token) != std::string::npos) {
            if (client_.one_in(4)) {
                client_.expect("clearing of log", client_.put(file("log"), ""), {0});
            }
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    client_.wrong("machine " + std::to_string(number_) + " did not send back " + token);
}

}  // namespace ennead::stress
