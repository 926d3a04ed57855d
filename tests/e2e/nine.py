# SPDX-License-Identifier: MIT
"""A client of 9P2000, in its own words: nine.py ADDR COMMAND PATH [TEXT]

ls, stat, cat (one read), follow (reads until the end), write, flush (a read that is called off),
junk (a frame that is none). Prints what came, or `error: ` and the words."""
import socket
import struct
import sys

TVERSION, TATTACH, TFLUSH, TWALK, TOPEN, TREAD, TWRITE, TCLUNK, TSTAT = 100, 104, 108, 110, 112, 116, 118, 120, 124
RERROR = 107


class Refused(Exception):
    pass


def text(value):
    value = value.encode()
    return struct.pack("<H", len(value)) + value


class Client:
    def __init__(self, address):
        network, where = address.split("!", 1)
        if network == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(where)
        else:
            host, port = where.rsplit("!", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(60)

    def send(self, kind, tag, body):
        self.socket.sendall(struct.pack("<IBH", 7 + len(body), kind, tag) + body)

    def take(self, size):
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise Refused("hung up")
            data += piece
        return data

    def receive(self):
        size, kind, tag = struct.unpack("<IBH", self.take(7))
        return kind, tag, self.take(size - 7)

    def call(self, kind, body, tag=1):
        self.send(kind, tag, body)
        answer, _, data = self.receive()
        if answer == RERROR:
            raise Refused(data[2:].decode())
        assert answer == kind + 1, (kind, answer)
        return data

    def start(self):
        answer = self.call(TVERSION, struct.pack("<I", 8192) + text("9P2000.u"), 0xFFFF)
        assert answer[6:] == b"9P2000", answer
        self.call(TATTACH, struct.pack("<II", 0, 0xFFFFFFFF) + text("glenda") + text(""))

    def walk(self, path):
        names = [name for name in path.split("/") if name]
        self.call(TWALK, struct.pack("<IIH", 0, 1, len(names)) + b"".join(map(text, names)))

    def open(self, path, mode):
        self.walk(path)
        self.call(TOPEN, struct.pack("<IB", 1, mode))

    def read(self, offset):
        return self.call(TREAD, struct.pack("<IQI", 1, offset, 8000))[4:]


def name_and_mode(record):
    mode, = struct.unpack_from("<I", record, 2 + 2 + 4 + 13)
    length, = struct.unpack_from("<H", record, 41)
    return record[43:43 + length].decode(), mode


def main(address, command, path="", data=""):
    client = Client(address)
    if command == "junk":
        client.start()
        client.socket.sendall(b"\x07\x00\x00\x00\xff\x01\x00")
        client.receive()
    client.start()
    if command == "ls":
        client.open(path, 0)
        offset = 0
        while listing := client.read(offset):
            offset += len(listing)
            while listing:
                size = 2 + struct.unpack_from("<H", listing)[0]
                print(name_and_mode(listing[:size])[0])
                listing = listing[size:]
    elif command == "stat":
        client.walk(path)
        name, mode = name_and_mode(client.call(TSTAT, struct.pack("<I", 1))[2:])
        print(name, oct(mode))
    elif command == "write":
        client.open(path, 1 | 16)
        client.call(TWRITE, struct.pack("<IQI", 1, 0, len(data)) + data.encode())
    elif command == "cat":
        client.open(path, 0)
        sys.stdout.write(client.read(0).decode())
    elif command == "follow":
        client.open(path, 0)
        offset = 0
        while piece := client.read(offset):
            offset += len(piece)
            sys.stdout.write(piece.decode(errors="replace"))
            sys.stdout.flush()
    elif command == "flush":
        # The read waits; other requests are answered meanwhile, and a flush ends it.
        client.open(path, 0)
        client.send(TREAD, 7, struct.pack("<IQI", 1, 0, 8000))
        client.call(TSTAT, struct.pack("<I", 1), 8)
        client.send(TFLUSH, 9, struct.pack("<H", 7))
        kind, tag, _ = client.receive()
        print("flushed" if (kind, tag) == (TFLUSH + 1, 9) else (kind, tag))


try:
    main(*sys.argv[1:])
except Refused as refusal:
    print("error:", refusal)
