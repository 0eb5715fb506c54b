"""What goes over loopback between some ports, with the kernel's time of each packet.

A ring that the kernel fills by itself (packet(7), PACKET_RX_RING, TPACKET_V2): nobody is woken while it fills, so
looking costs what is looked at next to nothing, and nothing at all when nobody looks. Linux only; needs CAP_NET_RAW.
Only TCP over IPv4. It must never be asked for more than the ring holds: `dropped` tells.
"""

import ctypes
import mmap
import socket
import struct
from collections import namedtuple

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 263, 5, 6, 10
SO_ATTACH_FILTER = 26
TPACKET_V2 = 1
ETH_P_IP = 0x0800

BLOCK, BLOCKS, FRAME = 1 << 20, 64, 2048
FRAMES = BLOCK * BLOCKS // FRAME
#: tpacket2_hdr: status, length, captured, offset of the link's header, of the network's, seconds, nanoseconds
HEADER = struct.Struct("IIIHHII")

#: `at` in seconds; `data` is the beginning of what the packet carries.
Packet = namedtuple("Packet", "at source target data")


class Wiretap:
    """Open from its making until `read`, which returns the packets with data, the oldest first."""

    def __init__(self, ports):
        # Of ETH_P_IP only what arrives is seen, so on loopback each packet once.
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
            self._filter(sorted(ports))
            self.socket.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("IIII", BLOCK, BLOCKS, FRAME, FRAMES))
            self.ring = mmap.mmap(self.socket.fileno(), BLOCK * BLOCKS)
            self.socket.bind(("lo", ETH_P_IP))
        except BaseException:
            self.socket.close()
            raise

    def _filter(self, ports):
        """A classic BPF program: TCP with data from or to one of the ports. Jumps are relative."""
        accept = 2 * len(ports) + 14
        refuse = accept - 1
        program = [
            # The protocol is TCP.
            (0x30, 0, 0, 23), (0x15, 0, refuse - 2, 6),
            # Both headers are not all there is: acknowledgements would take half of the ring.
            (0xB1, 0, 0, 14), (0x50, 0, 0, 26), (0x54, 0, 0, 0xF0), (0x74, 0, 0, 2), (0x0C, 0, 0, 0), (0x07, 0, 0, 0),
            (0x28, 0, 0, 16), (0x1D, refuse - 10, 0, 0),
            # A port is among them, the source's or the target's.
            (0xB1, 0, 0, 14), (0x48, 0, 0, 14),
        ]
        program += [(0x15, accept - 1 - len(program) - number, 0, port) for number, port in enumerate(ports)]
        program += [(0x48, 0, 0, 16)]
        program += [(0x15, accept - 1 - len(program) - number, 0, port) for number, port in enumerate(ports)]
        program += [(0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
        self.socket.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code))
        )

    def read(self):
        """Everything that was seen; the tap is closed then."""
        _, self.dropped = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        packets = []
        for number in range(FRAMES):
            begin = number * FRAME
            status, _, captured, link, network, seconds, nanos = HEADER.unpack_from(self.ring, begin)
            if not status & 1:
                break
            head = begin + network
            end = begin + link + captured
            length = (self.ring[head] & 15) * 4
            total, = struct.unpack_from("!H", self.ring, head + 2)
            tcp = head + length
            source, target = struct.unpack_from("!HH", self.ring, tcp)
            data = tcp + (self.ring[tcp + 12] >> 4) * 4
            if total - (data - head) > 0:
                packets.append(Packet(seconds + nanos / 1e9, source, target, self.ring[data:min(end, head + total)]))
        self.close()
        return packets

    def close(self):
        self.ring.close()
        self.socket.close()
