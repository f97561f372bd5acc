"""A TCP proxy in front of a PostgreSQL that breaks as it is told: connections are cut, packets vanish or trickle.

    with FaultProxy(server.port) as proxy:
        proxy.cut_on(SERVER, "C", b"COMMIT")  # the answer of the next COMMIT is lost, and the connection with it
"""
import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading

import postgres_wire

CLIENT, SERVER = "client", "server"  # who speaks
BOTH = (CLIENT, SERVER)
RST, FIN = "rst", "fin"  # how a connection ends
PIECE = 65_536
SECONDS = 10  # that a command may take


@dataclasses.dataclass
class Rule:
    """What happens when a message passes. It is not forwarded, but for its first `keep` bytes."""

    speaker: str
    kind: str
    contains: bytes
    action: object  # called with the link
    times: int
    keep: int
    met: threading.Event = dataclasses.field(default_factory=threading.Event)

    def matches(self, speaker, kind, data):
        return self.times > 0 and (speaker, kind) == (self.speaker, self.kind) and self.contains in data


class Link:
    """A connection through the proxy."""

    def __init__(self, writers):
        self._writers = writers  # by whom they lead to
        self.splitters = {each: postgres_wire.Splitter(each == CLIENT) for each in BOTH}
        self.left = {each: None for each in BOTH}  # bytes that are still forwarded; None: all
        self.ended = False

    def cut(self, how=RST, sides=BOTH):
        """Ends it towards `sides`."""
        for side in sides:
            writer = self._writers[side]
            end = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if how == RST:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                else:
                    end.shutdown(socket.SHUT_RDWR)

    def half_close(self, side):
        """That side is told that no more comes; it may go on speaking."""
        with contextlib.suppress(OSError):
            self._writers[side].get_extra_info("socket").shutdown(socket.SHUT_WR)


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards to another. Its methods may be called on any thread, and have
    taken effect on return."""

    def __init__(self, port, host="127.0.0.1"):
        self._to = host, port
        self._links, self._tasks, self._rules = set(), set(), []
        self._refusing = False
        self._delay = {each: 0 for each in BOTH}
        self._rate = {each: None for each in BOTH}
        self._eaten_after = {each: None for each in BOTH}
        self.connections = 0  # that were ever made
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def open(self):
        """Connections that neither side has ended."""
        return sum(not link.ended for link in list(self._links))

    def url(self, database="postgres", user="postgres", options=""):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{options}"

    def cut(self, how=RST, sides=BOTH):
        """Every connection, now."""
        self._each(lambda link: link.cut(how, sides))

    def half_close(self, side):
        self._each(lambda link: link.half_close(side))

    def refuse(self, refusing=True):
        """New connections end at once; those that there are stay."""
        self._refusing = refusing

    def swallow(self, speakers=BOTH):
        """Nothing that they say arrives any more, on connections new and old, until resume(): then all of it does."""
        def stop():
            for each in speakers:
                self._flowing[each].clear()
        self._do(stop)

    def resume(self):
        """As before any swallow(), delay(), throttle() or eat_after()."""
        def go():
            for each in BOTH:
                self._delay[each], self._rate[each], self._eaten_after[each] = 0, None, None
                self._flowing[each].set()
        self._do(go)

    def delay(self, seconds, speaker=SERVER):
        """Each piece of data comes so much later."""
        self._delay[speaker] = seconds

    def throttle(self, bytes_per_second, speaker=SERVER):
        self._rate[speaker] = bytes_per_second

    def eat_after(self, size, speaker=SERVER):
        """After so many more bytes of it, each connection says nothing more, and lives on."""
        def limit():
            self._eaten_after[speaker] = size
            for link in self._links:
                link.left[speaker] = size
        self._do(limit)

    def strand(self):
        """The connections that there are live on, and nothing arrives on them ever again."""
        def silence(link):
            link.left = {each: 0 for each in BOTH}
        self._each(silence)

    def on(self, speaker, kind, contains, action, times=1, keep=0):
        """`action` is called, with the link and on the proxy's own thread, when a message of that kind passes."""
        rule = Rule(speaker, kind, contains, action, times, keep)
        self._do(lambda: self._rules.append(rule))
        return rule

    def cut_on(self, speaker, kind, contains=b"", how=RST, sides=BOTH, **options):
        """The connection on which such a message passes is cut before it is forwarded."""
        return self.on(speaker, kind, contains, lambda link: link.cut(how, sides), **options)

    def clear(self):
        """No rules any more."""
        self._do(self._rules.clear)

    def _each(self, action):
        self._do(lambda: [action(link) for link in list(self._links)])

    def _do(self, action):
        """On the proxy's thread; answers when it is done."""
        async def run():
            result = action()
            if asyncio.iscoroutine(result):
                await result
        asyncio.run_coroutine_threadsafe(run(), self._loop).result(SECONDS)

    async def _listen(self):
        self._flowing = {each: asyncio.Event() for each in BOTH}
        for event in self._flowing.values():
            event.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self):
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader, writer):
        if self._refusing:
            Link({CLIENT: writer}).cut(sides=(CLIENT, ))
            return
        try:
            from_server, to_server = await asyncio.open_connection(*self._to)
        except OSError:
            Link({CLIENT: writer}).cut(sides=(CLIENT, ))
            return
        link = Link({CLIENT: writer, SERVER: to_server})
        link.left = dict(self._eaten_after)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(link, CLIENT, reader, to_server),
                                 self._pump(link, SERVER, from_server, writer))
        finally:
            self._links.discard(link)
            for each in (writer, to_server):
                each.close()

    async def _pump(self, link, speaker, reader, writer):
        """Until the speaker has no more to say; the other is told so."""
        try:
            while data := await reader.read(PIECE):
                await self._flowing[speaker].wait()
                for kind, whole in link.splitters[speaker].feed(data):
                    if kind in ("tls", "gss"):
                        link.splitters[SERVER].answers += 1
                    if not await self._judge(link, speaker, kind, whole, writer):
                        return
            link.ended = True
            writer.write_eof()
        except OSError:
            link.ended = True
            link.cut()

    async def _judge(self, link, speaker, kind, data, writer):
        """False: nothing more goes this way."""
        for rule in self._rules:
            if rule.matches(speaker, kind, data):
                rule.times -= 1
                await self._forward(link, speaker, data[:rule.keep], writer)
                rule.action(link)
                rule.met.set()
                return False
        await self._forward(link, speaker, data, writer)
        return True

    async def _forward(self, link, speaker, data, writer):
        left = link.left[speaker]
        if left is not None:
            data, link.left[speaker] = data[:left], max(left - len(data), 0)
        if self._delay[speaker]:
            await asyncio.sleep(self._delay[speaker])
        while data:
            rate = self._rate[speaker]
            size = len(data) if rate is None else max(1, rate // 20)
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]
            await self._flowing[speaker].wait()
            if rate is not None:
                await asyncio.sleep(size / rate)
