// SPDX-License-Identifier: MIT
// What the JIT tells about its blocks.
#include <x86intrin.h>

#include <cstdio>

#include "vmcore/cpu/jit/jit.h"
#include "vmcore/cpu/jit/listing.h"

namespace ennead::vmcore {

using jit::Block;

namespace {

constexpr std::array kOpNames = {
#define ENNEAD_OP(name) #name,
#include "vmcore/cpu/decode/ops.inc"
#undef ENNEAD_OP
};

TranslatedBlock describe(const Block& block) {
    return {.eip = block.eip,
            .address = block.address,
            .guest_bytes = block.length,
            .instructions = block.count,
            .host_address = reinterpret_cast<u64>(block.code),
            .host_bytes = block.code_size,
            .user = block.user,
            .plain = block.is_plain || !block.shares,
            .straddles = block.second_page != Block::kNoPage,
            .far = block.far_entry != Block::kNoEntry};
}

}  // namespace

std::vector<TranslatedBlock> Jit::blocks() const {
    std::vector<TranslatedBlock> all;
    cache_.for_each([&all](const Block& block) { all.push_back(describe(block)); });
    return all;
}

bool Jit::has_block(u32 eip) const {
    bool any = false;
    cache_.for_each_at(eip, [&any](const Block&) { any = true; });
    return any;
}

std::string Jit::listing(u32 eip) const {
    const u8* const ram = cpu_.io.memory.ram().base();
    const auto page_of = [&](u32 linear, u32 number) -> jit::BlockCache::CodePage {
        const u8* const bytes = ram + u64{number} * kPageSize;
        return {.bytes = bytes,
                .fetch_entry = cpu_.mmu.fetch_entry(LinearAddr{linear}, bytes),
                .number = number};
    };
    std::string text;
    cache_.for_each_at(eip, [&](const Block& block) {
        jit::BlockSource source{.page = page_of(eip, block.page()), .next = {}};
        if (block.second_page != Block::kNoPage) {
            source.next = page_of((eip & ~kPageMask) + kPageSize, block.second_page);
        }
        text += (text.empty() ? "" : "\n") + jit::block_listing(cache_, block, source);
    });
    return text;
}

// The host's TSC against its clock, over all the time so far.
double Jit::tick_ns() const {
    const auto ticks = static_cast<double>(__rdtsc() - made_at_tick_);
    const std::chrono::duration<double, std::nano> time =
        std::chrono::steady_clock::now() - made_at_;
    return ticks > 0 ? time.count() / ticks : 0;
}

std::string Jit::stats_text() const {
    std::string text;
    const auto line = [&text](const std::string& name, const char* format, auto value) {
        char number[32];
        std::snprintf(number, sizeof number, format, value);
        text += name + ' ' + number + '\n';
    };
    const auto count = [&line](const std::string& name, u64 value) {
        line(name, "%llu", static_cast<unsigned long long>(value));
    };
    constexpr std::size_t kPrefix = sizeof "jit_" - 1;
    for (const auto& [name, value] : counters()) {
        count(name.substr(kPrefix), value);
    }
    u64 blocks = 0, guest_bytes = 0, insns = 0, host_bytes = 0;
    cache_.for_each([&](const Block& block) {
        ++blocks;
        guest_bytes += block.length;
        insns += block.count;
        host_bytes += block.code_size;
    });
    const jit::CacheCounters& cache = cache_.counters();
    const auto average = [&line](const char* name, double sum, u64 of) {
        line(name, "%.1f", of == 0 ? 0.0 : sum / static_cast<double>(of));
    };
    count("regions_evicted", cache.regions_evicted);
    count("blocks_alive", blocks);
    average("guest_bytes_per_block", static_cast<double>(guest_bytes), blocks);
    average("instructions_per_block", static_cast<double>(insns), blocks);
    average("host_bytes_per_block", static_cast<double>(host_bytes), blocks);
    count("code_memory", cache_.code_memory_used());
    count("code_memory_bound", jit::CodeMemory::kSize);
    count("description_bytes", cache_.description_bytes());
    const double translation_ns = static_cast<double>(cache.translation_ticks) * tick_ns();
    count("translation_ns", static_cast<u64>(translation_ns));
    average("translation_ns_per_block", translation_ns, cache.translated);
    for (std::size_t n = 0; n < kOpNames.size(); ++n) {
        if (counters_.finished[n] != 0) {
            count(std::string("finished_") + kOpNames[n], counters_.finished[n]);
        }
        if (counters_.interpreted[n] != 0) {
            count(std::string("interpreted_") + kOpNames[n], counters_.interpreted[n]);
        }
    }
    return text;
}

}  // namespace ennead::vmcore
