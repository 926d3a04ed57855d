// SPDX-License-Identifier: MIT
// The texts of `exec` and `run`: what is typed at a guest's shell to have a command run between
// marks, and finding those marks, and what stood at the prompt before, in what the console prints.
//
// Three steps, since a console may be in anybody's hands. (1) A line that only prints a mark: where
// no shell reads it, it harms nothing. (2) A line that takes the terminal: no echo, no translation
// of output, no flushing of input by Ctrl-C. (3) The command, as lines of printable characters that
// printf's %b turns back into bytes; and standard input likewise, piece by piece, each
// acknowledged. Marks are ASCII's record separator around words; it is nowhere typed, so no echo
// looks like them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ennead::srv {

// `word` as one word of a POSIX shell, whatever bytes it has; NUL cannot be in it.
[[nodiscard]] std::string quote_for_shell(std::string_view word);

// `bytes` as an argument of printf's %b: letters, digits and a few signs as they are, everything
// else as \0ooo. Neither `.` nor `-` is among those, so that lines of these mean something else.
[[nodiscard]] std::string encode_for_printf(std::string_view bytes);

// The longest line that is sent while a program reads lines from the terminal, newline left out:
// three of them fit Linux' buffer of 4096, so that a Ctrl-C behind them is seen at once.
inline constexpr std::size_t kMaxLine = 1000;
inline constexpr std::size_t kMaxUnacknowledged = 3;
inline constexpr std::string_view kEndOfInput = ".\n";     // step 3, standard input
inline constexpr std::string_view kForgetCommand = "-\n";  // step 3, the command
inline constexpr char kInterrupt = 0x03;

struct ShellCommand {
    std::vector<std::string> arguments;
    bool with_input = true;    // standard input is sent; else it is /dev/null
    std::string afterwards{};  // a shell command to run before the end, its output thrown away
};

// Answers `token`P. Before it, whatever stands at the prompt is deleted (Ctrl-E, Ctrl-U).
[[nodiscard]] std::string probe_line(const std::string& token);
// What the probe shows as when it is echoed, less its end.
inline constexpr std::string_view kProbeEcho = " printf '\\036";
// Answers `token`R and takes command lines, or `token`X: the guest has no stty. When all is done
// and the terminal is as before: `token`D.
[[nodiscard]] std::string entry_line(const std::string& token);
// The lines of the command and the empty one that ends them. `token`S: it begins, and its output
// follows; `token`A: a line of input was taken; `token`E and the exit status: it has ended.
[[nodiscard]] std::string command_lines(const std::string& token, const ShellCommand& command);

// The beginning of `bytes` as one line of input; it is taken away from `bytes`.
[[nodiscard]] std::string take_input_line(std::string_view& bytes);

struct Mark {
    char kind;
    unsigned number = 0;  // behind E
};

// Cuts output at marks.
class MarkScanner {
  public:
    explicit MarkScanner(const std::string& token) : lead_("\x1e" + token) {}

    void add(std::string_view bytes) { held_ += bytes; }
    // Moves what certainly is no mark, up to the next mark, behind `text`; then that mark, or
    // nothing if there is no whole one.
    [[nodiscard]] std::optional<Mark> next(std::string& text);
    // What might have become a mark.
    [[nodiscard]] std::string take_rest() { return std::exchange(held_, {}); }

  private:
    std::string lead_;
    std::string held_;
};

// The last line of a terminal, as far as shells edit on one line: enough to say what a user has
// typed at a prompt. Of a line that runs over the terminal's edge, or where a program draws, it
// says nothing.
class PromptLine {
  public:
    void add(std::string_view bytes);
    // The line without blanks at its end that were never written; nothing if it cannot be told.
    [[nodiscard]] std::optional<std::string> text() const;

  private:
    void put(char c);
    void control_sequence(char final);

    std::vector<std::string> cells_;
    std::size_t column_ = 0;
    std::string sequence_;  // begun: ESC and what follows
    bool known_ = true;
};

}  // namespace ennead::srv
