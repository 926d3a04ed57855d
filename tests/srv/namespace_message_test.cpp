// SPDX-License-Identifier: MIT
// Name space messages come out as they went in, with their descriptors, or not at all.
#include "srv/common/namespace_message.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

using Kind = NamespaceMessage::Kind;

NamespaceMessage full() {
    NamespaceMessage message;
    message.hidden_device = 77;
    message.hidden = {{5, 123456789012}, {6, 7}};
    message.points = {
        {"/", {{.kind = Kind::overlay, .id = 1, .create = true, .layers = 2}}, std::nullopt},
        {"/it's a dir",
         {{.kind = Kind::host, .id = 2, .read_only = true}, {.kind = Kind::known, .id = 9}},
         1},
        {"/r", {{.kind = Kind::ram, .id = 3, .size_bytes = 4096}}, 0},
        {"/o", {{.kind = Kind::overlay, .id = 4, .read_only = true, .layers = 1}}, 1},
        {"/t", {{.kind = Kind::tree, .id = 5}}, 1}};
    return message;
}

int refusal(const std::string& text) {
    const auto decoded = NamespaceMessage::decode(text);
    return decoded ? 0 : decoded.error().errnum;
}

struct Sockets {
    Sockets() {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        ours = Fd(ends[0]);
        theirs = Fd(ends[1]);
    }
    Fd ours, theirs;
};

TEST(NamespaceMessage, comes_out_as_it_went_in) {
    const auto decoded = NamespaceMessage::decode(full().encode());
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded.value().points, full().points);
    EXPECT_EQ(decoded.value().hidden, full().hidden);
    EXPECT_EQ(decoded.value().hidden_device, 77u);
}

TEST(NamespaceMessage, is_lines_of_text) {
    EXPECT_EQ(full().encode(),
              "hide 77\nhide 5 123456789012\nhide 6 7\n"
              "at /\noverlay 1 c 2\n"
              "at '/it''s a dir'\nhost 2 r\nunder\nknown 9 -\n"
              "at /r\nunder\nram 3 - 4096\n"
              "at /o\noverlay 4 r 1\nunder\n"
              "at /t\ntree 5 -\nunder\n");
}

TEST(NamespaceMessage, says_how_many_descriptors_come_with_it) {
    EXPECT_EQ(full().descriptors(), 3u + 1u + 0u + 1u + 1u);
}

TEST(NamespaceMessage, what_it_does_not_know_is_refused) {
    const std::string good = full().encode();
    EXPECT_EQ(refusal(good), 0);
    EXPECT_EQ(refusal(""), 0);
    for (const char* line : {"host 1 -\n", "under\n"}) {
        EXPECT_EQ(refusal(line), EINVAL) << line;  // before any `at`
    }
    for (const char* line : {"under\n",       "at x\n",          "at\n",
                             "at / /\n",      "host 1\n",        "host 1 - 2\n",
                             "host x -\n",    "host 1 cr\n",     "host 1 x\n",
                             "overlay 1 -\n", "overlay 1 - 0\n", "overlay 1 - 400\n",
                             "ram 1 -\n",     "ram 1 - x\n",     "hide\n",
                             "hide 1 2 3\n",  "hide x\n",        "hide 1 x\n",
                             "tree 1\n",      "tree 1 - 2\n",    "more 1 -\n",
                             "known 1\n",     "at 'open\n"}) {
        EXPECT_EQ(refusal(good + line), EINVAL) << line;
    }
}

TEST(NamespaceMessage, descriptors_travel_with_the_text) {
    Sockets sockets;
    ScratchDir scratch;
    const Fd file(::open(scratch.file("f", "contents").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd dir = scratch.open_dir();
    const int numbers[] = {file.get(), dir.get()};
    ASSERT_TRUE(send_message(sockets.ours.get(), "hello\n", numbers));
    ASSERT_TRUE(send_message(sockets.ours.get(), "no descriptors\n"));
    auto received = receive_message(sockets.theirs.get(), true);
    ASSERT_TRUE(received);
    EXPECT_EQ(received.value().text, "hello\n");
    ASSERT_EQ(received.value().descriptors.size(), 2u);
    char text[16] = {};
    EXPECT_EQ(pread(received.value().descriptors[0].get(), text, sizeof text, 0), 8);
    EXPECT_STREQ(text, "contents");
    EXPECT_EQ(fcntl(received.value().descriptors[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    struct stat there {
    }, here{};
    EXPECT_EQ(fstat(received.value().descriptors[1].get(), &there), 0);
    EXPECT_EQ(fstat(dir.get(), &here), 0);
    EXPECT_EQ(there.st_ino, here.st_ino);
    received = receive_message(sockets.theirs.get(), true);
    ASSERT_TRUE(received);
    EXPECT_EQ(received.value().text, "no descriptors\n");
    EXPECT_TRUE(received.value().descriptors.empty());
}

TEST(NamespaceMessage, nothing_waits_that_is_not_to) {
    Sockets sockets;
    EXPECT_EQ(receive_message(sockets.theirs.get(), true).error().errnum, EAGAIN);
    const std::string text(60000, 'x');
    int sent = 0;
    synthfs::Checked<> done = synthfs::success();
    while ((done = send_message(sockets.ours.get(), text)) && sent < 100) {
        ++sent;
    }
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().errnum, EAGAIN);
    EXPECT_GT(sent, 0);
}

TEST(NamespaceMessage, the_end_is_an_empty_text) {
    Sockets sockets;
    sockets.ours = Fd();
    const auto received = receive_message(sockets.theirs.get(), true);
    ASSERT_TRUE(received);
    EXPECT_EQ(received.value().text, "");
    EXPECT_EQ(send_message(sockets.theirs.get(), "x").error().errnum, EPIPE);
}

TEST(NamespaceMessage, as_many_descriptors_as_the_kernel_takes_and_no_more) {
    Sockets sockets;
    const Fd dir(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const std::vector<int> most(kMaxDescriptors, dir.get());
    ASSERT_TRUE(send_message(sockets.ours.get(), "most", most));
    const auto received = receive_message(sockets.theirs.get(), true);
    ASSERT_TRUE(received);
    EXPECT_EQ(received.value().descriptors.size(), kMaxDescriptors);
    const std::vector<int> more(kMaxDescriptors + 1, dir.get());
    EXPECT_EQ(send_message(sockets.ours.get(), "more", more).error().errnum, EDQUOT);
}

TEST(NamespaceMessage, a_process_that_may_open_no_more_is_told) {
    Sockets sockets;
    const Fd dir(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const std::vector<int> some(40, dir.get());
    ASSERT_TRUE(send_message(sockets.ours.get(), "some", some));
    rlimit before{}, tight{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = static_cast<rlim_t>(dir.get()) + 10;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    const auto received = receive_message(sockets.theirs.get(), true);
    setrlimit(RLIMIT_NOFILE, &before);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().errnum, EMSGSIZE);
}

TEST(NamespaceMessage, answers_are_ok_or_an_error_with_words) {
    EXPECT_TRUE(decode_answer(encode_answer(synthfs::success())));
    const auto refused = decode_answer(encode_answer(synthfs::make_fault(ENOTDIR, "it's\nno dir")));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().errnum, ENOTDIR);
    EXPECT_EQ(refused.error().text, "it's?no dir");
    for (const char* text : {"", "yes\n", "ok ok\n", "error\n", "error x\n", "error 2 a b\n",
                             "ok\nok\n", "error 2 'open\n"}) {
        EXPECT_EQ(decode_answer(text).error().errnum, EIO) << text;
    }
    EXPECT_EQ(decode_answer("error 9999 x\n").error().errnum, EIO);
}

}  // namespace
}  // namespace ennead::srv::test
