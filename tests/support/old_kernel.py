"""Runs a program on a kernel that refuses, or knows less of, what this one has: by a seccomp filter.

    old_kernel.py CALL=ERRNO … -- PROGRAM ARGUMENTS     openat2=ENOSYS: the call fails like that
    old_kernel.py landlock=ABI -- PROGRAM ARGUMENTS     Landlock says that it has this version

The program replaces this process, so its pid and its signals are this one's.
"""

import array
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import sys

# The same on every architecture since Linux 5.0.
CALLS = {
    "clone3": 435,
    "openat2": 437,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
SECCOMP = {"x86_64": 317, "aarch64": 277}[os.uname().machine]

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
NEW_LISTENER = 8
RET_ALLOW = 0x7FFF0000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
NOTIF_RECV = 0xC0502100
NOTIF_SEND = 0xC0182101

LOAD = 0x20
JUMP_EQUAL = 0x15
RETURN = 0x06
NUMBER = 0
# The lower half of the third argument on little endian: the flags of landlock_create_ruleset.
FLAGS = 16 + 2 * 8
ONLY_THE_VERSION = 1

libc = ctypes.CDLL(None, use_errno=True)


def instruction(code, k, jump_true=0, jump_false=0):
    return struct.pack("HBBI", code, jump_true, jump_false, k)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install(instructions, flags):
    code = b"".join(instructions)
    program = Program(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    descriptor = libc.syscall(SECCOMP, SET_MODE_FILTER, flags, ctypes.byref(program))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return descriptor


def refuse(answers):
    instructions = [instruction(LOAD, NUMBER)]
    for call, code in answers:
        instructions.append(instruction(JUMP_EQUAL, CALLS[call], 0, 1))
        instructions.append(instruction(RETURN, RET_ERRNO | getattr(errno, code)))
    install(instructions + [instruction(RETURN, RET_ALLOW)], 0)


def pretend(version):
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        answer(theirs, version)
        os._exit(0)
    theirs.close()
    instructions = [
        instruction(LOAD, NUMBER),
        instruction(JUMP_EQUAL, CALLS["landlock_create_ruleset"], 0, 3),
        instruction(LOAD, FLAGS),
        instruction(JUMP_EQUAL, ONLY_THE_VERSION, 0, 1),
        instruction(RETURN, RET_USER_NOTIF),
        instruction(RETURN, RET_ALLOW),
    ]
    listener = install(instructions, NEW_LISTENER)
    socket.send_fds(ours, [b"x"], [listener])
    os.close(listener)


def answer(theirs, version):
    """Answers each question for the version, until nobody is left to ask."""
    # Whoever reads the program's output waits for the end of all that hold it.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    (listener,) = socket.recv_fds(theirs, 1, 1)[1]
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if any(event & select.POLLHUP for _, event in poll.poll()):
            return
        question = array.array("B", bytes(80))
        fcntl.ioctl(listener, NOTIF_RECV, question, True)
        (identity,) = struct.unpack_from("Q", question)
        fcntl.ioctl(listener, NOTIF_SEND, struct.pack("QqiI", identity, version, 0, 0))


def main():
    end = sys.argv.index("--")
    answers = [word.split("=") for word in sys.argv[1:end]]
    versions = [int(value) for name, value in answers if name == "landlock"]
    if versions:
        pretend(versions[0])
    else:
        refuse(answers)
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])


main()
