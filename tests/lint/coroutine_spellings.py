"""Rejects the spellings of coroutines that g++ 12 miscompiles, and two that every compiler accepts and no one survives.

g++ 12 destroys twice what an awaited expression builds in place: aggregates, and lambdas that capture by value. A body
without a local whose condition awaits never resumes. The house form is one await per statement, into a name, its
arguments built before. A scoped lock or a thread_local that lives across an await may meet another thread there.
"""
from pathlib import Path
from typing import Iterator

import sources
from cpp_tokens import Code

AWAITS = ("co_await", "co_yield")
COROUTINE = (*AWAITS, "co_return")
LOCKS = ("MutexLock", "ReaderMutexLock", "WriterMutexLock", "ReleasableMutexLock", "lock_guard", "unique_lock",
         "scoped_lock", "shared_lock")


def check(root: Path) -> Iterator[sources.Finding]:
    for path in sources.files(root, "*.h", "*.cc"):
        for line, rule, text in sorted(set(spellings(sources.read(root, path)))):
            yield sources.Finding(path, line, rule, text)


def spellings(text: str) -> Iterator[tuple[int, str, str]]:
    """The line, rule and explanation of each spelling to reject."""
    if not any(word in text for word in COROUTINE):
        return
    code = Code(text)
    for rule in (_built_in_place, _capturing_argument, _called_at_once, _condition, _statement_expression, _held_lock,
                 _thread_local):
        for at, explanation in rule(code):
            yield code.line(at), rule.__name__.lstrip("_").replace("_", "-"), explanation


def _built_in_place(code: Code) -> Iterator[tuple[int, str]]:
    """co_await F(Options{…}), F({…}), Awaiter{…}; Aggregate{co_await …}; G(Options{…}, co_await F())."""
    for at in code.find(*AWAITS):
        start, end = code.statement(at)
        for brace in code.direct(start, end):
            if code.text(brace) == "{" and code.is_initializer(brace) and _same_body(code, at, brace):
                yield brace, "braces beside an await are destroyed twice: build the value first, under a name"


def _capturing_argument(code: Code) -> Iterator[tuple[int, str]]:
    """co_await F([p = std::move(p)] {…}), co_await F([x] {…}), co_await F([=] {…})."""
    for at in code.find(*AWAITS):
        start, end = code.statement(at)
        for found in code.lambdas:
            if start < found.start < end and _same_body(code, at, found.start) and _captures_values(code, found):
                yield found.start, "values captured beside an await are destroyed twice: capture [&], or name the lambda"


def _called_at_once(code: Code) -> Iterator[tuple[int, str]]:
    """[&] { co_await …; }(): the closure is gone when the coroutine resumes."""
    for found in code.lambdas:
        captures = found.captures_end > found.start + 1
        called = code.text(found.body_end + 1) == "("
        awaits = any(code.text(at) in COROUTINE for at in code.direct(found.body, found.body_end))
        if captures and called and awaits:
            yield found.start, "a capturing coroutine must outlive its call: use a named function"


def _condition(code: Code) -> Iterator[tuple[int, str]]:
    """if (co_await x), while (co_await x), switch (co_await x), for (; co_await x;)."""
    for at in code.find("if", "while", "switch", "for"):
        opener = at + 2 if code.text(at + 1) == "constexpr" else at + 1
        if code.text(opener) != "(" or opener not in code.match:
            continue
        end = code.match[opener]
        separators = [position for position in code.level(opener) if code.text(position) == ";"]
        ranged = any(code.text(position) == ":" for position in code.level(opener))
        if code.text(at) == "for":
            start = separators[0] if separators else end
            if ranged:
                start = end
        else:
            start = opener if not separators and not _declares(code, opener) else end
        for position in code.direct(start, end):
            if code.text(position) in AWAITS and _same_body(code, opener, position):
                yield position, "await into a name first: a body without locals never resumes"


def _statement_expression(code: Code) -> Iterator[tuple[int, str]]:
    """({ co_await x; })."""
    for at in code.find(*AWAITS):
        brace = code.enclosing(at, "{")
        while brace >= 0:
            if code.text(brace - 1) == "(" and not code.is_initializer(brace) and brace not in code.lambda_bodies:
                yield at, "no await inside ({ … })"
            brace = code.enclosing(brace, "{")


def _held_lock(code: Code) -> Iterator[tuple[int, str]]:
    """absl::MutexLock lock(&mu_); … co_await …; in one block."""
    for at in code.find(*LOCKS):
        name, angles = at + 1, 0
        while name < len(code.tokens) and (angles or code.text(name) == "<"):
            angles += {"<": 1, ">": -1}.get(code.text(name), 0)
            name += 1
        declares = code.text(name).isidentifier() and code.text(name + 1) in ("(", "{", ";")
        block = code.enclosing(at, "{")
        if not declares or block < 0:
            continue
        for position in code.direct(name, code.match.get(block, len(code.tokens))):
            if code.text(position) in AWAITS:
                yield at, f"`{code.text(name)}` is held across an await: close its block first"
                break


def _thread_local(code: Code) -> Iterator[tuple[int, str]]:
    """A thread_local that a coroutine declares or names: its address is read once, the thread may change."""
    names = set()
    for at in code.find("thread_local"):
        last = at
        while code.text(last + 1) not in ("=", "{", ";", "(", "[", ""):
            last += 1
        names.add(code.text(last))
        if _awaiting_block(code, at):
            yield at, "a coroutine may change threads at an await: keep this in a plain function"
    for at in code.find(*names):
        declared_here = any(code.text(before) == "thread_local" for before in range(max(0, code.statement(at)[0]), at))
        member = code.text(at - 1) in (".", "->")
        if not declared_here and not member and _awaiting_block(code, at):
            yield at, f"`{code.text(at)}` is thread_local: read it through a plain function"


def _awaiting_block(code: Code, at: int) -> bool:
    """Whether the function around a token awaits, itself and not in a lambda of its own."""
    block = code.enclosing(at, "{")
    while block >= 0:
        if any(code.text(position) in AWAITS for position in code.direct(block, code.match.get(block, block))):
            return not _declares_type_or_namespace(code, block)
        if block in code.lambda_bodies:
            return False
        block = code.enclosing(block, "{")
    return False


def _declares_type_or_namespace(code: Code, block: int) -> bool:
    start = block
    while start > 0 and code.text(start - 1) not in (";", "}", "{", ")"):
        start -= 1
    return code.text(start) in ("namespace", "class", "struct", "template", "extern", "inline", "enum", "union")


def _same_body(code: Code, one: int, other: int) -> bool:
    """Whether two tokens belong to the same function: no lambda's body lies between them."""
    return _body(code, one) == _body(code, other)


def _body(code: Code, at: int) -> int:
    block = code.enclosing(at, "{")
    while block >= 0 and block not in code.lambda_bodies:
        block = code.enclosing(block, "{")
    return block


def _captures_values(code: Code, found) -> bool:
    captures = [""]
    for at in range(found.start + 1, found.captures_end):
        if code.text(at) == "," and code.inside[at] == found.start:
            captures.append("")
        else:
            captures[-1] += code.text(at)
    return any(capture and not capture.startswith("&") and capture != "this" for capture in captures)


def _declares(code: Code, opener: int) -> bool:
    """Whether a condition is a declaration: `while (const auto row = co_await …)`."""
    level = list(code.level(opener))
    equals = next((at for at in level if code.text(at) == "="), None)
    if equals is None or not code.text(equals - 1).isidentifier():
        return False
    before = code.text(equals - 2)
    return before.isidentifier() or before in (">", "&", "*", "&&")


if __name__ == "__main__":
    sources.main(check)
