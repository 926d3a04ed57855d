// SPDX-License-Identifier: MIT
// Folds (source, path) pairs into qid paths.
#include "p9/qid_map.h"

namespace ennead::p9 {
namespace {

constexpr int kPathBits = 48;
constexpr std::uint64_t kTable = 0xffff;

}  // namespace

std::uint64_t QidMap::fold(std::uint64_t source, std::uint64_t path) {
    const auto [known, fresh] = sources_.try_emplace(source, sources_.size());
    if (path >> kPathBits == 0 && known->second < kTable) {
        return known->second << kPathBits | path;
    }
    const auto [entry, added] = large_.try_emplace({source, path}, large_.size());
    return kTable << kPathBits | entry->second;
}

}  // namespace ennead::p9
