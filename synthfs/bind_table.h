// SPDX-License-Identifier: MIT
// A name space as text: what `bind`, `mount` and `unbind` lines mean, kept as a value that prints
// itself as lines which give the same again (tree.md, "Binding"; Plan 9's bind(1) and
// namespace(6)).
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

// The source that is an empty tree in memory.
inline constexpr std::string_view kRamSource = "#ram";
// The source that is the VM's own directory and those of the VMs below it.
inline constexpr std::string_view kVmSource = "#vm";
// `n/name` and what is below: a tree that the server has mounted.
[[nodiscard]] inline bool is_mounted_source(std::string_view source) {
    return source.starts_with("n/");
}
// A dial string (address.h), which `mount` lines have in place of a source: what a 9P server has
// there.
[[nodiscard]] inline bool is_address_source(std::string_view source) {
    return source.starts_with("unix!") || source.starts_with("tcp!");
}
// Sources at all targets together; each takes a descriptor or two. EDQUOT above it.
inline constexpr std::size_t kMaxSources = 64;

// One member of the union at a target.
struct BindElement {
    // Absolute host paths; or, alone, kRamSource, kVmSource, a mounted tree or an address. More
    // than one, topmost first, only in an overlay. The empty string stands for the default root.
    std::vector<std::string> sources;
    bool overlay = false;
    bool create = false;
    bool read_only = false;

    bool operator==(const BindElement&) const = default;
};

// What is bound at one target.
struct BindPoint {
    std::string target;                 // absolute and clean: "/", "/usr/local"
    std::vector<BindElement> elements;  // in the order in which they are searched; never empty
    // How many elements come before what is at the target without them; nothing: that is hidden.
    std::optional<std::size_t> under;

    bool operator==(const BindPoint&) const = default;
};

// A copyable value. A bind belongs to its target's name: it stays when something is bound above it.
// At "/" there always is something; with nothing else, the default root as an overlay.
class BindTable {
  public:
    BindTable();

    // `bind [-abcor] source target`, `mount [-abc] addr target` and `unbind [source] target`, with
    // `unmount` for another word for it, in any file that takes them. `default_root` is the
    // directory that the default root shows now.
    //
    // EINVAL: bad flags, a bad address, a path that is not absolute, `..` in a target or below
    // `n/`. EOPNOTSUPP: an overlay of what is no host directory. EEXIST: the source is in that
    // union already. ENOENT: not bound there. EDQUOT: too many sources. After a fault the table is
    // as it was.
    [[nodiscard]] Checked<> apply(const Command& line, const std::string& default_root);

    // What apply() would say of the line by itself, whatever is bound: form, flags, paths.
    [[nodiscard]] static Checked<> check(const Command& line);

    // The source of a `bind` line, as it is kept: paths are clean.
    [[nodiscard]] static Checked<std::string> source_of(const Command& line);

    // Elements, at all targets, of this source.
    [[nodiscard]] std::size_t count_of(std::string_view source) const;

    // Whether more than one tree is shown at the target.
    [[nodiscard]] bool is_union(const std::string& target) const;

    // Sorted by target.
    [[nodiscard]] const std::vector<BindPoint>& points() const { return points_; }

    // `bind` and `mount` lines, from the top down. `remark`, if there is one, says of a source what
    // comes after its line as a comment; nothing: the empty string.
    using Remark = std::function<std::string(const std::string& source)>;
    [[nodiscard]] std::string text(const std::string& default_root,
                                   const Remark& remark = {}) const;

    bool operator==(const BindTable&) const = default;

  private:
    struct Bind;
    struct Unbind;
    static Checked<Bind> parse_bind(const Command& line);
    static Checked<Unbind> parse_unbind(const Command& line);
    Checked<> bind(const Command& line, const std::string& default_root);
    Checked<> unbind(const Command& line, const std::string& default_root);
    [[nodiscard]] BindPoint* find(const std::string& target);
    [[nodiscard]] std::size_t count_sources() const;

    std::vector<BindPoint> points_;
};

}  // namespace ennead::synthfs
