// SPDX-License-Identifier: MIT
#include "tests/fuzz/shrink.h"

#include <algorithm>

#include "tests/fuzz/address_spaces.h"

namespace ennead::vmcore::fuzz {
namespace {

class Shrinker {
  public:
    Shrinker(Case c, const std::function<bool(const Case&)>& shows)
        : case_(std::move(c)), shows_(shows) {}

    Case run() {
        bool better = true;
        for (unsigned round = 0; better && round < 6; ++round) {
            better = false;
            better |= slices();
            better |= units();
            better |= instructions();
            better |= events();
            better |= mappings();
            better |= surroundings();
            better |= registers();
        }
        return case_;
    }

  private:
    template <class Change>
    bool attempt(Change change) {
        Case other = case_;
        change(other);
        if (!shows_(other)) {
            return false;
        }
        case_ = std::move(other);
        return true;
    }

    bool slices() {
        bool any = false;
        for (u32 n = static_cast<u32>(case_.slices.size()); n-- > 1;) {
            any |= attempt([&](Case& c) { c.slices.resize(n); });
        }
        // One run instead of several.
        if (case_.slices.size() > 1) {
            any |= attempt([&](Case& c) {
                u32 sum = 0;
                for (const u32 each : c.slices) {
                    sum += each;
                }
                c.slices = {sum};
                for (Event& event : c.events) {
                    event.slice = 0;
                }
            });
        }
        for (u32 n = 0; n < case_.slices.size(); ++n) {
            for (u32 by = case_.slices[n] / 2; by != 0; by /= 2) {
                while (case_.slices[n] > by && attempt([&](Case& c) { c.slices[n] -= by; })) {
                    any = true;
                }
            }
        }
        return any;
    }

    // Units stay as numbers, for others refer to them: they become empty, or NOPs.
    bool units() {
        bool any = false;
        for (std::size_t chunk = std::max<std::size_t>(case_.units.size() / 2, 1);; chunk /= 2) {
            for (std::size_t first = 0; first < case_.units.size(); first += chunk) {
                const auto end = std::min(first + chunk, case_.units.size());
                bool empty = true;
                for (auto n = first; n < end; ++n) {
                    empty &= case_.units[n].bytes.empty();
                }
                if (!empty) {
                    any |= attempt([&](Case& c) {
                        for (auto n = first; n < end; ++n) {
                            c.units[n] = {};
                        }
                    });
                }
            }
            if (chunk == 1) {
                break;
            }
        }
        for (std::size_t n = 0; n < case_.units.size(); ++n) {
            const Unit& unit = case_.units[n];
            if (std::ranges::any_of(unit.bytes, [](u8 b) { return b != 0x90; })) {
                any |= attempt([&](Case& c) {
                    std::ranges::fill(c.units[n].bytes, u8{0x90});
                    c.units[n].fixups.clear();
                });
            }
        }
        return any;
    }

    // Bytes at a unit's end and at its beginning.
    bool instructions() {
        bool any = false;
        for (std::size_t n = 0; n < case_.units.size(); ++n) {
            for (std::size_t k = case_.units[n].bytes.size(); k-- > 0;) {
                if (k >= case_.units[n].bytes.size() || case_.units[n].bytes[k] == 0x90) {
                    continue;
                }
                any |= attempt([&](Case& c) {
                           Unit& unit = c.units[n];
                           unit.bytes.resize(k);
                           std::erase_if(unit.fixups, [&](const Fixup& f) { return f.at + 4 > k; });
                       }) ||
                       attempt([&](Case& c) {
                           Unit& unit = c.units[n];
                           std::fill_n(unit.bytes.begin(), k + 1, u8{0x90});
                           std::erase_if(unit.fixups, [&](const Fixup& f) { return f.at <= k; });
                       });
            }
        }
        return any;
    }

    bool events() {
        bool any = false;
        for (std::size_t n = case_.events.size(); n-- != 0;) {
            any |= attempt([&](Case& c) {
                c.events.erase(c.events.begin() + static_cast<std::ptrdiff_t>(n));
            });
        }
        return any;
    }

    // Pages become what they are in the plain layout, and as few address spaces as will do.
    bool mappings() {
        bool any = false;
        for (std::size_t chunk = std::max<std::size_t>(case_.mappings.size(), 1); chunk != 0;
             chunk /= 2) {
            for (std::size_t first = 0; first < case_.mappings.size();) {
                const auto count = std::min(chunk, case_.mappings.size() - first);
                const auto at = static_cast<std::ptrdiff_t>(first);
                if (attempt([&](Case& c) {
                        c.mappings.erase(
                            c.mappings.begin() + at,
                            c.mappings.begin() + at + static_cast<std::ptrdiff_t>(count));
                    })) {
                    any = true;
                } else {
                    first += count;
                }
            }
        }
        for (std::size_t n = 0; n < case_.mappings.size(); ++n) {
            for (const u64 bits :
                 {entry::kExecuteDisable, entry::kGlobal, entry::kDirty, entry::kAccessed}) {
                if ((case_.mappings[n].entry & (bits | entry::kGlobal)) == bits ||
                    (bits == entry::kGlobal && (case_.mappings[n].entry & bits) != 0)) {
                    any |= attempt([&](Case& c) { c.mappings[n].entry &= ~bits; });
                }
            }
        }
        while (case_.spaces > 1 && attempt([](Case& c) { --c.spaces; })) {
            any = true;
        }
        return any;
    }

    bool surroundings() {
        bool any = false;
        const auto simpler = [&](auto Case::*field, auto value) {
            if (case_.*field != value) {
                any |= attempt([&](Case& c) { c.*field = value; });
            }
        };
        simpler(&Case::paging, PagingKind::off);
        simpler(&Case::paging, PagingKind::small);
        simpler(&Case::user, false);
        simpler(&Case::write_protect, false);
        simpler(&Case::global, false);
        simpler(&Case::mend, false);
        if (case_.exact) {
            simpler(&Case::scrub, false);
        }
        simpler(&Case::execute_disable, false);
        simpler(&Case::table_rights, std::array<u64, 4>{7, 7, 7, 7});
        simpler(&Case::iopl, 0u);
        simpler(&Case::cr4, 0u);
        simpler(&Case::flags, 0u);
        simpler(&Case::start, place::kCode);
        simpler(&Case::fs_limit, 0xffffffffu);
        simpler(&Case::gs_limit, 0xffffffffu);
        simpler(&Case::fs_base, 0u);
        simpler(&Case::gs_base, 0u);
        return any;
    }

    bool registers() {
        bool any = false;
        for (unsigned n = 0; n < 8; ++n) {
            const u32 simple = n == kEsp ? place::kStack + 0x2000 : 0;
            if (case_.gpr[n] != simple) {
                any |= attempt([&](Case& c) { c.gpr[n] = simple; });
            }
        }
        return any;
    }

    Case case_;
    const std::function<bool(const Case&)>& shows_;
};

}  // namespace

Case shrink(Case c, const std::function<bool(const Case&)>& shows) {
    return Shrinker(std::move(c), shows).run();
}

}  // namespace ennead::vmcore::fuzz
