// SPDX-License-Identifier: MIT
// The quick ways of interrupts, IRET and segment loads against the general ones: whatever the
// tables say, both must do the same. A quick way only answers if the tables of translations know
// all it needs, so the same act with the tables empty ("cold") is the general code's.
#include "vmcore/cpu/flat_transfer.h"
#include "tests/vmcore/cpu/system/system_machine.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;
using namespace layout;

constexpr u8 kIntGate = 0x8e, kTrapGate = 0x8f, kDpl3 = 0x60;
constexpr u32 kSeen = 0x12000;  // the RAM below is compared

// All that a transfer can change.
struct Outcome {
    bool good = false;
    GuestFault fault;
    std::array<u32, 8> gpr{};
    u32 eip = 0, next_eip = 0, eflags = 0, cr2 = 0;
    u8 cpl = 0;
    bool flat = false, user = false;
    std::array<Segment, kSegCount> seg{};
    std::array<u8, kSegCount> anywhere{};
    std::vector<u8> memory;
};

class FlatTransfer : public SystemMachine {
  protected:
    template <class Prepare, class Act>
    Outcome run(bool warm, Prepare prepare, Act act) {
        std::memset(ram_->base(), 0, kSeen);
        state_.eflags = eflags::kFixed;
        state_.cr2 = 0;
        cpu_->raise(GuestFault{});
        prepare();
        cpu_->mode_changed();
        cpu_->mmu.flush_all();
        for (u32 page = 0; warm && page < kSeen; page += kPageSize) {
            for (const bool user : {false, true}) {
                GuestFault ignored;
                (void)cpu_->mmu.probe(LinearAddr{page}, 1, Access::write, user, ignored);
            }
        }
        Outcome out;
        out.good = act();
        out.fault = cpu_->fault();
        out.gpr = state_.gpr;
        out.eip = state_.eip;
        out.eflags = state_.eflags;
        out.cr2 = state_.cr2;
        out.cpl = state_.cpl;
        out.flat = cpu_->flat();
        out.user = cpu_->mmu.user();
        out.seg = state_.seg;
        out.anywhere = state_.anywhere;
        out.memory.assign(ram_->base(), ram_->base() + kSeen);
        // What is derived is what would be derived anew.
        cpu_->mode_changed();
        EXPECT_EQ(out.flat, cpu_->flat());
        EXPECT_EQ(out.anywhere, state_.anywhere);
        EXPECT_EQ(out.user, cpu_->mmu.user());
        return out;
    }

    template <class Prepare, class Act>
    void same_both_ways(Prepare prepare, Act act) {
        const Outcome cold = run(false, prepare, act), warm = run(true, prepare, act);
        ASSERT_EQ(cold.good, warm.good);
        if (!cold.good) {
            EXPECT_EQ(cold.fault.vector, warm.fault.vector);
            EXPECT_EQ(cold.fault.error_code, warm.fault.error_code);
        }
        EXPECT_EQ(cold.gpr, warm.gpr);
        EXPECT_EQ(cold.eip, warm.eip);
        EXPECT_EQ(cold.eflags, warm.eflags);
        EXPECT_EQ(cold.cr2, warm.cr2);
        EXPECT_EQ(cold.cpl, warm.cpl);
        EXPECT_EQ(cold.flat, warm.flat);
        EXPECT_EQ(cold.user, warm.user);
        EXPECT_EQ(cold.anywhere, warm.anywhere);
        for (unsigned n = 0; n < kSegCount; ++n) {
            EXPECT_EQ(cold.seg[n].base, warm.seg[n].base) << n;
            EXPECT_EQ(cold.seg[n].limit, warm.seg[n].limit) << n;
            EXPECT_EQ(cold.seg[n].selector, warm.seg[n].selector) << n;
            EXPECT_EQ(cold.seg[n].attr, warm.seg[n].attr) << n;
        }
        EXPECT_TRUE(cold.memory == warm.memory);
    }

    // protected_mode() with every descriptor accessed and gates for everything that may come of it.
    void tables(unsigned cpl) {
        protected_mode(cpl);
        for (u16 selector = kCode0; selector <= kData3; selector += 8) {
            put<u8>(kGdt + selector + 5, access_byte(selector) | 1);
        }
        for (unsigned vector = 0; vector < 32; ++vector) {
            set_idt(static_cast<u8>(vector), gate(kCode0, kHandler + vector, kIntGate));
        }
        set_idt(0x80, gate(kCode0, kHandler + 0x80, kTrapGate | kDpl3));
    }
    void patch_gdt(u16 selector, u8 access, u8 flags_and_limit) {
        put<u8>(kGdt + selector + 5, access);
        put<u8>(kGdt + selector + 6, flags_and_limit);
    }
    void return_frame(u32 esp, u32 eip, u32 cs, u32 flags, u32 outer_esp, u32 ss) {
        for (const u32 value : {eip, cs, flags, outer_esp, ss}) {
            put(esp, value);
            esp += 4;
        }
    }

    bool int80() { return exec({0xcd, 0x80}); }
    bool iret() { return exec({0xcf}); }
    bool page_fault() {
        return deliver_fault(
            *cpu_, {.vector = Vector::pf, .has_error_code = true, .error_code = 6, .cr2 = 0x1234});
    }
    bool external() { return deliver_interrupt(*cpu_, 0x10); }

    template <class Prepare>
    void enter_both_ways(Prepare prepare) {
        same_both_ways(prepare, [&] { return int80(); });
        same_both_ways(prepare, [&] { return page_fault(); });
        same_both_ways(prepare, [&] { return external(); });
    }

    // Flags of a descriptor's byte 6: as flat segments have them, and with one thing different
    // each.
    static constexpr u8 kVariants[] = {0xcf, 0xdf, 0x8f, 0x4f, 0xef, 0xce};
};

TEST_F(FlatTransfer, the_quick_ways_answer_what_is_common) {
    const auto good = [&](unsigned cpl, auto act) {
        return run(
                   true, [&] { tables(cpl); }, act)
            .good;
    };
    const FlatEvent event{.vector = 14, .has_error_code = true, .error_code = 4, .return_eip = 1};
    for (const unsigned cpl : {0u, 3u}) {
        EXPECT_TRUE(good(cpl, [&] { return enter_flat(*cpu_, event); }));
        EXPECT_TRUE(good(cpl, [&] {
            return_frame(state_.gpr[kEsp], 0x4444, kCode3 | 3, 0x246, 0x9000, kData3 | 3);
            for (Segment& each : state_.seg) {
                each.attr |= Segment::kDpl;
            }
            return iret_flat(*cpu_);
        }));
    }
    // And nothing while the tables of translations are empty.
    EXPECT_FALSE(run(
                     false, [&] { tables(0); }, [&] { return enter_flat(*cpu_, event); })
                     .good);
    EXPECT_FALSE(run(
                     false, [&] { tables(0); }, [&] { return iret_flat(*cpu_); })
                     .good);
}

TEST_F(FlatTransfer, gates_of_every_type) {
    for (const unsigned cpl : {0u, 3u}) {
        for (unsigned type = 0; type < 256; ++type) {
            SCOPED_TRACE(testing::Message() << "cpl " << cpl << " type " << type);
            enter_both_ways([&] {
                tables(cpl);
                for (const u8 vector : {u8{0x80}, u8{14}, u8{0x10}}) {
                    set_idt(vector, gate(kCode0 | 3, 0x12345678, static_cast<u8>(type)));
                }
            });
        }
    }
}

TEST_F(FlatTransfer, handlers_in_code_segments_of_every_kind) {
    for (const unsigned cpl : {0u, 3u}) {
        for (const u8 flags : kVariants) {
            for (unsigned access = 0; access < 256; ++access) {
                SCOPED_TRACE(testing::Message() << "cpl " << cpl << " access " << access);
                enter_both_ways([&] {
                    tables(cpl);
                    set_gdt(kFree, descriptor(0, 0xfffff, 0));
                    patch_gdt(kFree, static_cast<u8>(access), flags);
                    set_idt(0x80, gate(kFree, kHandler, kTrapGate | kDpl3));
                    set_idt(14, gate(kFree, kHandler, kIntGate));
                    set_idt(0x10, gate(kFree | 4, kHandler, kIntGate));
                });
            }
        }
    }
}

TEST_F(FlatTransfer, inner_stacks_of_every_kind) {
    for (const u8 flags : kVariants) {
        for (unsigned access = 0; access < 256; ++access) {
            SCOPED_TRACE(testing::Message() << "access " << access);
            enter_both_ways([&] {
                tables(3);
                set_gdt(kFree, descriptor(0, 0xfffff, 0));
                patch_gdt(kFree, static_cast<u8>(access), flags);
                put(kTss + 8, u32{kFree});
            });
        }
    }
    for (const u16 selector : {u16{0}, u16{3}, u16{kData0 | 1}, u16{0x0c}, u16{0x100}}) {
        enter_both_ways([&] {
            tables(3);
            put(kTss + 8, u32{selector});
        });
    }
    for (const u32 limit : {7u, 8u, 10u, 11u}) {
        enter_both_ways([&] {
            tables(3);
            state_.tr.limit = limit;
        });
    }
    enter_both_ways([&] {
        tables(3);
        state_.tr = {kTss16, 0x2b, kTss16Sel, 0x83};
        put<u16>(kTss16 + 2, 0x7f00);
        put<u16>(kTss16 + 4, kData0);
    });
}

TEST_F(FlatTransfer, stacks_at_the_ends_of_pages_and_of_memory) {
    for (const u32 esp : {0x8000u, 0x8004u, 0x8008u, 0x800cu, 0x8010u, 0x8014u, 0x8018u, 0x801cu,
                          0x8001u, 0x7fffu, 0u, 4u, 0x14u}) {
        SCOPED_TRACE(esp);
        enter_both_ways([&] {
            tables(3);
            put(kTss + 4, esp);
        });
        enter_both_ways([&] {
            tables(0);
            state_.gpr[kEsp] = esp;
        });
    }
}

TEST_F(FlatTransfer, tables_that_end_early) {
    for (u16 limit = 0x80 * 8; limit <= 0x80 * 8 + 7; ++limit) {
        enter_both_ways([&] {
            tables(3);
            state_.idtr.limit = limit;
        });
    }
    for (u16 limit = kCode0 - 1; limit <= kData0 + 8; ++limit) {
        enter_both_ways([&] {
            tables(3);
            state_.gdtr.limit = limit;
        });
    }
    // Across a page end.
    enter_both_ways([&] {
        tables(3);
        std::memmove(ram_->base() + 0xffc - kCode0, ram_->base() + kGdt, 0x60);
        std::memset(ram_->base() + 0x1060, 0, 0xa0);
        state_.gdtr.base = 0xffc - kCode0;
    });
}

TEST_F(FlatTransfer, flags_at_entry) {
    for (const u32 flag : {eflags::kTf, eflags::kIf, eflags::kNt, eflags::kRf, eflags::kAc,
                           eflags::kDf, eflags::kIopl, eflags::kVif, eflags::kVip}) {
        for (const unsigned cpl : {0u, 1u, 3u}) {
            SCOPED_TRACE(flag);
            enter_both_ways([&] {
                tables(cpl);
                state_.eflags |= flag;
                state_.cr0 |= cr0::kAm;
            });
        }
    }
}

TEST_F(FlatTransfer, data_segments_that_are_not_flat) {
    for (const Seg which : {Seg::es, Seg::ss, Seg::ds, Seg::fs, Seg::gs}) {
        for (const unsigned cpl : {0u, 3u}) {
            enter_both_ways([&] {
                tables(cpl);
                seg(which).base = 0x10;
            });
            enter_both_ways([&] {
                tables(cpl);
                seg(which).limit = 0xfffff;
            });
        }
    }
}

TEST_F(FlatTransfer, returns_to_code_segments_of_every_kind) {
    for (const unsigned cpl : {0u, 3u}) {
        for (unsigned rpl = 0; rpl < 4; ++rpl) {
            for (const u8 flags : kVariants) {
                for (unsigned access = 0; access < 256; ++access) {
                    SCOPED_TRACE(testing::Message() << "cpl " << cpl << " access " << access);
                    same_both_ways(
                        [&] {
                            tables(cpl);
                            set_gdt(kFree, descriptor(0, 0xfffff, 0));
                            patch_gdt(kFree, static_cast<u8>(access), flags);
                            return_frame(state_.gpr[kEsp], 0x4444, kFree | rpl, 0x246, 0xa100,
                                         kData3 | 3);
                        },
                        [&] { return iret(); });
                }
            }
        }
    }
}

TEST_F(FlatTransfer, returns_to_stacks_of_every_kind) {
    for (unsigned rpl = 0; rpl < 4; ++rpl) {
        for (const u8 flags : kVariants) {
            for (unsigned access = 0; access < 256; ++access) {
                SCOPED_TRACE(testing::Message() << "rpl " << rpl << " access " << access);
                same_both_ways(
                    [&] {
                        tables(0);
                        set_gdt(kFree, descriptor(0, 0xfffff, 0));
                        patch_gdt(kFree, static_cast<u8>(access), flags);
                        return_frame(0x7000, 0x4444, kCode3 | 3, 0x246, 0xa100, kFree | rpl);
                    },
                    [&] { return iret(); });
            }
        }
    }
}

TEST_F(FlatTransfer, data_segments_that_a_return_takes_away) {
    for (const Seg which : {Seg::es, Seg::ds, Seg::fs, Seg::gs}) {
        for (const Segment& value :
             {Segment{0, 0xffffffff, kData3 | 3, 0xc0f3}, Segment{0, 0xffffffff, kData0, 0xc093},
              Segment{0, 0, 0, 0}, Segment{0, 0, 3, 0}, Segment{0, 0xffffffff, kConforming, 0xc09f},
              Segment{0x1000, 0xffffffff, kData3 | 3, 0xc0f3}}) {
            same_both_ways(
                [&] {
                    tables(0);
                    for (const Seg each : {Seg::es, Seg::ds, Seg::fs, Seg::gs}) {
                        seg(each) = {0, 0xffffffff, kData3 | 3, 0xc0f3};
                    }
                    seg(which) = value;
                    return_frame(0x7000, 0x4444, kCode3 | 3, 0x246, 0xa100, kData3 | 3);
                },
                [&] { return iret(); });
        }
    }
}

TEST_F(FlatTransfer, flags_at_return) {
    for (const unsigned cpl : {0u, 3u}) {
        for (const u32 before : {0u, eflags::kIopl, eflags::kNt, eflags::kAc, 0x3f7fd7u}) {
            for (unsigned bit = 0; bit < 22; ++bit) {
                for (const u32 cr4 : {0u, cr4::kPvi, cr4::kVme}) {
                    SCOPED_TRACE(testing::Message() << "cpl " << cpl << " bit " << bit);
                    same_both_ways(
                        [&] {
                            tables(cpl);
                            state_.cr0 |= cr0::kAm;
                            state_.cr4 = cr4;
                            state_.eflags = (before | eflags::kFixed) & ~eflags::kVm;
                            return_frame(state_.gpr[kEsp], 0x4444, kCode3 | 3, 1u << bit, 0xa100,
                                         kData3 | 3);
                        },
                        [&] { return iret(); });
                }
            }
        }
    }
    state_.cr4 = 0;
}

TEST_F(FlatTransfer, return_frames_at_the_ends_of_pages) {
    for (u32 esp = 0x7fe0; esp <= 0x8000; esp += 2) {
        same_both_ways(
            [&] {
                tables(0);
                state_.gpr[kEsp] = esp;
                return_frame(esp, 0x4444, kCode3 | 3, 0x246, 0xa100, kData3 | 3);
            },
            [&] { return iret(); });
    }
}

TEST_F(FlatTransfer, segment_loads_of_every_kind) {
    for (const unsigned cpl : {0u, 1u, 3u}) {
        for (const unsigned number : {0u, 2u, 3u, 4u, 5u}) {
            for (const u8 flags : kVariants) {
                for (unsigned access = 0; access < 256; ++access) {
                    SCOPED_TRACE(testing::Message() << "seg " << number << " access " << access);
                    same_both_ways(
                        [&] {
                            tables(cpl);
                            set_gdt(kFree, descriptor(access & 1 ? 0x1000 : 0, 0xfffff, 0));
                            patch_gdt(kFree, static_cast<u8>(access), flags);
                            cpu_->set_r16(kEax, static_cast<u16>(kFree | (access >> 2 & 3)));
                        },
                        [&] {
                            return exec({0x8e, static_cast<u8>(0xc0 | number << 3)});
                        });
                }
            }
        }
    }
    for (const u16 selector : {u16{0}, u16{3}, u16{0x0c}, u16{0xfc}, u16{0xf8}, u16{0x100}}) {
        for (const unsigned number : {0u, 2u, 3u, 4u, 5u}) {
            same_both_ways(
                [&] {
                    tables(0);
                    cpu_->set_r16(kEax, selector);
                },
                [&] {
                    return exec({0x8e, static_cast<u8>(0xc0 | number << 3)});
                });
        }
    }
}

// The tables and stacks behind page table entries of every kind.
TEST_F(FlatTransfer, pages_that_are_absent_or_protected) {
    constexpr u32 kDirectory = 0x100000, kPages = 0x101000;
    const auto paged = [&](unsigned cpl, u32 page, u32 bits, bool write_protect) {
        tables(cpl);
        put(kDirectory, kPages | 7);
        for (u32 n = 0; n < 1024; ++n) {
            put(kPages + n * 4, n * kPageSize | 0x67);
        }
        put(kPages + page / kPageSize * 4, page | bits);
        state_.cr3 = kDirectory;
        state_.cr0 |= cr0::kPg | (write_protect ? cr0::kWp : 0);
        if (cpl == 0) {
            return_frame(0x7000, 0x4444, kCode3 | 3, 0x246, 0xa100, kData3 | 3);
        }
    };
    for (const unsigned cpl : {0u, 3u}) {
        for (const u32 page : {kGdt, kIdt, kTss, 0x6000u, 0x7000u, 0xa000u, 0x9000u}) {
            for (const u32 bits : {0u, 1u, 3u, 5u, 7u, 0x21u, 0x23u, 0x25u, 0x27u, 0x63u, 0x67u}) {
                for (const bool write_protect : {false, true}) {
                    SCOPED_TRACE(testing::Message() << "page " << page << " bits " << bits);
                    const auto prepare = [&] { paged(cpl, page, bits, write_protect); };
                    enter_both_ways(prepare);
                    same_both_ways(prepare, [&] { return iret(); });
                    same_both_ways(prepare, [&] {
                        cpu_->set_r16(kEax, kData3 | 3);
                        return exec({0x8e, 0xc0});
                    });
                }
            }
        }
    }
    state_.cr0 = cr0::kPe;
}

TEST_F(FlatTransfer, sysenter_and_sysexit_derive_what_they_must) {
    for (const unsigned cpl : {0u, 1u, 3u}) {
        for (const u16 cs : {u16{0}, u16{3}, kCode0, u16{kCode0 | 3}}) {
            for (const u8 opcode : {u8{0x34}, u8{0x35}}) {
                same_both_ways(
                    [&] {
                        tables(cpl);
                        state_.cr0 |= cr0::kAm;
                        state_.eflags |= eflags::kAc | eflags::kIf;
                        state_.sysenter_cs = cs;
                        state_.sysenter_eip = 0x1111;
                        state_.sysenter_esp = 0x2222;
                        state_.gpr[kEdx] = 0x3333;
                    },
                    [&] {
                        return exec({0x0f, opcode});
                    });
            }
        }
    }
    same_both_ways(
        [&] {
            v86_mode(3);
            state_.sysenter_cs = kCode0;
        },
        [&] {
            return exec({0x0f, 0x34});
        });
    state_.eflags &= ~eflags::kVm;
}

}  // namespace
}  // namespace ennead::vmcore
