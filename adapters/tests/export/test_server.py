from __future__ import annotations

import base64
import socket
import ssl
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import ExportError, MetricsServer, RunSamples, Security, make_registry
from runtimeinfo_adapters.export._server import read_credentials
from runtimeinfo_adapters.top import Runs

PATIENCE_S = 60.0


@pytest.fixture
def registry() -> CollectorRegistry:
    return make_registry(RunSamples(Runs()))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate and key of a server, and of an authority whose client they are, too."""
    folder = tmp_path_factory.mktemp("tls")
    done = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("no openssl command that makes a certificate")
    return folder


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("prometheus:päss:word\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def get(url: str, *, context: ssl.SSLContext | None = None, authorization: str | None = None) -> str:
    headers = {} if authorization is None else {"Authorization": authorization}
    with urlopen(Request(url, headers=headers), context=context, timeout=PATIENCE_S) as response:
        return response.read().decode()


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def test_the_metrics_are_served_and_the_port_is_freed(
    registry: CollectorRegistry, shared: Callable[..., MessageHub]
) -> None:
    shared(epoch=3)
    with MetricsServer(registry) as server:
        assert server.is_loopback
        assert server.url == f"http://127.0.0.1:{server.port}/metrics"
        assert "runtimeinfo_run_epoch{" in get(server.url)
        port = server.port
    with MetricsServer(registry, port=port):
        pass


def test_a_client_chooses_the_format(registry: CollectorRegistry) -> None:
    with MetricsServer(registry) as server:
        for accept, begin, end in (
            ("text/plain", "text/plain", "\n"),
            ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# EOF\n"),
        ):
            with urlopen(Request(server.url, headers={"Accept": accept}), timeout=PATIENCE_S) as response:
                assert response.headers["Content-Type"].startswith(begin)
                assert response.read().decode().endswith(end)


def test_scrapes_at_one_time_are_whole(registry: CollectorRegistry, shared: Callable[..., MessageHub]) -> None:
    for number in range(20):
        shared({"loss": 1.0}, experiment_name=f"run {number}")
    with MetricsServer(registry) as server, ThreadPoolExecutor(4) as threads:
        texts = list(threads.map(get, [server.url] * 12))
    assert {text.count("runtimeinfo_run_scalar{") for text in texts} == {20}


def test_ipv6(registry: CollectorRegistry) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with MetricsServer(registry, address="::1") as server:
        assert server.is_loopback
        assert server.url == f"http://[::1]:{server.port}/metrics"
        assert "runtimeinfo_exporter_boards" in get(server.url)


def test_any_address_is_not_loopback(registry: CollectorRegistry) -> None:
    with MetricsServer(registry, address="0.0.0.0") as server:
        assert not server.is_loopback


def test_a_port_in_use_is_an_error_that_names_it(registry: CollectorRegistry) -> None:
    with MetricsServer(registry) as server, pytest.raises(ExportError) as caught:
        MetricsServer(registry, port=server.port)
    assert f"'127.0.0.1', port {server.port}: Address already in use" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "port", "message"),
    [
        ("nowhere.invalid", 0, "'nowhere.invalid' is unknown"),
        ("192.0.2.1", 0, "'192.0.2.1', port 0: Cannot assign"),
        ("a..b", 0, "'a..b'"),
        ("127.0.0.1", 70000, "70000"),
    ],
)
def test_a_wrong_address_is_an_error_that_names_it(
    registry: CollectorRegistry, address: str, port: int, message: str
) -> None:
    with pytest.raises(ExportError) as caught:
        MetricsServer(registry, address=address, port=port)
    assert message in str(caught.value)


def test_a_silent_client_of_tls_stops_no_scrape(registry: CollectorRegistry, certificates: Path) -> None:
    security = Security(certificates / "cert.pem", certificates / "key.pem")
    context = ssl.create_default_context(cafile=certificates / "cert.pem")
    with (
        MetricsServer(registry, security=security) as server,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        assert "runtimeinfo_exporter_boards" in get(server.url, context=context)
        silent.sendall(b"GET / HTTP/1.0\r\n\r\n")  # nor one that does not speak it
        assert "runtimeinfo_exporter_boards" in get(server.url, context=context)


def test_a_client_that_goes_is_not_an_error(
    registry: CollectorRegistry, certificates: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    security = Security(certificates / "cert.pem", certificates / "key.pem")
    for each in (Security(), security):
        with MetricsServer(registry, security=each) as server:
            for sent in (b"", b"GET", b"\x16\x03\x01"):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.sendall(sent)
            context = None if each is not security else ssl.create_default_context(cafile=certificates / "cert.pem")
            get(server.url, context=context)
    assert capfd.readouterr().err == ""


def test_only_clients_of_the_authority_are_served(registry: CollectorRegistry, certificates: Path) -> None:
    certificate, key = certificates / "cert.pem", certificates / "key.pem"
    security = Security(certificate, key, client_ca=certificate)
    assert security.protects
    context = ssl.create_default_context(cafile=certificate)
    with MetricsServer(registry, security=security) as server:
        with pytest.raises((URLError, OSError)):
            get(server.url, context=context)
        context.load_cert_chain(certificate, key)
        assert "runtimeinfo_exporter_boards" in get(server.url, context=context)


def test_a_password_is_asked_for(registry: CollectorRegistry, password_file: Path) -> None:
    with MetricsServer(registry, security=Security(password_file=password_file)) as server:
        assert "runtimeinfo_exporter_boards" in get(server.url, authorization=basic("prometheus:päss:word"))
        assert "runtimeinfo_exporter_boards" in get(
            server.url, authorization=basic("prometheus:päss:word").replace("Basic", "basic")
        )
        for wrong in (
            None,
            "",
            "Basic",
            "Basic !",
            "Basic ä",
            "Bearer " + basic("prometheus:päss:word").split()[1],
            basic("prometheus:päss:wor"),
            basic("prometheus:päss:word\n"),
            basic(""),
        ):
            with pytest.raises(HTTPError) as caught:
                get(server.url, authorization=wrong)
            with caught.value as response:
                assert response.code == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
                assert b"runtimeinfo_" not in response.read()


@pytest.mark.parametrize("content", ["", "user", ":password", "user:", "user:pass\nmore", "user:\x00"])
def test_a_password_file_without_a_password_is_refused(password_file: Path, content: str) -> None:
    password_file.write_text(content)
    with pytest.raises(ExportError, match="must have one line, user:password"):
        read_credentials(password_file)


def test_a_password_file_that_others_can_read_is_refused(password_file: Path) -> None:
    password_file.chmod(0o640)
    with pytest.raises(ExportError, match=f"open to other users: chmod 600 {password_file}"):
        read_credentials(password_file)
    password_file.unlink()
    with pytest.raises(ExportError, match="cannot be read"):
        read_credentials(password_file)


def test_tls_without_its_files_is_refused(registry: CollectorRegistry, certificates: Path, tmp_path: Path) -> None:
    certificate, key = certificates / "cert.pem", certificates / "key.pem"
    other = tmp_path / "other.pem"
    other.write_text("garbage")
    for security, message in (
        (Security(certificate), "both a certificate and its key"),
        (Security(client_ca=certificate), "both a certificate and its key"),
        (Security(tmp_path / "none.pem", key), "none.pem with the key"),
        (Security(certificate, other), "cannot be used"),
        (Security(certificate, key, client_ca=other), f"the authority {other} cannot be used"),
    ):
        with pytest.raises(ExportError, match=message):
            MetricsServer(registry, security=security)


def test_only_tls_with_a_check_of_clients_protects(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert not Security().protects
    assert not Security(file, file).protects
    assert not Security(password_file=file).protects  # anyone on the way can read it
    assert Security(file, file, password_file=file).protects
