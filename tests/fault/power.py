# SPDX-License-Identifier: Apache-2.0
"""A disk whose power can be cut: what lose_writes.c notes is lost again from the files, as a disk may lose it.

    disk = power.Disk(folder)                   # what is below disk.root is on it; processes run with disk.environment
    disk.cut_at(30)                             # the 30th step from now is not done any more; disk.cut() does that at once
    disk.is_off                                 # then end all processes,
    disk.lose(rng, counts) or disk.go_on()      # and either the power was cut, or they were only killed

The model. A write, truncation, or change of a name is *durable* once its file, or the folder of the name, has been synced
after it; of everything else any part may be lost:

- A file holds, for each sector of 512 bytes, what it held after some step since its last sync, each sector another one. So
  a write is kept, dropped, kept in part (the first sectors) or torn (any of them); what a write did not touch it does not
  harm (SQLite's "powersafe overwrite"). Its size is one that it had since then, and where that is more than was durable,
  sectors that were dropped hold zeros or rubbish.
- Names (created, unlinked, renamed, folders made) are lost from some step on, all later ones as well: file systems order
  them. But nothing makes a name durable except a sync of its folder, which is less than ext4, XFS and btrfs promise.
- A -shm may be anything or away. Sockets may be away. What this test itself puts there is durable.
"""

import contextlib
import mmap
import os
import pathlib
import random
import select
import shutil
import stat
import struct

SECTOR = 512
WRITE, TRUNCATE, SYNC, CREATE, UNLINK, RENAME, MKDIR, FAILED = range(1, 9)
NAMES = (CREATE, UNLINK, RENAME, MKDIR)
HEAD = struct.Struct("=4Q3q2Q")
STEPS, OFF, CUT_AT, DIES_AT, CUT_AFTER_DEATH = range(5)
LOST, KEPT, FIRST, ANY = "nothing", "all", "the first part", "any part"
SYNC_US = 1000


class Worst(random.Random):
    """Draws that lose all that can be lost."""

    def choice(self, seq):
        return seq[0]


class Note:
    """One step of a process."""

    def __init__(self, head, tail):
        self.step, self.what, self.inode, self.at, self.count, self.size = head[1:7]
        self.path, self.second = (os.fsdecode(path) for path in tail[:head[7]].split(b"\0")[:2])
        self.old = tail[head[7]:]

    @property
    def sectors(self):
        """Those that it changed."""
        start, end = (self.at, self.at + self.count) if self.what == WRITE else sorted((self.at, self.size))
        return range(start // SECTOR, -(-end // SECTOR))


def notes_of(content):
    """The last one of a process that was killed may not be whole, and then was never done."""
    at = 0
    while at + HEAD.size <= len(content):
        head = HEAD.unpack_from(content, at)
        if at + head[0] > len(content):
            return
        yield Note(head, content[at + HEAD.size:at + head[0]])
        at += head[0]


class Disk:
    def __init__(self, folder, library, environment):
        self.root, self.notes = (os.path.join(os.path.realpath(folder), name) for name in ("disk", "notes"))
        self.graves = os.path.join(self.notes, "graves")
        for made in (self.root, self.graves):
            os.makedirs(made)
        os.mkfifo(os.path.join(self.notes, "power"), 0o600)
        self.gone = os.open(os.path.join(self.notes, "power"), os.O_RDWR | os.O_NONBLOCK)  # readable when it is
        control = os.open(os.path.join(self.notes, "control"), os.O_RDWR | os.O_CREAT, 0o600)
        os.truncate(control, mmap.PAGESIZE)
        self.control = memoryview(mmap.mmap(control, mmap.PAGESIZE)).cast("Q")
        os.close(control)
        self.environment = {**environment, "LD_PRELOAD": str(library), "LOSE_ROOT": self.root, "LOSE_NOTES": self.notes,
                            "LOSE_SYNC_US": str(SYNC_US)}
        self.told = []  # of the last cut, for who has to explain what came of it

    def close(self):
        os.close(self.gone)

    # ---- cutting

    @property
    def steps(self):
        return self.control[STEPS]

    @property
    def is_off(self):
        return bool(self.control[OFF])

    def cut(self):
        self.control[OFF] = 1

    def cut_at(self, steps):
        self.control[CUT_AT] = self.steps + steps

    def cut_after_death(self, death, steps):
        """Who is about to sync a WAL then or later dies, and after so many steps more the power is cut."""
        self.control[CUT_AFTER_DEATH] = steps
        self.control[DIES_AT] = self.steps + death

    def wait(self, other):
        """Until it is off, or `other` is readable."""
        select.select([self.gone, other], [], [])

    def go_on(self):
        """All processes have ended: the next ones have power."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.gone, 4096)
        self.control[OFF] = self.control[CUT_AT] = self.control[DIES_AT] = 0

    # ---- losing

    def lose(self, rng, counts):
        """All processes have ended: what the disk then has, drawn by rng. Counts what became of writes and names."""
        self.told = []
        notes = self.read_notes()
        for inode, path in sorted(self.files().items(), key=lambda each: each[1]):
            if path.endswith("-shm"):
                self.spoil(path, rng)
            else:
                self.lose_of_file(path, self.unsynced(notes, inode), rng, counts)
        self.lose_names(notes, rng, counts)
        self.lose_sockets(rng)
        self.forget()
        self.go_on()

    def read_notes(self):
        found, failed = [], set()
        for file in pathlib.Path(self.notes).glob("notes.*"):
            for note in notes_of(file.read_bytes()):
                if note.what == FAILED:
                    failed.add(note.at)
                else:
                    found.append(note)
        return sorted((note for note in found if note.step not in failed), key=lambda note: note.step)

    def forget(self):
        for file in [*pathlib.Path(self.notes).glob("notes.*"), *pathlib.Path(self.graves).iterdir()]:
            file.unlink()

    def files(self):
        """Paths by their inodes, those that were unlinked as well."""
        found = {}
        for folder in (self.root, self.graves):
            for path in pathlib.Path(folder).rglob("*"):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.setdefault(status.st_ino, str(path))
        return found

    def unsynced(self, notes, inode):
        """What was done to a file since its last sync. Where it was unlinked for good another has its number."""
        found = []
        for note in notes:
            if note.inode == inode and (note.what == SYNC or note.what == UNLINK and not os.path.exists(self.grave(note))):
                found = []
            elif note.inode == inode and note.what in (WRITE, TRUNCATE):
                found.append(note)
        return found

    def grave(self, note):
        return os.path.join(self.graves, str(note.step))

    def spoil(self, path, rng):
        becomes = rng.choice(("what it was", "rubbish", "away"))
        if becomes == "rubbish":
            pathlib.Path(path).write_bytes(rng.randbytes(os.path.getsize(path)))
        elif becomes == "away":
            os.unlink(path)

    def lose_sockets(self, rng):
        for path in pathlib.Path(self.root).rglob("*"):
            mode = path.lstat().st_mode
            if (stat.S_ISSOCK(mode) or stat.S_ISLNK(mode)) and rng.random() < 0.5:
                path.unlink()

    # ---- the bytes of a file

    def lose_of_file(self, path, notes, rng, counts):
        if not notes:
            return
        base, versions, sizes = history(pathlib.Path(path).read_bytes(), notes)
        what, persisted, size = draw(notes, sizes, rng, counts)
        rubbish = rng.random() < 0.2
        result = bytearray(base.ljust(max(sizes), b"\0"))
        for sector, after in versions.items():
            start = sector * SECTOR
            latest = max((step for step in after if step and sector in persisted[step - 1]), default=0)
            content = after[latest] if latest or start < len(base) or not rubbish else rng.randbytes(SECTOR)
            result[start:start + SECTOR] = content[:len(result) - start]
        with open(path, "r+b") as file:
            file.write(result[:size])
            file.truncate()
        counts["sizes lost"] += size != sizes[-1]
        self.told.append(f"{os.path.basename(path)}: of {len(notes)} steps {what} is there, of {sizes[-1]} bytes {size}; {sizes[0]} were durable")

    # ---- names

    def lose_names(self, notes, rng, counts):
        names = [note for note in notes if note.what in NAMES and not self.is_durable(note, notes)]
        kept = rng.choice((0, len(names), rng.randint(0, len(names))))
        for note in reversed(names[kept:]):
            self.told.append(f"step {note.step} is undone: {('create', 'unlink', 'rename', 'mkdir')[NAMES.index(note.what)]} {note.path} {note.second}")
            self.undo_name(note)
        counts["names kept"] += kept
        counts["names undone"] += len(names) - kept

    def is_durable(self, note, notes):
        folder = os.path.dirname(note.path)
        return any(sync.what == SYNC and sync.path == folder and sync.step > note.step for sync in notes)

    def undo_name(self, note):
        """It need not have been done: who did it may have died before."""
        path, grave = pathlib.Path(note.path), pathlib.Path(self.grave(note))
        if note.what == MKDIR:
            shutil.rmtree(path, ignore_errors=True)
        elif not path.parent.is_dir():
            return  # undone itself
        elif note.what == CREATE:
            path.unlink(missing_ok=True)
        elif note.what == UNLINK:
            if grave.exists() and not path.exists():
                path.hardlink_to(grave)
        elif not path.exists():
            os.rename(note.second, path)
            if grave.exists():
                pathlib.Path(note.second).hardlink_to(grave)


def history(content, notes):
    """What a file was before these steps; for each sector that they changed what it held before (0) and after those that
    changed it (their place, from 1 on); the file's sizes. `content` is what it was after the last."""
    now, sizes = bytearray(content), [len(content)]
    versions = {sector: {} for note in notes for sector in note.sectors}
    for place, note in reversed(list(enumerate(notes, 1))):
        for sector in note.sectors:
            versions[sector][place] = sector_of(now, sector)
        end = note.at + len(note.old) if note.what == WRITE else None
        now[note.at:end] = note.old
        del now[note.size:]
        sizes.append(len(now))
    for sector, after in versions.items():
        after[0] = sector_of(now, sector)
    return bytes(now), versions, sizes[::-1]


def sector_of(content, sector):
    return bytes(content[sector * SECTOR:(sector + 1) * SECTOR]).ljust(SECTOR, b"\0")


def draw(notes, sizes, rng, counts):
    """What became of them in a word, the sectors of each that are on the disk, and the file's size."""
    what = rng.choice((LOST, LOST, KEPT, FIRST, ANY, ANY))
    if what in (LOST, KEPT):
        fates, size = [what] * len(notes), sizes[0 if what == LOST else -1]
    elif what == FIRST:
        first = rng.randrange(len(notes))
        fates = [KEPT] * first + [rng.choice((FIRST, ANY))] + [LOST] * (len(notes) - first - 1)
        size = sizes[first + rng.randint(0, 1)]
    else:
        fates, size = rng.choices((LOST, KEPT, FIRST, ANY), k=len(notes)), rng.choice(sizes)
    return what, [persist(note, fate, rng, counts) for note, fate in zip(notes, fates)], size


def persist(note, fate, rng, counts):
    """The sectors of a step that get to the disk."""
    sectors = set(note.sectors)
    if fate == LOST:
        found = set()
    elif fate == KEPT:
        found = sectors
    elif fate == FIRST:
        found = set(note.sectors[:rng.randint(0, len(sectors))])
    else:
        found = {sector for sector in note.sectors if rng.random() < 0.5}
    if note.what == WRITE:
        counts["dropped" if not found else "kept" if found == sectors else "in part" if fate == FIRST else "torn"] += 1
    return found
