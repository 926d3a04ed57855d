// SPDX-License-Identifier: MIT
// Times what only ring 0 can do, on the bare machine: paging on, interrupts off, nothing else
// running. Prints `name nanoseconds` lines on COM1, then `end`, and halts.
//
// Time is the TSC, measured against the 8254, which every PC has.
#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

enum { kPage = 4096, kPages = 16384 };  // the first 64 MiB are mapped, one to one

static u32 page_directory[1024] __attribute__((aligned(kPage)));
u32 page_tables[kPages] __attribute__((aligned(kPage)));
static u64 idt[256] __attribute__((aligned(8)));
static u8 source[kPage] __attribute__((aligned(kPage)));
static u8 target[kPage] __attribute__((aligned(kPage)));
static u8 code_page[kPage] __attribute__((aligned(kPage)));
static volatile u8* const kArena = (u8*)0x1000000;     // 32 MiB that nothing else uses
static volatile u8* const kFaulting = (u8*)0x3000000;  // head.S knows this address

volatile u32 faults;
void on_interrupt(void);
void on_page_fault(void);
void on_other(void);

// --- the machine ---------------------------------------------------------------------------------

static void out(u32 port, u8 value) {
    __asm__ volatile("outb %0, %w1" ::"a"(value), "d"(port));
}
static u8 in(u32 port) {
    u8 value;
    __asm__ volatile("inb %w1, %0" : "=a"(value) : "d"(port));
    return value;
}
static u64 tsc(void) {
    u64 value;
    __asm__ volatile("rdtsc" : "=A"(value));
    return value;
}

// 115,200 baud, 8 bits, no parity: no BIOS need have been here.
static void set_up_com1(void) {
    out(0x3fb, 0x83);
    out(0x3f8, 1);
    out(0x3f9, 0);
    out(0x3fb, 3);
}

static void print(const char* text) {
    for (; *text; text++) {
        while ((in(0x3fd) & 0x20) == 0) {
        }
        out(0x3f8, (u8)*text);
    }
}

static void print_number(u32 n) {
    char digits[12];
    char* p = digits + sizeof digits - 1;
    *p = 0;
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    print(p);
}

void unexpected(void) {
    print("unexpected-exception 0\nend\n");
    for (;;) {
        __asm__ volatile("hlt");
    }
}

static void load_cr3(void) {
    __asm__ volatile("movl %0, %%cr3" ::"r"(page_directory) : "memory");
}
static void invalidate(volatile u8* at) {
    __asm__ volatile("invlpg (%0)" ::"r"(at) : "memory");
}

static void map_memory(void) {
    for (u32 i = 0; i < kPages; i++) {
        page_tables[i] = i * kPage | 3;
    }
    for (u32 i = 0; i < kPages / 1024; i++) {
        page_directory[i] = (u32)(page_tables + i * 1024) | 3;
    }
    load_cr3();
    u32 cr0;
    __asm__ volatile("movl %%cr0, %0; orl $0x80010000, %0; movl %0, %%cr0; jmp 1f; 1:"
                     : "=r"(cr0)::"memory");
}

static void set_gate(u32 vector, void (*handler)(void)) {
    const u32 address = (u32)handler;
    idt[vector] = (u64)((address & 0xffff0000) | 0x8e00) << 32 | 0x10 << 16 | (address & 0xffff);
}

static void set_gates(void) {
    for (u32 i = 0; i < 256; i++) {
        set_gate(i, on_other);
    }
    set_gate(14, on_page_fault);
    set_gate(0x80, on_interrupt);
    const struct __attribute__((packed)) {
        uint16_t limit;
        void* base;
    } idtr = {sizeof idt - 1, idt};
    __asm__ volatile("lidt %0" ::"m"(idtr));
}

// --- time ----------------------------------------------------------------------------------------

static double ticks_per_ns;

// Counter 2 of the 8254 counts 59,659 ticks of 1,193,182 Hz, which is 50 ms, then raises its
// output.
static double ticks_in_50_ms(void) {
    enum { kCount = 59659 };
    out(0x61, (u8)((in(0x61) & ~2) | 1));  // counting, not to the speaker
    out(0x43, 0xb0);                       // counter 2, low byte then high byte, mode 0
    out(0x42, kCount & 0xff);
    out(0x42, kCount >> 8);
    const u64 start = tsc();
    while ((in(0x61) & 0x20) == 0) {
    }
    return (double)(int64_t)(tsc() - start);
}

// --- what is timed ---------------------------------------------------------------------------------
// Each does the same n times, n being at least 1. False if it did not do what it should.

static bool interrupt(u32 n) {
    for (; n > 0; n--) {
        __asm__ volatile("int $0x80" ::: "memory");
    }
    return true;
}

// The handler maps the page; taking it away again is part of the round.
static bool page_fault(u32 n) {
    const u32 before = faults, rounds = n;
    for (; n > 0; n--) {
        page_tables[(u32)kFaulting / kPage] &= ~1u;
        invalidate(kFaulting);
        *kFaulting;
    }
    return faults - before == rounds;
}

static bool cr3_load(u32 n) {
    for (; n > 0; n--) {
        load_cr3();
    }
    return true;
}

static bool cr3_load_touch_64(u32 n) {
    for (; n > 0; n--) {
        load_cr3();
        for (u32 page = 0; page < 64; page++) {
            kArena[page * kPage];
        }
    }
    return true;
}

static bool invlpg_touch(u32 n) {
    for (; n > 0; n--) {
        invalidate(kArena);
        *kArena;
    }
    return true;
}

// More pages than a TLB holds; counted by the page.
static bool touch_8192_pages(u32 n) {
    for (u32 page = 0; n > 0; n--, page = (page + 1) % 8192) {
        kArena[page * kPage];
    }
    return true;
}

static bool segment_load(u32 n) {
    for (; n > 0; n--) {
        __asm__ volatile("movl %0, %%es" ::"r"(0x18));
    }
    return true;
}

static bool pushf_cli_popf(u32 n) {
    for (; n > 0; n--) {
        __asm__ volatile("pushf; cli; popf" ::: "memory", "cc");
    }
    return true;
}

static bool port_read(u32 n) {
    for (; n > 0; n--) {
        in(0x61);
    }
    return true;
}

// mov $imm32, %eax; ret, with a new number each time.
static bool patch_and_run(u32 n) {
    bool right = true;
    code_page[0] = 0xb8;
    code_page[5] = 0xc3;
    for (; n > 0; n--) {
        *(volatile u32*)(code_page + 1) = n;
        right &= ((u32(*)(void))code_page)() == n;
    }
    return right;
}

// Data that share a page with code that runs.
static bool store_beside_code(u32 n) {
    code_page[0] = 0xc3;
    for (; n > 0; n--) {
        *(volatile u32*)(code_page + 2048) = n;
        ((void (*)(void))code_page)();
    }
    return *(u32*)(code_page + 2048) == 1;
}

static bool rep_movsb_4k(u32 n) {
    source[kPage - 1] = (u8)n;
    for (u32 left = n; left > 0; left--) {
        const void* from = source;
        void* to = target;
        u32 count = kPage;
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count)::"memory");
    }
    return target[kPage - 1] == (u8)n;
}

static bool rep_stosd_4k(u32 n) {
    for (; n > 0; n--) {
        void* to = target;
        u32 count = kPage / 4;
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(n) : "memory");
    }
    return *(u32*)(target + kPage - 4) == 1;
}

static bool lock_inc(u32 n) {
    u32 counter = 0;
    for (u32 left = n; left > 0; left--) {
        __asm__ volatile("lock incl %0" : "+m"(counter)::"cc");
    }
    return counter == n;
}

static bool cpuid(u32 n) {
    for (; n > 0; n--) {
        u32 leaf = 0;
        __asm__ volatile("cpuid" : "+a"(leaf)::"ebx", "ecx", "edx");
    }
    return true;
}

static bool read_tsc(u32 n) {
    for (; n > 0; n--) {
        tsc();
    }
    return true;
}

static const struct {
    const char* name;
    bool (*run)(u32 n);
} kMeasures[] = {
    {"int-iret", interrupt},
    {"page-fault", page_fault},
    {"cr3-load", cr3_load},
    {"cr3-load+touch-64", cr3_load_touch_64},
    {"invlpg+touch", invlpg_touch},
    {"touch-8192-pages", touch_8192_pages},
    {"segment-load", segment_load},
    {"pushf-cli-popf", pushf_cli_popf},
    {"in-al-61h", port_read},
    {"patch-and-run", patch_and_run},
    {"store-beside-code", store_beside_code},
    {"rep-movsb-4K", rep_movsb_4k},
    {"rep-stosd-4K", rep_stosd_4k},
    {"lock-inc", lock_inc},
    {"cpuid", cpuid},
    {"rdtsc", read_tsc},
};

// Twice as often until it takes 20 ms; the times before have warmed everything up.
static void measure(const char* name, bool (*run)(u32 n)) {
    double ns = 0;
    u32 n = 1;
    bool right = true;
    for (;; n *= 2) {
        const u64 start = tsc();
        right &= run(n);
        ns = (double)(int64_t)(tsc() - start) / ticks_per_ns;
        if (ns >= 20e6 || n >= 1u << 28) {
            break;
        }
    }
    const u32 tenths = (u32)(int32_t)(ns / (int32_t)n * 10 + 0.5);
    print(name);
    print(" ");
    print_number(tenths / 10);
    print(".");
    print_number(tenths % 10);
    print(right ? "\n" : " wrong\n");
}

void micro(void) {
    set_up_com1();
    set_gates();
    map_memory();
    // The first touch of a page of the machine's memory is the host's work.
    for (u32 page = 0; page <= 8192; page++) {
        kArena[page * kPage] = 1;
    }
    ticks_per_ns = ticks_in_50_ms() / 50e6;
    for (u32 i = 0; i < sizeof kMeasures / sizeof kMeasures[0]; i++) {
        measure(kMeasures[i].name, kMeasures[i].run);
    }
    print("end\n");
}
