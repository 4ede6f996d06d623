"""libnftables in process, as text: the only module that loads it.

A small ctypes adapter instead of the distribution's `python3-nftables`, which a virtual environment cannot see, and of
its copies on PyPI, which are not maintained with the library. The context belongs to the network namespace of the
thread that makes it. This module must not know what our tables look like.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import socket
import struct

from netplugin.kernel.messages import Connection, attributes
from netplugin.protocol import NetworkFailure

_OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON in nftables/libnftables.h
_OUTPUT_TERSE = 1 << 11  # NFT_CTX_OUTPUT_TERSE: sets and maps without their elements
_NETLINK_NETFILTER = 12
_GET_GENERATION = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_GENERATION_ID = 1  # NFTA_GEN_ID
_MESSAGE_LIMIT = 600  # characters of libnftables' complaint that go into an error


class Nft:
    """One libnftables context. Not thread-safe; lives in the namespace it was made in."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("nftables") or "libnftables.so.1"
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            raise NetworkFailure("libnftables is not installed: install the package libnftables1") from error
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        for function in (library.nft_ctx_get_output_buffer, library.nft_ctx_get_error_buffer):
            function.restype = ctypes.c_char_p
            function.argtypes = [ctypes.c_void_p]
        for function in (library.nft_ctx_buffer_output, library.nft_ctx_buffer_error):
            function.argtypes = [ctypes.c_void_p]
        self._library = library
        self._context: int | None = library.nft_ctx_new(0)
        if not self._context:
            raise NetworkFailure("libnftables gave no context: root and a kernel with nf_tables are needed")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, text: str) -> None:
        """Run `text` as one transaction: all of it or, with NetworkFailure, nothing."""
        code, _, complaint = self._command(text, 0)
        if code != 0:
            raise NetworkFailure(f"nftables refused a change: {_shorten(complaint)}")

    def list_json(self, command: str) -> str | None:
        """Return what a list command says as JSON.

        None when what it asks for does not exist. Not for chains that fill maps: libnftables has no JSON for them.
        """
        return self._list(command, _OUTPUT_JSON)

    def list_text(self, command: str) -> str | None:
        """Return what a list command says as text, without elements; None as above."""
        return self._list(command, _OUTPUT_TERSE)

    def _list(self, command: str, flags: int) -> str | None:
        code, output, complaint = self._command(command, flags)
        if code == 0:
            return output
        if os.strerror(errno.ENOENT) in complaint:
            return None
        raise NetworkFailure(f"nftables could not {command}: {_shorten(complaint)}")

    def close(self) -> None:
        """Free the context; nothing in the kernel changes."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def _command(self, text: str, flags: int) -> tuple[int, str, str]:
        library = self._library
        library.nft_ctx_output_set_flags(self._context, flags)
        code = library.nft_run_cmd_from_buffer(self._context, text.encode())
        output = library.nft_ctx_get_output_buffer(self._context) or b""
        complaint = library.nft_ctx_get_error_buffer(self._context) or b""
        return code, output.decode(errors="replace"), complaint.decode(errors="replace")


def generation() -> int:
    """Return the number of the calling thread's namespace's last nftables transaction, ours or anybody's."""
    family = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)  # nfgenmsg
    try:
        with Connection(_NETLINK_NETFILTER) as connection:
            answer = connection.ask(_GET_GENERATION, family)
    except OSError as error:
        raise NetworkFailure(f"could not ask for the generation of nftables: {error}") from error
    numbers = [raw for number, raw in attributes(answer[4:]) if number == _GENERATION_ID]
    return int(struct.unpack("!I", numbers[0][4:8])[0])


def _shorten(complaint: str) -> str:
    """Return the first lines of a complaint on one line; libnftables quotes whole transactions."""
    lines = [line.strip() for line in complaint.splitlines() if "Error" in line]
    return "; ".join(lines or complaint.split("\n", 1))[:_MESSAGE_LIMIT]
