"""What the chart renders for a console that asks a Prometheus."""

from tests.programs.test_metrics_port import manifest

ASKS = ["--set", "console.prometheusUrl=http://prometheus:9090"]


def test_the_server_gets_the_address_and_its_own_labels() -> None:
    data = manifest("ConfigMap", *ASKS)["data"]
    assert data["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert data["PROMETHEUS_LABELS"].endswith('job="heart-disease-api"')
    assert not {"PROMETHEUS_URL", "PROMETHEUS_LABELS"} & set(manifest("ConfigMap")["data"])


def test_the_network_policy_lets_it_out_to_prometheus_and_dns_alone() -> None:
    assert manifest("NetworkPolicy")["spec"]["egress"] == []
    assert ports(*ASKS) == [9090, 53, 53]
    assert ports(*ASKS, "--set", "console.prometheusPort=9999") == [9999, 53, 53]
    database = ["--set", "feedback.enabled=true,feedback.databaseSecret=outcomes"]
    assert ports(*ASKS, *database) == [5432, 9090, 53, 53]
    assert ports(*database) == [5432, 53, 53]
    assert manifest("NetworkPolicy", *ASKS, "--set", "console.enabled=false")["spec"]["egress"] == []


def ports(*options: str) -> list[int]:
    (egress,) = manifest("NetworkPolicy", *options)["spec"]["egress"]
    return [port["port"] for port in egress["ports"]]
