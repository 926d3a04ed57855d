// SPDX-License-Identifier: MIT
// Lines of the debug port between those of the screen.
#include "vmcore/machine/line_mixer.h"

#include <gtest/gtest.h>

namespace ennead::vmcore {
namespace {

class LineMixerTest : public testing::Test {
  protected:
    void print(std::string_view text) {
        mixer.print({reinterpret_cast<const u8*>(text.data()), text.size()});
    }
    void pass(u64 ns) {
        clock.advance_ns(ns);
        timers.run_due();
    }

    ManualClock clock;
    TimerQueue timers{clock};
    std::string out;
    LineMixer mixer{timers, [this](std::span<const u8> bytes) {
                        out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                    }};
};

TEST_F(LineMixerTest, what_is_printed_goes_out_as_it_is) {
    print("a");
    print("\r\n\x1b[2J\xe2\x94");
    print("\x80");
    EXPECT_EQ(out, "a\r\n\x1b[2J\xe2\x94\x80");
}

TEST_F(LineMixerTest, line_goes_out_at_once_where_a_line_begins) {
    mixer.add_line("one");
    print("screen\r\n");
    mixer.add_line("two");
    EXPECT_EQ(out, "one\r\nscreen\r\ntwo\r\n");
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(LineMixerTest, line_waits_for_the_end_of_the_one_that_is_being_printed) {
    print("Sea");
    mixer.add_line("one");
    print("BIO");
    mixer.add_line("two");
    EXPECT_EQ(out, "SeaBIO");
    print("S\r\nBoo");
    EXPECT_EQ(out, "SeaBIOS\r\none\r\ntwo\r\nBoo");
    print("ting\r\n");
    EXPECT_EQ(out, "SeaBIOS\r\none\r\ntwo\r\nBooting\r\n");
    pass(2 * LineMixer::kPatienceNs);
    EXPECT_EQ(out, "SeaBIOS\r\none\r\ntwo\r\nBooting\r\n");
}

TEST_F(LineMixerTest, line_that_does_not_end_is_ended_when_patience_does) {
    print("grub> ");
    mixer.add_line("one");
    pass(LineMixer::kPatienceNs - 1);
    print("l");
    mixer.add_line("two");
    EXPECT_EQ(out, "grub> l");
    pass(1);
    EXPECT_EQ(out, "grub> l\r\none\r\ntwo\r\n");
    mixer.add_line("three");
    print("s");
    EXPECT_EQ(out, "grub> l\r\none\r\ntwo\r\nthree\r\ns");
}

TEST_F(LineMixerTest, control_sequences_begin_no_line_and_are_not_torn) {
    print(
        "\x1b[0m\x1b"
        "c");
    mixer.add_line("one");
    EXPECT_EQ(out,
              "\x1b[0m\x1b"
              "cone\r\n");
    print("\x1b[3");
    mixer.add_line("two");
    print("7");
    EXPECT_EQ(out,
              "\x1b[0m\x1b"
              "cone\r\n\x1b[37");
    print("mx");
    EXPECT_EQ(out,
              "\x1b[0m\x1b"
              "cone\r\n\x1b[37mtwo\r\nx");
}

TEST_F(LineMixerTest, line_ends_where_a_control_sequence_begins) {
    print("Booting from ROM..");
    mixer.add_line("one");
    print(".\x1b[2JLinux");
    mixer.add_line("two");
    EXPECT_EQ(out, "Booting from ROM...\r\none\r\n\x1b[2JLinux");
}

TEST_F(LineMixerTest, flush_lets_out_what_waits) {
    mixer.flush();
    print("x");
    mixer.flush();
    EXPECT_EQ(out, "x");
    mixer.add_line("one");
    mixer.flush();
    EXPECT_EQ(out, "x\r\none\r\n");
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(LineMixerTest, no_more_waits_than_fits) {
    print("x");
    const std::string line(255, 'a');
    std::size_t lines = 0;
    while (out == "x") {
        mixer.add_line(line);
        ASSERT_LT(++lines, 1000u);
    }
    EXPECT_EQ(out.size(), 3 + lines * 257);
    EXPECT_GT(out.size(), LineMixer::kMaxWaiting);
}

}  // namespace
}  // namespace ennead::vmcore
