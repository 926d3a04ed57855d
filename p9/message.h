// SPDX-License-Identifier: MIT
// One struct a message of 9P2000.L and of 9P2000; each names its fields once, in wire order, for
// reading and writing alike.
//
// Sources: Plan 9 manual section 5 (intro, attach, flush, open, read, remove, stat, version, walk)
// for 9P2000 and what 9P2000.L shares with it; the 9P2000.L description of the diod project
// (protocol.md) and Linux's net/9p/client.c, whose format strings are what a Linux guest sends, for
// the rest.
#pragma once

#include <cstdint>
#include <string_view>

#include "p9/wire.h"

namespace ennead::p9 {

inline constexpr std::uint16_t kNoTag = 0xffff;
inline constexpr std::uint32_t kNoFid = 0xffffffff;
inline constexpr std::uint32_t kNoUid = 0xffffffff;
inline constexpr std::uint32_t kMinMsize = 4096;    // what Linux insists on, too
inline constexpr std::size_t kHeaderSize = 7;       // size[4] type[1] tag[2]
inline constexpr std::size_t kDataHeaderSize = 11;  // a header and count[4]: Rread, Rreaddir
inline constexpr std::size_t kIoHeaderSize = 24;    // what clients keep free for Twrite's fields
inline constexpr std::string_view kVersion = "9P2000.L";
inline constexpr std::string_view kVersionPlain = "9P2000";
inline constexpr std::string_view kVersionUnknown = "unknown";

enum QidType : std::uint8_t {
    kQtDir = 0x80,
    kQtAppend = 0x40,   // ours: the file is a stream
    kQtTmp = 0x04,      // Plan 9: not to be backed up; ours: reading it makes something
    kQtSymlink = 0x02,  // not in 9P2000 proper
    kQtFile = 0x00,
};

enum AttrMask : std::uint64_t { kAttrBasic = 0x7ff };

enum SetAttrMask : std::uint32_t {
    kSetMode = 1 << 0,
    kSetUid = 1 << 1,
    kSetGid = 1 << 2,
    kSetSize = 1 << 3,
    kSetAtime = 1 << 4,
    kSetMtime = 1 << 5,
    kSetCtime = 1 << 6,
    kSetAtimeValue = 1 << 7,  // with kSetAtime: to the given value instead of to now
    kSetMtimeValue = 1 << 8,
};

enum LockType : std::uint8_t { kLockRead = 0, kLockWrite = 1, kLockUnlock = 2 };
enum LockFlags : std::uint32_t { kLockFlagBlock = 1, kLockFlagReclaim = 2 };
enum LockStatus : std::uint8_t {
    kLockSuccess = 0,
    kLockBlocked = 1,
    kLockError = 2,
    kLockGrace = 3,
};

inline constexpr std::uint32_t kUnlinkDirectory = 0x200;  // AT_REMOVEDIR

// 9P2000's modes: the permission bits of Unix, and a qid's type in the uppermost byte.
enum PlainMode : std::uint32_t {
    kDmDir = 0x80000000,
    kDmTmp = 0x04000000,
    kDmPermissions = 0777,
};
constexpr int kDmTypeShift = 24;

// 9P2000's open modes.
enum PlainOpen : std::uint8_t {
    kOpenRead = 0,
    kOpenWrite = 1,
    kOpenReadWrite = 2,
    kOpenExecute = 3,
    kOpenTruncate = 0x10,
    kOpenCloseOnExec = 0x20,  // the client's business
    kOpenRemoveOnClose = 0x40,
};

// The numbers of all messages of 9P2000 and 9P2000.L.
enum class Type : std::uint8_t {
    // clang-format off
    tlerror = 6,       rlerror = 7,      tstatfs = 8,       rstatfs = 9,
    tlopen = 12,       rlopen = 13,      tlcreate = 14,     rlcreate = 15,
    tsymlink = 16,     rsymlink = 17,    tmknod = 18,       rmknod = 19,
    trename = 20,      rrename = 21,     treadlink = 22,    rreadlink = 23,
    tgetattr = 24,     rgetattr = 25,    tsetattr = 26,     rsetattr = 27,
    txattrwalk = 30,   rxattrwalk = 31,  txattrcreate = 32, rxattrcreate = 33,
    treaddir = 40,     rreaddir = 41,    tfsync = 50,       rfsync = 51,
    tlock = 52,        rlock = 53,       tgetlock = 54,     rgetlock = 55,
    tlink = 70,        rlink = 71,       tmkdir = 72,       rmkdir = 73,
    trenameat = 74,    rrenameat = 75,   tunlinkat = 76,    runlinkat = 77,
    tversion = 100,    rversion = 101,   tauth = 102,       rauth = 103,
    tattach = 104,     rattach = 105,    terror = 106,      rerror = 107,
    tflush = 108,      rflush = 109,     twalk = 110,       rwalk = 111,
    topen = 112,       ropen = 113,      tcreate = 114,     rcreate = 115,
    tread = 116,       rread = 117,      twrite = 118,      rwrite = 119,
    tclunk = 120,      rclunk = 121,     tremove = 122,     rremove = 123,
    tstat = 124,       rstat = 125,      twstat = 126,      rwstat = 127,
    // clang-format on
};

// The answer's type is the question's plus one; Rlerror may stand for any.
[[nodiscard]] constexpr Type reply_type(Type request) {
    return static_cast<Type>(static_cast<std::uint8_t>(request) + 1);
}
[[nodiscard]] constexpr bool is_request(Type type) {
    return static_cast<std::uint8_t>(type) % 2 == 0;
}

// A message without fields.
template <Type type>
struct Empty {
    static constexpr Type kType = type;
    template <class Self, class Archive>
    static void fields(Self&, Archive&) {}
    bool operator==(const Empty&) const = default;
};

// A message whose one field is a fid.
template <Type type>
struct OfFid {
    static constexpr Type kType = type;
    std::uint32_t fid = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid);
    }
    bool operator==(const OfFid&) const = default;
};

// A message whose one field is a qid.
template <Type type>
struct OfQid {
    static constexpr Type kType = type;
    Qid qid;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.qid);
    }
    bool operator==(const OfQid&) const = default;
};

// Rlopen and Rlcreate, Ropen and Rcreate. An iounit of 0 leaves the size of one transfer to the
// client.
template <Type type>
struct Opened {
    static constexpr Type kType = type;
    Qid qid;
    std::uint32_t iounit = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.qid, m.iounit);
    }
    bool operator==(const Opened&) const = default;
};

// Rread and Rreaddir.
template <Type type>
struct OfData {
    static constexpr Type kType = type;
    Bytes data;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.data);
    }
};

// Tread and Treaddir.
template <Type type>
struct Fetch {
    static constexpr Type kType = type;
    std::uint32_t fid = 0;
    std::uint64_t offset = 0;
    std::uint32_t count = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.offset, m.count);
    }
    bool operator==(const Fetch&) const = default;
};

template <Type type>
struct Version {
    static constexpr Type kType = type;
    std::uint32_t msize = 0;
    std::string_view version;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.msize, m.version);
    }
    bool operator==(const Version&) const = default;
};
using Tversion = Version<Type::tversion>;
using Rversion = Version<Type::rversion>;

struct Rlerror {
    static constexpr Type kType = Type::rlerror;
    std::uint32_t ecode = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.ecode);
    }
    bool operator==(const Rlerror&) const = default;
};

struct Tauth {
    static constexpr Type kType = Type::tauth;
    std::uint32_t afid = 0;
    std::string_view uname, aname;
    std::uint32_t n_uname = kNoUid;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.afid, m.uname, m.aname);
        ar.optional(m.n_uname);  // not in 9P2000
    }
    bool operator==(const Tauth&) const = default;
};
using Rauth = OfQid<Type::rauth>;

struct Tattach {
    static constexpr Type kType = Type::tattach;
    std::uint32_t fid = 0, afid = 0;
    std::string_view uname, aname;
    std::uint32_t n_uname = kNoUid;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.afid, m.uname, m.aname);
        ar.optional(m.n_uname);  // not in 9P2000
    }
    bool operator==(const Tattach&) const = default;
};
using Rattach = OfQid<Type::rattach>;

struct Tflush {
    static constexpr Type kType = Type::tflush;
    std::uint16_t oldtag = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.oldtag);
    }
    bool operator==(const Tflush&) const = default;
};
using Rflush = Empty<Type::rflush>;

struct Twalk {
    static constexpr Type kType = Type::twalk;
    std::uint32_t fid = 0, newfid = 0;
    NameList names;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.newfid, m.names);
    }
    bool operator==(const Twalk&) const = default;
};
struct Rwalk {
    static constexpr Type kType = Type::rwalk;
    QidList qids;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.qids);
    }
    bool operator==(const Rwalk&) const = default;
};

using Tread = Fetch<Type::tread>;
using Rread = OfData<Type::rread>;

struct Twrite {
    static constexpr Type kType = Type::twrite;
    std::uint32_t fid = 0;
    std::uint64_t offset = 0;
    Bytes data;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.offset, m.data);
    }
};
struct Rwrite {
    static constexpr Type kType = Type::rwrite;
    std::uint32_t count = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.count);
    }
    bool operator==(const Rwrite&) const = default;
};

using Tclunk = OfFid<Type::tclunk>;
using Rclunk = Empty<Type::rclunk>;
using Tremove = OfFid<Type::tremove>;
using Rremove = Empty<Type::rremove>;

using Tstatfs = OfFid<Type::tstatfs>;
struct Rstatfs {
    static constexpr Type kType = Type::rstatfs;
    std::uint32_t type = 0, bsize = 0;
    std::uint64_t blocks = 0, bfree = 0, bavail = 0, files = 0, ffree = 0, fsid = 0;
    std::uint32_t namelen = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.type, m.bsize, m.blocks, m.bfree, m.bavail, m.files, m.ffree, m.fsid, m.namelen);
    }
    bool operator==(const Rstatfs&) const = default;
};

struct Tlopen {
    static constexpr Type kType = Type::tlopen;
    std::uint32_t fid = 0, flags = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.flags);
    }
    bool operator==(const Tlopen&) const = default;
};
using Rlopen = Opened<Type::rlopen>;

struct Tlcreate {
    static constexpr Type kType = Type::tlcreate;
    std::uint32_t fid = 0;
    std::string_view name;
    std::uint32_t flags = 0, mode = 0, gid = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.name, m.flags, m.mode, m.gid);
    }
    bool operator==(const Tlcreate&) const = default;
};
using Rlcreate = Opened<Type::rlcreate>;

struct Tsymlink {
    static constexpr Type kType = Type::tsymlink;
    std::uint32_t dfid = 0;
    std::string_view name, target;
    std::uint32_t gid = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.dfid, m.name, m.target, m.gid);
    }
    bool operator==(const Tsymlink&) const = default;
};
using Rsymlink = OfQid<Type::rsymlink>;

struct Tmknod {
    static constexpr Type kType = Type::tmknod;
    std::uint32_t dfid = 0;
    std::string_view name;
    std::uint32_t mode = 0, major = 0, minor = 0, gid = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.dfid, m.name, m.mode, m.major, m.minor, m.gid);
    }
    bool operator==(const Tmknod&) const = default;
};
using Rmknod = OfQid<Type::rmknod>;

struct Trename {
    static constexpr Type kType = Type::trename;
    std::uint32_t fid = 0, dfid = 0;
    std::string_view name;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.dfid, m.name);
    }
    bool operator==(const Trename&) const = default;
};
using Rrename = Empty<Type::rrename>;

using Treadlink = OfFid<Type::treadlink>;
struct Rreadlink {
    static constexpr Type kType = Type::rreadlink;
    std::string_view target;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.target);
    }
    bool operator==(const Rreadlink&) const = default;
};

struct Tgetattr {
    static constexpr Type kType = Type::tgetattr;
    std::uint32_t fid = 0;
    std::uint64_t mask = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.mask);
    }
    bool operator==(const Tgetattr&) const = default;
};
struct Rgetattr {
    static constexpr Type kType = Type::rgetattr;
    std::uint64_t valid = 0;
    Qid qid;
    std::uint32_t mode = 0, uid = 0, gid = 0;
    std::uint64_t nlink = 0, rdev = 0, size = 0, blksize = 0, blocks = 0;
    std::uint64_t atime_sec = 0, atime_nsec = 0, mtime_sec = 0, mtime_nsec = 0;
    std::uint64_t ctime_sec = 0, ctime_nsec = 0, btime_sec = 0, btime_nsec = 0;
    std::uint64_t gen = 0, data_version = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.valid, m.qid, m.mode, m.uid, m.gid, m.nlink, m.rdev, m.size, m.blksize, m.blocks);
        ar(m.atime_sec, m.atime_nsec, m.mtime_sec, m.mtime_nsec, m.ctime_sec, m.ctime_nsec);
        ar(m.btime_sec, m.btime_nsec, m.gen, m.data_version);
    }
    bool operator==(const Rgetattr&) const = default;
};

struct Tsetattr {
    static constexpr Type kType = Type::tsetattr;
    std::uint32_t fid = 0, valid = 0, mode = 0, uid = 0, gid = 0;
    std::uint64_t size = 0, atime_sec = 0, atime_nsec = 0, mtime_sec = 0, mtime_nsec = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.valid, m.mode, m.uid, m.gid, m.size);
        ar(m.atime_sec, m.atime_nsec, m.mtime_sec, m.mtime_nsec);
    }
    bool operator==(const Tsetattr&) const = default;
};
using Rsetattr = Empty<Type::rsetattr>;

struct Txattrwalk {
    static constexpr Type kType = Type::txattrwalk;
    std::uint32_t fid = 0, newfid = 0;
    std::string_view name;  // empty: the list of names
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.newfid, m.name);
    }
    bool operator==(const Txattrwalk&) const = default;
};
struct Rxattrwalk {
    static constexpr Type kType = Type::rxattrwalk;
    std::uint64_t size = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.size);
    }
    bool operator==(const Rxattrwalk&) const = default;
};

struct Txattrcreate {
    static constexpr Type kType = Type::txattrcreate;
    std::uint32_t fid = 0;
    std::string_view name;
    std::uint64_t size = 0;
    std::uint32_t flags = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.name, m.size, m.flags);
    }
    bool operator==(const Txattrcreate&) const = default;
};
using Rxattrcreate = Empty<Type::rxattrcreate>;

using Treaddir = Fetch<Type::treaddir>;
using Rreaddir = OfData<Type::rreaddir>;

struct Tfsync {
    static constexpr Type kType = Type::tfsync;
    std::uint32_t fid = 0, datasync = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid);
        ar.optional(m.datasync);  // not in the first descriptions of the protocol
    }
    bool operator==(const Tfsync&) const = default;
};
using Rfsync = Empty<Type::rfsync>;

struct Tlock {
    static constexpr Type kType = Type::tlock;
    std::uint32_t fid = 0;
    std::uint8_t type = 0;
    std::uint32_t flags = 0;
    std::uint64_t start = 0, length = 0;
    std::uint32_t proc_id = 0;
    std::string_view client_id;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.type, m.flags, m.start, m.length, m.proc_id, m.client_id);
    }
    bool operator==(const Tlock&) const = default;
};
struct Rlock {
    static constexpr Type kType = Type::rlock;
    std::uint8_t status = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.status);
    }
    bool operator==(const Rlock&) const = default;
};

struct Tgetlock {
    static constexpr Type kType = Type::tgetlock;
    std::uint32_t fid = 0;
    std::uint8_t type = 0;
    std::uint64_t start = 0, length = 0;
    std::uint32_t proc_id = 0;
    std::string_view client_id;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.type, m.start, m.length, m.proc_id, m.client_id);
    }
    bool operator==(const Tgetlock&) const = default;
};
struct Rgetlock {
    static constexpr Type kType = Type::rgetlock;
    std::uint8_t type = 0;
    std::uint64_t start = 0, length = 0;
    std::uint32_t proc_id = 0;
    std::string_view client_id;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.type, m.start, m.length, m.proc_id, m.client_id);
    }
    bool operator==(const Rgetlock&) const = default;
};

struct Tlink {
    static constexpr Type kType = Type::tlink;
    std::uint32_t dfid = 0, fid = 0;
    std::string_view name;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.dfid, m.fid, m.name);
    }
    bool operator==(const Tlink&) const = default;
};
using Rlink = Empty<Type::rlink>;

struct Tmkdir {
    static constexpr Type kType = Type::tmkdir;
    std::uint32_t dfid = 0;
    std::string_view name;
    std::uint32_t mode = 0, gid = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.dfid, m.name, m.mode, m.gid);
    }
    bool operator==(const Tmkdir&) const = default;
};
using Rmkdir = OfQid<Type::rmkdir>;

struct Trenameat {
    static constexpr Type kType = Type::trenameat;
    std::uint32_t old_dfid = 0;
    std::string_view old_name;
    std::uint32_t new_dfid = 0;
    std::string_view new_name;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.old_dfid, m.old_name, m.new_dfid, m.new_name);
    }
    bool operator==(const Trenameat&) const = default;
};
using Rrenameat = Empty<Type::rrenameat>;

struct Tunlinkat {
    static constexpr Type kType = Type::tunlinkat;
    std::uint32_t dfid = 0;
    std::string_view name;
    std::uint32_t flags = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.dfid, m.name, m.flags);
    }
    bool operator==(const Tunlinkat&) const = default;
};
using Runlinkat = Empty<Type::runlinkat>;

// --- what 9P2000 has instead of 9P2000.L's
// --------------------------------------------------------

struct Rerror {
    static constexpr Type kType = Type::rerror;
    std::string_view ename;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.ename);
    }
    bool operator==(const Rerror&) const = default;
};

struct Topen {
    static constexpr Type kType = Type::topen;
    std::uint32_t fid = 0;
    std::uint8_t mode = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.mode);
    }
    bool operator==(const Topen&) const = default;
};
using Ropen = Opened<Type::ropen>;

struct Tcreate {
    static constexpr Type kType = Type::tcreate;
    std::uint32_t fid = 0;
    std::string_view name;
    std::uint32_t perm = 0;
    std::uint8_t mode = 0;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.name, m.perm, m.mode);
    }
    bool operator==(const Tcreate&) const = default;
};
using Rcreate = Opened<Type::rcreate>;

// What is known of a file: inside Rstat and Twstat, and one after the other in a directory's data.
// As a Twstat's, a number of all ones and an empty string leave what is there.
struct Stat {
    std::uint16_t size = 0;  // of all that follows
    std::uint16_t type = 0xffff;
    std::uint32_t dev = 0xffffffff;
    Qid qid{0xff, 0xffffffff, ~std::uint64_t{0}};
    std::uint32_t mode = 0xffffffff, atime = 0xffffffff, mtime = 0xffffffff;
    std::uint64_t length = ~std::uint64_t{0};
    std::string_view name, uid, gid, muid;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.size, m.type, m.dev, m.qid, m.mode, m.atime, m.mtime, m.length);
        ar(m.name, m.uid, m.gid, m.muid);
    }
    static constexpr std::size_t kFixedSize = 2 + 2 + 4 + 13 + 4 + 4 + 4 + 8 + 4 * 2;
    bool operator==(const Stat&) const = default;
};

using Tstat = OfFid<Type::tstat>;
// stat[n] is counted as a string is; its bytes are a Stat.
struct Rstat {
    static constexpr Type kType = Type::rstat;
    std::string_view stat;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.stat);
    }
    bool operator==(const Rstat&) const = default;
};
struct Twstat {
    static constexpr Type kType = Type::twstat;
    std::uint32_t fid = 0;
    std::string_view stat;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.fid, m.stat);
    }
    bool operator==(const Twstat&) const = default;
};
using Rwstat = Empty<Type::rwstat>;

// An entry inside Rreaddir's data: not a message, but read and written the same way.
struct DirRecord {
    Qid qid;
    std::uint64_t offset = 0;  // continues after this entry
    std::uint8_t type = 0;     // DT_*
    std::string_view name;
    template <class Self, class Archive>
    static void fields(Self& m, Archive& ar) {
        ar(m.qid, m.offset, m.type, m.name);
    }
    static constexpr std::size_t kFixedSize = 13 + 8 + 1 + 2;
    bool operator==(const DirRecord&) const = default;
};

}  // namespace ennead::p9
