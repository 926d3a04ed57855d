# SPDX-License-Identifier: MIT
"""Work on files of the host: what is done, and the directories it is done in, one for each competitor."""

import os
import shutil
import subprocess

# name, what guests and host run (by the program `command`, but those of NOT_A_COMMAND, which time themselves), what is done before it and not timed. {s} is the directory, {usr} Debian's /usr,
# {shared} and {command} the programs. What a guest keeps in memory it forgets first, or there would be nothing to compare.
WRITE = "dd if=/dev/zero of={s}/big bs=1M count=128"
THERE = f"[ -e {{s}}/big ] || {WRITE}; {{forget}}"
WORK = (
    ("write-128M", WRITE, "rm -f {s}/big"),
    ("read-128M", "dd if={s}/big of=/dev/null bs=1M", THERE),
    ("stream-1G", "{shared} stream {s}/long", "[ -e {s}/long ] || dd if=/dev/zero of={s}/long bs=1M count=1024; {forget}"),
    ("random-read-4K", "{shared} random {s}/big 4000", THERE),
    ("create-2000", "{shared} create {s}/many 2000", "rm -rf {s}/many; mkdir {s}/many"),
    ("ls-la-10000", "ls -la {s}/names-10000 | wc -l", "{forget}"),
    ("ls-40000", "ls -f {s}/names-40000 | wc -l", "{forget}"),
    ("find-usr", "find {usr} | wc -l", "{forget}"),
    ("unlink-2000", "rm -r {s}/many", "rm -rf {s}/many; mkdir {s}/many; {shared} create {s}/many 2000"),
    ("tar-x", "tar -xf {s}/source.tar -C {s}/source", "rm -rf {s}/source; mkdir {s}/source"),
    ("git-status", "git -C {s}/repository status --porcelain | wc -l", "{forget}"),
)
NOT_A_COMMAND = {"stream-1G"}
# Of what is kept in memory these say nothing that the others do not.
UNCACHED_ONLY = {"stream-1G"}


class Share:
    """Directories with the same in each, below one that is removed at the end."""

    def __init__(self, place):
        self.place = place
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)

    def directory(self, name):
        path = os.path.join(self.place, name)
        os.mkdir(path)
        for count in (10000, 40000):
            names = os.path.join(path, f"names-{count}")
            os.mkdir(names)
            for number in range(count):
                os.close(os.open(os.path.join(names, f"name-{number}"), os.O_CREAT | os.O_WRONLY, 0o644))
        repository = os.path.join(path, "repository")
        for number in range(2000):
            folder = os.path.join(repository, f"folder-{number % 100}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"file-{number}.txt"), "w", encoding="ascii") as file:
                file.write(f"line of {number}\n" * (number % 97 + 3))
        subprocess.run(["tar", "-cf", os.path.join(path, "source.tar"), "-C", repository, "."], check=True)
        nobody = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for line in (["init", "--quiet"], ["add", "."], [*nobody, "commit", "--quiet", "-m", "all"]):
            subprocess.run(["git", "-C", repository, *line], check=True)
        return path

    def close(self):
        shutil.rmtree(self.place, ignore_errors=True)
