"""What the tests of faults stand on does what they believe: the proxy, and the framing of messages."""
import struct
import subprocess
import time

import harness
import postgres_wire
from fault_proxy import CLIENT, FIN, RST, SERVER, FaultProxy
from postgres_wire import PROTOCOL, TLS, Splitter, message


class PostgresToolsTest(harness.TestCase):
    def run_psql(self, server, proxy, sql):
        command = [server.binaries / "psql", "-XAtc", sql, proxy.url()]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def test_messages_are_the_same_however_they_arrive(self):
        parts = [struct.pack(">II", 8, TLS), struct.pack(">II", 12, PROTOCOL) + b"a\0b\0", message("P", b"x" * 1000),
                 message("S")]
        for size in (1, 3, 7, 5000):
            splitter, got = Splitter(from_client=True), []
            whole = b"".join(parts)
            for start in range(0, len(whole), size):
                got += splitter.feed(whole[start:start + size])
            self.assertEqual(got, list(zip(("tls", "startup", "P", "S"), parts)))
        splitter = Splitter(from_client=False)
        splitter.answers = 1
        self.assertEqual(splitter.feed(b"N" + message("Z", b"I")), [("answer", b"N"), ("Z", message("Z", b"I"))])

    def test_the_proxy_breaks_as_it_is_told(self):
        with harness.start_postgres() as server, FaultProxy(server.port) as proxy:
            def ask(sql="SELECT 1"):
                return self.run_psql(server, proxy, sql)

            self.assertEqual(ask().stdout, "1\n")
            self.assertEqual(len(ask("SELECT repeat('x', 5000000)").stdout), 5_000_001)
            for how in (RST, FIN):
                rule = proxy.cut_on(SERVER, "C", b"SELECT", how=how)
                self.assertIn("closed the connection", ask().stderr)
                self.assertTrue(rule.met.wait(10))
                self.assertEqual(ask().stdout, "1\n", "once only")
            proxy.cut_on(CLIENT, "Q", b"SELECT 2")
            self.assertEqual((ask().stdout, ask("SELECT 2").stdout), ("1\n", ""))
            proxy.refuse()
            self.assertNotEqual(ask().returncode, 0)
            proxy.refuse(False)
            begin = time.monotonic()
            proxy.throttle(10_000)
            self.assertEqual(len(ask("SELECT repeat('x', 10000)").stdout), 10_001)
            self.assertGreater(time.monotonic() - begin, 0.9)
            proxy.resume()
            proxy.swallow((SERVER, ))
            psql = subprocess.Popen([server.binaries / "psql", "-XAtc", "SELECT 3", proxy.url()],
                                    stdout=subprocess.PIPE, text=True)
            harness.wait_for(lambda: proxy.open == 1, 10, "it connects")
            self.assertIsNone(psql.poll())
            proxy.resume()
            self.assertEqual(psql.communicate(timeout=10)[0], "3\n")
            harness.wait_for(lambda: proxy.open == 0, 10, "no connection is left")


if __name__ == "__main__":
    harness.main()
