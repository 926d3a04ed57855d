// SPDX-License-Identifier: MIT
// A second emitter, which is given the numbers of the links that the block has already.
#include "vmcore/cpu/jit/replay.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace ennead::vmcore::jit {
namespace {

class PartsAgain final : public BlockParts {
  public:
    PartsAgain(const BlockCache& cache, const Block& block) {
        for (u32 number = block.first_link; number != 0; number = cache.link(number).sibling) {
            links_.push_back(number);  // the newest is the first
        }
    }
    u32 new_link(u32, Link::Entry) override {
        if (links_.empty()) {
            return 0;
        }
        const u32 number = links_.back();
        links_.pop_back();
        return number;
    }
    Interpreted* new_interpreted() override {
        made_.push_back(std::make_unique<Interpreted>());
        return made_.back().get();
    }

    // Where in `code` the addresses of what was given out are.
    [[nodiscard]] std::vector<u32> pointers_in(const std::vector<u8>& code) const {
        std::vector<u32> offsets;
        for (const auto& each : made_) {
            u8 bytes[sizeof(u64)];
            const auto value = reinterpret_cast<u64>(each.get());
            std::memcpy(bytes, &value, sizeof value);
            for (auto at = code.begin();
                 (at = std::search(at, code.end(), bytes, bytes + sizeof bytes)) != code.end();
                 ++at) {
                offsets.push_back(static_cast<u32>(at - code.begin()));
            }
        }
        return offsets;
    }

  private:
    std::vector<u32> links_;
    std::vector<std::unique_ptr<Interpreted>> made_;
};

void compare(const BlockCache& cache, const Block& block, Replay& replay) {
    replay.comparable = replay.code.size() == block.code_size;
    if (!replay.comparable) {
        return;
    }
    std::vector<bool> matters(block.code_size, true);
    const auto leave_out = [&](u32 offset, u32 size) {
        std::fill_n(matters.begin() + offset, size, false);
    };
    for (const EmittedLink& link : replay.links) {
        leave_out(link.place, 4);
        if (link.guessed) {
            leave_out(static_cast<u32>(link.place + Link::kGuess), 4);
            leave_out(static_cast<u32>(link.place + Link::kOtherwise), 4);
        }
        replay.linked += cache.link(link.number).to != nullptr ? 1 : 0;
    }
    for (const u32 pointer : replay.pointers) {
        leave_out(pointer, sizeof(u64));
    }
    for (u32 n = 0; n < block.code_size; ++n) {
        replay.differences += matters[n] && replay.code[n] != block.code[n] ? 1 : 0;
    }
}

}  // namespace

void replay_block(const BlockCache& cache, const Block& block, const BlockSource& source,
                  Replay& replay) {
    if (block.second_page != Block::kNoPage) {
        plan_straddling(block.eip, block.user, source.page.bytes, source.next.bytes,
                        cache.exact_flags(), replay.plan);
    } else {
        plan_block(block.eip, block.user, source.page.bytes, cache.exact_flags(),
                   block.is_plain || !block.shares, replay.plan);
    }
    PartsAgain parts(cache, block);
    BlockEmitter emitter(cache.thunks(), parts);
    emitter.note_pieces(&replay.pieces);
    Block scratch;
    const bool emitted =
        replay.plan.count != 0 &&
        emitter.emit(replay.plan, {source.page.fetch_entry, source.next.fetch_entry},
                     block.far_entry != Block::kNoEntry, block.code, scratch);
    if (!emitted) {
        return;
    }
    replay.code.assign(emitter.code().begin(), emitter.code().end());
    replay.links = emitter.links();
    replay.pointers = parts.pointers_in(replay.code);
    compare(cache, block, replay);
}

}  // namespace ennead::vmcore::jit
