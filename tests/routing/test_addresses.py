"""Which URLs pass, which do not, and that the rule which refuses them is named."""

import ipaddress

import pytest

from jobs.settings import Settings, Webhooks
from routing.addresses import DENIED, Rules, UrlRefused, rules_of, target

RULES = Rules()
LOCAL = rules_of(Settings(webhooks=Webhooks(allow_networks=("127.0.0.1/32", "10.1.0.0/16"))))

PUBLIC = ("8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.255.255",
          "192.167.255.255", "198.17.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450::1")  # fmt: skip


def check(rules: Rules, url: str, *addresses: str) -> None:
    aim = target(url)
    found = (aim.literal,) if aim.literal is not None else tuple(map(ipaddress.ip_address, addresses))
    rules.check(aim, found)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("HTTPS://Hooks.Example.COM:443/a?b=c", "https://hooks.example.com/a?b=c"),
        ("https://hooks.example.com:8443/a%2Fb", "https://hooks.example.com:8443/a%2Fb"),
        ("https://b\u00fccher.example/\u00fc", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
        ("https://1password.example/x", "https://1password.example/x"),
        ("https://a.0xample.example/", "https://a.0xample.example/"),
    ],
)
def test_a_url_has_one_spelling(url: str, kept: str):
    assert target(url).url == kept
    assert target(kept).url == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://hooks.example.com/", "https://"),
        ("//hooks.example.com/", "https://"),
        ("https:///x", "no host"),
        ("https://user@hooks.example.com/", "user name"),
        ("https://user:pw@hooks.example.com/", "user name"),
        ("https://hooks.example.com#@127.0.0.1/", "fragment"),
        ("https://hooks.example.com\\@127.0.0.1/", "backslash"),
        ("https://hooks.example.com\r\nx: y/", "control"),
        ("https://hooks example.com/", "space"),
        ("https://hooks.example.com:0/", "port 0"),
        ("https://hooks.example.com:99999/", "no URL"),
        ("https://hooks.example.com:x/", "no URL"),
        ("https://hooks.example.com./", "dot at the end"),
        ("https://127.1/", "four decimal"),
        ("https://0177.0.0.1/", "four decimal"),
        ("https://0x7f.0.0.1/", "four decimal"),
        ("https://0x7f000001/", "four decimal"),
        ("https://2130706433/", "four decimal"),
        ("https://017700000001/", "four decimal"),
        ("https://127.0.0.1.1/", "four decimal"),
        ("https://127.0.0.0x1/", "four decimal"),
        ("https://256.1.1.1/", "four decimal"),
        ("https://[fe80::1%25eth0]/", "zone"),
        ("https://[::1/", "no URL"),
        ("https://[hooks]/", "no URL|no IPv6"),
        ("https://fa\u00df.example/", "xn--"),
        ("https://-a.example/", "no host name"),
        ("https://a..example/", "no host name"),
        ("https://" + "a" * 2_000, "2000"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(url: str, why: str):
    with pytest.raises(UrlRefused, match=why):
        target(url)


@pytest.mark.parametrize("network", [network for network, _ in DENIED])
def test_no_end_of_a_denied_network_may_be_called(network: str):
    parsed = ipaddress.ip_network(network)
    assert RULES.forbids(parsed[0]) is not None
    assert RULES.forbids(parsed[-1]) is not None


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text: str):
    assert RULES.forbids(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("text", ["4000::1", "::5efe:a00:1", "400::1", "1000::1"])
def test_an_address_that_nobody_has_is_not_called(text: str):
    assert RULES.forbids(ipaddress.ip_address(text)) is not None


def test_one_bad_address_among_good_ones_refuses_the_name():
    with pytest.raises(UrlRefused, match="private"):
        check(RULES, "https://hooks.example.com/", "8.8.8.8", "10.0.0.5")
    with pytest.raises(UrlRefused, match="no address"):
        check(RULES, "https://hooks.example.com/")


def test_http_and_other_ports_are_opened_by_settings():
    with pytest.raises(UrlRefused, match="allow_http"):
        check(RULES, "http://hooks.example.com/", "8.8.8.8")
    with pytest.raises(UrlRefused, match="8443"):
        check(RULES, "https://hooks.example.com:9000/", "8.8.8.8")
    check(RULES, "https://hooks.example.com:8443/", "8.8.8.8")
    check(rules_of(Settings(webhooks=Webhooks(allow_http=True))), "http://hooks.example.com/", "8.8.8.8")
    check(rules_of(Settings(webhooks=Webhooks(ports=(9000,)))), "https://hooks.example.com:9000/", "8.8.8.8")


def test_a_trusted_network_speaks_http_on_any_port_and_nobody_else_does():
    check(LOCAL, "http://127.0.0.1:9000/hook")
    check(LOCAL, "http://hooks.internal:9000/hook", "10.1.2.3")
    for url, address in (("http://127.0.0.2:9000/", ""), ("http://a.example:9000/", "8.8.8.8")):
        with pytest.raises(UrlRefused):
            check(LOCAL, url, address)
    with pytest.raises(UrlRefused):
        check(LOCAL, "http://hooks.internal:9000/hook", "10.1.2.3", "8.8.8.8")


def test_a_yard_that_makes_no_real_calls_reaches_only_what_it_trusts():
    rules = rules_of(Settings(allow_real_calls=False, webhooks=Webhooks(allow_networks=("127.0.0.1/32",))))
    check(rules, "http://127.0.0.1:9000/hook")
    with pytest.raises(UrlRefused, match="allow_real_calls"):
        check(rules, "https://8.8.8.8/")
