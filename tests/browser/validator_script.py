"""A validator for pages to watch: its argument says what it prints. Standard library only.

- `count.NUMBER...`: so many numbered, coloured lines, a hundred a second.
- `endless...`: lines until it is ended, forty a second.
- `markup...`: what would be dangerous as HTML, and every way of setting a colour.
- `progress...`: a line that is rewritten for three seconds, and lines around it.
- `prompt...`: a question without a line's end, which waits until it is ended.
- `bytes...`: what is no text, or turns text round, or moves the cursor.
"""

import sys
import time

LINE_S = 0.01
ENDLESS_LINE_S = 0.025


def _line(number: int) -> str:
    return f"\x1b[3{number % 8}mline {number}\x1b[0m of \x1b[1msome\x1b[0m"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _progress() -> None:
    _say("start")
    for done in range(0, 101, 2):
        _write(b"\r\x1b[32mDownloading\x1b[0m %3d%%" % done)
        time.sleep(0.06)
    _write(b"\nfinished\n")


def _bytes() -> None:
    _write("rlo \u202egnp.exe\u202c a\u2028b nul c\0d\n".encode())
    _write(b"latin1 caf\xe9 and \xff\n")
    _write(b"osc \x1b]0;title never ended\n")
    _write(b"Solving: /\b-\b\\\b|\bdone\n")
    _write(b"Loading...\r\x1b[K\x1b[31mRed\x1b[0m\n")
    _write(b"ab\rX\n")


def main() -> int:
    kind, _, rest = sys.argv[1].partition(".")
    if kind == "progress":
        _progress()
        return 0
    if kind == "prompt":
        _write(b"step 1\nOverwrite it? [y/N] ")
        time.sleep(600)
    if kind == "bytes":
        _bytes()
        return 0
    if kind == "markup":
        _say('<img src=x onerror="document.title=1"><b>bold</b> & \x1b[31mred\x1b[0m')
        _say("\x1b[38;5;196m256\x1b[0m \x1b[38;2;0;0;200mdeep blue\x1b[0m \x1b[1;4;7mall\x1b[0m")
        _say("10%\r100% done\x1b]0;a title\x07")
        return 0
    last, line_s = sys.maxsize, ENDLESS_LINE_S
    if kind == "count":
        last, line_s = int(rest.partition(".")[0]), LINE_S
    for number in range(1, last + 1):
        _say(_line(number))
        time.sleep(line_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
