"""The configuration file of a Kafka node, as a dictionary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.kafka.certificates import Certificates
from support.ports import HOST, free_port

PROTOCOLS = {
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "MUTUAL_SSL": "SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
}
"""Security protocol by name of a listener; MUTUAL_SSL refuses clients that show no certificate."""

SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_SECURITY = "org.apache.kafka.common.security"
_LOGIN_MODULES = {
    "PLAIN": f"{_SECURITY}.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{_SECURITY}.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{_SECURITY}.scram.ScramLoginModule",
    # With no more than this, Kafka takes unsigned tokens: any subject, any time of issue and expiry that fits.
    "OAUTHBEARER": f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule",
}


@dataclass(frozen=True)
class ServerOptions:
    """What a test may ask of its Kafka; all nodes of a cluster share it."""

    listeners: Sequence[str] = ()
    """Names from `PROTOCOLS`, besides PLAINTEXT, which is always there."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Passwords by user name, known to PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 alike."""
    certificates: Certificates | None = None
    """Needed for the listeners with SSL in their name."""
    advertised: Mapping[str, int] = field(default_factory=dict)
    """Ports that clients are sent to in place of the listeners' own, by name: those of proxies."""
    partitions: int = 6
    """Of a topic that is created without saying how many."""
    auto_create_topics: bool = True
    properties: Mapping[str, str] = field(default_factory=dict)
    """Any property of Kafka's own; wins over what is set here."""


@dataclass(frozen=True)
class Addresses:
    """Where one node listens."""

    listeners: Mapping[str, int]
    """Ports by name of the listener."""
    controller: int

    @classmethod
    def free(cls, options: ServerOptions) -> "Addresses":
        """Ports that are free now, one for each listener."""
        return cls({name: free_port() for name in ("PLAINTEXT", *options.listeners)}, free_port())


def server_properties(
    number: int, addresses: Sequence[Addresses], options: ServerOptions, data: Path
) -> dict[str, str]:
    """Properties of node `number`, counted from 1, which is both broker and controller of its cluster."""
    own = addresses[number - 1]
    clients = _urls(own.listeners)
    protocols = ",".join(f"{name}:{PROTOCOLS[name]}" for name in own.listeners)
    replicas, in_sync = len(addresses), max(1, len(addresses) - 1)
    return {
        "node.id": str(number),
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(f"{n}@{HOST}:{a.controller}" for n, a in enumerate(addresses, 1)),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"{clients},CONTROLLER://{HOST}:{own.controller}",
        "advertised.listeners": _urls({**own.listeners, **options.advertised}),
        "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "log.cleaner.dedupe.buffer.size": "16777216",  # the default does not fit into a small heap
        "num.partitions": str(options.partitions),
        "auto.create.topics.enable": str(options.auto_create_topics).lower(),
        # Leaders move, and a killed node may come back, after 4 s in place of 9.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        **_tls(options),
        **_sasl(options),
        **options.properties,
    }


def _urls(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())


def _tls(options: ServerOptions) -> dict[str, str]:
    if options.certificates is None:
        return {}
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(options.certificates.server_file),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(options.certificates.ca_file),
        "listener.name.mutual_ssl.ssl.client.auth": "required",
    }


def _sasl(options: ServerOptions) -> dict[str, str]:
    """Logins for the SASL listeners; the SCRAM passwords themselves are written when a node is formatted."""
    properties = {"sasl.enabled.mechanisms": ",".join(_LOGIN_MODULES)}
    for listener in options.listeners:
        if PROTOCOLS[listener].startswith("SASL_"):
            for mechanism in _LOGIN_MODULES:
                name = f"listener.name.{listener.lower()}.{mechanism.lower()}.sasl.jaas.config"
                properties[name] = _login(mechanism, options.users)
    return properties


def _login(mechanism: str, users: Mapping[str, str]) -> str:
    """A line of JAAS configuration; only PLAIN keeps its users there."""
    known = "".join(f' user_{user}="{password}"' for user, password in users.items()) if mechanism == "PLAIN" else ""
    return f"{_LOGIN_MODULES[mechanism]} required{known};"
