"""A language model's endpoint that streams tokens at a steady rate, each with the time it was sent.

Run as a program, `python bench/model.py PORT TOKENS RATE_PER_S`, so that it is in nobody's way. A
token is `NANOSECONDS ` by the monotonic clock, which all processes of a machine share.
"""

import asyncio
import hashlib
import json
import re
import sys
import time

import uvloop

CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"bench","choices":'
TOKEN = CHUNK + b'[{"index":0,"delta":{"content":"%s"}}]}\n\n'
LAST = CHUNK + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Model:
    """Answers every request with the same number of tokens.

    Attributes:
        sums: by proposal id, the SHA-256 of the text that was sent about it.
    """

    def __init__(self, tokens: int, rate_per_s: float) -> None:
        self._tokens = tokens
        self._interval_s = 1 / rate_per_s
        self.sums: dict[str, str] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection with one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if head.startswith(b"GET"):
                said = json.dumps(self.sums).encode()
                writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + said)
            else:
                await self._stream(body, writer)
            await writer.drain()
        except asyncio.IncompleteReadError:
            return  # only looked whether anybody is there
        finally:
            writer.close()

    async def _stream(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        found = re.search(rb"The proposal (\S+) \(", body)
        sha = hashlib.sha256()
        writer.write(HEAD)
        due_s = time.monotonic()
        for _ in range(self._tokens):
            token = b"%d " % time.monotonic_ns()
            sha.update(token)
            _send(writer, TOKEN % token)
            due_s += self._interval_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        self.sums[found[1].decode() if found else ""] = sha.hexdigest()
        _send(writer, LAST)
        _send(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def main(port: int, tokens: int, rate_per_s: float) -> None:
    model = Model(tokens, rate_per_s)
    server = await asyncio.start_server(model.answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
