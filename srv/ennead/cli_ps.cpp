// SPDX-License-Identifier: MIT
// Lays out the lines of `status`.
#include "srv/ennead/cli_ps.h"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "srv/ennead/cli_tree.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

constexpr std::size_t kColumns = 6;
using Row = std::array<std::string, kColumns>;  // number name state reason mem uptime

std::vector<Row> rows_of(std::string_view status) {
    std::vector<Row> rows;
    const auto lines = synthfs::parse_commands(status);
    for (std::size_t i = 0; lines && i < lines.value().size(); i++) {
        const auto& words = lines.value()[i].words;
        if (words.size() >= kColumns) {
            Row& row = rows.emplace_back();
            for (std::size_t column = 0; column < kColumns; column++) {
                row[column] = words[column].text;
            }
        }
    }
    return rows;
}

// The length of the UTF-8 sequence that `text` begins with, or 0 if it begins with none.
std::size_t sequence_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t length = byte(0) < 0x80   ? 1
                               : byte(0) < 0xc2 ? 0
                               : byte(0) < 0xe0 ? 2
                               : byte(0) < 0xf0 ? 3
                               : byte(0) < 0xf5 ? 4
                                                : 0;
    if (length == 0 || length > text.size()) {
        return 0;
    }
    for (std::size_t i = 1; i < length; i++) {
        if ((byte(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    // Too long a form, half of a surrogate pair, beyond the last character.
    const bool bad = length > 2 &&
                     ((byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xed && byte(1) >= 0xa0) ||
                      (byte(0) == 0xf0 && byte(1) < 0x90) || (byte(0) == 0xf4 && byte(1) >= 0x90));
    return bad ? 0 : length;
}

std::string json_string(std::string_view text) {
    std::string json = "\"";
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        if (length == 0) {
            json += "\\ufffd";
        } else if (text.front() == '"' || text.front() == '\\') {
            json += std::string("\\") + text.front();
        } else if (static_cast<unsigned char>(text.front()) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", text.front());
            json += escape;
        } else {
            json += text.substr(0, length);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return json + '"';
}

}  // namespace

std::string vm_table_text(std::string_view status) {
    std::vector<Row> rows = rows_of(status);
    rows.insert(rows.begin(), {"N", "NAME", "STATE", "REASON", "MEM", "UPTIME"});
    Row::size_type widths[kColumns] = {};
    for (const Row& row : rows) {
        for (std::size_t column = 0; column < kColumns; column++) {
            widths[column] = std::max(widths[column], row[column].size());
        }
    }
    std::string text;
    for (const Row& row : rows) {
        for (std::size_t column = 0; column < kColumns; column++) {
            const bool last = column + 1 == kColumns;
            text += row[column];
            text += last ? "\n" : std::string(widths[column] - row[column].size() + 2, ' ');
        }
    }
    return text;
}

std::string vm_table_json(std::string_view status) {
    std::string json;
    for (const Row& row : rows_of(status)) {
        const auto mem = synthfs::parse_size({.text = row[4]});
        json += json.empty() ? "[\n" : ",\n";
        json += "  {\"number\": " + row[0] + ", \"name\": " + json_string(row[1]) +
                ", \"state\": " + json_string(row[2]) +
                ", \"reason\": " + (row[3] == "-" ? "null" : json_string(row[3])) +
                ", \"mem\": " + (mem ? std::to_string(mem.value()) : "null") +
                ", \"uptime\": " + row[5] + '}';
    }
    return json.empty() ? "[]\n" : json + "\n]\n";
}

int ps_command(int argc, char** argv) {
    constexpr const char* kUsage = "usage: ennead ps [-d DIR] [--json]\n";
    std::string dir = default_tree();
    bool json = false;
    const option longs[] = {{"json", no_argument, nullptr, 'j'},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};
    int c = 0;
    while ((c = getopt_long(argc, argv, "d:h", longs, nullptr)) != -1) {
        switch (c) {
            case 'd':
                dir = optarg;
                break;
            case 'j':
                json = true;
                break;
            case 'h':
                std::fputs(kUsage, stdout);
                return 0;
            default:
                std::fputs(kUsage, stderr);
                return 2;
        }
    }
    if (optind != argc) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    if (!tree_answers(dir)) {
        return 1;
    }
    const auto status = read_file(dir + "/status");
    if (!status) {
        complain("%s/status: %s", dir.c_str(), std::strerror(errno));
        return 1;
    }
    const std::string text = json ? vm_table_json(*status) : vm_table_text(*status);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace ennead::srv
