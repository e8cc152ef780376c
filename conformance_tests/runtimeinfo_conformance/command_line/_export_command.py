"""The command ``runtimeinfo export``: its options, and what they exclude."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtimeinfo import BoardError
from runtimeinfo_conformance.command_line._cli import UNTRUSTED, USAGE, refuse
from runtimeinfo_conformance.command_line._options import finite

if TYPE_CHECKING:
    from runtimeinfo_adapters.export import Limits, RunSamples

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 9788

_SERVING = "Serving"
_OTHERS = "Other ways"
_SELECTION = "Selection"


def export(
    address: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_SERVING,
            show_default=False,
            help=f"Where to listen; {DEFAULT_ADDRESS} by default, which only this machine reaches.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            rich_help_panel=_SERVING,
            show_default=False,
            help=f"The port; {DEFAULT_PORT} by default, 0 for a free one.",
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(rich_help_panel=_SERVING, help="Serve TLS with this certificate, in PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(rich_help_panel=_SERVING, help="Its private key.")] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_SERVING, help="Serve clients with a certificate of this authority alone."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_SERVING, help="Ask for the user:password in this file, which only you can read."),
    ] = None,
    textfile: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", rich_help_panel=_OTHERS, help="Write a file for Prometheus' node exporter into a folder."
        ),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=_OTHERS, help="Send to an OpenTelemetry collector, by OTLP/HTTP."),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            callback=finite,
            rich_help_panel=_OTHERS,
            help="How often to write or send.",
        ),
    ] = 15.0,
    once: Annotated[bool, typer.Option("--once", rich_help_panel=_OTHERS, help="Print them once, and end.")] = False,
    rules: Annotated[
        bool, typer.Option("--rules", rich_help_panel=_OTHERS, help="Print alert rules for Prometheus, and end.")
    ] = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", rich_help_panel=_OTHERS, help="Print a dashboard for Grafana, and end.")
    ] = False,
    all_users: Annotated[
        bool,
        typer.Option("--all-users", rich_help_panel=_SELECTION, help="Export the runs of all users; only root can."),
    ] = False,
    scalars: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            rich_help_panel=_SELECTION,
            show_default=False,
            help="Export the scalars that match, as 'val/*'; several are fine. All by default.",
        ),
    ] = None,
    max_scalars: Annotated[
        int, typer.Option(min=0, rich_help_panel=_SELECTION, help="The greatest number of scalars of a run.")
    ] = 64,
    max_runs: Annotated[
        int, typer.Option(min=0, rich_help_panel=_SELECTION, help="The greatest number of runs.")
    ] = 1000,
    stalled_after: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            callback=finite,
            rich_help_panel=_SELECTION,
            help="Without any write for so long, a run is stalled.",
        ),
    ] = 30.0,
) -> None:
    """Export the live runs of this user to Prometheus, or to an OpenTelemetry collector.

    It needs no change in a training, and works for every framework. SIGTERM or Ctrl-C ends it.

    Exit codes: 0; 1 the folder for boards belongs to another user, or cannot be read; 64 the command line asks for what
    cannot be, such as a port in use, or an extra is missing.

    Example: runtimeinfo export

    Example: runtimeinfo export --textfile /var/lib/prometheus/node-exporter

    Example: runtimeinfo export --rules > runtimeinfo-rules.yml
    """
    from runtimeinfo_adapters import export as exporter

    ways = {"--textfile": textfile, "--otlp": otlp, "--once": once, "--rules": rules, "--dashboard": dashboard}
    serving = {
        "--address": address,
        "--port": port,
        "--tls-certificate": tls_certificate,
        "--tls-key": tls_key,
        "--client-ca": client_ca,
        "--password-file": password_file,
    }
    chosen = [name for name, value in ways.items() if value not in (None, False)]
    _refuse_together(chosen)
    if chosen:
        _refuse_together([chosen[0], *(name for name, value in serving.items() if value is not None)])
    if rules or dashboard:
        typer.echo(exporter.shipped_text(exporter.RULES if rules else exporter.DASHBOARD), nl=False)
        return
    try:
        limits = exporter.Limits(tuple(scalars or ("*",)), max_scalars, max_runs)
        samples = _samples(limits, all_users=all_users, stalled_after=stalled_after)
        if once:
            typer.echo(exporter.text_of(exporter.make_registry(samples)), nl=False)
        elif textfile is not None:
            exporter.write_repeatedly(samples, textfile, interval=interval)
        elif otlp is not None:
            exporter.push(samples, otlp, interval=interval)
        else:
            security = exporter.Security(tls_certificate, tls_key, client_ca, password_file)
            exporter.serve(
                samples,
                address=DEFAULT_ADDRESS if address is None else address,
                port=DEFAULT_PORT if port is None else port,
                security=security,
            )
    except exporter.ExportError as error:
        refuse(error, USAGE)
    except BoardError as error:
        refuse(error, UNTRUSTED)


def _samples(limits: Limits, *, all_users: bool, stalled_after: float) -> RunSamples:
    from runtimeinfo.board import board_files
    from runtimeinfo_adapters.export import RunSamples
    from runtimeinfo_adapters.top import Runs

    board_files()  # a folder that cannot be trusted is an error at the beginning, and later on a metric
    return RunSamples(Runs(all_users=all_users, stalled_after=stalled_after, curves=False), limits)


def _refuse_together(names: list[str]) -> None:
    if len(names) > 1:
        refuse(f"{names[0]} excludes {', '.join(names[1:])}: give one of them", USAGE)
