// SPDX-License-Identifier: MIT
// The least that a FUSE server can be: a directory `1` with a file `conf` that keeps what is
// written to it. Answers as Ennead does (no caching, direct_io, default_permissions), so that the
// difference is what Ennead does besides.
//
// usage: trivial DIR        in the foreground, until DIR is unmounted
#include <fuse_lowlevel.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace {

constexpr fuse_ino_t kTop = FUSE_ROOT_ID, kDirectory = 2, kFile = 3;
std::string contents = "mem 128M\n";

struct stat stat_of(fuse_ino_t number) {
    struct stat info {};
    info.st_ino = number;
    info.st_mode = number == kFile ? S_IFREG | 0644 : S_IFDIR | 0755;
    info.st_nlink = 1;
    info.st_uid = getuid();
    info.st_gid = getgid();
    return info;
}

void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
    fuse_entry_param entry{};
    entry.ino = parent == kTop && std::strcmp(name, "1") == 0            ? kDirectory
                : parent == kDirectory && std::strcmp(name, "conf") == 0 ? kFile
                                                                         : 0;
    if (entry.ino == 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    entry.attr = stat_of(entry.ino);
    fuse_reply_entry(req, &entry);
}

void getattr(fuse_req_t req, fuse_ino_t number, fuse_file_info*) {
    const struct stat info = stat_of(number);
    fuse_reply_attr(req, &info, 0);
}

void setattr(fuse_req_t req, fuse_ino_t number, struct stat*, int, fuse_file_info*) {
    const struct stat info = stat_of(number);
    fuse_reply_attr(req, &info, 0);
}

void open(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
    info->direct_io = 1;
    fuse_reply_open(req, info);
}

void read(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
    const std::size_t begin = std::min(static_cast<std::size_t>(offset), contents.size());
    fuse_reply_buf(req, contents.data() + begin, std::min(size, contents.size() - begin));
}

void write(fuse_req_t req, fuse_ino_t, const char* bytes, std::size_t size, off_t,
           fuse_file_info*) {
    contents.assign(bytes, size);
    fuse_reply_write(req, size);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        return 2;
    }
    fuse_lowlevel_ops operations{};
    operations.lookup = lookup;
    operations.getattr = getattr;
    operations.setattr = setattr;
    operations.open = open;
    operations.read = read;
    operations.write = write;
    char program[] = "trivial", flag[] = "-o", words[] = "default_permissions,subtype=trivial";
    char* arguments[] = {program, flag, words, nullptr};
    fuse_args args = FUSE_ARGS_INIT(3, arguments);
    fuse_session* session = fuse_session_new(&args, &operations, sizeof operations, nullptr);
    if (session == nullptr || fuse_session_mount(session, argv[1]) != 0) {
        return 1;
    }
    const int outcome = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return outcome == 0 ? 0 : 1;
}
