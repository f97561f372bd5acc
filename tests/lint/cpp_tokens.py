"""Just enough of C++ to read it token by token: comments, strings and preprocessor lines are out of the way, brackets
are matched, lambdas are found. No line ends: a statement reads the same however it is wrapped."""
import re
from typing import Iterator, NamedTuple, Optional

_PIECES = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
      | (?P<raw>(?:u8|[uUL])?R"(?P<fence>[^ ()\\\t\n]*)\(.*?\)(?P=fence)")
      | (?P<string>(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*")
      | (?P<number>\.?\d(?:'?[\w.]|(?<=[eEpP])[+-])*)
      | (?P<char>(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>::|->|\.\.\.|&&|\|\||[<>=!+\-*/%&|^]=|[^\s\w])""",
    re.VERBOSE | re.DOTALL | re.MULTILINE)
_OPENS = {"(": ")", "[": "]", "{": "}"}
_CLOSES = {")", "]", "}"}
_STATEMENT_WORDS = {"if", "for", "while", "do", "switch", "try", "return", "co_return", "case", "public", "private",
                    "protected", "using", "typedef", "friend", "template"}
_BEFORE_A_BLOCK = {")", ";", "}", "else", "do", "try", "const", "noexcept", "override", "final", "mutable"}


class Token(NamedTuple):
    text: str
    line: int


class Lambda(NamedTuple):
    """`[captures] … { body }`: positions of the four brackets."""
    start: int
    captures_end: int
    body: int
    body_end: int


class Code:
    def __init__(self, text: str):
        self.tokens = list(_tokenize(text))
        self.match: dict[int, int] = {}   # each bracket's partner, both ways
        self.inside: list[int] = []       # the innermost bracket that is open around each token, or -1
        self._match_brackets()
        self.lambdas = [found for at in range(len(self.tokens)) if (found := self._lambda_at(at))]
        self.lambda_bodies = {found.body: found for found in self.lambdas}

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def line(self, at: int) -> int:
        return self.tokens[at].line

    def find(self, *words: str) -> Iterator[int]:
        return (at for at, token in enumerate(self.tokens) if token.text in words)

    def direct(self, start: int, end: int) -> Iterator[int]:
        """The positions strictly between two, less what is inside the bodies of lambdas."""
        at = start + 1
        while at < end:
            yield at
            at = self.match.get(at, at) if at in self.lambda_bodies else at
            at += 1

    def level(self, bracket: int) -> Iterator[int]:
        """The positions inside a bracket that are in no further one."""
        at = bracket + 1
        while at < self.match.get(bracket, len(self.tokens)):
            yield at
            at = self.match.get(at, at) + 1

    def enclosing(self, at: int, kind: str) -> int:
        """The innermost bracket of a kind around a token; -1 when there is none."""
        at = self.inside[at]
        while at >= 0 and self.text(at) != kind:
            at = self.inside[at]
        return at

    def is_initializer(self, brace: int) -> bool:
        """Whether a `{` opens a list of values rather than a block, a class or a function."""
        if brace in self.lambda_bodies or self.text(brace - 1) in _BEFORE_A_BLOCK:
            return False
        for at in self.level(brace):
            if self.text(at) == ";" or self.text(at) in _STATEMENT_WORDS:
                return False
        return True

    def statement(self, at: int) -> tuple[int, int]:
        """The positions just before and just after the statement, or the head of one, that a token is in."""
        block = self.enclosing(at, "{")
        while block >= 0 and self.is_initializer(block):
            block = self.enclosing(block, "{")
        end_of_block = self.match.get(block, len(self.tokens)) if block >= 0 else len(self.tokens)
        start = position = block
        while True:
            position += 1
            if position >= end_of_block:
                return start, end_of_block
            text = self.text(position)
            closes = position
            if text in _OPENS:
                closes = self.match.get(position, position)
            is_block = text == "{" and position not in self.lambda_bodies and not self.is_initializer(position)
            if text == ";" or is_block:
                if position > at:
                    return start, position
                start = closes
            position = closes

    def _match_brackets(self) -> None:
        open_ones: list[int] = []
        for at, token in enumerate(self.tokens):
            if token.text in _CLOSES and open_ones and _OPENS[self.text(open_ones[-1])] == token.text:
                opener = open_ones.pop()
                self.match[opener], self.match[at] = at, opener
            self.inside.append(open_ones[-1] if open_ones else -1)
            if token.text in _OPENS:
                open_ones.append(at)

    def _lambda_at(self, at: int) -> Optional[Lambda]:
        if self.text(at) != "[" or at not in self.match:
            return None
        before = self.text(at - 1)
        if self.text(at + 1) == "[" or before == "[" or before in (")", "]") or _is_name(before):
            return None  # an attribute, or a subscript
        captures_end = position = self.match[at]
        if self.text(captures_end + 1) not in ("(", "{", "<", "[", "->", "mutable", "constexpr", "noexcept"):
            return None  # a structured binding
        while position + 1 < len(self.tokens):
            position += 1
            text = self.text(position)
            if text == "{":
                return Lambda(at, captures_end, position, self.match.get(position, position))
            if text == "(" or text == "[":
                position = self.match.get(position, position)
            elif text in (";", ")", "]", "}"):
                return None
        return None


def _is_name(text: str) -> bool:
    return bool(re.match(r"[A-Za-z_]\w*$", text)) and text not in ("return", "co_return", "co_await", "co_yield", "case")


def _tokenize(text: str) -> Iterator[Token]:
    line, counted = 1, 0
    for found in _PIECES.finditer(text):
        line += text.count("\n", counted, found.start())
        counted = found.start()
        kind = found.lastgroup if found.lastgroup != "fence" else "raw"
        if kind not in ("comment", "directive"):
            shown = '""' if kind in ("raw", "string") else found.group()
            yield Token(shown, line)
