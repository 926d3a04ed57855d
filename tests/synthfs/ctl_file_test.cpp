// SPDX-License-Identifier: MIT
// Verb tables, messages that are taken whole or not at all, and what `error` files say.
#include "synthfs/ctl_file.h"

#include "tests/synthfs/ask.h"

namespace ennead::synthfs {
namespace {

using namespace test;

struct Machine {
    std::vector<std::string> ran;
    std::vector<CheckedReply<>> waiting;
    std::shared_ptr<ErrorLog> log = error_log();
    SynthNodePtr ctl =
        make_ctl_file({.name = "ctl", .errors = log->sink(), .verbs = verbs(), .text = [] {
                           return std::string("3\n");
                       }});

    std::vector<Verb> verbs() {
        const auto note = [this](const Command& command) -> Checked<> {
            ran.push_back(command.line);
            return success();
        };
        const auto fail = [this](const Command& command) -> Checked<> {
            ran.push_back(command.line);
            return make_fault(EBUSY, "it runs");
        };
        const auto later = [this](RequestPtr, const Command& command, CheckedReply<> reply) {
            ran.push_back(command.line);
            waiting.push_back(std::move(reply));
        };
        const auto number = [](const Command& command) -> Checked<> {
            const auto value = parse_number(command.arg(0), {1, 9});
            if (!value) {
                return value.error();
            }
            return success();
        };
        // clang-format off
        return {
            {"start", 0, 0,        "start",         at_once(note)},
            {"set",   2, kAnyArgs, "set key value", at_once(note)},
            {"step",  1, 1,        "step n",        at_once(note), number},
            {"fail",  0, 0,        "fail",          at_once(fail)},
            {"later", 0, 0,        "later",         later},
        };
        // clang-format on
    }
};

using Lines = std::vector<std::string>;

TEST(CtlFile, what_a_verb_keeps_lasts_as_long_as_the_open_it_was_written_to) {
    int kept = 0, runs = 0;
    bool good = false;
    CtlFile file{.name = "ctl", .verbs = {}};
    file.verbs.push_back({.name = "hold",
                          .usage = "hold",
                          .run = at_once([&](const Command&) -> Checked<> {
                              ++runs;
                              return good ? Checked<>(success()) : make_fault(EBUSY, "not now");
                          }),
                          .keep = [&] {
                              ++kept;
                              return std::shared_ptr<void>(nullptr, [&](void*) { --kept; });
                          }});
    const auto ctl = make_ctl_file(std::move(file));
    auto first = open(ctl, O_WRONLY).handle;
    EXPECT_EQ(write(first, "hold\n"), EBUSY);
    EXPECT_EQ(kept, 0);
    good = true;
    EXPECT_EQ(write(first, "hold\nhold\n"), 0);
    EXPECT_EQ(kept, 2);
    EXPECT_EQ(write_once(ctl, "hold\n"), 0);  // another open, closed at once
    EXPECT_EQ(kept, 2);
    EXPECT_EQ(runs, 4);
    first = nullptr;
    EXPECT_EQ(kept, 0);
}

TEST(CtlFile, lines_run_in_order) {
    Machine machine;
    EXPECT_EQ(write_once(machine.ctl, "set mem 128M\n# note\n\nstart\n"), 0);
    EXPECT_EQ(machine.ran, (Lines{"set mem 128M", "start"}));
    EXPECT_EQ(write_once(machine.ctl, "start"), 0);
    EXPECT_EQ(machine.ran.size(), 3u);
    EXPECT_EQ(machine.log->text(), "");
}

TEST(CtlFile, one_bad_line_and_nothing_runs) {
    for (const char* text : {"start\nstrat\n", "start\nstep 12\n", "start\nset mem\n",
                             "start\nstart now\n", "start\nset a 'b\n"}) {
        Machine machine;
        EXPECT_EQ(write_once(machine.ctl, text), EINVAL) << text;
        EXPECT_TRUE(machine.ran.empty()) << text;
    }
}

TEST(CtlFile, error_names_verb_word_and_column) {
    Machine machine;
    write_once(machine.ctl, "start\n strat\n");
    EXPECT_EQ(machine.log->text(),
              "1000 42 EINVAL ctl 'unknown verb strat; known are: start set step fail later'\n"
              "     strat\n"
              "     ^\n");
    machine.log->clear();
    write_once(machine.ctl, "step  12");
    EXPECT_EQ(machine.log->text(),
              "1000 42 EINVAL ctl '12: from 1 to 9'\n"
              "    step  12\n"
              "          ^\n");
    machine.log->clear();
    write_once(machine.ctl, "set\tmem");
    EXPECT_EQ(machine.log->text(),
              "1000 42 EINVAL ctl 'usage: set key value'\n"
              "    set\tmem\n"
              "       \t   ^\n");
    machine.log->clear();
    write_once(machine.ctl, "set a 'b c");
    EXPECT_EQ(machine.log->text(),
              "1000 42 EINVAL ctl 'quote not closed'\n"
              "    set a 'b c\n"
              "          ^\n");
}

TEST(CtlFile, failure_while_running_ends_the_message) {
    Machine machine;
    EXPECT_EQ(write_once(machine.ctl, "start\nfail\nset a b\n"), EBUSY);
    EXPECT_EQ(machine.ran, (Lines{"start", "fail"}));
    EXPECT_EQ(machine.log->text(), "1000 42 EBUSY ctl 'it runs'\n    fail\n    ^\n");
}

TEST(CtlFile, read_gives_text_and_after_a_write_its_answer) {
    Machine machine;
    EXPECT_EQ(read_all(machine.ctl), "3\n");
    const auto handle = open(machine.ctl, O_RDWR).handle;
    EXPECT_EQ(read(handle, 0), "3\n");
    EXPECT_EQ(write(handle, "start\n"), 0);
    // The kernel's offset stands behind what was written.
    EXPECT_EQ(read(handle, 8, 2), "ok");
    EXPECT_EQ(read(handle, 10), "\n");
    EXPECT_EQ(read(handle, 11), "");
    EXPECT_EQ(read(handle, 0), "ok\n");
    EXPECT_EQ(write(handle, "strat\n"), EINVAL);
    EXPECT_EQ(read(handle, 11), "unknown verb strat; known are: start set step fail later\n");
    EXPECT_EQ(read_all(machine.ctl), "3\n");
}

TEST(CtlFile, verbs_may_answer_later) {
    Machine machine;
    const auto handle = open(machine.ctl, O_WRONLY).handle;
    Asked<std::size_t> asked;
    const std::string_view text = "later\nstart\nlater\n";
    handle->write(request(), 0, std::as_bytes(std::span(text)), asked.reply());
    EXPECT_EQ(machine.ran, Lines{"later"});
    machine.waiting[0](success());
    EXPECT_EQ(machine.ran, (Lines{"later", "start", "later"}));
    EXPECT_FALSE(asked.answered());
    machine.waiting[1](make_fault(ECANCELED, "gone"));
    EXPECT_EQ(asked.errnum(), ECANCELED);
}

TEST(CtlFile, interrupt_stops_between_lines) {
    Machine machine;
    const auto handle = open(machine.ctl, O_WRONLY).handle;
    Asked<std::size_t> asked;
    const RequestPtr asker = request();
    const std::string_view text = "later\nstart\n";
    handle->write(asker, 0, std::as_bytes(std::span(text)), asked.reply());
    asker->cancel();
    machine.waiting[0](success());
    EXPECT_EQ(asked.errnum(), EINTR);
    EXPECT_EQ(machine.ran, Lines{"later"});
}

TEST(CtlFile, longest_message_of_shortest_lines_does_not_exhaust_the_stack) {
    std::size_t count = 0;
    const auto ctl =
        make_ctl_file({.verbs = {{"n", 0, 0, "n", at_once([&](const Command&) -> Checked<> {
                                      ++count;
                                      return success();
                                  })}}});
    std::string text;
    while (text.size() < kMaxMessage) {
        text += "n\n";
    }
    EXPECT_EQ(write_once(ctl, text), 0);
    EXPECT_EQ(count, kMaxMessage / 2);
    EXPECT_EQ(write_once(ctl, text + "n"), E2BIG);
    EXPECT_EQ(count, kMaxMessage / 2);
}

TEST(CtlFile, verb_may_retire_its_own_file) {
    SynthNodePtr ctl;
    ctl = make_ctl_file(
        {.verbs = {{"destroy", 0, 0, "destroy", at_once([&](const Command&) -> Checked<> {
                        std::exchange(ctl, nullptr)->retire();
                        return success();
                    })}}});
    const auto handle = open(ctl, O_RDWR).handle;
    EXPECT_EQ(write(handle, "destroy\n"), 0);
    EXPECT_EQ(write(handle, "destroy\n"), ENODEV);
    EXPECT_EQ(read(handle), "errno " + std::to_string(ENODEV));
}

TEST(ErrorLog, keeps_the_last_and_is_cleared_by_truncation) {
    const auto log = ErrorLog::make(2, [] { return std::uint64_t{5}; });
    const auto node = make_error_file(log);
    for (const char* file : {"a", "b", "c"}) {
        log->add({EBUSY, 1, file, "it's", {}, {}});
    }
    EXPECT_EQ(read_all(node), "5 1 EBUSY b 'it''s'\n5 1 EBUSY c 'it''s'\n");
    EXPECT_EQ(write_once(node, "anything", O_WRONLY), EPERM);
    EXPECT_EQ(write_once(node, "\n", O_WRONLY | O_TRUNC), 0);
    EXPECT_EQ(read_all(node), "");
}

TEST(ErrorLog, shows_a_window_of_a_long_command_and_no_control_bytes) {
    const auto log = error_log();
    const std::string command = std::string(300, 'a') + " \x1b[2J " + std::string(300, 'b');
    log->add({EINVAL, 1, "ctl", "", command, 301});
    const std::string text = log->text();
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    const std::size_t line = text.find('\n') + 1;
    const std::size_t caret_line = text.find('\n', line) + 1;
    EXPECT_EQ(text.substr(line, 7), "    ...");
    EXPECT_LT(caret_line - line, 200u);
    const std::size_t caret = text.find('^') - caret_line;
    EXPECT_EQ(text[line + caret], '?');
}

TEST(ErrorLog, everyday_ends_of_reads_are_not_errors) {
    const auto log = error_log();
    const auto node = make_ctl_file({.errors = log->sink(), .verbs = {}, .text = [] {
                                         return Checked<std::string>(make_fault(EAGAIN, "later"));
                                     }});
    EXPECT_EQ(read_all(node), "errno " + std::to_string(EAGAIN));
    EXPECT_EQ(log->text(), "");
}

}  // namespace
}  // namespace ennead::synthfs
