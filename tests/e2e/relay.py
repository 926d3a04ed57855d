"""Joins a stream file of the tree to a 9P server's unix socket, byte for byte both ways.

usage: relay.py FILE SOCKET
"""
import os, socket, sys, threading, time

line = os.open(sys.argv[1], os.O_RDWR)
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[2])


def to_guest():
    while data := server.recv(1 << 14):
        while data:
            try:
                data = data[os.write(line, data):]
            except BlockingIOError:  # the queue is full, and writes never wait
                time.sleep(0.005)


threading.Thread(target=to_guest, daemon=True).start()
print("ready", flush=True)
while data := os.read(line, 1 << 14):
    server.sendall(data)
