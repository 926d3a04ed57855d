// SPDX-License-Identifier: MIT
// The trees that sessions are about, over the host's files and beside them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "synthfs/bind_table.h"
#include "synthfs/namespace.h"
#include "tests/fuzz9p/ground.h"
#include "tests/p9/test_tree.h"
#include "tests/synthfs/kept_offload.h"

namespace ennead::fuzz9p {

enum class Kind { host, overlay, ram, names };
inline constexpr std::uint64_t kKinds = 4;

// One tree for one session; what it may put off is done when asked.
class Trees {
  public:
    // `offloaded`: what may wait for a disk does wait, for settle().
    Trees(const Ground& ground, Kind kind, bool offloaded);
    Trees(const Trees&) = delete;
    Trees& operator=(const Trees&) = delete;
    // Whatever still waits is answered.
    ~Trees();

    [[nodiscard]] const synthfs::NodePtr& root() const { return root_; }
    // Where there are `hello`, `dir/inner`, …: a prefix of names, empty for the root.
    [[nodiscard]] std::string_view place() const { return kind_ == Kind::names ? "host" : ""; }

    // Kind::names: applies one of kBindLines; a refusal changes nothing. Else all of the tree is
    // taken away.
    void rebind(std::uint64_t which);
    static const std::uint64_t kBindLines;

    // What was put off is done.
    void settle();
    // What waits for a stream or a slow directory is answered.
    void feed(bool fail);

  private:
    [[nodiscard]] synthfs::Result<synthfs::NodePtr> make(const std::string& target,
                                                         const synthfs::BindElement& element);
    void show(const synthfs::BindTable& table);

    const Ground& ground_;
    const Kind kind_;
    std::shared_ptr<synthfs::test::Kept> later_;  // null: nothing is put off
    p9::test::World world_;
    std::shared_ptr<synthfs::Namespace> names_;
    synthfs::BindTable table_;
    std::map<std::string, synthfs::NodePtr> elements_;  // by target and source
    synthfs::NodePtr root_;
};

}  // namespace ennead::fuzz9p
