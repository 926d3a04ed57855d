// SPDX-License-Identifier: MIT
// The meaning of the files in jit/. Text is made on the I/O thread from copies, where it is long.
#include "srv/ennead-vm/jit_dir.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "synthfs/text_file.h"
#include "synthfs/tree.h"

namespace ennead::srv {
namespace {

using synthfs::CheckedReply;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::RequestPtr;
using vmcore::TranslatedBlock;
using vmcore::Translations;
using vmcore::u32;

using Ask = std::function<void(TranslationsWork)>;

// `look` on the vCPU thread, `then` here with what it gave.
template <class Look, class Then>
void look_at_translations(const Ask& ask, Look look, Then then) {
    ask([look, then](const Translations* translations) -> std::function<void()> {
        if (translations == nullptr) {
            return [then] {
                then(make_fault(EOPNOTSUPP, "nothing is translated: the engine is interp"));
            };
        }
        return [then, seen = look(*translations)]() mutable { then(std::move(seen)); };
    });
}

std::string name_of(u32 eip) {
    char name[16];
    std::snprintf(name, sizeof name, "0x%08x", eip);
    return name;
}

// As `blocks` and listings have it, and no other way: a file has one name.
std::optional<u32> eip_of(const std::string& name) {
    unsigned eip = 0;
    if (std::sscanf(name.c_str(), "0x%8x", &eip) == 1 && name_of(eip) == name) {
        return eip;
    }
    return std::nullopt;
}

std::vector<u32> addresses(const std::vector<TranslatedBlock>& blocks) {
    std::vector<u32> eips;
    eips.reserve(blocks.size());
    for (const TranslatedBlock& block : blocks) {
        eips.push_back(block.eip);
    }
    std::ranges::sort(eips);
    eips.erase(std::unique(eips.begin(), eips.end()), eips.end());
    return eips;
}

// block/: its files are there as long as somebody uses them.
class BlockFiles : public std::enable_shared_from_this<BlockFiles> {
  public:
    BlockFiles(Ask ask, synthfs::ErrorSink errors)
        : ask_(std::move(ask)), errors_(std::move(errors)) {}

    void find(const std::string& name, const CheckedReply<NodePtr>& reply) {
        const auto eip = eip_of(name);
        if (!eip) {
            reply(NodePtr());
            return;
        }
        look_at_translations(
            ask_, [eip](const Translations& all) { return all.has_block(*eip); },
            [self = shared_from_this(), eip, reply](synthfs::Checked<bool> is) {
                if (!is) {
                    reply(is.error());
                } else {
                    reply(is.value() ? self->file(*eip) : NodePtr());
                }
            });
    }

    void list(const CheckedReply<std::vector<std::string>>& reply) const {
        using Blocks = std::vector<TranslatedBlock>;
        look_at_translations(
            ask_, [](const Translations& all) { return all.blocks(); },
            [reply](synthfs::Checked<Blocks> blocks) {
                // Without a translator it is empty: find(1) has nothing to complain of.
                std::vector<std::string> names;
                if (blocks) {
                    for (const u32 eip : addresses(blocks.value())) {
                        names.push_back(name_of(eip));
                    }
                }
                reply(std::move(names));
            });
    }

  private:
    [[nodiscard]] NodePtr file(u32 eip) {
        std::weak_ptr<synthfs::SynthNode>& known = known_[eip];
        auto node = known.lock();
        if (!node) {
            known = node = make_file(eip);
        }
        if (known_.size() > most_) {
            std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
            most_ = 2 * known_.size() + kFew;
        }
        return node;
    }

    [[nodiscard]] synthfs::SynthNodePtr make_file(u32 eip) {
        synthfs::TextFile file{
            .mode = 0400, .name = "jit/block/" + name_of(eip), .errors = errors_};
        file.text_later = [ask = ask_, eip](RequestPtr, CheckedReply<std::string> reply) {
            look_at_translations(
                ask, [eip](const Translations& all) { return all.listing(eip); },
                [reply](synthfs::Checked<std::string> text) {
                    if (!text) {
                        reply(text.error());
                    } else if (text.value().empty()) {
                        reply(make_fault(ENOENT, "there is no such block any more"));
                    } else {
                        reply(std::move(text.value()));
                    }
                });
        };
        return synthfs::make_text_file(std::move(file));
    }

    static constexpr std::size_t kFew = 64;
    Ask ask_;
    synthfs::ErrorSink errors_;
    std::map<u32, std::weak_ptr<synthfs::SynthNode>> known_;
    std::size_t most_ = kFew;  // how many before those no longer in use are dropped
};

NodePtr make_block_dir(const Ask& ask, const synthfs::ErrorSink& errors) {
    const auto files = std::make_shared<BlockFiles>(ask, errors);
    synthfs::DirectoryHooks hooks;
    hooks.find_later = [files](RequestPtr, std::string name, CheckedReply<NodePtr> reply) {
        files->find(name, reply);
    };
    hooks.names_later = [files](RequestPtr, CheckedReply<std::vector<std::string>> reply) {
        files->list(reply);
    };
    return synthfs::Directory::make(
        {.mode = 0700, .name = "jit/block", .errors = errors, .hooks = std::move(hooks)});
}

}  // namespace

NodePtr make_jit_dir(Ask ask, synthfs::ErrorSink errors) {
    synthfs::TextFile stats{.mode = 0400, .name = "jit/stats", .errors = errors};
    stats.text_later = [ask](RequestPtr, CheckedReply<std::string> reply) {
        look_at_translations(
            ask, [](const Translations& all) { return all.stats_text(); },
            [reply](synthfs::Checked<std::string> text) {
                if (text) {
                    reply(std::move(text.value()));
                } else {
                    reply(text.error());
                }
            });
    };
    synthfs::TextFile blocks{.mode = 0400, .name = "jit/blocks", .errors = errors};
    blocks.text_later = [ask](RequestPtr, CheckedReply<std::string> reply) {
        using Blocks = std::vector<TranslatedBlock>;
        look_at_translations(
            ask, [](const Translations& all) { return all.blocks(); },
            [reply](synthfs::Checked<Blocks> seen) {
                if (seen) {
                    reply(vmcore::blocks_text(std::move(seen.value())));
                } else {
                    reply(seen.error());
                }
            });
    };
    const auto entry = [](const char* name, mode_t mode, NodePtr node) {
        return synthfs::Entry{.name = name, .mode = mode, .make = [node](mode_t) { return node; }};
    };
    return synthfs::Directory::make(
        {.mode = 0700,
         .name = "jit",
         .errors = errors,
         .entries = {entry("stats", S_IFREG | 0400, synthfs::make_text_file(std::move(stats))),
                     entry("blocks", S_IFREG | 0400, synthfs::make_text_file(std::move(blocks))),
                     entry("block", S_IFDIR | 0700, make_block_dir(ask, errors))}});
}

}  // namespace ennead::srv
