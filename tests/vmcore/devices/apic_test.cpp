// SPDX-License-Identifier: MIT
// The local APIC against chapter 10 of the SDM.
#include "vmcore/devices/apic.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class LocalApicTest : public testing::Test {
  protected:
    LocalApicTest() { write(0xf0, 0x1ff); }

    u32 read(u32 offset) { return apic.read(offset, 4); }
    void write(u32 offset, u32 value) { apic.write(offset, 4, value); }
    void fixed(u8 vector, bool level = false) {
        apic.deliver({0, false, DeliveryMode::fixed, vector, level});
    }
    void pass(u64 ns) {
        clock.advance_ns(ns);
        timers.run_due();
    }
    unsigned take() {
        if (!apic.has_interrupt()) {
            return 0;
        }
        return apic.acknowledge();
    }
    void eoi() { write(0xb0, 0); }

    ManualClock clock;
    TimerQueue timers{clock};
    unsigned nmis = 0;
    bool intr = false;
    std::vector<u8> eois;
    std::vector<std::pair<u64, bool>> places;
    LocalApic apic{
        timers,
        {[this](bool on) { intr = on; }, [this] { nmis++; },
         [this] {
             apic.set_lint0(false);
             return u8{0x33};
         },
         [this](u8 v) { eois.push_back(v); }, [](u64 tsc) { return tsc / 2; },  // a TSC of 2 GHz
         [this](PhysAddr base, bool on) { places.emplace_back(raw(base), on); }}};
};

TEST_F(LocalApicTest, shows_an_integrated_apic_with_six_lvt_entries) {
    EXPECT_EQ(read(0x30), 0x0005'0014u);
}

TEST_F(LocalApicTest, reset_leaves_it_disabled_with_a_virtual_wire) {
    apic.reset();
    EXPECT_EQ(read(0xf0), 0xffu);
    EXPECT_EQ(read(0xe0), 0xffff'ffffu);
    EXPECT_EQ(read(0x320), 0x0001'0000u);
    EXPECT_EQ(read(0x350), 0x0000'0700u);
    EXPECT_EQ(read(0x360), 0x0000'0400u);
    EXPECT_EQ(apic.base_msr(), 0xfee0'0900u);
    fixed(0x40);
    EXPECT_FALSE(apic.has_interrupt());
    apic.set_lint0(true);
    EXPECT_TRUE(apic.has_interrupt());
    EXPECT_EQ(apic.acknowledge(), 0x33);
    EXPECT_FALSE(apic.has_interrupt());
}

TEST_F(LocalApicTest, gives_the_highest_vector_first) {
    fixed(0x41);
    fixed(0x91);
    EXPECT_TRUE(intr);
    EXPECT_EQ(take(), 0x91u);
    EXPECT_EQ(take(), 0u);  // 0x41 has to wait
    EXPECT_FALSE(intr);
    EXPECT_EQ(read(0xa0), 0x90u);
    eoi();
    EXPECT_EQ(take(), 0x41u);
    eoi();
    EXPECT_EQ(read(0xa0), 0u);
}

TEST_F(LocalApicTest, same_priority_class_does_not_nest) {
    fixed(0x51);
    EXPECT_EQ(take(), 0x51u);
    fixed(0x5f);
    EXPECT_EQ(take(), 0u);
    fixed(0x60);
    EXPECT_EQ(take(), 0x60u);
}

TEST_F(LocalApicTest, task_priority_holds_back_its_class_and_below) {
    write(0x80, 0x50);
    fixed(0x5f);
    EXPECT_FALSE(intr);
    EXPECT_EQ(read(0xa0), 0x50u);
    fixed(0x61);
    EXPECT_TRUE(intr);
    write(0x80, 0x40);
    EXPECT_EQ(take(), 0x61u);
    eoi();
    EXPECT_EQ(take(), 0x5fu);
}

TEST_F(LocalApicTest, registers_show_request_and_service) {
    fixed(0x62);
    EXPECT_EQ(read(0x230), 1u << 2);
    take();
    EXPECT_EQ(read(0x230), 0u);
    EXPECT_EQ(read(0x130), 1u << 2);
}

TEST_F(LocalApicTest, eoi_of_a_level_interrupt_is_broadcast) {
    fixed(0x62, true);
    EXPECT_EQ(read(0x1b0), 1u << 2);
    take();
    eoi();
    EXPECT_EQ(eois, std::vector<u8>{0x62});
    fixed(0x62, false);
    EXPECT_EQ(read(0x1b0), 0u);
    take();
    eoi();
    EXPECT_EQ(eois.size(), 1u);
}

TEST_F(LocalApicTest, acknowledge_without_request_is_spurious) {
    write(0xf0, 0x1ef);
    EXPECT_EQ(apic.acknowledge(), 0xef);
    EXPECT_EQ(read(0x170), 0u);
}

TEST_F(LocalApicTest, illegal_vector_is_an_error) {
    write(0x370, 0xfe);
    fixed(0x0f);
    EXPECT_EQ(read(0x280), 0u);  // not before a write
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 1u << 6);
    EXPECT_EQ(take(), 0xfeu);
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 0u);
    write(0x300, 0x0004'0005);  // self IPI
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 1u << 5);
    read(0x3f0);
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 1u << 7);
}

TEST_F(LocalApicTest, error_vector_below_16_does_not_recurse) {
    write(0x370, 0x02);
    fixed(0x0f);
    read(0x20 - 0x10);
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 1u << 6 | 1u << 7);
}

TEST_F(LocalApicTest, ipis_reach_only_the_one_processor) {
    write(0x310, 0);
    write(0x300, 0x4041);  // physical, to 0
    EXPECT_EQ(take(), 0x41u);
    eoi();
    write(0x310, 5u << 24);
    write(0x300, 0x4041);  // to nobody
    EXPECT_EQ(take(), 0u);
    write(0x300, 0x000c'4041);  // all others
    EXPECT_EQ(take(), 0u);
    write(0x300, 0x0008'4042);  // all
    EXPECT_EQ(take(), 0x42u);
    eoi();
    write(0x300, 0x0004'0043);  // itself
    EXPECT_EQ(take(), 0x43u);
    eoi();
    EXPECT_EQ(read(0x300), 0x0004'0043u);  // delivery status idle
}

TEST_F(LocalApicTest, init_and_startup_to_itself_do_nothing) {
    write(0x310, 0);
    write(0x300, 0x4500);
    write(0x300, 0x8500);
    write(0x300, 0x4610);
    EXPECT_EQ(take(), 0u);
    write(0x300, 0x4400);
    EXPECT_EQ(nmis, 1u);
}

TEST_F(LocalApicTest, logical_destinations_flat_and_cluster) {
    const auto reaches = [this](u8 destination) {
        const bool got = apic.deliver({destination, true, DeliveryMode::lowest, 0x44, false});
        if (got) {
            take();
            eoi();
        }
        return got;
    };
    write(0xd0, 0x02u << 24);
    EXPECT_TRUE(reaches(0x06));
    EXPECT_FALSE(reaches(0x05));
    EXPECT_TRUE(reaches(0xff));
    write(0xe0, 0x0fff'ffff);
    write(0xd0, 0x32u << 24);
    EXPECT_TRUE(reaches(0x36));
    EXPECT_FALSE(reaches(0x26));
    EXPECT_FALSE(reaches(0x31));
}

TEST_F(LocalApicTest, msi_is_decoded_from_address_and_data) {
    apic.deliver_msi(0xfee0'0000, 0x0045);
    EXPECT_EQ(take(), 0x45u);
    eoi();
    apic.deliver_msi(0xfee0'1000, 0x0045);  // another processor
    EXPECT_EQ(take(), 0u);
    write(0xd0, 0x01u << 24);
    apic.deliver_msi(0xfee0'100c, 0x0146);  // logical, lowest priority
    EXPECT_EQ(take(), 0x46u);
    eoi();
    apic.deliver_msi(0xfee0'0000, 0x0400);
    EXPECT_EQ(nmis, 1u);
    apic.deliver_msi(0xfee0'0000, 0xc047);
    EXPECT_EQ(read(0x1a0), 1u << 7);
    apic.deliver_msi(0xfee0'0000, 0x8048);  // deassert
    EXPECT_EQ(take(), 0x47u);
}

TEST_F(LocalApicTest, extint_comes_from_the_8259_unless_masked) {
    apic.set_lint0(true);
    EXPECT_TRUE(intr);
    write(0x350, 0x10700);
    EXPECT_FALSE(intr);
    write(0x350, 0x00700);
    EXPECT_TRUE(intr);
    EXPECT_EQ(take(), 0x33u);
    EXPECT_FALSE(intr);
}

TEST_F(LocalApicTest, extint_ignores_the_task_priority) {
    write(0x80, 0xf0);
    apic.set_lint0(true);
    EXPECT_EQ(take(), 0x33u);
}

TEST_F(LocalApicTest, ioapic_extint_input_asks_too) {
    write(0x350, 0x10000);
    apic.set_ioapic_extint(true);
    EXPECT_TRUE(intr);
    apic.set_ioapic_extint(false);
    EXPECT_FALSE(intr);
}

TEST_F(LocalApicTest, lint0_level_asks_again_after_eoi) {
    write(0x350, 0x8000 | 0x71);
    apic.set_lint0(true);
    EXPECT_EQ(read(0x350), 0xc071u);  // remote IRR
    EXPECT_EQ(take(), 0x71u);
    EXPECT_EQ(take(), 0u);
    eoi();
    EXPECT_EQ(take(), 0x71u);
    apic.set_lint0(false);
    eoi();
    EXPECT_EQ(read(0x350), 0x8071u);
    EXPECT_EQ(take(), 0u);
}

TEST_F(LocalApicTest, lint1_gives_nmi_edges) {
    write(0x360, 0x400);
    apic.set_lint1(true);
    apic.set_lint1(true);
    EXPECT_EQ(nmis, 1u);
    apic.set_lint1(false);
    write(0x360, 0x10400);
    apic.set_lint1(true);
    EXPECT_EQ(nmis, 1u);
}

TEST_F(LocalApicTest, software_disable_masks_the_lvt) {
    write(0x320, 0x30);
    write(0xf0, 0xff);
    EXPECT_EQ(read(0x320), 0x10030u);
    write(0x320, 0x30);
    EXPECT_EQ(read(0x320), 0x10030u);
    write(0xf0, 0x1ff);
    EXPECT_EQ(read(0x320), 0x10030u);
}

TEST_F(LocalApicTest, one_shot_counts_down_at_the_divided_rate) {
    write(0x320, 0x30);
    write(0x3e0, 0x3);  // by 16
    write(0x380, 1000);
    pass(1600);
    EXPECT_EQ(read(0x390), 900u);
    EXPECT_EQ(take(), 0u);
    pass(14399);
    EXPECT_EQ(take(), 0u);
    pass(1);
    EXPECT_EQ(take(), 0x30u);
    EXPECT_EQ(read(0x390), 0u);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(LocalApicTest, every_divide_value) {
    const std::pair<u32, u64> table[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
                                         {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
    for (const auto& [code, divisor] : table) {
        write(0x3e0, code);
        EXPECT_EQ(read(0x3e0), code);
        write(0x380, 1'000'000);
        pass(1000 * divisor);
        EXPECT_EQ(read(0x390), 999'000u) << code;
    }
}

TEST_F(LocalApicTest, divide_change_keeps_the_count) {
    write(0x3e0, 0xb);
    write(0x380, 1000);
    pass(400);
    write(0x3e0, 0xa);
    EXPECT_EQ(read(0x390), 600u);
    pass(128 * 100);
    EXPECT_EQ(read(0x390), 500u);
}

TEST_F(LocalApicTest, used_up_count_stays_zero_when_the_divider_changes) {
    write(0x3e0, 0xb);
    write(0x380, 100);
    pass(200);
    write(0x3e0, 0xa);
    EXPECT_EQ(read(0x390), 0u);
    EXPECT_EQ(read(0x380), 100u);
}

TEST_F(LocalApicTest, periodic_timer_keeps_its_rate) {
    write(0x320, 0x2'0031);
    write(0x3e0, 0xb);
    write(0x380, 1'000'000);
    unsigned ticks = 0;
    for (int i = 0; i < 10'000; i++) {
        pass(170'000);
        if (take() == 0x31) {
            ticks++;
            eoi();
        }
    }
    EXPECT_EQ(ticks, 1700u);
}

TEST_F(LocalApicTest, periodic_ticks_missed_by_a_late_host_come_later) {
    write(0x320, 0x2'0031);
    write(0x3e0, 0xb);
    write(0x380, 1'000'000);
    unsigned ticks = 0;
    pass(30'000'000);
    for (int i = 0; i < 200; i++) {
        if (take() == 0x31) {
            ticks++;
            eoi();
        }
        pass(250'000);
    }
    EXPECT_NEAR(ticks, 80, 2);
}

TEST_F(LocalApicTest, tiny_period_does_not_flood_the_timer_queue) {
    write(0x320, 0x2'0031);
    write(0x3e0, 0xb);
    write(0x380, 1);
    unsigned wakes = 0;
    while (clock.now_ns() < 10'000'000 && wakes < 100'000) {
        pass(std::max<u64>(timers.next_deadline_ns(), clock.now_ns()) - clock.now_ns());
        wakes++;
    }
    EXPECT_LE(wakes, 1010u);
}

TEST_F(LocalApicTest, masked_timer_counts_silently) {
    write(0x320, 0x1'0030);
    write(0x3e0, 0xb);
    write(0x380, 1000);
    pass(5000);
    EXPECT_EQ(take(), 0u);
    EXPECT_EQ(read(0x390), 0u);
}

TEST_F(LocalApicTest, initial_count_zero_stops_the_timer) {
    write(0x320, 0x30);
    write(0x380, 1000);
    write(0x380, 0);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
    EXPECT_EQ(read(0x390), 0u);
}

TEST_F(LocalApicTest, tsc_deadline_fires_once_and_reads_zero) {
    apic.write_tsc_deadline(1000);
    EXPECT_EQ(apic.tsc_deadline(), 0u);  // ignored in other modes
    write(0x320, 0x4'0032);
    apic.write_tsc_deadline(10'000);
    EXPECT_EQ(apic.tsc_deadline(), 10'000u);
    pass(4999);
    EXPECT_EQ(take(), 0u);
    pass(1);
    EXPECT_EQ(take(), 0x32u);
    eoi();
    EXPECT_EQ(apic.tsc_deadline(), 0u);
    apic.write_tsc_deadline(1);  // long past
    timers.run_due();
    EXPECT_EQ(take(), 0x32u);
    eoi();
    apic.write_tsc_deadline(100'000);
    apic.write_tsc_deadline(0);
    pass(1'000'000);
    EXPECT_EQ(take(), 0u);
}

TEST_F(LocalApicTest, leaving_tsc_deadline_mode_disarms) {
    write(0x320, 0x4'0032);
    apic.write_tsc_deadline(10'000);
    write(0x320, 0x32);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
    write(0x380, 1000);
    write(0x320, 0x4'0032);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
    EXPECT_EQ(read(0x390), 0u);
}

TEST_F(LocalApicTest, base_msr_refuses_reserved_bits_and_moves_the_registers) {
    EXPECT_FALSE(apic.write_base_msr(0xfee0'0d00));        // x2APIC
    EXPECT_FALSE(apic.write_base_msr(0xfee0'0901));        // reserved
    EXPECT_FALSE(apic.write_base_msr(0x10'fee0'0900ull));  // beyond 36 bits
    EXPECT_TRUE(places.empty());
    EXPECT_TRUE(apic.write_base_msr(0xfed0'0800));
    EXPECT_EQ(apic.base_msr(), 0xfed0'0900u);
    ASSERT_EQ(places.size(), 1u);
    EXPECT_EQ(places[0], std::make_pair(u64{0xfed0'0000}, true));
}

TEST_F(LocalApicTest, globally_disabled_the_8259_and_nmi_are_wired_through) {
    fixed(0x55);
    EXPECT_TRUE(apic.write_base_msr(0xfee0'0000));
    EXPECT_FALSE(apic.enabled());
    EXPECT_FALSE(intr);
    apic.set_lint0(true);
    EXPECT_TRUE(intr);
    EXPECT_EQ(take(), 0x33u);
    apic.set_lint1(true);
    EXPECT_EQ(nmis, 1u);
    EXPECT_FALSE(apic.deliver({0xff, false, DeliveryMode::fixed, 0x55, false}));
    EXPECT_TRUE(apic.write_base_msr(0xfee0'0800));
    EXPECT_EQ(read(0xf0), 0xffu);  // as after power-up
}

TEST_F(LocalApicTest, only_aligned_dword_writes_count) {
    apic.write(0x80, 1, 0x50);
    apic.write(0x82, 2, 0x50);
    EXPECT_EQ(read(0x80), 0u);
    EXPECT_EQ(apic.read(0x31, 1), 0x00u);
    EXPECT_EQ(apic.read(0x32, 2), 0x05u);
    EXPECT_EQ(apic.read(0x34, 4), 0u);
}

TEST_F(LocalApicTest, survives_random_accesses) {
    std::mt19937 random(10);
    for (u32 round = 0; round < 40; round++) {
        hostile_accesses(apic, LocalApic::kLength, 4, round, clock, timers, 500);
        // Aligned ones, which are all that do something.
        for (int i = 0; i < 500; i++) {
            const u32 offset = random() % 64 * 16;
            random() % 2 != 0 ? write(offset, static_cast<u32>(random())) : (void)read(offset);
            apic.set_lint0(random() % 2 != 0);
            apic.set_lint1(random() % 2 != 0);
            take();
            pass(random() % 1000);
        }
        (void)apic.write_base_msr(random() % 2 != 0 ? 0xfee0'0800 : 0xfee0'0000);
        apic.write_tsc_deadline(random());
        apic.deliver_msi(0xfee0'0000 | (random() & 0xfffff), static_cast<u32>(random()));
    }
}

}  // namespace
}  // namespace ennead::vmcore
