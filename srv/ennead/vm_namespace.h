// SPDX-License-Identifier: MIT
// A VM's name space as the server keeps it: the text of `ns`, and the descriptors that make it real
// in the VM's process.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "srv/common/namespace_message.h"
#include "srv/ennead/host_source.h"
#include "srv/ennead/namespace_link.h"
#include "synthfs/bind_table.h"

namespace ennead::srv {

// What a grant depends on besides the binds.
struct NamespaceContext {
    std::string default_root;          // host directory
    std::uint64_t ram_size_bytes = 0;  // the most that each #ram may take
    HiddenPlaces hidden;
    // Whether a source is a tree that is served to the process over a socket, and the end of that
    // socket that is the process's, for what is bound at `target`. Without these, and for other
    // sources, it is a host directory.
    std::function<bool(const std::string& source)> is_tree{};
    std::function<synthfs::Checked<Fd>(const std::string& source, const std::string& target,
                                       bool read_only)>
        open_tree{};
    // Whether the VM may have this name space; a fault's command may be the source that it may not
    // have. Without it: yes.
    std::function<synthfs::Checked<>(const synthfs::BindTable& next)> allow{};
};

// Loop thread only. Scratch layers are directories below the VM's own, one for each target and
// lowest layer, and are kept as long as the VM; so a directory that is bound again as it was shows
// what the guest made of it.
class VmNamespace {
  public:
    // To the VM's process, with its answer.
    using Send = std::function<void(const NamespaceGrant&, synthfs::CheckedReply<>)>;
    // The VM's directory; stays the caller's.
    explicit VmNamespace(int directory_fd) : directory_fd_(directory_fd) {}

    // Replayable lines.
    [[nodiscard]] std::string text(const std::string& default_root,
                                   const synthfs::BindTable::Remark& remark = {}) const {
        return binds_.text(default_root, remark);
    }
    // Whether some host directory is shown as it is, and so may change without the guest's doing.
    [[nodiscard]] bool shows_host() const;

    // How many trees in memory the process has, or is about to have.
    [[nodiscard]] std::size_t ram_trees() const {
        return std::max(binds_.count_of(synthfs::kRamSource), coming_ram_trees_);
    }
    [[nodiscard]] const synthfs::BindTable& binds() const { return binds_; }

    // All of it, for a new process, which knows nothing yet.
    [[nodiscard]] synthfs::Checked<NamespaceGrant> grant_all(const NamespaceContext& context);

    // Applies `bind`, `mount` and `unbind` lines, after `replace` to the default name space: all or
    // none. New sources are opened at once. With `send`, which is null while no machine is on, the
    // change is made when the process has made it. Changes are carried out one after the other.
    void change(std::vector<synthfs::Command> lines, bool replace, const NamespaceContext& context,
                Send send, synthfs::CheckedReply<> reply);

  private:
    // Elements by what they are, and the number the process has them by.
    using Known = std::map<std::string, std::uint64_t>;
    struct Prepared {
        NamespaceGrant grant;
        Known known;
    };
    struct Change {
        std::vector<synthfs::Command> lines;
        bool replace;
        NamespaceContext context;
        Send send;
        synthfs::CheckedReply<> reply;
    };

    // `known` elements are not opened again.
    [[nodiscard]] synthfs::Checked<Prepared> prepare(const synthfs::BindTable& binds,
                                                     const Known& known,
                                                     const NamespaceContext& context);
    synthfs::Checked<> open_element(const std::string& target, const synthfs::BindElement& element,
                                    const NamespaceContext& context,
                                    NamespaceMessage::Element& told, std::vector<Fd>& descriptors);
    synthfs::Checked<Fd> open_scratch(const std::string& target,
                                      const synthfs::BindElement& element);
    void next_change();
    void finish(synthfs::Checked<> outcome);

    const int directory_fd_;
    synthfs::BindTable binds_;
    Known known_;  // to the process
    std::uint64_t last_id_ = 0;
    std::size_t coming_ram_trees_ = 0;  // of the change that the process is making
    std::deque<Change> changes_;        // the first is under way
    // Replies from the process may come when this is gone.
    std::shared_ptr<VmNamespace*> self_ = std::make_shared<VmNamespace*>(this);
};

}  // namespace ennead::srv
