// SPDX-License-Identifier: MIT
// Broken and borderline frames, one a file in broken/, each with what must come of it.
//
// A file: "after: nothing|version|attach" says how far the session is, "expect: end" that the
// connection ends without an answer, "expect: error N" that Rlerror N is the answer and the
// connection goes on. Then the frame's bytes in hex; '#' starts a comment.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

struct Case {
    std::string after, expect;
    std::vector<std::byte> frame;
};

Case load(const std::filesystem::path& path) {
    Case result;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string word;
        if (line.starts_with("after: ")) {
            words >> word >> result.after;
        } else if (line.starts_with("expect: ")) {
            words >> word >> std::ws;
            std::getline(words, result.expect);
        } else {
            while (words >> word) {
                result.frame.push_back(static_cast<std::byte>(std::stoi(word, nullptr, 16)));
            }
        }
    }
    return result;
}

std::vector<std::filesystem::path> cases() {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(
             std::filesystem::path(__FILE__).parent_path() / "broken")) {
        if (entry.path().extension() == ".hex") {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

class Broken : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Broken, frame_has_its_answer) {
    const Case c = load(GetParam());
    World world;
    auto peer =
        c.after == "attach" ? Peer::attached(world.root, 8192) : std::make_unique<Peer>(world.root);
    if (c.after == "version") {
        peer->call<Rversion>(Tversion{8192, kVersion}, kNoTag);
    }
    peer->answers.clear();
    const auto tag = c.frame.size() < kHeaderSize
                         ? 0
                         : static_cast<int>(c.frame[5]) | static_cast<int>(c.frame[6]) << 8;

    peer->raw(c.frame, static_cast<std::uint16_t>(tag));

    if (c.expect == "end") {
        EXPECT_EQ(peer->ends, 1);
        EXPECT_TRUE(peer->answers.empty());
        EXPECT_EQ(peer->log.size(), 1u);
        peer->send(Tversion{8192, kVersion}, kNoTag);  // and it stays deaf
        EXPECT_TRUE(peer->answers.empty());
    } else {
        EXPECT_EQ(peer->ends, 0) << peer->reason;
        ASSERT_EQ(peer->answers.size(), 1u);
        const auto* failure = std::get_if<Rlerror>(&peer->answers[0].frame.message);
        ASSERT_NE(failure, nullptr);
        EXPECT_EQ("error " + std::to_string(failure->ecode), c.expect);
    }
}

INSTANTIATE_TEST_SUITE_P(P9, Broken, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace ennead::p9::test
