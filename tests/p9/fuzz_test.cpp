// SPDX-License-Identifier: MIT
// Random and mutated frames against server and client: whatever comes, nothing crashes or is left
// unanswered.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "p9/client.h"
#include "tests/p9/any_message.h"
#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

  private:
    std::mt19937_64 engine_;
};

// ENNEAD_SEED repeats a failed run.
std::uint64_t seed() {
    if (const char* given = std::getenv("ENNEAD_SEED")) {
        return std::strtoull(given, nullptr, 0);
    }
    return std::random_device{}();
}

TEST(Fuzz, server_survives_anything) {
    const std::uint64_t start = seed();
    SCOPED_TRACE("ENNEAD_SEED=" + std::to_string(start));
    std::size_t answers = 0, ends = 0;
    for (std::uint64_t session = 0; session < 400; ++session) {
        Random random(start + session);
        World world;
        world.hello->xattrs["user.x"] = "y";
        const auto msize = 4096 + static_cast<std::uint32_t>(random.below(8192));
        const bool plain = random.one_in(2);
        const auto peer =
            plain ? Peer::plain(world.root, msize) : Peer::attached(world.root, msize);
        peer->walk(0, 1, {"hello"});
        peer->walk(0, 2, {"dir"});
        if (plain) {
            peer->open_plain(3, "stream");
            peer->open_plain(4, "hello", kOpenReadWrite);
            peer->open_plain(5, "dir");
        } else {
            peer->open(3, "stream");
            peer->open(4, "hello", 2);
            peer->open(5, "dir");
        }
        for (int i = 0; i < 150 && peer->ends == 0; ++i) {
            Buffer frame = any_message(random, static_cast<std::uint16_t>(random.below(30)));
            if (!is_request(static_cast<Type>(frame.span()[4]))) {
                continue;
            }
            if (random.one_in(20)) {
                frame = mutated(random, frame);
            }
            const std::size_t space = random.one_in(10) ? 11 + random.below(50) : 0;
            peer->raw(frame.span(), tag_of(frame.span()), space);
            if (random.one_in(15)) {
                world.stream->feed("x");
            }
            if (random.one_in(15) && !world.slow->waiting.empty()) {
                const auto reply = std::move(world.slow->waiting.front());
                world.slow->waiting.pop_front();
                random.one_in(2) ? reply(synthfs::error(EINTR))
                                 : reply(synthfs::NodePtr(world.hello));
            }
        }
        answers += peer->answers.size();
        ends += static_cast<std::size_t>(peer->ends);
        peer->server.reset();
        // Whoever still waits must let go, or the tree and its waiters would hold each other.
        world.stream->finish();
        for (const auto& reply : std::exchange(world.slow->waiting, {})) {
            reply(synthfs::error(EINTR));
        }
        world.root->entries.clear();
    }
    EXPECT_GT(answers, 10'000u);
    EXPECT_GT(ends, 10u);
}

TEST(Fuzz, client_survives_a_lying_server) {
    const std::uint64_t start = seed();
    SCOPED_TRACE("ENNEAD_SEED=" + std::to_string(start));
    for (std::uint64_t session = 0; session < 1500; ++session) {
        Random random(start + session);
        World world;
        Server server(world.root);
        std::deque<Buffer> requests;
        Client client([&](Buffer frame) { requests.push_back(std::move(frame)); });
        synthfs::NodePtr root;
        std::size_t asked = 0, answered = 0;
        const auto counted = [&](auto) { ++answered; };
        // Lets both sides talk; sometimes an answer is not what the server said.
        const auto talk = [&](bool lie) {
            while (!requests.empty()) {
                const auto frame = std::make_shared<Buffer>(std::move(requests.front()));
                requests.pop_front();
                const auto reply = std::make_shared<Buffer>(70'000);
                server.request(make_exchange(
                    frame->span(), reply->span(),
                    [&, reply](std::size_t size) {
                        if (size == 0) {
                            return;
                        }
                        reply->truncate(size);
                        if (lie && random.one_in(8)) {
                            *reply = random.one_in(3) ? any_message(random, tag_of(reply->span()))
                                                      : mutated(random, *reply);
                        }
                        client.receive(reply->span());
                    },
                    frame));
            }
        };
        client.connect([&](synthfs::Result<synthfs::NodePtr> result) {
            if (result) {
                root = result.value();
            }
        });
        talk(false);
        ASSERT_TRUE(root);
        const auto nobody = [] { return std::make_shared<synthfs::Request>(); };
        std::vector<std::byte> into(10'000);
        for (int i = 0; i < 6; ++i) {
            asked += 4;
            root->walk(nobody(), "dir", counted);
            root->getattr(nobody(), counted);
            root->listxattr(nobody(), counted);
            root->walk(nobody(), i % 2 != 0 ? "hello" : "dir",
                       [&](synthfs::Result<synthfs::NodePtr> node) {
                           ++answered;
                           if (!node) {
                               return;
                           }
                           ++asked;
                           node.value()->open(
                               nobody(), O_RDONLY, [&](synthfs::Result<synthfs::HandlePtr> handle) {
                                   ++answered;
                                   if (handle) {
                                       asked += 2;
                                       handle.value()->read(nobody(), 0, into, counted);
                                       handle.value()->readdir(nobody(), 0, 10, counted);
                                   }
                               });
                       });
            talk(true);
        }
        client.lost("enough");
        EXPECT_EQ(asked, answered);
        root.reset();
    }
}

}  // namespace
}  // namespace ennead::p9::test
