"""Decides what a yard on this machine is made of: which servers, which processes, and whether offline providers."""

import os
from collections.abc import Mapping

from cli import ask, offline, processes
from cli.children import run_to_end
from cli.embedded import Postgres, Redis
from cli.processes import Process
from cli.servers import Server
from cli.supervisor import Plan
from cli.yard import Yard, next_free_port
from jobs.configuration import (
    CATALOG_VARIABLE,
    CONFIG_VARIABLE,
    ENVIRONMENT,
    NETWORKS_VARIABLE,
    config_paths,
    load,
    load_catalog,
)
from jobs.settings import Settings

SANDBOX_VARIABLE = "TOKENYARD_SANDBOX"
"""`only`: offline providers whatever keys there are, and none of the user's; the demo spends nobody's money."""
DATABASE_VARIABLE, REDIS_VARIABLE = ENVIRONMENT
LOOPBACK = "127.0.0.1/32"
"""Where a yard on one machine may call webhooks beside the public internet: whoever tries it has no https."""
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to reach what listens there


def embedded_servers(yard: Yard, settings: Settings) -> dict[str, Server]:
    """The servers that the settings leave to us, by the variable that holds their address."""
    servers: dict[str, Server] = {}
    if not settings.database_url:
        servers[DATABASE_VARIABLE] = Postgres(yard.var / "postgres")
    if not settings.redis_url:
        servers[REDIS_VARIABLE] = Redis(yard.var / "redis")
    return servers


def compose(yard: Yard, environ: Mapping[str, str]) -> Plan:
    """The yard that `tokenyard up` runs. Raises SettingsError, YardError, ServerError."""
    settings = load(environ=environ)
    servers = embedded_servers(yard, settings)
    addresses = {
        DATABASE_VARIABLE: settings.database_url,
        REDIS_VARIABLE: settings.redis_url,
        **{variable: server.url for variable, server in servers.items()},
    }
    trusted = dict.fromkeys((*settings.webhooks.allow_networks, LOOPBACK))
    addresses[NETWORKS_VARIABLE] = ",".join(trusted)
    addresses[CATALOG_VARIABLE] = settings.catalog.file or str(yard.catalog_path)
    is_sandbox_only = environ.get(SANDBOX_VARIABLE) == "only"
    configs = [] if is_sandbox_only else [str(path.absolute()) for path in config_paths(environ)]
    steps, providers = [processes.migrate()], list[Process]()
    if is_sandbox_only or not offline.has_provider(settings, environ):
        yard.make()
        chosen = offline.providers()
        yard.sandbox_config.write_text(offline.config(chosen), encoding="utf-8")
        configs.append(str(yard.sandbox_config))
        steps.append(processes.train(yard.sandbox))
        providers = [processes.sandbox(provider, yard.sandbox) for provider in chosen]
    if configs:
        addresses[CONFIG_VARIABLE] = os.pathsep.join(configs)
    # The processes would find a mistake too, each in its own log and after a restart or three.
    load_catalog(load(environ={**environ, **addresses}))
    host, port = settings.api.host, next_free_port(settings.api.host, settings.api.port)
    api_url = url_at(host, port)
    flower_host, flower_port = settings.flower.host, next_free_port(settings.flower.host, settings.flower.port)
    flower_url = url_at(flower_host, flower_port)
    flower = processes.flower(flower_host, flower_port, _flower_password(yard, environ))
    return Plan(
        servers=tuple(servers.values()),
        steps=steps,
        processes=[
            *providers,
            processes.api(host, port),
            *_workers(settings),
            processes.webhooks(),
            processes.dispatcher(),
            flower,
        ],
        environment=addresses,
        api_url=api_url,
        flower_url=flower_url,
        is_serving=lambda: answers(api_url, "/readyz") and answers(flower_url, "/healthcheck"),
        finish=lambda: _ensure_key(yard, api_url, addresses),
    )


def _workers(settings: Settings) -> tuple[Process, ...]:
    """`interactive` has a process of its own: a bulk load must not stand before a person who waits.

    So has quarantine, whose jobs are feared to kill it. It stands by all the time: started when needed it would save
    about 85 MB (PSS, 2026-11) beside a yard's other dozen processes, and be one more thing that can fail to start.
    """
    slots = settings.worker.slots
    return (
        processes.worker("interactive", ["interactive"], slots),
        processes.worker("bulk", ["standard", "bulk"], slots),
        processes.worker("quarantine", ["quarantine"], 1),
    )


def url_at(host: str, port: int) -> str:
    """Where what listens on `host` and `port` is reached from this machine."""
    reached = ANY_HOST.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def answers(url: str, path: str) -> bool:
    """True if a GET gets a 200."""
    reply = ask.get(url, path)
    return reply is not None and reply.status == 200


def _flower_password(yard: Yard, environ: Mapping[str, str]) -> str:
    """The user's own, else the one this yard keeps."""
    named = environ.get(processes.FLOWER_PASSWORD_VARIABLE)
    if named:
        return named
    yard.make()
    return yard.ensure_flower_password()


def _ensure_key(yard: Yard, api_url: str, addresses: Mapping[str, str]) -> None:
    """Keep the key of earlier runs while it works; make one otherwise (first start, or another database)."""
    key = yard.key()
    if key is not None:
        reply = ask.get(api_url, "/v1/jobs?limit=1", key)
        if reply is None or reply.status not in {401, 403}:
            return
    yard.keep_key(run_to_end(processes.bootstrap_key(), yard, addresses).splitlines()[-1])
