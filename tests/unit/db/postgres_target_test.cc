#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/postgres/target.h"

namespace sluice::postgres {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kCanary[] = "S3cr3tCanary";
constexpr char kNoFile[] = "/dev/null/none";

using Options = std::map<std::string, std::string>;

db::Target TargetAt(const std::string& host, Options options = {}) {
  db::Target target;
  target.engine = db::EngineKind::kPostgresql;
  target.hosts = {{host, 5432}};
  target.database = "shop";
  target.user = "me";
  target.password = kCanary;
  target.options = std::move(options);
  return target;
}

db::Target Operators(db::Target target) {
  target.trusted = true;
  return target;
}

ConnectTarget Judged(const db::Target& target) {
  auto judged = Judge(target);
  EXPECT_TRUE(judged.ok()) << judged.status();
  return judged.ok() ? *std::move(judged) : ConnectTarget();
}

void ExpectRefused(const db::Target& target,
                   const std::string& words,
                   StatusCode code = StatusCode::kInvalidArgument,
                   absl::string_view reason = "CONNECTION_INVALID_TARGET") {
  const auto judged = Judge(target);
  ASSERT_FALSE(judged.ok()) << words;
  EXPECT_EQ(judged.status().code(), code) << judged.status();
  EXPECT_EQ(errors::ReasonOf(judged.status()), reason);
  EXPECT_THAT(std::string(judged.status().message()), HasSubstr(words));
  EXPECT_THAT(judged.status().ToString(), Not(HasSubstr(kCanary)));
}

std::string KeywordOf(const std::vector<std::pair<std::string, std::string>>& keywords,
                      const std::string& name) {
  std::string found = "(none)";
  int count = 0;
  for (const auto& [key, value] : keywords) {
    if (key == name) {
      found = value;
      ++count;
    }
  }
  EXPECT_LE(count, 1) << name;
  return found;
}

std::string KeywordOf(const db::Target& target, const std::string& name) {
  return KeywordOf(Judged(target).keywords, name);
}

Address AddressOf(const std::string& text) {
  const std::optional<Address> address = ParseAddress(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(Address());
}

// Knows one name with these addresses, and literals.
Lookup Knows(std::vector<std::string> addresses) {
  return [addresses](const std::string& name) -> absl::StatusOr<std::vector<Address>> {
    if (const auto literal = ParseAddress(name)) return std::vector<Address>{*literal};
    std::vector<Address> out;
    for (const std::string& address : addresses) out.push_back(AddressOf(address));
    return out;
  };
}

// --- Judge

TEST(Judge, RefusesKeywordsThatUseWhatIsNotTheCallers) {
  for (const char* keyword : {"service",
                              "servicefile",
                              "passfile",
                              "sslcert",
                              "sslkey",
                              "sslpassword",
                              "sslcertmode",
                              "sslcrl",
                              "sslcrldir",
                              "sslrootcert",
                              "sslsni",
                              "sslcompression",
                              "sslnegotiation",
                              "requiressl",
                              "requirepeer",
                              "require_auth",
                              "options",
                              "replication",
                              "gssencmode",
                              "gsslib",
                              "gssdelegation",
                              "krbsrvname",
                              "hostaddr",
                              "host",
                              "port",
                              "user",
                              "password",
                              "dbname",
                              "client_encoding",
                              "authtype",
                              "tty",
                              "tcp_user_timeout",
                              "fallback_application_name",
                              "load_balance_hosts",
                              "ssl_min_protocol_version"}) {
    ExpectRefused(TargetAt("127.0.0.1", {{keyword, kCanary}}),
                  absl::StrCat("'", keyword, "' is not taken"));
  }
  ExpectRefused(Operators(TargetAt("127.0.0.1", {{"service", kCanary}})), "'service'");
}

TEST(Judge, SaysWhichKeywordsThereAre) {
  ExpectRefused(TargetAt("127.0.0.1", {{"ssl", "on"}}), "'ssl' is not known; there are sslmode");
  ExpectRefused(TargetAt("127.0.0.1", {{"ssl", "on"}}), "pooler");
  ExpectRefused(TargetAt("127.0.0.1", {{kCanary, "on"}}), "impossible name");
  ExpectRefused(TargetAt("127.0.0.1", {{"", "on"}}), "impossible name");
}

TEST(Judge, RefusesValuesByTheirKeyword) {
  for (const auto& [keyword, value] :
       std::vector<std::pair<std::string, std::string>>{{"sslmode", kCanary},
                                                        {"sslmode", ""},
                                                        {"channel_binding", kCanary},
                                                        {"target_session_attrs", kCanary},
                                                        {"connect_timeout", "0"},
                                                        {"connect_timeout", "61"},
                                                        {"connect_timeout", kCanary},
                                                        {"keepalives", "2"},
                                                        {"keepalives_idle", "0"},
                                                        {"keepalives_interval", "-1"},
                                                        {"keepalives_count", "101"},
                                                        {"application_name", std::string(64, 'a')},
                                                        {"application_name", "a\nb"},
                                                        {"pooler", kCanary},
                                                        {"session_hygiene", kCanary},
                                                        {"pool_min", "-1"},
                                                        {"pool_max", "0"},
                                                        {"pool_overflow", kCanary},
                                                        {"pool_acquire_timeout", "0"},
                                                        {"pool_idle_timeout", kCanary},
                                                        {"pool_recycle", "-1s"},
                                                        {"pool_pre_ping", "25h"},
                                                        {"pool_waiters", "-1"},
                                                        {"statement_cache", "0"},
                                                        {"lane_allowance", "1ms"},
                                                        {"commit_grace", "0"},
                                                        {"session_settings", "app.a,role"},
                                                        {"session_settings", ""},
                                                        {"lanes", "17"}}) {
    ExpectRefused(TargetAt("127.0.0.1", {{keyword, value}}), absl::StrCat("'", keyword, "'"));
  }
}

TEST(Judge, RefusesHostsThatAreNone) {
  for (const std::string& host :
       {std::string("/run/postgresql"), std::string("@abstract"), std::string(), std::string("a b"),
        std::string("a,b"), std::string("a\0b", 3), std::string("a\n"),
        std::string("S3cr3tCanary@h"), std::string("h/db"), std::string(256, 'a'),
        std::string("gr\xc3\xbcn")}) {
    ExpectRefused(TargetAt(host), "");
  }
  ExpectRefused(Operators(TargetAt("/run/a,b")), "Unix socket");
  ExpectRefused(Operators(TargetAt(std::string("/run/a\0b", 8))), "Unix socket");
}

TEST(Judge, RefusesPortsAndListsThatCannotBe) {
  for (const int port : {0, -1, 65536}) {
    db::Target target = TargetAt("127.0.0.1");
    target.hosts[0].port = port;
    ExpectRefused(target, "port");
  }
  db::Target target = TargetAt("127.0.0.1");
  target.hosts.clear();
  ExpectRefused(target, "no host");
  target.hosts.assign(9, {"127.0.0.1", 5432});
  ExpectRefused(target, "more than 8");
}

TEST(Judge, RefusesLoginsThatCannotBe) {
  db::Target target = TargetAt("127.0.0.1");
  target.user.clear();
  ExpectRefused(target, "no user");
  EXPECT_EQ(Judged(Operators(target)).user, "");
  target.user = std::string(kCanary) + "\n";
  ExpectRefused(target, "user name");
  target.user = "me";
  target.database = std::string(kCanary) + '\0';
  ExpectRefused(target, "database name");
  target.database = "shop";
  target.password = std::string(kCanary) + '\0';
  ExpectRefused(target, "password");
}

TEST(Judge, NeedsNoTlsOnThisMachine) {
  for (const char* host : {"127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"}) {
    EXPECT_EQ(KeywordOf(TargetAt(host), "sslmode"), "prefer") << host;
    EXPECT_EQ(KeywordOf(TargetAt(host), "sslrootcert"), kNoFile);
    EXPECT_TRUE(Judged(TargetAt(host)).local_password);
  }
  EXPECT_EQ(KeywordOf(Operators(TargetAt("/run/postgresql")), "sslmode"), "prefer");
  EXPECT_EQ(KeywordOf(TargetAt("127.0.0.1", {{"sslmode", "disable"}}), "sslmode"), "disable");
}

TEST(Judge, VerifiesWhoeverIsElsewhere) {
  for (const bool trusted : {false, true}) {
    for (const char* host : {"db.example", "10.0.0.1", "2001:db8::1", "localhost.example"}) {
      db::Target target = TargetAt(host);
      target.trusted = trusted;
      const ConnectTarget judged = Judged(target);
      EXPECT_EQ(KeywordOf(judged.keywords, "sslmode"), "verify-full") << host;
      EXPECT_EQ(KeywordOf(judged.keywords, "channel_binding"), "prefer");
      EXPECT_EQ(KeywordOf(judged.keywords, "sslrootcert"), "/etc/ssl/certs/ca-certificates.crt");
      EXPECT_FALSE(judged.local_password);
    }
  }
  db::Target two = TargetAt("127.0.0.1");
  two.hosts.push_back({"db.example", 5432});
  EXPECT_EQ(KeywordOf(two, "sslmode"), "verify-full");
}

TEST(Judge, BindsALoginToTlsThatIsNotVerified) {
  const Options require = {{"sslmode", "require"}};
  EXPECT_EQ(KeywordOf(TargetAt("db.example", require), "channel_binding"), "require");
  // A certificate in the home folder would turn `require` into something else.
  EXPECT_EQ(KeywordOf(TargetAt("db.example", require), "sslrootcert"), kNoFile);
  EXPECT_EQ(
      KeywordOf(TargetAt("db.example", {{"sslmode", "require"}, {"channel_binding", "prefer"}}),
                "channel_binding"),
      "prefer");
  // Without a password there is nothing to bind.
  db::Target target = TargetAt("db.example", require);
  target.password.clear();
  EXPECT_EQ(KeywordOf(target, "channel_binding"), "prefer");
}

TEST(Judge, SendsNoPasswordAcrossANetworkWithoutTls) {
  for (const char* mode : {"disable", "allow", "prefer"}) {
    const Options options = {{"sslmode", mode}};
    ExpectRefused(TargetAt("10.0.0.1", options), "without TLS", StatusCode::kFailedPrecondition,
                  "BACKEND_INSECURE_AUTH");
    // A name may mean this machine: its addresses decide.
    EXPECT_TRUE(Judged(TargetAt("db.example", options)).local_password);
    EXPECT_FALSE(Judged(Operators(TargetAt("10.0.0.1", options))).local_password);
    db::Target target = TargetAt("10.0.0.1", options);
    target.password.clear();
    EXPECT_FALSE(Judged(target).local_password);
  }
}

TEST(Judge, OnlyTheOperatorNamesFilesAndSockets) {
  const db::Target target =
      Operators(TargetAt("/run/postgresql", {{"sslrootcert", "/etc/own.crt"}}));
  const ConnectTarget judged = Judged(target);
  EXPECT_EQ(KeywordOf(judged.keywords, "sslrootcert"), "/etc/own.crt");
  EXPECT_THAT(judged.hosts, ElementsAre(Host{"/run/postgresql", 5432}));
}

TEST(Judge, UsesNothingOfTheServersOwnUser) {
  const ConnectTarget judged = Judged(TargetAt("127.0.0.1"));
  for (const char* file : {"passfile", "sslcert", "sslkey", "sslcrl", "sslrootcert"}) {
    EXPECT_EQ(KeywordOf(judged.keywords, file), kNoFile) << file;
  }
  EXPECT_EQ(KeywordOf(judged.keywords, "gssencmode"), "disable");
  EXPECT_EQ(KeywordOf(judged.keywords, "client_encoding"), "UTF8");
  EXPECT_EQ(KeywordOf(judged.keywords, "fallback_application_name"), "sluice");
  EXPECT_EQ(KeywordOf(judged.keywords, "options"), "(none)");
}

TEST(Judge, NoticesServersThatAreGone) {
  const ConnectTarget judged = Judged(TargetAt("127.0.0.1"));
  EXPECT_EQ(KeywordOf(judged.keywords, "keepalives_idle"), "10");
  EXPECT_EQ(KeywordOf(judged.keywords, "keepalives_interval"), "5");
  EXPECT_EQ(KeywordOf(judged.keywords, "keepalives_count"), "3");
  EXPECT_EQ(KeywordOf(judged.keywords, "tcp_user_timeout"), "10000");
  EXPECT_EQ(judged.connect_timeout, absl::Seconds(10));
}

TEST(Judge, TakesWhatItKnows) {
  const ConnectTarget judged =
      Judged(TargetAt("db.example", {{"connect_timeout", "3"},
                                     {"keepalives", "0"},
                                     {"keepalives_idle", "60"},
                                     {"application_name", "Läden"},
                                     {"target_session_attrs", "read-write"},
                                     {"sslmode", "verify-ca"},
                                     {"pooler", "on"},
                                     {"session_hygiene", "strict"},
                                     {"pool_min", "2"},
                                     {"pool_max", "9"},
                                     {"pool_overflow", "0"},
                                     {"pool_acquire_timeout", "250ms"},
                                     {"pool_idle_timeout", "5m"},
                                     {"pool_recycle", "0"},
                                     {"pool_pre_ping", "0s"},
                                     {"pool_waiters", "0"},
                                     {"statement_cache", "50"},
                                     {"lanes", "4"},
                                     {"lane_allowance", "100ms"},
                                     {"commit_grace", "1m"},
                                     {"session_settings", "app.tenant, App.User"}}));
  EXPECT_EQ(judged.connect_timeout, absl::Seconds(3));
  EXPECT_EQ(KeywordOf(judged.keywords, "connect_timeout"), "3");
  EXPECT_EQ(KeywordOf(judged.keywords, "keepalives"), "0");
  EXPECT_EQ(KeywordOf(judged.keywords, "keepalives_idle"), "60");
  EXPECT_EQ(KeywordOf(judged.keywords, "application_name"), "Läden");
  EXPECT_EQ(KeywordOf(judged.keywords, "target_session_attrs"), "read-write");
  EXPECT_EQ(KeywordOf(judged.keywords, "sslmode"), "verify-ca");
  EXPECT_EQ(KeywordOf(judged.keywords, "pooler"), "(none)");
  EXPECT_TRUE(judged.pooler);
  EXPECT_EQ(judged.strict_hygiene, true);
  EXPECT_EQ(judged.pool_min, 2);
  EXPECT_EQ(judged.pool_max, 9);
  EXPECT_EQ(judged.pool_overflow, 0);
  EXPECT_EQ(judged.pool_acquire_timeout, absl::Milliseconds(250));
  EXPECT_EQ(judged.pool_idle_timeout, absl::Minutes(5));
  EXPECT_EQ(judged.pool_recycle, absl::ZeroDuration());
  EXPECT_EQ(judged.pool_pre_ping, absl::ZeroDuration());
  EXPECT_EQ(judged.pool_waiters, 0);
  EXPECT_EQ(judged.statement_cache, 50);
  EXPECT_EQ(judged.lanes, 4);
  EXPECT_EQ(judged.lane_allowance, absl::Milliseconds(100));
  EXPECT_EQ(judged.commit_grace, absl::Minutes(1));
  EXPECT_THAT(judged.session_settings, ElementsAre("app.tenant", "app.user"));
}

TEST(Judge, LeavesOpenWhatTheTargetDoesNotSay) {
  const ConnectTarget judged = Judged(TargetAt("db.example"));
  EXPECT_FALSE(judged.pooler);
  EXPECT_EQ(judged.strict_hygiene, std::nullopt);
  EXPECT_EQ(judged.pool_min, std::nullopt);
  EXPECT_EQ(judged.pool_acquire_timeout, std::nullopt);
  EXPECT_EQ(judged.lanes, std::nullopt);
  ExpectRefused(TargetAt("db.example", {{"pool_min", "3"}, {"pool_max", "2"}}), "'pool_min'");
}

// --- Egress

TEST(EgressRules, KnowWhatAnAddressIs) {
  using enum AddressKind;
  const std::vector<std::pair<std::string, AddressKind>> table = {
      {"8.8.8.8", kPublic},
      {"172.15.255.255", kPublic},
      {"172.32.0.0", kPublic},
      {"100.63.255.255", kPublic},
      {"169.253.255.255", kPublic},
      {"10.1.2.3", kPrivate},
      {"172.16.0.1", kPrivate},
      {"172.31.255.255", kPrivate},
      {"192.168.1.1", kPrivate},
      {"100.64.0.1", kPrivate},
      {"198.18.0.1", kPrivate},
      {"127.0.0.1", kLoopback},
      {"127.255.255.254", kLoopback},
      {"169.254.169.254", kForbidden},
      {"169.254.0.1", kForbidden},
      {"100.100.100.200", kForbidden},
      {"168.63.129.16", kForbidden},
      {"192.0.0.192", kForbidden},
      {"0.0.0.0", kForbidden},
      {"0.1.2.3", kForbidden},
      {"224.0.0.1", kForbidden},
      {"239.255.255.255", kForbidden},
      {"240.0.0.1", kForbidden},
      {"255.255.255.255", kForbidden},
      {"2606:4700::1111", kPublic},
      {"::1", kLoopback},
      {"::", kForbidden},
      {"fe80::1", kForbidden},
      {"febf::1", kForbidden},
      {"ff02::1", kForbidden},
      {"fd00:ec2::254", kForbidden},
      {"fd20:ce::254", kForbidden},
      {"fc00::1", kPrivate},
      {"fd12:3456::1", kPrivate},
      {"fec0::1", kPrivate},
      {"2001::1", kForbidden},
      {"64:ff9b:1::a00:1", kForbidden},
      // The address inside counts.
      {"::ffff:127.0.0.1", kLoopback},
      {"::ffff:169.254.169.254", kForbidden},
      {"::ffff:10.0.0.1", kPrivate},
      {"::ffff:8.8.8.8", kPublic},
      {"::169.254.169.254", kForbidden},
      {"::10.0.0.1", kPrivate},
      {"64:ff9b::169.254.169.254", kForbidden},
      {"64:ff9b::10.0.0.1", kPrivate},
      {"64:ff9b::8.8.8.8", kPublic},
      {"2002:a9fe:a9fe::1", kForbidden},
      {"2002:a00:1::1", kPrivate},
      // Translated, it is not this machine any more.
      {"::127.0.0.1", kForbidden},
      {"64:ff9b::127.0.0.1", kForbidden},
      {"2002:7f00:1::1", kForbidden},
  };
  for (const auto& [text, kind] : table) {
    EXPECT_EQ(static_cast<int>(KindOf(AddressOf(text))), static_cast<int>(kind)) << text;
  }
}

TEST(EgressRules, LetPolicyDecideOnThisMachineAndItsNetworks) {
  Egress egress;
  for (const char* address : {"127.0.0.1", "10.0.0.1", "8.8.8.8"}) {
    EXPECT_TRUE(CheckAddress(AddressOf(address), egress).ok()) << address;
  }
  egress.loopback = false;
  egress.private_networks = false;
  for (const char* address :
       {"127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "fd12::1", "::ffff:192.168.0.1"}) {
    const absl::Status status = CheckAddress(AddressOf(address), egress);
    EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << address;
    EXPECT_EQ(errors::ReasonOf(status), "EGRESS_DENIED");
  }
  EXPECT_TRUE(CheckAddress(AddressOf("8.8.8.8"), egress).ok());
}

TEST(EgressRules, LetPolicyDecideOnPorts) {
  Egress egress;
  EXPECT_TRUE(CheckPort(22, egress).ok());
  egress.ports = {5432, 6432};
  EXPECT_TRUE(CheckPort(6432, egress).ok());
  EXPECT_EQ(errors::ReasonOf(CheckPort(22, egress)), "EGRESS_DENIED");
}

// --- Resolve

TEST(Resolve, TellsLibpqTheAddressThatWasChecked) {
  const auto keywords = Resolve(Judged(TargetAt("db.example")), {}, Knows({"203.0.113.7"}));
  ASSERT_TRUE(keywords.ok()) << keywords.status();
  EXPECT_EQ(KeywordOf(*keywords, "host"), "db.example");
  EXPECT_EQ(KeywordOf(*keywords, "hostaddr"), "203.0.113.7");
  EXPECT_EQ(KeywordOf(*keywords, "port"), "5432");
  EXPECT_EQ(KeywordOf(*keywords, "user"), "me");
  EXPECT_EQ(KeywordOf(*keywords, "password"), kCanary);
  EXPECT_EQ(KeywordOf(*keywords, "dbname"), "shop");
  EXPECT_EQ(KeywordOf(*keywords, "sslmode"), "verify-full");
}

TEST(Resolve, KeepsItsListsInStep) {
  db::Target target = Operators(TargetAt("db.example"));
  target.hosts.push_back({"/run/postgresql", 5433});
  target.hosts.push_back({"::1", 5434});
  const auto keywords = Resolve(Judged(target), {}, Knows({"203.0.113.7", "2606:4700::1111"}));
  ASSERT_TRUE(keywords.ok()) << keywords.status();
  EXPECT_EQ(KeywordOf(*keywords, "host"), "db.example,db.example,/run/postgresql,::1");
  EXPECT_EQ(KeywordOf(*keywords, "hostaddr"), "203.0.113.7,2606:4700::1111,,::1");
  EXPECT_EQ(KeywordOf(*keywords, "port"), "5432,5432,5433,5434");
}

TEST(Resolve, DeniesAnyAddressThatIsDenied) {
  for (const char* address : {"169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0"}) {
    const auto keywords =
        Resolve(Judged(TargetAt("db.example")), {}, Knows({"203.0.113.7", address}));
    EXPECT_EQ(keywords.status().code(), StatusCode::kPermissionDenied) << address;
    EXPECT_EQ(errors::ReasonOf(keywords.status()), "EGRESS_DENIED");
    EXPECT_THAT(std::string(keywords.status().message()), Not(HasSubstr(address)));
  }
  Egress egress;
  egress.ports = {6432};
  const auto port = Resolve(Judged(TargetAt("db.example")), egress, Knows({"203.0.113.7"}));
  EXPECT_EQ(errors::ReasonOf(port.status()), "EGRESS_DENIED");
}

TEST(Resolve, LeavesTheOperatorsTargetsAlone) {
  Egress egress;
  egress.ports = {6432};
  egress.loopback = false;
  const auto keywords = Resolve(Judged(Operators(TargetAt("127.0.0.1"))), egress, Knows({}));
  ASSERT_TRUE(keywords.ok()) << keywords.status();
  EXPECT_EQ(KeywordOf(*keywords, "hostaddr"), "127.0.0.1");
}

TEST(Resolve, SendsNoPasswordAwayWithoutTls) {
  const ConnectTarget target = Judged(TargetAt("db.example", {{"sslmode", "prefer"}}));
  EXPECT_TRUE(Resolve(target, {}, Knows({"127.0.0.1", "::1"})).ok());
  for (const char* address : {"10.0.0.1", "203.0.113.7", "64:ff9b::10.0.0.1"}) {
    const auto keywords = Resolve(target, {}, Knows({"127.0.0.1", address}));
    EXPECT_EQ(errors::ReasonOf(keywords.status()), "BACKEND_INSECURE_AUTH") << address;
  }
  // By whatever name.
  const auto localhost = Resolve(Judged(TargetAt("localhost")), {}, Knows({"10.0.0.1"}));
  EXPECT_EQ(errors::ReasonOf(localhost.status()), "BACKEND_INSECURE_AUTH");
}

TEST(Resolve, ANameWithoutAddressIsNoTarget) {
  const auto keywords = Resolve(Judged(TargetAt("db.example")), {}, Knows({}));
  EXPECT_EQ(keywords.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(errors::ReasonOf(keywords.status()), "CONNECTION_INVALID_TARGET");
}

TEST(Resolve, OneHostThatIsNotFoundLeavesTheOthers) {
  db::Target target = TargetAt("gone.example");
  target.hosts.push_back({"203.0.113.7", 6432});
  const auto keywords = Resolve(Judged(target), {}, Knows({}));
  ASSERT_TRUE(keywords.ok()) << keywords.status();
  EXPECT_EQ(KeywordOf(*keywords, "hostaddr"), "203.0.113.7");

  const auto later = [](const std::string& name) -> absl::StatusOr<std::vector<Address>> {
    if (name == "203.0.113.7") return std::vector<Address>{AddressOf(name)};
    return errors::BackendUnreachable(absl::Seconds(1));
  };
  EXPECT_TRUE(Resolve(Judged(target), {}, later).ok());
  target.hosts.pop_back();
  EXPECT_TRUE(errors::IsTransient(Resolve(Judged(target), {}, later).status()));
}

TEST(Resolve, TheSystemKnowsEverySpellingOfAnAddress) {
  for (const char* text : {"127.0.0.1", "2130706433", "0x7f.1", "::1", "::ffff:127.0.0.1"}) {
    const auto addresses = SystemLookup(text);
    ASSERT_TRUE(addresses.ok()) << text;
    ASSERT_FALSE(addresses->empty()) << text;
    for (const Address& address : *addresses) {
      EXPECT_EQ(static_cast<int>(KindOf(address)), static_cast<int>(AddressKind::kLoopback))
          << text;
    }
  }
}

}  // namespace
}  // namespace sluice::postgres
