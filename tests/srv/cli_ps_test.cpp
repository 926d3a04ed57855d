// SPDX-License-Identifier: MIT
// The two forms of `ennead ps`.
#include "srv/ennead/cli_ps.h"

namespace ennead::srv {
namespace {

constexpr const char* kStatus =
    "1 1 running - 128M 4.180\n"
    "12 a\"b\\\xc3\xa4\xff stopped poweroff 24580K 0.500\n";

TEST(Ps, lays_out_a_table) {
    EXPECT_EQ(vm_table_text(kStatus),
              "N   NAME     STATE    REASON    MEM     UPTIME\n"
              "1   1        running  -         128M    4.180\n"
              "12  a\"b\\\xc3\xa4\xff  stopped  poweroff  24580K  0.500\n");
    EXPECT_EQ(vm_table_text(""), "N  NAME  STATE  REASON  MEM  UPTIME\n");
}

TEST(Ps, gives_json) {
    EXPECT_EQ(vm_table_json(kStatus),
              "[\n"
              "  {\"number\": 1, \"name\": \"1\", \"state\": \"running\", \"reason\": null, "
              "\"mem\": 134217728, \"uptime\": 4.180},\n"
              "  {\"number\": 12, \"name\": \"a\\\"b\\\\\xc3\xa4\\ufffd\", \"state\": \"stopped\", "
              "\"reason\": \"poweroff\", \"mem\": 25169920, \"uptime\": 0.500}\n"
              "]\n");
    EXPECT_EQ(vm_table_json(""), "[]\n");
}

}  // namespace
}  // namespace ennead::srv
