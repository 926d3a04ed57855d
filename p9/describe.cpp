// SPDX-License-Identifier: MIT
// Names for the fields of each message, and the archive that prints them.
#include "p9/describe.h"

#include <cstdio>
#include <string_view>
#include <variant>

#include "p9/codec.h"
#include "synthfs/words.h"

namespace ennead::p9 {
namespace {

// One word a field, in wire order; `-` is left out, and so is what comes after the last. A `0`
// before the name: printed in octal; an `x`: in hexadecimal.
constexpr std::string_view names_of(Type type) {
    switch (type) {
        case Type::tversion:
        case Type::rversion:
            return "msize version";
        case Type::tauth:
            return "afid uname aname n_uname";
        case Type::tattach:
            return "fid afid uname aname n_uname";
        case Type::rauth:
        case Type::rattach:
        case Type::rsymlink:
        case Type::rmknod:
        case Type::rmkdir:
            return "qid";
        case Type::rlerror:
            return "ecode";
        case Type::rerror:
            return "ename";
        case Type::tflush:
            return "oldtag";
        case Type::twalk:
            return "fid newfid names";
        case Type::rwalk:
            return "qids";
        case Type::tread:
        case Type::treaddir:
            return "fid offset count";
        case Type::rread:
        case Type::rreaddir:
            return "count";
        case Type::twrite:
            return "fid offset count";
        case Type::rwrite:
            return "count";
        case Type::tlopen:
            return "fid xflags";
        case Type::rlopen:
        case Type::rlcreate:
        case Type::ropen:
        case Type::rcreate:
            return "qid iounit";
        case Type::tlcreate:
            return "fid name xflags 0mode gid";
        case Type::tsymlink:
            return "dfid name target gid";
        case Type::tmknod:
            return "dfid name 0mode major minor gid";
        case Type::trename:
            return "fid dfid name";
        case Type::rreadlink:
            return "target";
        case Type::tgetattr:
            return "fid xmask";
        case Type::rgetattr:
            return "xvalid qid 0mode uid gid nlink - size";
        case Type::tsetattr:
            return "fid xvalid 0mode uid gid size";
        case Type::txattrwalk:
            return "fid newfid name";
        case Type::rxattrwalk:
            return "size";
        case Type::txattrcreate:
            return "fid name size xflags";
        case Type::tfsync:
            return "fid datasync";
        case Type::tlock:
            return "fid type xflags start length proc_id client_id";
        case Type::rlock:
            return "status";
        case Type::tgetlock:
            return "fid type start length proc_id client_id";
        case Type::rgetlock:
            return "type start length proc_id client_id";
        case Type::tlink:
            return "dfid fid name";
        case Type::tmkdir:
            return "dfid name 0mode gid";
        case Type::trenameat:
            return "olddirfid oldname newdirfid newname";
        case Type::tunlinkat:
            return "dirfid name xflags";
        case Type::rstatfs:
            return "xtype bsize blocks bfree bavail files ffree";
        case Type::topen:
            return "fid xmode";
        case Type::tcreate:
            return "fid name 0perm xmode";
        case Type::twstat:
            return "fid";
        default:
            return "fid";  // of those that have one; the others have no fields to be told
    }
}

class Printer {
  public:
    explicit Printer(std::string_view names) : names_(names) {}

    template <class... Field>
    void operator()(const Field&... fields) {
        (next(fields), ...);
    }
    template <class Field>
    void optional(const Field& value) {
        next(value);
    }
    [[nodiscard]] std::string take() { return std::move(text_); }

  private:
    template <class Field>
    void next(const Field& value) {
        const std::size_t end = std::min(names_.find(' '), names_.size());
        std::string_view name = names_.substr(0, end);
        names_.remove_prefix(std::min(end + 1, names_.size()));
        if (name.empty() || name == "-") {
            return;
        }
        base_ = name[0] == '0' ? 8 : name[0] == 'x' ? 16 : 10;
        name.remove_prefix(base_ == 10 ? 0 : 1);
        text_ += ' ';
        text_ += name;
        text_ += '=';
        print(value);
    }

    void print(std::unsigned_integral auto value) {
        char digits[32];
        const auto wide = static_cast<unsigned long long>(value);
        std::snprintf(digits, sizeof digits,
                      base_ == 16  ? "0x%llx"
                      : base_ == 8 ? "0%llo"
                                   : "%llu",
                      wide);
        text_ += digits;
    }
    // The usual no number is told as such.
    void print(std::uint32_t value) {
        if (value == kNoFid) {
            text_ += "none";
        } else {
            print(std::uint64_t{value});
        }
    }
    void print(std::string_view value) {
        std::string shown(value);
        for (char& c : shown) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte < ' ' || byte == 0x7f) {
                c = '?';
            }
        }
        text_ += synthfs::quote(shown);
    }
    void print(Bytes value) { print(std::uint64_t{value.size()}); }
    // Type, version and path.
    void print(const Qid& value) {
        char digits[48];
        std::snprintf(digits, sizeof digits, "%02x.%x.%llx", value.type, value.version,
                      static_cast<unsigned long long>(value.path));
        text_ += digits;
    }
    void print(const NameList& value) {
        std::string path;
        for (const std::string_view name : value.span()) {
            path += path.empty() ? "" : "/";
            path += name;
        }
        print(std::string_view(path));
    }
    void print(const QidList& value) { print(std::uint64_t{value.count}); }

    std::string_view names_;
    int base_ = 10;
    std::string text_;
};

}  // namespace

std::string describe(Bytes frame) {
    const auto decoded = decode(frame);
    if (!decoded) {
        return "broken size=" + std::to_string(frame.size()) + ' ' +
               synthfs::quote(decoded.error().message());
    }
    const Frame& message = decoded.value();
    Printer fields(names_of(message.type));
    std::visit([&](const auto& m) { m.fields(m, fields); }, message.message);
    return std::string(type_name(message.type)) + " tag=" + std::to_string(message.tag) +
           fields.take();
}

}  // namespace ennead::p9
