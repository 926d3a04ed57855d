// SPDX-License-Identifier: MIT
// Blocks as lines of text.
#include "vmcore/cpu/translations.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

namespace ennead::vmcore {
namespace {

std::string flags_text(const TranslatedBlock& block) {
    std::string text;
    const auto flag = [&text](bool is, const char* name) {
        if (is) {
            text += text.empty() ? "" : ",";
            text += name;
        }
    };
    flag(block.far, "far");
    flag(block.plain, "plain");
    flag(block.straddles, "straddles");
    return text.empty() ? "-" : text;
}

}  // namespace

std::string blocks_text(std::vector<TranslatedBlock> blocks) {
    std::ranges::sort(blocks, {}, [](const TranslatedBlock& block) {
        return std::tuple(block.eip, raw(block.address), block.user, block.plain);
    });
    std::string text;
    text.reserve(blocks.size() * 72);
    for (const TranslatedBlock& block : blocks) {
        char line[128];
        const int length =
            std::snprintf(line, sizeof line, "0x%08x 0x%08llx %3u %2u 0x%012llx %4u %c ", block.eip,
                          static_cast<unsigned long long>(raw(block.address)), block.guest_bytes,
                          block.instructions, static_cast<unsigned long long>(block.host_address),
                          block.host_bytes, block.user ? 'u' : 's');
        text.append(line, static_cast<std::size_t>(length));
        text += flags_text(block);
        text += '\n';
    }
    return text;
}

}  // namespace ennead::vmcore
