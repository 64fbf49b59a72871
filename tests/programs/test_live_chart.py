"""What the chart renders for a console that asks a Prometheus."""

import pytest

from tests.programs.test_metrics_port import manifest

ASKS = ["--set", "console.prometheusUrl=http://prometheus:9090"]
SOURCE = "extraEnv[0].valueFrom.secretKeyRef"
SECRET = ["--set", f"extraEnv[0].name=PROMETHEUS_URL,{SOURCE}.name=prometheus,{SOURCE}.key=url"]


def test_the_server_gets_the_address_and_its_own_labels() -> None:
    data = manifest("ConfigMap", *ASKS)["data"]
    assert data["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert data["PROMETHEUS_LABELS"].endswith('job="heart-disease-api"')
    assert not {"PROMETHEUS_URL", "PROMETHEUS_LABELS"} & set(manifest("ConfigMap")["data"])


def test_the_network_policy_lets_it_out_to_prometheus_and_dns_alone() -> None:
    assert "egress" not in manifest("NetworkPolicy")["spec"]
    assert ports(*ASKS) == [9090, 53, 53]
    assert ports(*ASKS, "--set", "console.prometheusPort=9999") == [9999, 53, 53]
    database = [
        "--set",
        "feedback.enabled=true,feedback.databaseSecret=outcomes,feedback.keysSecret=k,feedback.tokenSecret=t",
    ]
    assert ports(*ASKS, *database) == [5432, 9090, 53, 53]
    assert ports(*database) == [5432, 53, 53]
    assert "egress" not in manifest("NetworkPolicy", *ASKS, "--set", "console.enabled=false")["spec"]


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("https://metrics.example.com/prometheus", 443),
        ("http://prometheus", 80),
        ("https://[2001:db8::9]:9443/", 9443),
        ("https://[2001:db8::9]", 443),
        ("http://prometheus:19090/at:80", 19090),
    ],
)
def test_it_is_let_out_to_the_port_of_the_address(address: str, port: int) -> None:
    assert ports("--set-string", f"console.prometheusUrl={address}") == [port, 53, 53]


def test_an_address_with_a_password_comes_from_a_secret_and_shows_no_other_release() -> None:
    data = manifest("ConfigMap", *SECRET)["data"]
    assert "PROMETHEUS_URL" not in data
    assert data["PROMETHEUS_LABELS"].endswith('job="heart-disease-api"')
    assert ports(*SECRET) == [9090, 53, 53]
    assert "egress" not in manifest("NetworkPolicy", *SECRET, "--set", "console.enabled=false")["spec"]


def test_one_address_is_set() -> None:
    with pytest.raises(AssertionError, match=r"console\.prometheusUrl and PROMETHEUS_URL in extraEnv"):
        manifest("ConfigMap", *ASKS, *SECRET)


def test_a_plain_address_is_not_hidden_among_the_variables() -> None:
    """Its password could be read in the Deployment, and the network policy would not know its port."""
    plain = "extraEnv[0].name=PROMETHEUS_URL,extraEnv[0].value=http://heart:secret@prometheus:8080"
    with pytest.raises(AssertionError, match=r"PROMETHEUS_URL is for an address that a Secret has"):
        manifest("ConfigMap", "--set", plain)


def ports(*options: str) -> list[int]:
    (egress,) = manifest("NetworkPolicy", *options)["spec"]["egress"]
    return [port["port"] for port in egress["ports"]]
